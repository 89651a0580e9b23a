"""Networks with adaptive layers in the engine: the promises hold for what was chosen, whatever that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adaptive_networks import SHAPE, converted, moving, pinned, two_layers
from promises import relative_error
from torch import Tensor, nn

import skipvid
from skipvid.core.costs import DENSE_MACS, GATE_MACS, MACS
from skipvid.core.errors import BackendError, WeightsError
from skipvid.nn import AdaptiveConv2d, FixedPolicy, RandomPolicy, adaptive_layers, reset
from skipvid.skip.config import SkipConfig
from skipvid.skip.session import Session


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("seed", [0, 6, 10])
def test_frames_at_threshold_0_have_the_bits_of_dense_runs_at_the_same_choices(backend: str, precision: str, seed: int) -> None:
    net, dense, seen = two_layers(seed), {}, set()
    model = converted(net, backend=backend, precision=precision)
    session = model.session()
    reused = 0
    for number, frame in enumerate(moving(SHAPE, 80, seed)):
        output, choices = session(frame), session.choices
        seen.add(tuple(choices.values()))
        if max(choices.values()) == 3:
            reused += 1
            continue  # a map that is older than its input; that the next one is not shows that nothing was forgotten meanwhile
        key = tuple(choices.values())
        if key not in dense:
            dense[key] = converted(pinned(net, choices), backend=backend, precision=precision)
        assert torch.equal(output, dense[key].dense(frame)), f"frame {number}, choices {choices}"
    assert (reused > 2 or seed == 0) and len(seen) > 2


@pytest.mark.parametrize("seed", [5, 6, 8, 10])
def test_a_stream_is_that_of_the_layers_in_pytorch(backend: str, seed: int) -> None:
    net = two_layers(seed, share=False, least_stay=2, longest_reuse=3)  # what counts as active differs: published, or clearly different
    session = converted(net, backend=backend).session()
    reset(net)
    seen = set()
    generator = torch.Generator().manual_seed(seed)
    for number in range(40):
        frame = torch.rand(SHAPE, generator=generator) * torch.rand(1, 3, 1, 1, generator=generator) * 3
        output = session(frame)
        with torch.no_grad():
            wanted = net(frame)
        choices = tuple(int(layer.choices[0]) for _, layer in adaptive_layers(net))  # type: ignore[arg-type]
        assert tuple(session.choices.values()) == choices, f"frame {number}"
        assert relative_error(output, wanted) <= 1e-4, f"frame {number}"
        seen.add(choices)
    assert len(seen) > 1


def driven(outer: list[list[float]], bias: list[float], **settings: object) -> AdaptiveConv2d:
    """A layer of 2 channels whose logits are `outer` times (feature of channel 0, active share), plus `bias`."""
    torch.manual_seed(0)
    layer = AdaptiveConv2d(2, 8, 3, padding=1, ratios=(1.0, 0.5), **settings)  # type: ignore[arg-type]
    policy = layer.policy
    with torch.no_grad():
        policy.inner.weight.zero_()  # type: ignore[union-attr, operator]
        policy.inner.bias.zero_()  # type: ignore[union-attr, operator]
        policy.inner.weight[0, 0] = policy.inner.weight[1, 2] = 1.0  # type: ignore[union-attr, index]
        policy.outer.weight.zero_()  # type: ignore[union-attr, operator]
        policy.outer.weight[:, :2] = torch.tensor(outer)  # type: ignore[union-attr, index]
        policy.outer.bias.copy_(torch.tensor(bias))  # type: ignore[union-attr, operator]
    return layer.eval()


def leaning(share: float) -> Tensor:
    """A frame in which channel 0 has that share of the brightness; its feature is 2 · share."""
    noise = torch.rand(1, 2, 8, 8)
    return noise / noise.mean((2, 3), keepdim=True) * torch.tensor([share, 1 - share]).view(1, 2, 1, 1)


def macs(session: Session) -> tuple[int, int, int]:
    """Of the last frame: of layers, of the dense network, of policies and reuse."""
    total = session.cost.counts.sum(0)
    return int(total[MACS]), int(total[DENSE_MACS]), int(total[GATE_MACS])


def run(session: Session, shares: list[float]) -> list[int]:
    found = []
    for share in shares:
        session(leaning(share))
        found += session.choices.values()
    return found


def test_a_ratio_does_not_flap(backend: str) -> None:
    torch.manual_seed(0)
    swinging = [0.5 + 0.1 * (-1) ** number for number in range(12)]
    for hysteresis, least_stay, switches in ((0.0, 1, 11), (1.0, 1, 0), (0.0, 4, 2)):
        net = nn.Sequential(driven([[0.0, 0], [4.0, 0]], [4.0, 0.0], reuse=False, hysteresis=hysteresis, least_stay=least_stay)).eval()
        found = run(converted(net, (1, 2, 8, 8), backend=backend).session(), swinging)
        changes = sum(a != b for a, b in zip(found, found[1:], strict=False))
        assert changes == switches or (least_stay == 4 and 1 <= changes <= switches), (hysteresis, least_stay, found)


def test_what_changed_while_a_map_was_reused_is_computed_afterwards(backend: str) -> None:
    # Reuse wins while less than a quarter of the input has changed.
    net = nn.Sequential(driven([[0.0, 8.0], [0, 0.0], [0.0, 0]], [-1.0, -2.0, 1.0], longest_reuse=3)).eval()
    session = converted(net, (1, 2, 8, 8), backend=backend).session()
    torch.manual_seed(1)
    frame = torch.rand(1, 2, 8, 8)
    first = session(frame).clone()
    chosen, spent = [], []
    for row in (0, 4):
        frame = frame.clone()
        frame[:, :, row, :4] += 1
        assert torch.equal(session(frame), first)
        chosen += session.choices.values()
        spent.append(macs(session)[0])
    for _ in range(3):  # nothing changes, and still the layer has to catch up
        output = session(frame).clone()
        chosen += session.choices.values()
        spent.append(macs(session)[0])
    with torch.no_grad():
        assert relative_error(output, nn.Conv2d._conv_forward(net[0], frame, net[0].weight, net[0].bias)) <= 1e-5  # type: ignore[arg-type]
    assert chosen == [2, 2, 2, 0, 0]
    # Rows 0 and 1, and 3 to 5, by five columns; each of 8 channels, 2 x 3 x 3 inputs.
    assert spent == [0, 0, 0, 5 * 5 * 8 * 18, 0]


def test_costs_are_those_counted_by_hand(backend: str) -> None:
    layer = driven([[0.0, 0], [4.0, 0], [-4.0, 0]], [2.5, -2.0, 3.0], hysteresis=0.0)
    with torch.no_grad():
        layer.reuse_scale.fill_(0.9)
    model = converted(nn.Sequential(layer).eval(), (1, 2, 8, 8), backend=backend)
    session = model.session()
    torch.manual_seed(2)
    assert run(session, [0.5]) == [0]
    pixels, each, policy = 64, 18, 16 * 3 + 3 * 16
    assert macs(session) == (pixels * 8 * each, pixels * 8 * each, policy)
    assert run(session, [0.9]) == [1]
    assert macs(session) == (pixels * (4 * each + 4 * 9), pixels * 8 * each, policy)
    assert run(session, [0.05]) == [2]
    assert macs(session) == (0, pixels * 8 * each, policy + pixels * 8)
    assert list(session.computed) == ["0"] and model.program(((1, 2, 8, 8),)).costs.dense_macs == pixels * 8 * each
    session(leaning(0.9))
    assert session.computed["0"].all()


def test_a_reset_leaves_nothing_behind(backend: str) -> None:
    model = converted(two_layers(10), backend=backend, threshold=0.1)
    used, frames = model.session(), list(moving(SHAPE, 30, 5))
    for frame in frames:
        used(frame)
    used.reset()
    fresh = model.session()
    for frame in frames:
        assert torch.equal(used(frame), fresh(frame)) and used.choices == fresh.choices


def test_keyframes_depend_on_their_frame_alone(backend: str) -> None:
    model = converted(two_layers(10), backend=backend, threshold=0.1, refresh=4)
    session = model.session()
    for number, frame in enumerate(moving(SHAPE, 24, 7)):
        output = session(frame)
        assert session.keyframe == (number % 4 == 0) or session.keyframe
        if session.keyframe:
            assert torch.equal(output, model.dense(frame)), f"frame {number}"


def test_where_most_moves_frames_are_dense_at_any_ratio(backend: str) -> None:
    net = nn.Sequential(driven([[0.0, 0], [0, 0]], [0.0, 9.0], reuse=False)).eval()
    session = converted(net, (1, 2, 8, 8), backend=backend, dense_above=0.9).session()
    run(session, [0.5, 0.5, 0.5])
    assert session.keyframe and session.choices == {"0": 1}


def test_a_repeated_frame_keeps_its_choices(backend: str) -> None:
    session = converted(two_layers(10), backend=backend, dense_above=0.1).session()
    for _ in range(3):
        frame = torch.rand(SHAPE)
        session(frame)
    choices = session.choices
    assert session.keyframe and session.cost.macs > 0 and len(choices) == 2
    session(frame.clone())
    assert session.cost.macs == 0 and session.choices == choices
    assert all(not mask.any() for mask in session.computed.values())


def test_where_work_was_done_is_a_share_of_the_dense_work(backend: str) -> None:
    session = converted(pinned(two_layers(10), {"0": 2, "3": 0}), backend=backend).session()
    session(torch.rand(SHAPE))
    total, first = session.cost.counts.sum(0), session.cost.counts[0]
    assert 2 * first[MACS] == first[DENSE_MACS]
    done = float(session.activity(10).mean())
    assert done == pytest.approx(float(total[MACS] / total[DENSE_MACS]), rel=0.05)


def test_a_shift_is_a_keyframe(backend: str) -> None:
    session = converted(two_layers(10), backend=backend).session()
    session(torch.rand(SHAPE))
    session.shift(0, 2)
    session(torch.rand(SHAPE))
    assert session.keyframe


def test_the_report_names_adaptive_layers(backend: str) -> None:
    config = SkipConfig(backend=backend, threads=1)
    report = skipvid.convert(two_layers(0), torch.zeros(SHAPE), config)[1]
    text = report.details()
    assert "adaptive: 1 layers (0) choose in each frame from 100%, 67%, 50%, or the last map of their MACs" in text
    assert [layer.name for layer in report.layers] == ["0", "3", "4"]
    assert not report.fallbacks and report.share("sparse") == 1


def test_a_fixed_policy_makes_an_ordinary_network(backend: str) -> None:
    net = two_layers(0)
    for number, (_, layer) in enumerate(adaptive_layers(net), 1):
        layer.set_policy(FixedPolicy(number))
    model = converted(net, backend=backend)
    assert not model.planned((SHAPE,)).plan.choices and model.session()(torch.ones(SHAPE)).shape == (1, 4, 10, 35)
    with torch.no_grad():
        reset(net)
        assert relative_error(model.dense(torch.ones(SHAPE)), net(torch.ones(SHAPE))) <= 1e-4


def test_policies_that_only_pytorch_runs_are_refused() -> None:
    net = two_layers(0)
    next(iter(adaptive_layers(net)))[1].set_policy(RandomPolicy([1, 1, 1, 0]))
    with pytest.raises(BackendError, match="the adaptive layer 0 has a RandomPolicy"):
        converted(net)


def test_learned_gates_of_adaptive_layers_are_refused() -> None:
    from skipvid.skip.gates.learned import LearnedGate

    model = converted(two_layers(0))
    gate = LearnedGate(torch.ones(3), 0.0, True)
    with pytest.raises(WeightsError, match="0, which is no layer"):
        model.regated(SkipConfig(gate="gumbel", learned_gates={"0": gate}, backend="reference")).session()(torch.zeros(SHAPE))


def test_paper_mode_leaves_adaptive_layers_without_gates() -> None:
    model = converted(two_layers(1, share=False), reference="previous", threshold=0.1)
    session = model.session()
    for frame in moving(SHAPE, 12, 1):
        assert session(frame).isfinite().all()
    assert "0" not in model.planned((SHAPE,)).plan.output_gates


def test_an_exported_program_keeps_its_policies(tmp_path: Path) -> None:
    net = two_layers(2)
    program = torch.export.export(net, (torch.zeros(SHAPE),))
    torch.export.save(program, tmp_path / "net.pt2")
    model = skipvid.convert(tmp_path / "net.pt2", config=SkipConfig(threshold=0.0, backend="reference"))[0]
    frame = torch.rand(SHAPE)
    reset(net)
    with torch.no_grad():
        assert relative_error(model.session()(frame), net(frame)) <= 1e-4
        assert relative_error(program.module()(frame), model.dense(frame)) <= 1e-4


def test_a_layer_whose_ratio_was_fixed_is_no_subject_of_choices() -> None:
    layer = AdaptiveConv2d(3, 8, 1, policy=FixedPolicy(0))
    assert not converted(nn.Sequential(layer).eval()).planned((SHAPE,)).costs.alternatives
