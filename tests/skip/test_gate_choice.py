"""Where gated frames take longer than dense ones, frames are computed densely, and gates are tried again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from function_network import Net
from torch import Tensor, nn

from skipvid.skip import cpu as native
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gate_choice import LONGEST, SEEN, SHORTEST, TRIAL, GateChoice

needs_native = pytest.mark.skipif(not native.status().available, reason=native.status().reason)


def stream(choice: GateChoice, frames: int, gated: float, dense: float) -> list[bool]:
    """What a session does with it: whether each frame was dense. A keyframe that leaves something to the next frame is not told."""
    left, kinds = 0, []
    for _ in range(frames):
        kinds.append(left > 0)
        if left != 1:
            run = choice.took(dense if left else gated, left > 0)
            left = max(left, run + 1 if run else 0)
        left = max(0, left - 1)
    return kinds


def test_slow_gates_are_left_for_longer_and_longer_runs() -> None:
    choice = GateChoice()
    kinds = "".join("d" if dense else "g" for dense in stream(choice, 400, 2.0, 1.0))
    runs = [len(run) for run in kinds.split("g") if run]
    assert runs[:5] == [TRIAL, SHORTEST, 2 * SHORTEST, 4 * SHORTEST, LONGEST] and choice.dense_run == LONGEST
    assert kinds.count("g") < 0.15 * len(kinds)


def test_fast_gates_cost_one_trial() -> None:
    choice = GateChoice()
    assert sum(stream(choice, 400, 0.5, 1.0)) == TRIAL and not choice.slower and not choice.dense_run


def test_gates_that_become_fast_are_kept() -> None:
    choice = GateChoice()
    stream(choice, 100, 2.0, 1.0)
    assert choice.dense_run
    assert sum(stream(choice, 200, 0.5, 1.0)) <= LONGEST + TRIAL and not choice.dense_run


def test_the_first_dense_frame_fetches_memory_and_does_not_count() -> None:
    choice = GateChoice()
    for _ in range(SEEN):
        choice.took(1.0, False)
    choice.took(100.0, True)
    assert not choice.slower
    choice.took(0.5, True)
    assert choice.slower


def attention(m: Any, x: Tensor) -> Tensor:
    tokens = m.conv(x).flatten(2).transpose(1, 2)
    return m.last((tokens @ tokens.transpose(1, 2)).relu() @ tokens)  # type: ignore[no-any-return]


@needs_native
def test_a_session_runs_densely_where_fallbacks_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = torch.rand(1, 3, 16, 16)
    model, report = convert(Net(attention, conv=nn.Conv2d(3, 8, 1), last=nn.Linear(8, 4)), frame, SkipConfig(backend="cpu", threshold=0.0))
    assert "tried with 5% of the picture changing" in report.verdict and report.verdict in str(report)
    now = [0.0]
    monkeypatch.setattr("skipvid.skip.pace.time.perf_counter", lambda: now[0])
    program = model.program((tuple(frame.shape),))
    run = type(program).run

    def slow(self: Any, state: Any, inputs: Any, keyframe: bool, gated_next: bool = True) -> Any:
        now[0] += 1.0 if keyframe else 3.0
        return run(self, state, inputs, keyframe, gated_next)

    monkeypatch.setattr(type(program), "run", slow)
    session, keyframes = model.session(), []
    for number in range(60):
        frame = frame.clone()
        frame[..., number % 16, 3] += 1
        assert torch.equal(session(frame), model.dense(frame))
        keyframes.append(session.keyframe)
    assert sum(keyframes) > 40 and "longer than dense ones" in session.verdict
    never = model.regated(SkipConfig(backend="cpu", threshold=0.0, dense_above=1.0)).session()
    for number in range(20):
        frame = frame.clone()
        frame[..., number % 16, 3] += 1
        never(frame)
        assert never.keyframe == (number == 0) and not never.verdict
