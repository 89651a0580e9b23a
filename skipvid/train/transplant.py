"""The start of `efficientdet-nano`: a PP-LCNet backbone (Cui et al. 2021) taken apart into inverted residuals.

PP-LCNet alternates depthwise convolutions D and pointwise ones W, each followed by an activation: D1 W1 D2 W2 ... An inverted residual
is expansion E, D, projection P, with no activation after P. So a chain of them, P1 | E2 D2 P2 | E3 D3 P3 ..., is the same function where
E(k+1) P(k) = W(k): a factorisation of every pointwise convolution, exact where the bottleneck is as wide as the rank, and otherwise the
best of that rank in the mean square of its outputs on real pictures (Zhang et al., "Accelerating Very Deep Convolutional Networks",
2015, section 3.1): E spans the leading principal axes of the outputs of W.

Three things change and are left to training: SiLU for hard swish, each squeeze-and-excite gate by its mean, and the bottlenecks. BatchNorm
gets the scale and shift that give every channel the mean and the variance it has in the source, so that the changes do not pile up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skipvid.core.errors import UsageError, WeightsError
from skipvid.models.networks.efficientnet import DepthwiseBlock, EfficientNet, InvertedResidual


@dataclass(frozen=True, slots=True, eq=False)
class _Conv:
    """weight: (O, I/groups, k, k), bias: (O,)."""

    weight: Tensor
    bias: Tensor
    stride: int
    groups: int

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.weight.shape[-1] // 2, groups=self.groups)


@dataclass(slots=True, eq=False)
class _Separable:
    """One PP-LCNet block: depthwise, hard swish, squeeze-and-excite (or none), pointwise, hard swish."""

    depthwise: _Conv
    pointwise: _Conv
    squeeze: tuple[_Conv, _Conv] | None = None


@dataclass(slots=True, eq=False)
class _Trace:
    """What flows through a PP-LCNet: maps before activation, and per block the mean gate (C,) and the gated map."""

    stem: Tensor
    depthwise: list[Tensor] = field(default_factory=list)
    gates: list[Tensor] = field(default_factory=list)
    gated: list[Tensor] = field(default_factory=list)
    pointwise: list[Tensor] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class LcNet:
    """A PP-LCNet read from a file, BatchNorm folded."""

    stem: _Conv
    blocks: list[_Separable] = field(default_factory=list)

    def trace(self, x: Tensor) -> _Trace:
        """x: (N, 3, H, W), normalised RGB."""
        trace = _Trace(self.stem(x))
        x = F.hardswish(trace.stem)
        for block in self.blocks:
            trace.depthwise.append(block.depthwise(x))
            x = F.hardswish(trace.depthwise[-1])
            gate = torch.ones(x.shape[1])
            if block.squeeze is not None:
                reduce, expand = block.squeeze
                gates = F.hardsigmoid(expand(F.relu(reduce(x.mean((2, 3), keepdim=True)))))
                gate = (x * gates).mean((0, 2, 3)) / x.mean((0, 2, 3))
                x = x * gates
            trace.gates.append(gate)
            trace.gated.append(x)
            trace.pointwise.append(block.pointwise(x))
            x = F.hardswish(trace.pointwise[-1])
        return trace


def read_lcnet(path: Path, block_count: int = 13) -> LcNet:
    """The backbone of a PicoDet-LCNet file in OpenVINO's IR: its first convolutions in the order of execution.

    Raises UsageError without the openvino package, WeightsError where the file does not begin like a PP-LCNet.
    """
    try:
        import openvino
    except ImportError as error:
        raise UsageError(f"{path}: needs the package openvino", "pip install 'skipvid[train]'") from error
    try:
        operations = openvino.Core().read_model(path).get_ordered_ops()
    except RuntimeError as error:
        raise WeightsError(f"{path}: not a readable OpenVINO network", "the .bin file must lie beside the .xml") from error
    convolutions = [_read_conv(op) for op in operations if op.get_type_name() in ("Convolution", "GroupConvolution")]
    net = LcNet(convolutions[0])
    position = 1
    while len(net.blocks) < block_count:
        depthwise = convolutions[position]
        gates: list[_Conv] = []
        position += 1
        while convolutions[position].weight.shape[2] == 1 and convolutions[position + 1].groups == 1 and len(gates) < 2:
            if convolutions[position].weight.shape[0] >= convolutions[position].weight.shape[1] and not gates:
                break
            gates.append(convolutions[position])
            position += 1
        pointwise = convolutions[position]
        position += 1
        if depthwise.groups == 1 or pointwise.groups != 1 or pointwise.weight.shape[1] != depthwise.weight.shape[0]:
            raise WeightsError(
                f"{path}: block {len(net.blocks)} is not depthwise, pointwise", "this must be a PicoDet with an LCNet backbone"
            )
        net.blocks.append(_Separable(depthwise, pointwise, (gates[0], gates[1]) if gates else None))
    return net


def _read_conv(operation: Any) -> _Conv:
    weight = torch.from_numpy(_constant(operation.input_value(1).get_node()))
    grouped = operation.get_type_name() == "GroupConvolution"
    groups = weight.shape[0] if grouped else 1
    if grouped:
        weight = weight.flatten(0, 1)
    follower = next(iter(operation.output(0).get_target_inputs())).get_node()
    bias = torch.from_numpy(_constant(follower.input_value(1).get_node())).flatten() if follower.get_type_name() == "Add" else None
    if bias is None or bias.numel() != weight.shape[0]:
        bias = torch.zeros(weight.shape[0])
    return _Conv(weight, bias, int(operation.get_attributes()["strides"][0]), groups)


def _constant(node: Any) -> NDArray[np.float32]:
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        raise WeightsError(f"{node.get_friendly_name()} is not a constant", "the network's weights must be stored in it")
    return np.array(node.data, np.float32)


@torch.no_grad()
def transplant(source: LcNet, target: EfficientNet, pictures: Tensor) -> list[float]:
    """Fill `target` from `source`. pictures: (N, 3, H, W) float32, normalised RGB, some tens of typical ones.

    Returns for each block how much of the variance of its pointwise convolution's outputs the bottleneck keeps, in [0, 1].
    Raises WeightsError where the widths, kernels or strides differ.
    """
    blocks = [module for module in target.modules() if isinstance(module, DepthwiseBlock | InvertedResidual)]
    if len(blocks) != len(source.blocks):
        raise WeightsError(f"{len(source.blocks)} blocks cannot fill {len(blocks)}", "the two networks must have the same depth")
    trace = source.trace(pictures)
    wanted: dict[nn.Module, Tensor] = {target.bn1: trace.stem}
    _set(target.conv_stem, source.stem.weight)
    kept = []
    for index, (block, given) in enumerate(zip(blocks, source.blocks, strict=True)):
        _set(block.conv_dw, given.depthwise.weight)
        wanted[block.bn1 if isinstance(block, DepthwiseBlock) else block.bn2] = trace.depthwise[index]
        projection = block.conv_pw if isinstance(block, DepthwiseBlock) else block.conv_pwl
        expansion, reduced, share = _factorise(given.pointwise.weight.flatten(1), trace.gated[index], projection.weight.shape[0])
        kept.append(share)
        _set(projection, (reduced * trace.gates[index])[:, :, None, None])
        if index + 1 < len(blocks):
            _set(blocks[index + 1].conv_pw, expansion[:, :, None, None])
            wanted[blocks[index + 1].bn1] = trace.pointwise[index]
    _settle(target, wanted, pictures)
    return kept


def _factorise(weight: Tensor, x: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """weight: (O, I), x: (N, I, H, W) -> E (O, rank), P (rank, I), and the share of the outputs' variance that E P keeps."""
    flat = x.transpose(0, 1).flatten(1).double()
    flat = flat - flat.mean(1, keepdim=True)
    w = weight.double()
    values, axes = torch.linalg.eigh(w @ (flat @ flat.T) @ w.T)
    leading, values = axes[:, -rank:], values.clamp(min=0)
    return leading.float(), (leading.T @ w).float(), float(values[-rank:].sum() / values.sum())


def _set(conv: nn.Module, weight: Tensor) -> None:
    if not isinstance(conv, nn.Conv2d) or conv.weight.shape != weight.shape:
        raise WeightsError(f"weights {tuple(weight.shape)} do not fit {conv}", "the two networks must have the same widths")
    conv.weight.copy_(weight)


def _settle(net: EfficientNet, wanted: dict[nn.Module, Tensor], pictures: Tensor) -> None:
    """Give every BatchNorm the statistics of its input on `pictures`, and the scale and shift that give its output those of the wanted map.

    A BatchNorm without a wanted map (after a projection) lets its input through unchanged.
    """

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        goal_variance, goal_mean = torch.var_mean(wanted.get(norm, inputs[0]), (0, 2, 3), correction=0)
        norm.weight.copy_((goal_variance + norm.eps).sqrt())
        norm.bias.copy_(goal_mean)

    hooks = [module.register_forward_pre_hook(settle) for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    training = net.training
    net.eval()
    net(pictures)
    net.train(training)
    for hook in hooks:
        hook.remove()
