"""Gates: what opens, what the Gumbel gate samples, and that gradients reach what is to be learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from nn_cases import sequence
from torch import Tensor
from torch.func import functional_call

from skipvid.core.errors import UsageError
from skipvid.nn import GumbelGate, NormGate, SkipConv2d, SkipLinear, sparsity_loss


def _opened(gate: NormGate, first: Tensor, second: Tensor, reference: str = "accumulated") -> Tensor:
    layer = SkipConv2d(first.shape[0], 1, 1, gate=gate, reference=reference)
    layer(first)
    layer(second)
    return layer.masks[0]


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
@pytest.mark.parametrize(
    ("p", "relative", "measure"),
    [(1, False, 0.6), (2, False, 0.14**0.5), (math.inf, False, 0.3), (1, True, 0.2), (2, True, (0.14 / 3) ** 0.5), (math.inf, True, 0.3)],
)
def test_the_threshold_is_compared_strictly_with_the_norm(p: float, relative: bool, measure: float, reference: str) -> None:
    """Residual (0.3, 0.2, 0.1) on a map whose mean magnitude is 1."""
    first = torch.ones(3, 2, 2, dtype=torch.float32)
    second = first + torch.tensor([0.3, -0.2, 0.1]).view(3, 1, 1) * torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    for factor, opens in ((0.999, True), (1.001, False)):
        mask = _opened(NormGate(measure * factor, p=p, relative=relative), first, second, reference)
        assert mask.tolist() == [[opens, False], [False, False]]


def test_equality_with_the_threshold_does_not_open() -> None:
    first, second = torch.ones(1, 1, 1), torch.full((1, 1, 1), 1.5)
    assert not _opened(NormGate(0.5, relative=False), first, second).any()


@pytest.mark.parametrize("form", ["input", "output"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_at_threshold_zero_the_smallest_change_opens(reference: str, p: float, relative: bool, form: str) -> None:
    first = torch.zeros(2, 3, 3)
    second = first.clone()
    second[1, 1, 2] = 1e-38
    assert _opened(NormGate(0.0, form, p, relative), first, second, reference).sum() == 1


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("form", ["input", "output"])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_a_nan_opens_and_goes_away_again(reference: str, form: str, p: float) -> None:
    first = torch.ones(2, 3, 3)
    layer = SkipConv2d(2, 1, 1, gate=NormGate(0.5, form, p))
    broken = first.clone()
    broken[0, 1, 1] = math.nan
    expected = layer(first)
    layer(broken)
    assert layer.masks[0][1, 1]
    assert torch.equal(layer(first), expected)


def test_an_infinite_keyframe_does_not_close_the_gate_for_ever() -> None:
    first, second = torch.full((1, 2, 2), math.inf), torch.ones(1, 2, 2)
    assert _opened(NormGate(0.5), first, second).all()


def test_a_calibrated_scale_takes_the_place_of_the_measured_one() -> None:
    first, second = torch.ones(1, 2, 2), torch.full((1, 2, 2), 1.5)
    assert _opened(NormGate(0.4), first, second).all()
    assert not _opened(NormGate(0.4, scale=2.0), first, second).any()


@pytest.mark.parametrize("block", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 17)])
def test_blocks_open_as_a_whole_and_are_cut_by_the_edge(size: tuple[int, int], reference: str, block: int) -> None:
    first = torch.ones(1, *size)
    second = first.clone()
    second[0, -1, -1] = 3
    mask = _opened(NormGate(0.5, block=block), first, second, reference)
    expected = torch.zeros(size, dtype=torch.bool)
    expected[(size[0] - 1) // block * block :, (size[1] - 1) // block * block :] = True
    assert torch.equal(mask, expected)


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("logit", [-2.0, -0.3, 0.0, 1.5])
def test_gumbel_gates_open_with_the_probability_of_their_logit(logit: float, block: int) -> None:
    torch.manual_seed(3)
    layer = SkipConv2d(1, 1, 1, gate=GumbelGate(block)).train()
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, logit)
    size = 160 * block
    with torch.no_grad():
        layer(torch.zeros(1, 2, 1, size, size))
    mask = layer.masks[0][0, 1]
    cells = mask.view(160, block, 160, block).transpose(1, 2).reshape(-1, block * block)
    assert torch.equal(cells.all(1), cells.any(1))
    probability = 1 / (1 + math.exp(-logit))
    error = 4 * math.sqrt(probability * (1 - probability) / len(cells))
    assert abs(cells[:, 0].float().mean().item() - probability) < error
    assert layer.cost.expected_macs[0, 1].item() == pytest.approx(probability * size * size, rel=1e-5)


def test_gumbel_samples_of_neighbours_and_of_frames_are_independent() -> None:
    torch.manual_seed(4)
    layer = SkipConv2d(1, 1, 1, gate=GumbelGate(open_rate=0.5)).train()
    torch.nn.init.zeros_(layer.gate.weight)
    layer(torch.zeros(1, 3, 1, 200, 200))
    sample = layer.masks[0][0, 1:].double() - 0.5
    for product in (sample[0] * sample[1], sample[0, 1:] * sample[0, :-1], sample[0, :, 1:] * sample[0, :, :-1]):
        assert abs(product.mean().item()) < 4 * 0.25 / 200


@pytest.mark.parametrize("logit", [-1e-6, 0.0, 1e-6, math.nan])
def test_gumbel_gates_are_hard_in_eval_mode(logit: float) -> None:
    layer = SkipConv2d(1, 1, 1, gate=GumbelGate()).eval()
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, logit)
    layer(torch.zeros(1, 2, 1, 3, 3))
    assert layer.masks[0][0, 1].unique().tolist() == [not logit < 0]


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_the_straight_through_gradient_is_that_of_the_soft_gate(reference: str, block: int) -> None:
    torch.manual_seed(5)
    layer = SkipConv2d(2, 3, 3, padding=1, gate=GumbelGate(block, temperature=0.7, open_rate=0.5), reference=reference).double().train()
    clip = sequence(2, 2, 2, 5, 6, dtype=torch.float64)
    direction = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    parameters = (layer.gate.weight, layer.gate.bias, layer.weight)
    torch.manual_seed(6)
    found = torch.autograd.grad((layer(clip)[:, 1] * direction).sum(), parameters)
    hard = layer.masks[0][:, 1]

    # The same frame with sigmoid(noisy logit / temperature) in place of the mask: linear in the mask, so the gradients must agree, but for
    # the weights of the layer, which see the hard mask.
    torch.manual_seed(6)
    residual = clip[:, 1] - clip[:, 0]
    logits = torch.nn.functional.conv2d(residual, layer.gate.weight, layer.gate.bias, padding=1)
    blocks = torch.nn.functional.max_pool2d(logits, block, ceil_mode=True)
    first, second = (-torch.empty_like(blocks).exponential_().log() for _ in range(2))
    soft = torch.nn.functional.interpolate(((blocks + first - second) / 0.7).sigmoid(), scale_factor=block)[..., :5, :6]
    if reference == "previous":
        change = torch.nn.functional.conv2d(residual, layer.weight, None, padding=1)
        output = torch.nn.functional.conv2d(clip[:, 0], layer.weight, layer.bias, padding=1) + soft * change
        assert torch.equal(soft[:, 0] >= 0.5, hard)
    else:
        output = torch.nn.functional.conv2d(clip[:, 0] + soft * residual, layer.weight, layer.bias, padding=1)
    expected = torch.autograd.grad((output * direction).sum(), parameters)
    for index in (0, 1):
        torch.testing.assert_close(found[index], expected[index])
    assert found[2].abs().sum() > 0


def _gradcheck(layer: torch.nn.Module, name: str, loss: Any) -> bool:
    parameter = dict(layer.named_parameters())[name]

    def function(value: Tensor) -> Any:
        torch.manual_seed(8)
        return loss(lambda x: functional_call(layer, {name: value}, (x,)))

    return torch.autograd.gradcheck(function, parameter.detach().clone().requires_grad_(), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("gate", [NormGate(0.2, block=2), NormGate(0.5, "output", relative=False), GumbelGate(open_rate=0.5)])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_gradients_of_the_layer_are_right_through_time(name: str, reference: str, gate: Any) -> None:
    torch.manual_seed(1)
    gate = GumbelGate(open_rate=0.5) if isinstance(gate, GumbelGate) else gate
    layer = SkipConv2d(2, 2, 3, padding=1, stride=2, gate=gate, reference=reference).double()
    clip = sequence(4, 2, 2, 5, 6, dtype=torch.float64)
    assert _gradcheck(layer, name, lambda run: run(clip).square().sum())
    assert not layer.masks[0].all()


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
@pytest.mark.parametrize("name", ["gate.weight", "gate.bias"])
@pytest.mark.parametrize("block", [1, 2])
def test_gradients_of_the_sparsity_loss_reach_the_gate(block: int, name: str, reference: str) -> None:
    torch.manual_seed(2)
    layer = SkipConv2d(2, 2, 3, padding=1, stride=2, gate=GumbelGate(block, open_rate=0.5), reference=reference).double().train()
    clip = sequence(2, 2, 2, 5, 6, dtype=torch.float64)

    def loss(run: Any) -> Tensor:
        run(clip)
        return sparsity_loss(layer)

    assert _gradcheck(layer, name, loss)


def test_gradients_reach_the_input_of_every_frame() -> None:
    layer = SkipConv2d(2, 2, 3, gate=GumbelGate(open_rate=0.5)).train()
    clip = sequence(4, 1, 2, 6, 6).requires_grad_()
    layer(clip).square().sum().backward()
    assert clip.grad is not None and (clip.grad.abs().sum((0, 2, 3, 4)) > 0).all()


def test_layers_may_share_a_gumbel_gate() -> None:
    gate = GumbelGate()
    first, second = (SkipConv2d(2, channels, 3, padding=1, gate=gate) for channels in (3, 4))
    assert first.gate.weight is second.gate.weight
    with pytest.raises(UsageError, match="layers that share a gate need the same channels"):
        SkipConv2d(3, 4, 3, gate=gate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NormGate(-0.1), "threshold is -0.1; it must be a number of 0 or more"),
        (lambda: NormGate(math.nan), "threshold is nan"),
        (lambda: NormGate(form="both"), "form is 'both'; it must be 'input' or 'output'"),
        (lambda: NormGate(p=3), "p is 3; it must be 1, 2 or math.inf"),
        (lambda: NormGate(scale=-1.0), "scale is -1.0"),
        (lambda: NormGate(block=3), "block is 3; it must be one of 1, 2, 4, 8, 16"),
        (lambda: GumbelGate(temperature=0.0), "temperature is 0.0; it must be more than 0"),
        (lambda: GumbelGate(open_rate=1.0), "open_rate is 1.0; it must be a probability"),
        (lambda: GumbelGate().logits(torch.zeros(1, 1, 2, 2), SkipLinear(1, 1).site), "this GumbelGate has no weights yet"),
    ],
)
def test_wrong_gates_are_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)
