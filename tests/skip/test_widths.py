"""Networks at several widths: each frame has the promises of the network at its own ratio, and ratios do not flap."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from moving_world import walk
from promises import check_state
from torch import Tensor, nn

from skipvid.core.errors import BackendError, UsageError
from skipvid.core.ratios import Narrower, RatioPolicy, feature_count, frame_features
from skipvid.models.narrow import NarrowConv2d
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.picture import Picture
from skipvid.skip.ratio_choice import LEAST_STAY, ratios_note, sampled
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.widths import WidthsProgram, WidthsState, reported_as

SIZE = (40, 56)


def by_brightness(ratios: int = 2) -> RatioPolicy:
    """Another ratio from a mean of 0.5 on, and the next from 0.9 on; a logit is a tenth of that."""
    inner = np.zeros((1, feature_count(3)), np.float32)
    inner[0, 0] = 1
    outer, bias = np.array([[0], [10], [20]], np.float32), np.array([0, -5, -14], np.float32)
    return RatioPolicy(inner, np.zeros(1, np.float32), outer[:ratios], bias[:ratios])


def network(widths: tuple[int, ...] = (8,), policy: RatioPolicy | None = None) -> nn.Module:
    """A network whose second convolution has 16 channels, and fewer in its narrower forms."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 1)).eval()
    nets = []
    for width in widths:
        narrow = copy.deepcopy(net)
        narrow[2] = NarrowConv2d(net[2], width, 3)  # type: ignore[arg-type]
        nets.append(narrow.eval())
    ratios = tuple(width / 16 for width in widths)
    renamed = ({"2.conv": "2", "2.cheap": "2"},) * len(widths)
    net.narrower = Narrower(ratios, tuple(nets), renamed, policy or by_brightness(len(widths) + 1))  # type: ignore[assignment]
    return net


def moving(brightness: float, number: int) -> Tensor:
    """A frame of this mean, part of which changes from one to the next."""
    frame = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    left = number % 40
    frame[..., 8:16, left : left + 9] = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(number))
    return frame + (brightness - 0.5)


PHASES = [0.2] * 12 + [0.8] * 12 + [0.2] * 4 + [1.2] * 12


def converted(threshold: float, backend: str, widths: tuple[int, ...] = (8, 4)) -> SkipModel:
    config = SkipConfig(threshold=threshold, backend=backend, threads=1)
    return convert(network(widths), torch.zeros(1, 3, *SIZE), config)[0]


@pytest.mark.parametrize("gate", ["norm", "none"])
def test_threshold_zero_gives_the_bits_of_dense_at_the_ratio_of_each_frame(backend: str, gate: str) -> None:
    config = SkipConfig(threshold=0, gate=gate, backend=backend, threads=1)
    model, _ = convert(network((8, 4)), torch.zeros(1, 3, *SIZE), config)
    alone = {ratio: model.at_width(number) for number, ratio in enumerate((1.0, 0.5, 0.25))}
    session, ratios, switches = model.session(), [], 0
    for number, brightness in enumerate(PHASES):
        frame = moving(brightness, number)
        found = session(frame).clone()
        switched = bool(ratios) and session.ratio != ratios[-1]
        switches += switched
        assert session.keyframe or not switched
        assert torch.equal(found, alone[session.ratio].dense(frame)), f"frame {number} at {session.ratio}"
        ratios.append(session.ratio)
    # Four darker frames change the ratio, which then stays for eight.
    assert ratios == [1.0] * 12 + [0.5] * 12 + [1.0] * 8 + [0.25] * 8 and switches == 3


@pytest.mark.parametrize("threshold", [0.02, 0.2])
def test_what_is_published_is_bounded_against_the_network_at_the_ratio_of_each_frame(threshold: float) -> None:
    model = converted(threshold, "reference")
    alone = [model.at_width(number).program(((1, 3, *SIZE),)) for number in range(3)]
    session, gated = model.session(), 0
    for number, brightness in enumerate(PHASES):
        frame = moving(brightness, number)
        session(frame)
        state = session._state
        assert isinstance(state, WidthsState)
        if session._current:
            program = alone[state.number]
            assert isinstance(program, ReferenceProgram)
            check_state(program, state.own, frame)  # type: ignore[arg-type]
            gated += not session.keyframe
    assert gated > len(PHASES) / 4


