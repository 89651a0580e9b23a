"""Sessions: keyframes, independence of each other and of the caller's memory, several inputs, frames that fail."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from function_network import Net
from sample_frames import frames
from sample_networks import NETWORKS, converted
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.reference import executor as reference

SHAPE = NETWORKS["everything"][1]


def everything(**config: Any) -> SkipModel:
    return converted("everything")[1].regated(SkipConfig(**config))


def results(model: SkipModel, seed: int, count: int = 25) -> list[list[Tensor]]:
    session = model.session()
    return [[leaf.clone() for leaf in tree_leaves(session(frame))] for frame in frames(SHAPE, count, seed)]


def equal(one: list[list[Tensor]], other: list[list[Tensor]]) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def test_sessions_in_turns_compute_what_each_computes_alone(backend: str) -> None:
    model = everything(threshold=0.1, backend=backend)
    alone = [results(model, seed) for seed in (1, 2)]
    sessions, streams = [model.session(), model.session()], [frames(SHAPE, 25, seed) for seed in (1, 2)]
    together: list[list[list[Tensor]]] = [[], []]
    for pair in zip(*streams, strict=True):
        for session, frame, kept in zip(sessions, pair, together, strict=True):
            kept.append([leaf.clone() for leaf in tree_leaves(session(frame))])
    assert not equal(alone[0], alone[1])
    assert equal(alone[0], together[0]) and equal(alone[1], together[1])


def test_sessions_in_threads_compute_what_each_computes_alone(backend: str) -> None:
    model = everything(threshold=0.1, backend=backend)
    alone = [results(model, seed) for seed in range(3)]
    together: dict[int, list[list[Tensor]]] = {}
    start = threading.Barrier(3)

    def work(seed: int) -> None:
        start.wait()
        together[seed] = results(model, seed)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(equal(alone[seed], together[seed]) for seed in range(3))


def test_sessions_and_threads_share_one_plan(backend: str) -> None:
    model = everything(backend=backend)
    programs: list[object] = []
    threads = [threading.Thread(target=lambda: programs.append(model.program((SHAPE,))), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(program) for program in programs}) == 1


@pytest.mark.parametrize(
    ("config", "keyframes"),
    [
        ({}, [0]),
        ({"refresh": 1}, [0, 1, 2, 3, 4, 5, 6]),
        ({"refresh": 3}, [0, 3, 6]),
        ({"gate": "none"}, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_keyframes_are_the_first_and_every_refresh(config: dict[str, Any], keyframes: list[int], backend: str) -> None:
    session = everything(**config, backend=backend, dense_above=1.0).session()  # these frames move too much for gates
    found = []
    for number, frame in enumerate(frames(SHAPE, 7)):
        session(frame)
        if session.keyframe:
            found.append(number)
            assert session.cost.macs == session.cost.dense_macs and session.cost.gate_ops == 0 and session.cost.skip_ratio == 0
        else:
            assert session.cost.macs < session.cost.dense_macs or session.cost.gate_ops > 0
    assert found == keyframes


def test_reset_forgets_the_stream_and_restarts_the_refresh_count(backend: str) -> None:
    session = everything(refresh=4, backend=backend).session()
    found = []
    for number, frame in enumerate(frames(SHAPE, 9)):
        if number == 2:
            before = session.memory_bytes
            session.reset()
            assert session.memory_bytes == before > 0  # for what comes
        session(frame)
        found.append(session.keyframe)
    assert [number for number, keyframe in enumerate(found) if keyframe] == [0, 2, 6]


def test_another_size_is_a_keyframe_and_equals_a_fresh_session(backend: str) -> None:
    model, other = everything(threshold=0.1, backend=backend), (1, 3, 31, 40)
    session = model.session()
    for frame in frames(SHAPE, 3):
        session(frame)
    for number, frame in enumerate(frames(other, 3)):
        got = tree_leaves(session(frame))
        assert session.keyframe == (number == 0)
        assert got[0].shape[2:] == (16, 20)
    fresh = model.session()
    want = [tree_leaves(fresh(frame)) for frame in frames(other, 3)][-1]
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    session(next(frames(SHAPE, 1)))
    assert session.keyframe


def test_keyframe_measures_the_scale_anew(backend: str) -> None:
    net = nn.Conv2d(1, 1, 1).eval()
    session = convert(net, torch.zeros(1, 1, 4, 4), SkipConfig(threshold=0.1, backend=backend))[0].session()
    dim, bright = torch.full((1, 1, 4, 4), 0.01), torch.full((1, 1, 4, 4), 10.0)
    session(dim)
    session(bright)
    session(bright + 0.5)  # 5 % of what is shown now, 5000 % of the first frame's scale
    assert session.cost.macs == 16
    session.reset()
    session(bright)
    session(bright + 0.5)
    assert session.cost.macs == 0


def test_frame_that_fails_leaves_no_half_updated_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model = everything(threshold=0, backend="reference")
    session = model.session()
    stream = list(frames(SHAPE, 6, seed=3))
    session(stream[0])
    session(stream[1])
    original, calls = reference.evaluate, []

    def fail(*arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(reference, "evaluate", fail)
    with pytest.raises(KeyboardInterrupt):
        session(torch.randn(SHAPE))
    monkeypatch.undo()
    got = tree_leaves(session(stream[2]))
    assert session.keyframe
    assert all(torch.equal(a, b) for a, b in zip(got, tree_leaves(model.dense(stream[2])), strict=True))


def two_images(m: Any, x: Tensor, previous: Tensor, vector: Tensor, unused: Tensor) -> tuple[Tensor, Tensor]:
    return m.last(m.conv(x) - m.conv(previous)) + m.linear(vector).view(1, 4, 1, 1), previous


def test_caller_may_write_the_next_frame_into_the_same_memory(backend: str) -> None:
    net = Net(two_images, conv=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 4, 1), linear=nn.Linear(5, 4)).eval()
    inputs = (torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), torch.rand(1, 5), torch.rand(1, 2))
    model = convert(net, inputs, SkipConfig(threshold=0, backend=backend))[0]
    session = model.session()
    for number in range(10):
        if number:
            inputs[number % 3].view(-1)[:3] += 1
        got, want = session(*inputs), model.dense(*inputs)
        assert isinstance(got, tuple) and all(torch.equal(a, b) for a, b in zip(got, want, strict=True)), f"frame {number}"
        assert torch.allclose(got[0], net(*inputs)[0].detach(), atol=1e-5)


def test_order_of_the_input_in_memory_does_not_matter(backend: str) -> None:
    model = everything(threshold=0, backend=backend)
    planar, interleaved = model.session(), model.session()
    for number, frame in enumerate(frames(SHAPE, 12)):
        picture = frame[0].permute(1, 2, 0).contiguous()  # what a decoder gives: (H, W, 3)
        want, got = planar(frame), interleaved(picture.permute(2, 0, 1)[None])
        assert all(torch.equal(a, b) for a, b in zip(tree_leaves(got), tree_leaves(want), strict=True)), f"frame {number}"
        dense = model.dense(frame.contiguous(memory_format=torch.channels_last))
        assert all(torch.equal(a, b) for a, b in zip(tree_leaves(dense), tree_leaves(want), strict=True)), f"frame {number}"


def test_structure_of_the_output_is_that_of_the_network(backend: str) -> None:
    net, model = converted("outputs of all kinds")
    model = model.regated(SkipConfig(backend=backend))
    frame = next(frames((1, 3, 8, 8), 1))
    got, want = model.session()(frame), net(frame)
    assert list(got) == list(want) and got["number"] == 3 and got["nothing"] is None
    assert isinstance(got["nested"], tuple) and list(got["nested"][0]) == ["relu"] and len(got["twice"]) == 2
    assert torch.equal(got["constant"], want["constant"]) and torch.equal(got["input"], frame)


class Halves(NamedTuple):
    left: Tensor
    both: list[Tensor]


@pytest.mark.parametrize("make", [Halves, OrderedDict], ids=["named tuple", "ordered dictionary"])
def test_containers_other_than_lists_tuples_and_dictionaries_come_back_as_they_are(make: Any, backend: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Any:
            y = self.conv(x)
            parts = y[:, :2], [y, y[:, 2:]]
            return Halves(*parts) if make is Halves else OrderedDict(left=parts[0], both=parts[1])

    net = Net().eval()
    frame = next(frames((1, 3, 8, 8), 1))
    got, want = convert(net, frame, SkipConfig(backend=backend))[0].session()(frame), net(frame)
    assert type(got) is type(want) is make
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(tree_leaves(got), tree_leaves(want), strict=True))


def test_program_exported_elsewhere_converts_like_the_network_it_came_from(backend: str) -> None:
    net, _ = converted("everything")
    module = torch.export.export(net, (torch.zeros(SHAPE),)).module()
    model = convert(module, torch.zeros(SHAPE), SkipConfig(threshold=0, backend=backend))[0]
    session = model.session()
    with torch.no_grad():
        for frame in frames(SHAPE, 5):
            for a, b in zip(tree_leaves(session(frame)), tree_leaves(net(frame)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_network_is_not_changed_by_converting_and_running_it(backend: str) -> None:
    net, model = converted("everything")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    session = model.regated(SkipConfig(threshold=0.1, backend=backend)).session()
    for frame in frames(SHAPE, 4):
        session(frame)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_later_change_of_the_network_does_not_reach_the_model(backend: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)).eval()
    frame = torch.rand(1, 3, 8, 8)
    model = convert(net, frame, SkipConfig(backend=backend))[0]
    before = model.dense(frame)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(model.dense(frame), before)


def test_where_everything_moves_most_frames_are_keyframes_until_it_stops(backend: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    model, _ = convert(net, torch.zeros(1, 3, 16, 16), SkipConfig(threshold=0.0, backend=backend))
    session, keyframes = model.session(), []
    frame = torch.randn(1, 3, 16, 16)
    for number in range(72):
        frame = torch.randn(1, 3, 16, 16) if number < 60 else frame
        assert torch.equal(session(frame), model.dense(frame))
        keyframes.append(session.keyframe)
    assert [number for number, keyframe in enumerate(keyframes[:60]) if not keyframe] == [1, 10, 43]
    assert not any(keyframes[62:])  # still: gates decide in every frame


def test_frames_between_keyframes_have_the_bits_of_a_dense_run_and_leave_a_sound_state(backend: str) -> None:
    model = everything(threshold=0.0, backend=backend)
    session, generator = model.session(), torch.Generator().manual_seed(4)
    still = torch.randn(SHAPE, generator=generator)
    moving = [torch.randn(SHAPE, generator=generator) for _ in range(24)]
    keyframes = []
    for number, frame in enumerate([*moving, *[still] * 9, *moving[:6]]):
        got = tree_leaves(session(frame))
        keyframes.append(session.keyframe)
        assert all(torch.equal(a, b) for a, b in zip(got, tree_leaves(model.dense(frame)), strict=True)), f"frame {number}"
    assert sum(keyframes[:24]) >= 18 and not any(keyframes[-8:-6])


def test_a_threshold_of_one_for_dense_runs_never_leaves_the_gates() -> None:
    model, _ = convert(torch.nn.Conv2d(3, 4, 1).eval(), torch.zeros(1, 3, 8, 8), SkipConfig(threshold=0.0, dense_above=1.0))
    session = model.session()
    assert [session(torch.randn(1, 3, 8, 8)) is not None and session.keyframe for _ in range(6)] == [True] + [False] * 5


def test_the_first_dense_run_of_a_size_is_not_timed(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 16, 16), SkipConfig(backend=backend))
    clock, slow = [0.0], {(16, 16), (16, 24)}  # the first run of a size takes 100 s, every other one 1 s
    kind: Any = type(model.program(((1, 3, 16, 16),)))
    dense = kind.run_dense

    def run(program: Any, inputs: Any, alone: bool = False) -> Any:
        size = (inputs[0].shape[2], inputs[0].shape[3])
        clock[0] += 100.0 if size in slow else 1.0
        slow.discard(size)
        return dense(program, inputs, alone)

    monkeypatch.setattr(kind, "run_dense", run)
    monkeypatch.setattr("skipvid.skip.dense_runs.time.thread_time", lambda: clock[0])
    frames = [torch.zeros(1, 3, 16, 16)] * 2 + [torch.zeros(1, 3, 16, 24)] * 2
    assert [model.dense_ms(frame) for frame in frames] == [1000.0] * 4
    assert clock[0] == 2 * 100 + 4  # one more run in each frame


def test_streams_of_more_sizes_than_are_kept_build_each_program_once(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six cameras of six sizes, which lose their connections in turns; and a size that nobody uses any more is forgotten."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).eval()
    shapes = [(1, 3, 8 + 2 * number, 16) for number in range(6)]
    model, _ = convert(net, torch.zeros(shapes[0]), SkipConfig(backend=backend))
    built: list[Any] = []
    compiled = SkipModel._compiled

    def counted(self: SkipModel, shapes: Any) -> Any:
        built.append(shapes)
        return compiled(self, shapes)

    monkeypatch.setattr(SkipModel, "_compiled", counted)
    sessions = [model.session() for _ in shapes]
    for _ in range(3):
        for session, shape in zip(sessions, shapes, strict=True):
            session(torch.rand(shape))
            model.session()(torch.rand(shape))  # one that comes later shares it
    assert len(built) == 6
    del session, sessions
    model.session()(torch.rand(shapes[0]))
    assert len(built) == 7


class _Machine:
    """Runs a network's frames in no time, on a clock of its own. A second thread saves a third where the machine is free; where it is not
    it saves nothing, its caller waits by working, and whoever works is kept waiting `held_up` times as long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
        self.held_up, self.alone = 1.0, False
        self._worked = self._passed = 0.0
        gated, dense = kind.run, kind.run_dense

        def run(program: Any, state: Any, *given: Any) -> Any:
            self._spend(1.0, self.alone)
            return gated(program, state, *given)

        def run_dense(program: Any, inputs: Any, alone: bool = False) -> Any:
            self._spend(3.0, alone)
            return dense(program, inputs, alone)

        monkeypatch.setattr(kind, "run", run)
        monkeypatch.setattr(kind, "run_dense", run_dense)
        for module in ("pace", "dense_runs"):
            monkeypatch.setattr(f"skipvid.skip.{module}.time.perf_counter", lambda: self._passed)
            monkeypatch.setattr(f"skipvid.skip.{module}.time.thread_time", lambda: self._worked)

    def _spend(self, seconds: float, alone: bool) -> None:
        own = seconds if alone or self.held_up > 1 else seconds / 1.5
        self._worked += own
        self._passed += own * self.held_up


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("held_up", [1.0, 2.5])
def test_the_dense_network_takes_so_many_times_as_long_beside_other_work_as_on_a_machine_at_rest(
    settled: bool, held_up: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 16, 16), SkipConfig(backend="reference", dense_above=1.0))
    machine, session = _Machine(monkeypatch, type(model.program(((1, 3, 16, 16),)))), model.session()
    choice, seconds, told = session._pace._choices[False], [], []
    machine.held_up = held_up
    for number in range(40):
        machine.alone = number % 10 < 6 if settled else number % 10 == 0  # trials go the other way for a time
        monkeypatch.setattr(type(choice), "alone", machine.alone)
        session(torch.randn(1, 3, 16, 16))
        seconds.append(session._pace.seconds)
        if number >= 10 and number % 3 == 0:
            told.append(model.dense_ms(torch.zeros(1, 3, 16, 16)) * session.held_up)
    ratio = np.median(told) / (1e3 * np.median(seconds[1:]))
    assert ratio == pytest.approx(3.0), "what a dense frame's work is to a gated one's, each by its better way"


