"""The layers against the paper's equations, written down once more: in numpy, pixel by pixel, from the definitions alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import conv_arguments, sequence
from numpy.typing import NDArray

from skipvid.nn import GumbelGate, NormGate, SkipConv2d

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

Array = NDArray[np.float64]
NUMPY_MODES: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Convolution:
    """z = w ∗ x + b for one image (C, H, W), one window at a time."""

    def __init__(self, layer: SkipConv2d) -> None:
        self.layer = layer
        self.weight = layer.weight.detach().numpy()
        self.bias = np.zeros(len(self.weight)) if layer.bias is None else layer.bias.detach().numpy()

    def windows(self, x: Array) -> Iterator[tuple[int, int, Array]]:
        """Row, column and inputs (C, k_h, k_w) of each output."""
        layer = self.layer
        pads = []
        for axis in range(2):
            reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            if layer.padding == "same":
                pads.append((reach // 2, reach - reach // 2))
            else:
                pads.append((0, 0) if layer.padding == "valid" else (layer.padding[axis],) * 2)
        padded = np.pad(x, [(0, 0), *pads], NUMPY_MODES[layer.padding_mode])
        reaches = [layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1 for axis in range(2)]
        for i, top in enumerate(range(0, padded.shape[1] - reaches[0] + 1, layer.stride[0])):
            for j, left in enumerate(range(0, padded.shape[2] - reaches[1] + 1, layer.stride[1])):
                rows = slice(top, top + reaches[0], layer.dilation[0])
                columns = slice(left, left + reaches[1], layer.dilation[1])
                yield i, j, padded[:, rows, columns]

    def on_windows(self, x: Array, function: Callable[[Array], Any]) -> Array:
        """function of each window, as a map (..., h, w)."""
        values = {(i, j): np.asarray(function(window)) for i, j, window in self.windows(x)}
        height, width = (max(each) + 1 for each in zip(*values, strict=True))
        result = np.empty((*values[0, 0].shape, height, width))
        for (i, j), value in values.items():
            result[..., i, j] = value
        return result

    def without_bias(self, x: Array) -> Array:
        groups = self.layer.groups
        inputs, outputs = self.layer.in_channels // groups, self.layer.out_channels // groups

        def product(window: Array) -> Array:
            return np.array([(self.weight[o] * window[o // outputs * inputs :][:inputs]).sum() for o in range(len(self.weight))])

        return self.on_windows(x, product)

    def __call__(self, x: Array) -> Array:
        return self.without_bias(x) + self.bias[:, None, None]


def in_blocks(mask: NDArray[np.bool_], block: int) -> NDArray[np.bool_]:
    result = np.zeros_like(mask)
    for top in range(0, mask.shape[0], block):
        for left in range(0, mask.shape[1], block):
            cell = np.s_[top : top + block, left : left + block]
            result[cell] = mask[cell].any()
    return result


def norm(values: Array, p: float) -> float:
    return float(np.linalg.norm(np.asarray(values).ravel(), p))


def paper_sequence(clip: Array, conv: Convolution, gate: Callable[[Array], NDArray[np.bool_]]) -> tuple[Array, Array]:
    """z_1 = w ∗ x_1 + b, then z_t = z_{t−1} + g(r_t) ⊙ (w ∗ r_t) with r_t = x_t − x_{t−1}. Returns z (T, C, h, w) and g (T, h, w)."""
    z = conv(clip[0])
    outputs, masks = [z], [np.ones(z.shape[1:], dtype=bool)]
    for previous, x in zip(clip, clip[1:], strict=False):
        residual = x - previous
        mask = gate(residual)
        z = z + mask * conv.without_bias(residual)
        outputs.append(z)
        masks.append(mask)
    return np.stack(outputs), np.stack(masks)


def _compare(layer: SkipConv2d, clip: torch.Tensor, expected: tuple[Array, Array]) -> None:
    with torch.no_grad():
        output = layer(clip)
    np.testing.assert_array_equal(layer.masks[0][0].numpy(), expected[1])
    np.testing.assert_allclose(output[0].numpy(), expected[0], rtol=0, atol=1e-10)


Case = tuple[dict[str, Any], tuple[int, int, int, int]]


@settings(max_examples=60, deadline=None)
@given(
    conv_arguments(),
    st.sampled_from(["input", "output"]),
    st.sampled_from([1, 2, math.inf]),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.floats(0.1, 2.0),
    st.integers(0, 1000),
)
def test_paper_mode_with_norm_gates(case: Case, form: str, p: float, block: int, epsilon: float, seed: int) -> None:
    arguments, shape = case
    torch.manual_seed(seed)
    layer = SkipConv2d(**arguments, gate=NormGate(epsilon, form, p, relative=False, block=block), reference="previous").double()
    clip = sequence(4, 1, *shape[1:], seed=seed, dtype=torch.float64)
    conv = Convolution(layer)
    factor = norm(conv.weight, p) if form == "output" else 1.0

    def gate(residual: Array) -> NDArray[np.bool_]:
        return in_blocks(factor * conv.on_windows(residual, lambda window: norm(window, p)) > epsilon, block)

    _compare(layer, clip, paper_sequence(clip[0].numpy(), conv, gate))


@settings(max_examples=40, deadline=None)
@given(conv_arguments(), st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
def test_paper_mode_with_gumbel_gates_at_inference(case: Case, block: int, seed: int) -> None:
    arguments, shape = case
    torch.manual_seed(seed)
    layer = SkipConv2d(**arguments, gate=GumbelGate(block, open_rate=0.4), reference="previous").double().eval()
    clip = sequence(4, 1, *shape[1:], seed=seed, dtype=torch.float64)
    conv = Convolution(layer)
    phi, offset = layer.gate.weight.detach().numpy()[0], layer.gate.bias.item()

    def gate(residual: Array) -> NDArray[np.bool_]:
        # round(sigmoid(logit)), and the structured variant as in section 3.3: the maximum over each block.
        return in_blocks(conv.on_windows(residual, lambda window: (phi * window).sum() + offset) >= 0, block)

    _compare(layer, clip, paper_sequence(clip[0].numpy(), conv, gate))


@settings(max_examples=40, deadline=None)
@given(conv_arguments(), st.sampled_from([1, 2, math.inf]), st.sampled_from([1, 2, 4]), st.floats(0.02, 0.8), st.integers(0, 1000))
def test_publish_rule_with_relative_norm_gates(case: Case, p: float, block: int, tau: float, seed: int) -> None:
    arguments, shape = case
    torch.manual_seed(seed)
    layer = SkipConv2d(**arguments, gate=NormGate(tau, p=p, block=block)).double()
    clip = sequence(4, 1, *shape[1:], seed=seed, dtype=torch.float64)
    frames, conv = clip[0].numpy(), Convolution(layer)
    scale = np.abs(frames[0]).mean()
    published = frames[0].copy()
    outputs, masks = [conv(published)], [np.ones(conv(published).shape[1:], dtype=bool)]
    for x in frames[1:]:
        distance = np.abs(x - published)
        mean = {1: distance.mean(0), 2: np.sqrt((distance**2).mean(0)), math.inf: distance.max(0)}[p]
        opened = in_blocks(mean / scale > tau, block)
        published = np.where(opened, x, published)
        outputs.append(conv(published))
        opened_everywhere = np.broadcast_to(opened.astype(float), x.shape)
        masks.append(conv.on_windows(opened_everywhere, lambda window: window.max()) > 0)
    _compare(layer, clip, (np.stack(outputs), np.stack(masks)))


@settings(max_examples=40, deadline=None)
@given(conv_arguments(), st.sampled_from([1, 2, math.inf]), st.sampled_from([1, 2, 4]), st.floats(0.1, 3.0), st.integers(0, 1000))
def test_accumulate_rule_with_relative_norm_gates(case: Case, p: float, block: int, tau: float, seed: int) -> None:
    arguments, shape = case
    torch.manual_seed(seed)
    layer = SkipConv2d(**arguments, gate=NormGate(tau, "output", p, block=block)).double()
    clip = sequence(5, 1, *shape[1:], seed=seed, dtype=torch.float64)
    frames, conv = clip[0].numpy(), Convolution(layer)

    def mean(values: Array) -> float:
        return norm(values, p) / np.asarray(values).size ** (1 / p)

    products = conv.weight[0].size
    scale = np.abs(conv.without_bias(frames[0])).mean()
    z = conv(frames[0])
    accumulator = np.zeros(z.shape[1:])
    outputs, masks = [z], [np.ones(z.shape[1:], dtype=bool)]
    for previous, x in zip(frames, frames[1:], strict=False):
        accumulator = accumulator + conv.on_windows(x - previous, mean)
        mask = in_blocks(accumulator * mean(conv.weight) * products > tau * scale, block)
        z, accumulator = np.where(mask, conv(x), z), np.where(mask, 0, accumulator)
        outputs.append(z)
        masks.append(mask)
    _compare(layer, clip, (np.stack(outputs), np.stack(masks)))
