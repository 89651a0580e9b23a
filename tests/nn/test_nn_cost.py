"""Costs against independent counts, and the sparsity loss against the masks it stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from nn_cases import conv_arguments, sequence
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from skipvid.core.errors import UsageError
from skipvid.nn import GumbelGate, NormGate, SkipConv2d, SkipConvTranspose2d, SkipLinear, convert_modules, macs, run_clip, sparsity_loss

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@settings(max_examples=25, deadline=None)
@given(conv_arguments())
def test_dense_and_gate_macs_are_what_torch_counts(case: Any) -> None:
    arguments, shape = case
    frame = torch.zeros(1, *shape[1:])
    layer = SkipConv2d(**arguments, gate=GumbelGate(), reference="previous").eval()
    layer(frame)
    with FlopCounterMode(display=False) as counter:
        layer._dense(frame, layer.weight, layer.bias)
    assert layer.cost.dense_macs == counter.get_total_flops() // 2
    with FlopCounterMode(display=False) as counter:
        layer.gate.logits(frame, layer.site)
    layer(frame)
    assert layer.cost.gate_macs.item() == counter.get_total_flops() // 2


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_executed_macs_are_those_of_the_outputs_in_the_mask(reference: str) -> None:
    layer = SkipConv2d(4, 6, (3, 2), stride=(2, 1), groups=2, gate=NormGate(0.3, block=2), reference=reference)
    clip = sequence(5, 2, 4, 12, 9)
    layer(clip)
    cost, mask = layer.cost, layer.masks[0]
    assert torch.equal(cost.active, mask.sum((2, 3)))
    assert torch.equal(cost.macs, mask.sum((2, 3)) * 3 * 2 * 2 * 6)
    torch.testing.assert_close(cost.skip_ratio, 1 - mask.float().mean((2, 3)))
    torch.testing.assert_close(cost.saving, 1 - cost.macs.float() / cost.dense_macs)
    assert cost.keyframe.tolist() == [[True, False, False, False, False]] * 2
    assert (cost.gate_macs == 0).all()
    per_frame = 12 * 9 * (3 * 4 + 1) + (0 if reference == "accumulated" else mask[0, 0].numel() * 7)
    assert torch.equal(cost.gate_ops, ~cost.keyframe * per_frame)


def test_the_saving_counts_what_a_learned_gate_costs() -> None:
    layer = SkipConv2d(4, 8, 3, padding=1, gate=GumbelGate(open_rate=0.01)).eval()
    nn.init.zeros_(layer.gate.weight)
    layer(torch.zeros(1, 2, 4, 8, 8))
    assert layer.cost.skip_ratio.tolist() == [[0, 1]]
    assert layer.cost.saving.tolist() == [[0, 1 - 1 / 8]]


def test_before_the_first_frame_there_is_no_cost() -> None:
    with pytest.raises(UsageError, match="has run no frame yet; run the model first"):
        _ = SkipConv2d(1, 1, 1).cost
    with pytest.raises(UsageError, match="no skip or adaptive layer of this model has run"):
        macs(nn.Sequential(nn.Conv2d(1, 1, 1)))


def _model(gate: Any) -> nn.Module:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    model, _ = convert_modules(plain, gate=gate)
    return model


@pytest.mark.parametrize("gate", [NormGate(0.2), GumbelGate(open_rate=0.5), GumbelGate(2, open_rate=0.5)])
def test_with_hard_gates_the_sparsity_loss_is_the_executed_share_of_the_macs(gate: Any) -> None:
    model = _model(gate).eval()
    run_clip(model, sequence(5, 2, 3, 9, 10))
    result = macs(model)
    executed = sum(cost.macs[:, 1:].sum().item() for cost in result.layers.values())
    dense = 2 * 4 * sum(cost.dense_macs for cost in result.layers.values())
    assert sparsity_loss(model).item() == pytest.approx(executed / dense, rel=1e-5)
    assert list(result.layers) == ["0", "2", "4"]
    assert torch.equal(result.total.macs, sum(cost.macs for cost in result.layers.values()))


def test_with_sampling_gates_the_sparsity_loss_is_between_none_and_all_and_its_mean_is_near_the_masks() -> None:
    model = _model(GumbelGate(open_rate=0.5)).train()
    clip = sequence(2, 1, 3, 80, 80)
    torch.manual_seed(0)
    run_clip(model, clip)
    loss = sparsity_loss(model)
    assert loss.requires_grad and 0.5 <= loss.item() <= 1
    last = macs(model).layers["4"]  # a 1x1 convolution: nothing but the gate's own probability
    assert last.expected_macs[0, 1].item() == pytest.approx(last.macs[0, 1].item(), rel=0.1)
    run_clip(model, clip[:, :1])
    assert sparsity_loss(model).item() == 0


@pytest.mark.parametrize("block", [1, 2])
def test_behind_a_gate_on_inputs_an_output_counts_as_its_most_probable_input(block: int) -> None:
    layer = SkipConv2d(2, 4, 3, stride=2, padding=1, gate=GumbelGate(block, open_rate=0.3)).train()
    clip = sequence(2, 1, 2, 9, 12)
    layer(clip)
    with torch.no_grad():
        logits = layer.gate.logits(clip[:, 1] - clip[:, 0], layer.site)
        blocks = nn.functional.max_pool2d(logits, block, ceil_mode=True)
        pixels = blocks.repeat_interleave(block, 2).repeat_interleave(block, 3)[..., :9, :12].sigmoid()
        expected = nn.functional.max_pool2d(pixels, 3, 2, 1).mean() * layer.cost.dense_macs
    torch.testing.assert_close(layer.cost.expected_macs[0, 1], expected)


def test_the_macs_of_a_transposed_convolution_are_rounded_from_their_share() -> None:
    layer = SkipConvTranspose2d(1, 1, 3, stride=2, gate=NormGate(0.5, relative=False))
    layer(torch.zeros(1, 1, 3, 3))
    frame = torch.zeros(1, 1, 3, 3)
    frame[..., 0, 0] = 1
    layer(frame)
    assert (layer.cost.dense_macs, layer.cost.outputs, layer.cost.active.item()) == (81, 49, 9)
    assert layer.cost.macs.item() == round(81 * 9 / 49) == 15


def test_after_a_frame_the_costs_are_those_of_the_frame() -> None:
    model = _model(NormGate(0.2))
    for frame in sequence(2, 3, 3, 9, 10).unbind(1):
        model(frame)
    total = macs(model).total
    assert total.macs.shape == (3,) and not total.keyframe.any()
    assert 0 < total.macs.sum() < 3 * total.dense_macs
    assert 0 < sparsity_loss(model).item() < 1


def test_costs_of_frames_and_of_clips_are_not_mixed() -> None:
    model = _model(NormGate(0.2))
    model(torch.zeros(1, 3, 9, 10))
    model[0](torch.zeros(1, 4, 3, 9, 10))
    with pytest.raises(UsageError, match="cannot be added"):
        macs(model)


class Pyramid(nn.Module):
    """Returns what detectors return: tuples, lists and dicts of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SkipConv2d(3, 4, 3, padding=1, gate=NormGate(0.2))
        self.norm = nn.BatchNorm2d(4)
        self.head = SkipConv2d(4, 2, 1, gate=NormGate(0.2), calls=2)
        self.token = SkipLinear(4, 5, gate=NormGate(0.2))

    def forward(self, x: torch.Tensor) -> Any:
        large = self.norm(self.stem(x)).relu_()
        small = nn.functional.max_pool2d(large, 2)
        return [self.head(large), self.head(small)], {"token": self.token(small.mean((2, 3)))}


