"""From a plain network to one with adaptive layers, and back to a plain one whose layers have the ratios that were chosen."""

from __future__ import annotations

import copy
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.models.narrow import NarrowConv2d, replace_module
from skipvid.nn import AdaptiveConv2d, Policy, adaptive_layers, convert_adaptive
from skipvid.nn.adaptive import RATIOS, partners
from skipvid.train.adaptive_order import pair_channels

WORTH = {
    "detect": re.compile(r"backbone\.blocks\..*|fpn\.cell\..*|(class|box)_net\.conv_rep\..*"),
    "pose": re.compile(r"stage\d\..*\.branches\..*"),
}
"""By task, the paths of layers that may become adaptive: a backbone's blocks, a pyramid and heads, but not what writes the results."""

LEAST_CHANNELS = {"detect": 48, "pose": 16}
"""Inputs and outputs of a layer that is worth it: the widest blocks of a detector's backbone; all branches of an HRNet."""

SAMPLES = 4096
"""Positions of each map that cheap operations are fitted to."""


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A network with adaptive layers.

    net: the network. dense: the plain one that it was made of. folded: paths of the BatchNorms that were taken into adaptive layers, by the
    path of the layer. had_bias: the layers that had a bias before. fraction: of the network's MACs, those of the adaptive layers.
    """

    net: nn.Module
    dense: nn.Module
    folded: Mapping[str, str]
    had_bias: frozenset[str]
    fraction: float

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the adaptive layers."""
        return tuple(path for path, _ in adaptive_layers(self.net))

    def network_share(self, share: Tensor | float) -> Any:
        """The share of the whole network's MACs, from that of its adaptive layers."""
        return 1 - self.fraction * (1 - share)


def worth_adapting(task: str) -> Callable[[str, nn.Conv2d], bool]:
    """Tells which layers of a network for this task become adaptive."""
    pattern, least = WORTH[task], LEAST_CHANNELS[task]
    return lambda path, conv: conv.groups == 1 and min(conv.in_channels, conv.out_channels) >= least and pattern.fullmatch(path) is not None


def make_student(
    teacher: nn.Module,
    task: str,
    example: Tensor,
    policy: Callable[[nn.Conv2d], Policy] | None = None,
    *,
    ratios: tuple[float, ...] = RATIOS,
    cheap_kernel: int = 3,
    reuse: bool = False,
    pairs: bool = True,
) -> Student:
    """A copy of the network with adaptive layers. example: (K, 3, h, w), to which the cheap operations are fitted.

    pairs: number channels so that partners resemble each other, where that changes nothing else (skipvid.train.adaptive_order).

    BatchNorm that always follows the same layer is taken into its weights: then channels are rebuilt as they are read, and the narrow
    network has nothing left to compute on them.
    Raises UsageError where no layer is worth it, and for a network that is narrowed already.
    """
    if any(isinstance(module, NarrowConv2d) for module in teacher.modules()):
        raise UsageError("this network is narrowed already", "begin with the network that it was made of")
    net = copy.deepcopy(teacher).eval()
    chosen = worth_adapting(task)
    convs = {path: conv for path, conv in net.named_modules() if isinstance(conv, nn.Conv2d) and chosen(path, conv)}
    if not convs:
        raise UsageError("this network has no layer that is wide enough to be adaptive", "choose an EfficientDet or an HRNet")
    had_bias = frozenset(path for path, conv in convs.items() if conv.bias is not None)
    folded = fold_norms(net, convs, example[:1])
    if pairs:
        pair_channels(net, convs, example)
    fraction = _fraction(net, convs, example[:1])
    settings: dict[str, Any] = {"ratios": ratios, "cheap_kernel": cheap_kernel, "reuse": reuse}
    student, _ = convert_adaptive(net, lambda path, _: path in convs, policy, example[:1], **settings)
    fit_cheap(net, student, example)
    return Student(student.requires_grad_(True), net.requires_grad_(False), folded, had_bias, fraction)