def test_back_ends_agree_with_the_reference_at_every_ratio(backend: str) -> None:
    sessions = [converted(0.05, each).session() for each in ("reference", backend)]
    for number, brightness in enumerate(PHASES):
        frame = moving(brightness, number)
        found, wanted = (session(frame).clone() for session in sessions)
        assert sessions[0].ratio == sessions[1].ratio and sessions[0].keyframe == sessions[1].keyframe
        torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)


def test_maps_move_at_each_ratio_and_a_change_of_it_is_a_keyframe_although_the_scene_moved(backend: str) -> None:
    model = converted(0.0, backend)
    alone = {ratio: model.at_width(number) for number, ratio in enumerate((1.0, 0.5, 0.25))}
    session, before, moved, switched = model.session(), 1.0, Counter[float](), 0
    for number, (scene, shift) in enumerate(walk((1, 3, *SIZE), len(PHASES), seed=3, steps=(1, 1))):
        frame = scene + PHASES[number]
        session.shift(*shift)
        found = session(frame).clone()
        wanted = alone[session.ratio].dense(frame)
        if backend == "cpu":
            assert torch.equal(found, wanted), f"frame {number} at {session.ratio}, moved by {shift}"
        else:
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        changed = number > 0 and session.ratio != before
        assert session.keyframe or not changed
        switched += changed
        moved[session.ratio] += shift != (0, 0) and not session.keyframe
        before = session.ratio
    assert switched > 1 and len(+moved) > 1, "moved maps, before and after a change"


def switches(model: SkipModel, brightness: list[float]) -> int:
    session, seen = model.session(), []
    for number, each in enumerate(brightness):
        session(moving(each, number))
        seen.append(session.ratio)
    return sum(a != b for a, b in zip(seen, seen[1:], strict=False))


