"""Frames before which the scene moved by whole pixels: maps move along, and nothing that is promised of a gated frame is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from moving_world import walk
from sample_networks import build
from session_promises import Pyramid, check_promises

from skipvid.skip import cpu as native
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import BACKENDS, SkipConfig
from skipvid.skip.picture import Picture

SHAPE = (1, 3, 32, 48)
BACK_ENDS = [name for name in BACKENDS if name != "cpu" or native.status().available]


@pytest.fixture(scope="module")
def pyramid() -> SkipModel:
    return convert(build(Pyramid), torch.zeros(SHAPE), SkipConfig(threshold=0.0, backend="reference"))[0]


def gated(model: SkipModel, backend: str, threshold: float, gate: str = "norm") -> SkipModel:
    return model.regated(SkipConfig(threshold=threshold, gate=gate, backend=backend, dense_above=1.0))


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("steps", [(16, 16), (8, 16), (1, 2), (4, 3)])
def test_threshold_0_gives_the_dense_result_after_any_walk(pyramid: SkipModel, backend: str, steps: tuple[int, int]) -> None:
    model = gated(pyramid, backend, 0.0)
    session = model.session()
    for number, (frame, shift) in enumerate(walk(SHAPE, 14, seed=1, steps=steps)):
        session.shift(*shift)
        for got, want in zip(session(frame), model.dense(frame), strict=True):
            if backend == "cpu":
                assert torch.equal(got, want), f"frame {number}, moved by {shift}"
            else:
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        assert session.keyframe == (number == 0)


@pytest.mark.skipif("cpu" not in BACK_ENDS, reason="no native kernels")
@pytest.mark.parametrize(("precision", "threads"), [("bf16", 1), ("bf16", 2), ("f32", 2)])
def test_stored_values_move_in_either_precision_on_any_threads(precision: str, threads: int) -> None:
    config = SkipConfig(threshold=0.0, backend="cpu", precision=precision, threads=threads, dense_above=1.0)
    model = convert(build(Pyramid), torch.zeros(SHAPE), config)[0]
    session = model.session()
    for frame, shift in walk(SHAPE, 8, seed=8, steps=(8, 4)):
        session.shift(*shift)
        for got, want in zip(session(frame), model.dense(frame), strict=True):
            assert torch.equal(got, want), f"moved by {shift}"


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("gate", ["norm", "norm-smooth"])
@pytest.mark.parametrize("steps", [(16, 16), (8, 4), (1, 1)])
def test_every_map_is_that_of_the_published_ones_after_any_walk(
    pyramid: SkipModel, backend: str, gate: str, steps: tuple[int, int]
) -> None:
    session = gated(pyramid, backend, 0.3, gate).session()
    for frame, shift in walk(SHAPE, 12, seed=2, steps=steps, share=0.02):
        session.shift(*shift)
        session(frame)
        assert check_promises(session, frame) > 15


@pytest.mark.skipif("cpu" not in BACK_ENDS, reason="no native kernels")
@pytest.mark.parametrize("gate", ["norm", "norm-smooth"])
@pytest.mark.parametrize("steps", [(16, 16), (8, 4), (3, 1)])
def test_both_back_ends_compute_the_same_pixels(pyramid: SkipModel, gate: str, steps: tuple[int, int]) -> None:
    one, other = (gated(pyramid, name, 0.25, gate).session() for name in ("cpu", "reference"))
    for frame, shift in walk(SHAPE, 12, seed=3, steps=steps):
        one.shift(*shift)
        other.shift(*shift)
        for got, want in zip(one(frame), other(frame), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        wanted = other.computed
        for name, mask in one.computed.items():
            assert np.array_equal(mask, wanted[name]), f"{name}, moved by {shift}"
        assert one.cost == other.cost


@pytest.mark.skipif("cpu" not in BACK_ENDS, reason="no native kernels")
@pytest.mark.parametrize("gate", ["norm", "norm-smooth"])
def test_a_picture_that_does_not_fill_the_input_keeps_its_border(pyramid: SkipModel, gate: str) -> None:
    """Its filling stays where it is, while the scene moves under its border."""
    tables = np.linspace(-1, 1, 256, dtype=np.float32)[None].repeat(3, 0)
    sessions = [gated(pyramid, name, 0.2, gate).session() for name in ("cpu", "reference")]
    exact = gated(pyramid, "cpu", 0.0)
    plain = exact.session()
    for frame, shift in walk((1, 3, 25, 40), 10, seed=4, steps=(8, 8)):
        pixels = np.ascontiguousarray((frame[0].permute(1, 2, 0) * 60 + 128).clamp(0, 255).byte().numpy())
        picture = Picture(pixels, SHAPE[2:], tables, (2, 1, 0))
        for session in (*sessions, plain):
            session.shift(*shift)
        for got, want in zip(*(session.maps(picture) for session in sessions), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
        for name, mask in sessions[0].computed.items():
            assert np.array_equal(mask, sessions[1].computed[name]), f"{name}, moved by {shift}"
        for got, want in zip(plain.maps(picture), exact.dense_maps(picture), strict=True):
            assert np.array_equal(got, want)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_a_scene_at_rest_that_only_moved_costs_its_border(pyramid: SkipModel, backend: str) -> None:
    model = gated(pyramid, backend, 0.0)
    moved, plain = model.session(), model.session()
    for number, (frame, shift) in enumerate(walk((1, 3, 32, 48), 2, seed=5, steps=(16, 16), share=0.0)):
        if number:
            moved.shift(*shift)
            assert shift != (0, 0)
        moved(frame)
        plain(frame)
    stem = next(iter(moved.computed))
    assert 0 < moved.computed[stem].mean() < 0.8 < plain.computed[stem].mean()
    assert moved.cost.macs < plain.cost.macs


@pytest.mark.parametrize(
    ("config", "shift"),
    [
        (SkipConfig(threshold=0.1, gate="norm-output"), (0, 16)),
        (SkipConfig(threshold=0.1, block=2), (0, 16)),
        (SkipConfig(threshold=0.1), (0, 48)),
        (SkipConfig(threshold=0.1), (-32, 0)),
    ],
)
@pytest.mark.parametrize("backend", BACK_ENDS)
def test_what_cannot_move_is_a_keyframe(pyramid: SkipModel, backend: str, config: SkipConfig, shift: tuple[int, int]) -> None:
    session = pyramid.regated(replace(config, backend=backend)).session()
    frame = next(iter(walk(SHAPE, 1, seed=6, steps=(1, 1))))[0]
    session(frame)
    session.shift(*shift)
    session(frame + 0.01)
    assert session.keyframe


def test_a_shift_belongs_to_the_next_frame_alone(pyramid: SkipModel) -> None:
    model = gated(pyramid, BACK_ENDS[-1], 0.0)
    session = model.session()
    first, second = (frame for frame, _ in walk(SHAPE, 2, seed=7, steps=(1, 1)))
    session.shift(0, 16)  # of a keyframe, which has nothing to move
    session(first)
    for frame in (second, first, first):
        for got, want in zip(session(frame), model.dense(frame), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    session.shift(0, 16)
    session.reset()
    session(second)
    assert session.keyframe