def test_run_clip_equals_streaming_through_a_whole_network() -> None:
    model = Pyramid().eval()
    clip = sequence(5, 2, 3, 9, 10)
    with torch.no_grad():
        (large, small), tokens = run_clip(model, clip)
        cost = macs(model).total
        for t, frame in enumerate(clip.unbind(1)):
            (one, two), three = model(frame)
            assert torch.equal(one, large[:, t]) and torch.equal(two, small[:, t])
            torch.testing.assert_close(three["token"], tokens["token"][:, t])
            assert torch.equal(macs(model).total.macs, cost.macs[:, t])
    assert model.head.cost.dense_macs == (90 + 20) * 8


def test_a_clip_in_the_middle_of_a_frame_starts_with_the_first_call() -> None:
    model = Pyramid().eval()
    model.head(torch.zeros(2, 4, 9, 10))
    run_clip(model, sequence(2, 2, 3, 9, 10))
    assert [tuple(mask.shape) for mask in model.head.masks] == [(2, 2, 9, 10), (2, 2, 4, 5)]
    model.head(torch.zeros(2, 4, 4, 5))
    model.head(torch.zeros(2, 4, 9, 10))
    assert model.head.cost.macs.tolist() == [40 * 4, 40 * 4]


def test_a_clip_that_fails_half_way_leaves_the_streams_as_they_were() -> None:
    model = Pyramid().eval()
    clip = sequence(2, 2, 3, 9, 10)
    model(clip[:, 0])
    failing = model.head.register_forward_hook(lambda module, inputs, output: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_clip(model, clip)
    failing.remove()
    model(clip[:, 0])
    assert macs(model).total.macs.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("model", "clip", "message"),
    [
        (nn.ReLU(), torch.zeros(2, 3, 4, 4), "a clip is"),
        (nn.AdaptiveAvgPool2d(1), torch.zeros(2, 0, 3, 4, 4), "a clip is"),
        (nn.Flatten(0), torch.zeros(2, 3, 1, 4, 4), r"returned a tensor \(96,\) for 6 frames"),
    ],
)
def test_what_is_no_clip_is_refused(model: nn.Module, clip: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_clip(model, clip)