def test_ratios_do_not_flap(backend: str) -> None:
    model = converted(0.05, backend, (8,))
    assert switches(model, [0.45, 0.55] * 15) == 0  # within the hysteresis
    assert switches(model, [0.3] * 10 + [0.7] * 10) == 1
    count = 4 * LEAST_STAY
    assert 2 <= switches(model, [0.2, 0.8] * (count // 2)) <= count // LEAST_STAY


def test_a_frame_like_the_last_one_keeps_its_ratio_whatever_the_policy_says_of_it(backend: str) -> None:
    policy = by_brightness()
    inner = np.zeros_like(policy.inner)
    inner[0, -1] = 1  # the active share: the first frame of a stream is active throughout, the same frame again nowhere
    policy = RatioPolicy(inner, policy.inner_bias, policy.outer, policy.outer_bias)
    model, _ = convert(network((8,), policy), torch.zeros(1, 3, *SIZE), SkipConfig(backend=backend, threads=1))
    session, frame = model.session(), moving(0.5, 0)
    for number in range(2 * LEAST_STAY):
        session(frame)
        assert session.ratio == 0.5 and session.keyframe == (number == 0)
    assert session.cost.macs == 0
    for number in range(2):
        still = frame.clone()
        still[..., 0, 0] += 1 + number
        session(still)
    assert session.ratio == 1.0


def test_costs_are_told_in_the_rows_of_the_full_network(backend: str) -> None:
    model = converted(0.0, backend)
    table = model.program(((1, 3, *SIZE),)).costs.units.table
    session, pixels = model.session(), SIZE[0] * SIZE[1]
    expected = {1.0: 16 * 72, 0.5: 8 * 72 + 8 * 9, 0.25: 4 * 72 + 12 * 9}
    for number, brightness in enumerate(PHASES):
        session(moving(brightness, number))
        cost = session.cost
        assert cost.table is table and cost.dense_macs == (8 * 27 + 16 * 72 + 16 * 4) * pixels
        assert set(session.computed) == set(table.names)
        layer = cost.layers[1]
        assert layer.outputs == pixels and layer.active == session.computed[layer.name].sum()
        if session.keyframe:
            assert layer.macs == expected[session.ratio] * pixels and layer.active == pixels
        else:
            assert 0 <= layer.macs <= expected[session.ratio] * pixels
        assert 0 <= session.activity().min() <= session.activity().max() <= 1
    assert (cost + cost).table is table


def test_the_full_network_is_what_a_session_is_measured_against() -> None:
    model = converted(0.05, "reference")
    net, frame = network((8, 4)), moving(1.2, 0)
    with torch.no_grad():
        torch.testing.assert_close(model.dense(frame), net(frame), rtol=1e-4, atol=1e-4)
    session = model.session()
    session(frame)
    assert session.ratio == 0.25 and model.adaptive and model.at_width(2).backend is model.backend
    assert not model.at_width(1).session()(frame).equal(model.dense(frame)) and not model.at_width(0).adaptive
    other = model.regated(SkipConfig(threshold=0.5, backend="reference")).session()
    other(frame)
    assert other.ratio == 0.25
    with pytest.raises(UsageError, match="no width 3"):
        model.at_width(3)


def test_a_reset_stream_has_the_bits_of_a_new_one(backend: str) -> None:
    model = converted(0.05, backend)
    session = model.session()
    for number, brightness in enumerate(PHASES):
        session(moving(brightness, number))
    session.reset()
    again = model.session()
    for number, brightness in enumerate([0.2] * 3 + [0.8] * LEAST_STAY):
        frame = moving(brightness, number)
        assert session(frame).clone().equal(again(frame)) and session.ratio == again.ratio and session.keyframe == again.keyframe


def test_a_picture_is_sampled_as_the_tensor_that_it_stands_for() -> None:
    rng = np.random.default_rng(0)
    picture = Picture(rng.integers(0, 256, (37, 50, 3), np.uint8), SIZE, rng.random((3, 256), np.float32), (2, 1, 0))
    assert np.array_equal(sampled(picture), sampled(picture.tensor())) and sampled(picture).shape == (3, 5, 7)
    model = converted(0.05, "reference")
    sessions = model.session(), model.session()
    sessions[0](picture)
    sessions[1](picture.tensor())
    assert sessions[0].ratio == sessions[1].ratio


def test_features_tell_how_bright_how_varied_how_fine_and_how_active_a_frame_is() -> None:
    flat = np.full((2, 4, 6), 3, np.float32)
    assert frame_features(flat, None).tolist() == [3, 3, 0, 0, 0, 0, 1]
    striped = flat.copy()
    striped[0, :, ::2] = 1
    found = frame_features(striped, flat)
    assert found[:2].tolist() == [2, 3] and found[2] == 1 and found[4] == 1 and found[6] == 0.5
    assert frame_features(striped, striped)[6] == 0
    assert np.isfinite(frame_features(np.ones((3, 1, 1), np.float32), None)).all()


def test_what_does_not_fit_together_is_refused() -> None:
    model, policy = converted(0.05, "reference"), by_brightness(3)
    with pytest.raises(UsageError, match="do not fit together"):
        RatioPolicy(policy.inner, policy.inner_bias, policy.outer[:, :0], policy.outer_bias)
    with pytest.raises(UsageError, match="are no numbers"):
        RatioPolicy(policy.inner, policy.inner_bias, policy.outer, policy.outer_bias * np.nan)
    for ratios, count in (((0.5, 0.75), 2), ((), 0), ((1.0, 0.5), 2), ((0.5,), 2)):
        with pytest.raises(UsageError, match="at the ratios"):
            Narrower(ratios, (nn.ReLU(),) * count, ({},) * count, policy)
    gate = LearnedGate(torch.ones(3), 0.0, True)
    with pytest.raises(UsageError, match="cannot have learned gates"):
        model.regated(SkipConfig(gate="gumbel", learned_gates={"0": gate}, backend="reference")).at_width(1)
    blind = RatioPolicy(policy.inner[:, :4], policy.inner_bias, policy.outer, policy.outer_bias)
    with pytest.raises(BackendError, match="takes 4 features"):
        convert(network((8, 4), blind), torch.zeros(1, 3, *SIZE), SkipConfig(backend="reference"))[0].session()(moving(0.5, 0))
    program = model.program(((1, 3, *SIZE),))
    assert isinstance(program, WidthsProgram) and not program.fallbacks and program.state_bytes() > 0
    narrow = model.at_width(1).program(((1, 3, *SIZE),)).costs
    with pytest.raises(BackendError, match="2.conv"):
        reported_as(narrow, program.costs, {})


def test_the_note_tells_the_share_of_runs_at_each_ratio() -> None:
    assert ratios_note(Counter({1.0: 5})) is None and ratios_note(Counter()) is None
    note = ratios_note(Counter({0.5: 3, 1.0: 1}))
    assert note is not None and note.endswith("25% at 1, 75% at 0.5")