def test_the_account_of_a_frame_can_be_added_up_when_others_have_followed(backend: str) -> None:
    session = everything(threshold=0.1, backend=backend).session()
    at_once, accounts = [], []
    for frame in frames(SHAPE, 8, 1):
        session(frame)
        at_once.append(session.cost)
        accounts.append(session.account())
    late = [account() for account in accounts]
    assert len({cost.macs for cost in at_once}) > 1
    for one, other in zip(late, at_once, strict=True):
        assert one.counts.tolist() == other.counts.tolist() and one.gate_ops == other.gate_ops


def test_how_long_gated_frames_wait_for_cores_is_told_by_their_medians_and_not_by_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 16, 16), SkipConfig(backend="reference", dense_above=1.0))
    session, passed, worked = model.session(), [0.0], [0.0]
    kind: Any = type(model.program(((1, 3, 16, 16),)))
    inner, spent = kind.run, iter([(9.0, 1.0), (1.0, 1.0), (3.0, 1.0), (50.0, 1.0), (3.0, 1.0)])

    def run(*given: Any) -> Any:
        seconds, own = next(spent)
        passed[0] += seconds
        worked[0] += own
        return inner(*given)

    monkeypatch.setattr(kind, "run", run)
    monkeypatch.setattr("skipvid.skip.pace.time.perf_counter", lambda: passed[0])
    monkeypatch.setattr("skipvid.skip.pace.time.thread_time", lambda: worked[0])
    told = []
    for _ in range(5):
        session(torch.randn(1, 3, 16, 16))
        told.append(session.held_up)
    assert told == pytest.approx([1.0, 1.0, 2.0, 3.0, 3.0])
