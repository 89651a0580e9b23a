"""Recorded streams: cut at keyframes, and run again with the same result or with other gates."""

from __future__ import annotations

import pytest
import torch
from sample_frames import frames
from torch import Tensor, nn

from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.recording import Recorder, replay

CONFIG = SkipConfig(0.1, backend="reference")
SHAPE = (1, 2, 9, 11)


@pytest.fixture(scope="module")
def model() -> SkipModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    return SkipModel(net.eval().requires_grad_(False), CONFIG)


def stream(count: int, seed: int = 0) -> list[Tensor]:
    return list(frames(SHAPE, count, seed))


def test_every_stream_is_kept_from_keyframe_to_keyframe_and_runs_as_without_a_recorder(model: SkipModel) -> None:
    recorder = Recorder(model)
    recorder.left = 100
    one, other, plain = recorder.session(), recorder.session(), model.session()
    for number, frame in enumerate(stream(6)):
        if number == 4:
            one.reset()
            plain.reset()
        assert torch.equal(one(frame), plain(frame))
        other(-frame)
    assert [len(recording) for recording in recorder.recordings] == [4, 6, 2]
    assert torch.equal(recorder.recordings[1][5][0], -stream(6)[5])


def test_frames_beyond_those_wanted_are_analysed_but_not_kept(model: SkipModel) -> None:
    recorder = Recorder(model)
    recorder.left = 3
    session = recorder.session()
    for frame in stream(5):
        session(frame)
    assert recorder.recorded == 3 and recorder.left == 0


def test_a_replay_saves_what_the_recorded_sessions_saved_and_measures_the_error(model: SkipModel) -> None:
    recorder = Recorder(model)
    recorder.left = 100
    session = recorder.session()
    macs = dense = 0
    squares = []
    for frame in stream(8):
        found = session(frame).clone()
        macs, dense = macs + session.cost.macs, dense + session.cost.dense_macs
        wanted = model.dense(frame)
        squares.append(float((found - wanted).square().sum() / wanted.square().sum()))
    same, exact = replay(model, recorder.recordings, [CONFIG, SkipConfig(0.0, backend="reference")])
    assert same.saving == pytest.approx(1 - macs / dense)
    assert same.error == pytest.approx((sum(squares) / 8) ** 0.5, rel=1e-4) and same.error > 0
    assert exact.error == 0 and 0 < exact.saving < same.saving
