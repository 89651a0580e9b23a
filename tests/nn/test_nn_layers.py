"""The generalised layers: transposed, depthwise, linear."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import sequence, stream
from torch import nn

from skipvid.core.errors import UsageError
from skipvid.nn import GumbelGate, NormGate, SkipConv2d, SkipConvTranspose2d, SkipLinear


@st.composite
def transposed_arguments(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int, int, int]]:
    groups = draw(st.sampled_from([1, 2, 4]))
    stride, dilation = ((draw(st.integers(1, 3)), draw(st.integers(1, 3))) for _ in range(2))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, min(2, dilation[i] * (kernel[i] - 1)))) for i in range(2))
    extra = tuple(draw(st.integers(0, max(stride[i], dilation[i]) - 1)) for i in range(2))
    size = tuple(draw(st.integers(3, 6)) for _ in range(2))
    arguments = {
        "in_channels": 4,
        "out_channels": 4,
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "groups": groups,
        "bias": draw(st.booleans()),
        "dilation": dilation,
    }
    return arguments, (draw(st.integers(1, 2)), 4, *size)


@settings(max_examples=25, deadline=None)
@given(transposed_arguments(), st.sampled_from(["input", "output"]), st.sampled_from(["accumulated", "previous"]), st.integers(0, 1000))
def test_transposed_convolutions_with_threshold_zero_equal_torch(case: Any, form: str, reference: str, seed: int) -> None:
    arguments, shape = case
    torch.manual_seed(0)
    plain = nn.ConvTranspose2d(**arguments)
    layer = SkipConvTranspose2d.from_conv(plain, NormGate(0.0, form), reference)
    clip = sequence(4, *shape, seed=seed)
    with torch.no_grad():
        expected = stream(plain, clip)
        torch.testing.assert_close(stream(layer, clip), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(layer(clip), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(transposed_arguments(), st.integers(0, 1000))
def test_the_footprint_of_a_transposed_convolution_is_what_one_input_pixel_changes(case: Any, seed: int) -> None:
    arguments, shape = case
    layer = SkipConvTranspose2d(**arguments, gate=NormGate(0.0))
    nn.init.constant_(layer.weight, 1.0)
    first = sequence(1, 1, *shape[1:], seed=seed)[:, 0]
    second = first.clone()
    second[:, :, seed % shape[2], seed % shape[3]] += 100
    before, after = layer(first), layer(second)
    assert torch.equal(layer.masks[0], (before != after).any(1))
    layer = SkipConvTranspose2d(**arguments, gate=NormGate(0.0, "output"))
    stream(layer, torch.stack([first, second], 1))
    assert torch.equal(layer.masks[0], (before != after).any(1))


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_transposed_convolutions_learn_with_gumbel_gates(reference: str) -> None:
    layer = SkipConvTranspose2d(3, 2, 4, stride=2, padding=1, gate=GumbelGate(2, open_rate=0.5), reference=reference).train()
    clip = sequence(3, 2, 3, 6, 5)
    (layer(clip).square().mean() + layer.cost.expected_macs.mean() * 1e-3).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in layer.parameters())
    assert layer.cost.dense_macs == 6 * 5 * layer.weight.numel()
    assert layer.cost.gate_macs[0, 1] == 6 * 5 * 3 * 16


def test_transposed_convolutions_refuse_an_output_size() -> None:
    with pytest.raises(UsageError, match="set output_padding"):
        SkipConvTranspose2d(3, 2, 4)(torch.zeros(1, 3, 5, 5), output_size=[9, 9])


def test_depthwise_convolutions_count_and_compute_as_torch_does() -> None:
    plain = nn.Conv2d(6, 6, 5, stride=2, padding=2, groups=6, bias=False)
    layer = SkipConv2d.from_conv(plain, NormGate(0.0))
    clip = sequence(4, 2, 6, 11, 9)
    assert torch.equal(stream(layer, clip), stream(plain, clip))
    assert layer.cost.dense_macs == 6 * 5 * 6 * 25
    assert SkipConv2d.from_conv(plain, GumbelGate()).gate_share == 4  # all input pixels, at stride 2


@pytest.mark.parametrize("shape", [(2, 5), (2, 7, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_linear_layers_gate_each_position(reference: str, shape: tuple[int, ...]) -> None:
    plain = nn.Linear(5, 3)
    layer = SkipLinear.from_linear(plain, NormGate(0.1), reference)
    first = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    second = first.clone()
    second[1].view(-1, 5)[0] += 1
    second[0] += 1e-4
    torch.testing.assert_close(layer(first), plain(first))
    output = layer(second)
    expected = plain(first)
    expected[1].view(-1, 3)[0] = plain(second)[1].view(-1, 3)[0]
    torch.testing.assert_close(output, expected)
    assert layer.masks[0].shape == shape[:-1] and layer.masks[0].sum() == 1
    assert layer.cost.macs.tolist() == [0, 15]
    torch.testing.assert_close(layer.clip(torch.stack([first, second], 1)), torch.stack([plain(first), expected], 1))


def test_a_linear_layer_is_a_1x1_convolution_over_tokens() -> None:
    torch.manual_seed(0)
    clip = sequence(5, 2, 6, 4, 5)
    conv = SkipConv2d(6, 3, 1, gate=GumbelGate(open_rate=0.4)).eval()
    linear = SkipLinear(6, 3, gate=GumbelGate(open_rate=0.4)).eval()
    with torch.no_grad():
        linear.weight.copy_(conv.weight[:, :, 0, 0])
        linear.bias.copy_(conv.bias)
    linear.gate.load_state_dict(conv.gate.state_dict())
    expected = conv(clip).flatten(3).transpose(2, 3)
    torch.testing.assert_close(linear.clip(clip.flatten(3).transpose(2, 3)), expected)
    assert torch.equal(linear.cost.macs, conv.cost.macs)


@pytest.mark.parametrize("x", [torch.zeros(5), torch.zeros(2, 4), torch.zeros(2, 5, dtype=torch.long)])
def test_linear_layers_refuse_other_inputs(x: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"it takes frames \(N, ..., 5\)"):
        SkipLinear(5, 3)(x)