@torch.no_grad()
def fold_norms(net: nn.Module, convs: Mapping[str, nn.Conv2d], example: Tensor) -> dict[str, str]:
    """Take BatchNorms into convolutions, in place; returns path of the convolution -> path of the BatchNorm, which is now an Identity.

    Only where each reads what the other wrote in every call of the example: a head's layer with BatchNorms of their own for each level
    stays as it is.
    """
    writers: dict[int, str] = {}
    pairs: defaultdict[str, set[str | None]] = defaultdict(set)
    kept: list[Tensor] = []  # so that no address is used twice

    def wrote(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            kept.append(output)
            writers[id(output)] = path

        return hook

    def read(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            pairs[path].add(writers.get(id(inputs[0])))

        return hook

    norms = {path: norm for path, norm in net.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    hooks = [conv.register_forward_hook(wrote(path)) for path, conv in convs.items()]
    hooks += [norm.register_forward_pre_hook(read(path)) for path, norm in norms.items()]
    net(example)
    for hook in hooks:
        hook.remove()
    readers: defaultdict[str | None, list[str]] = defaultdict(list)
    for norm_path, sources in pairs.items():
        for source in sources:
            readers[source].append(norm_path)
    folded = {}
    for conv_path, conv in convs.items():
        if len(readers[conv_path]) == 1 and pairs[readers[conv_path][0]] == {conv_path}:
            folded[conv_path] = readers[conv_path][0]
            norm = norms[folded[conv_path]]
            assert norm.running_mean is not None and norm.running_var is not None
            statistics = norm.running_mean, norm.running_var, norm.eps
            conv.weight, conv.bias = nn.utils.fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)
            replace_module(net, folded[conv_path], nn.Identity())
    return folded


@torch.no_grad()
def _fraction(net: nn.Module, convs: Mapping[str, nn.Conv2d], example: Tensor) -> float:
    """The share of a network's MACs that some of its convolutions have."""
    spent: defaultdict[str, int] = defaultdict(int)

    def watch(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            assert isinstance(module, nn.Conv2d)
            spent[path] += module.weight.numel() * output.shape[2] * output.shape[3]

        return hook

    hooks = [conv.register_forward_hook(watch(path)) for path, conv in net.named_modules() if isinstance(conv, nn.Conv2d)]
    net(example)
    for hook in hooks:
        hook.remove()
    return sum(spent[path] for path in convs) / sum(spent.values())


@torch.no_grad()
def fit_cheap(dense: nn.Module, student: nn.Module, example: Tensor) -> None:
    """Begin each cheap operation as the least-squares fit of the channel it rebuilds, on the maps of the dense network."""
    layers = dict(adaptive_layers(student))
    maps: defaultdict[str, list[Tensor]] = defaultdict(list)

    def watch(path: str) -> Callable[..., None]:
        return lambda module, inputs, output: maps[path].append(output)

    hooks = [dense.get_submodule(path).register_forward_hook(watch(path)) for path in layers]
    dense(example)
    for hook in hooks:
        hook.remove()
    for path, layer in layers.items():
        for width, cheap in zip(layer.widths[1:], layer.cheap, strict=True):
            if isinstance(cheap, nn.Conv2d):
                _fit(cheap, maps[path], width)


def _fit(cheap: nn.Conv2d, maps: list[Tensor], width: int) -> None:
    count, kernel = cheap.out_channels, cheap.kernel_size[0]
    taps = kernel * kernel
    seen, wanted = [], []
    for each in maps:
        patches = nn.functional.unfold(partners(each[:, :width], count), kernel, padding=kernel // 2)
        seen.append(patches.view(len(each), count, taps, -1).permute(1, 2, 0, 3).flatten(2))
        wanted.append(each[:, width:].permute(1, 0, 2, 3).flatten(1))
    inputs, targets = torch.cat(seen, 2).double(), torch.cat(wanted, 1).double()
    chosen = torch.randperm(targets.shape[1], generator=torch.Generator().manual_seed(0))[:SAMPLES]
    inputs = torch.cat([inputs[:, :, chosen], torch.ones(count, 1, len(chosen), dtype=torch.float64)], 1)
    gram = inputs @ inputs.transpose(1, 2)
    # A little ridge: a channel may be constant, or two taps alike.
    gram = gram + 1e-3 * gram.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1).clamp(min=1e-6) * torch.eye(taps + 1, dtype=torch.float64)
    solved = torch.linalg.solve(gram, inputs @ targets[:, chosen].unsqueeze(2)).squeeze(2).float()
    cheap.weight.copy_(solved[:, :taps].view_as(cheap.weight))
    assert cheap.bias is not None
    cheap.bias.copy_(solved[:, taps])


@torch.no_grad()
def narrowed_state(student: Student, teacher: nn.Module, choices: Mapping[str, int]) -> dict[str, Tensor]:
    """The weights of the plain network in which each adaptive layer has one ratio for good, as skipvid.models.narrow reads them.

    teacher: the network before, for its BatchNorms. choices: number of the ratio, by the path of the layer.
    """
    layers = dict(adaptive_layers(student.net))
    other = tuple(f"{path}." for path in layers)
    state = {key: value for key, value in student.net.state_dict().items() if not key.startswith(other)}
    for path, layer in layers.items():
        number, bias = choices[path], layer.bias
        width = layer.widths[number]
        if width < layer.out_channels:
            cheap = layer.cheap[number - 1]
            assert isinstance(cheap, nn.Conv2d) and cheap.bias is not None
            state[f"{path}.conv.weight"] = layer.weight[:width]
            state[f"{path}.conv.bias"] = layer.weight.new_zeros(width) if bias is None else bias[:width]
            state[f"{path}.cheap.weight"], state[f"{path}.cheap.bias"] = cheap.weight, cheap.bias
            continue
        state[f"{path}.weight"] = layer.weight
        if path in student.had_bias:
            state[f"{path}.bias"] = bias
        if path in student.folded:  # it stays in the plain network, and has nothing to do there but to add the bias
            norm = teacher.get_submodule(student.folded[path])
            assert isinstance(norm, nn.BatchNorm2d)
            ones = torch.ones(layer.out_channels)
            values = {"weight": ones * math.sqrt(1 + norm.eps), "bias": 0 * ones, "running_mean": 0 * ones, "running_var": ones}
            if path not in student.had_bias:
                values["bias"] = bias
            state |= {f"{student.folded[path]}.{key}": value for key, value in values.items()}
    return {key: value.detach().clone() for key, value in state.items()}


def layer_choices(layer: AdaptiveConv2d) -> Tensor:
    """All choices of its last forward, (K,) int64."""
    return torch.cat([each.flatten() for each in layer.choices if each is not None])
