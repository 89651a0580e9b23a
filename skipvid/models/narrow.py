"""Convolutions of which only the first channels are computed and the others are made of those: what a training left of wider ones.

Pan et al., "VA-RED²: Video Adaptive Redundancy Reduction" (ICLR 2021), section 3: "cheap operations". A file of weights tells by its names
which layers of a network are of this kind, so that it needs no network of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CHEAP = ".cheap.weight"
"""Ends the name of the weights, (n, 1, k, k), from which the n last channels of a narrowed layer are made."""


class NarrowConv2d(nn.Module):
    """x: (N, C_in, H, W) -> (N, C, h, w). The first c channels are those of `conv`; channel c + j is made from channel j mod c by `cheap`.

    conv: the convolution, of which the first `width` outputs are kept, with a bias. kernel: side of the depthwise kernels.
    """

    def __init__(self, conv: nn.Conv2d, width: int, kernel: int) -> None:
        super().__init__()
        rest = conv.out_channels - width
        self.conv = copy.deepcopy(conv)  # of the same class: it may pad by size
        self.conv.out_channels = width
        self.conv.weight = nn.Parameter(conv.weight.detach()[:width].clone())
        self.conv.bias = nn.Parameter(conv.weight.new_zeros(width))
        self.cheap = nn.Conv2d(rest, rest, kernel, padding=kernel // 2, groups=rest)

    def forward(self, x: Tensor) -> Tensor:
        computed: Tensor = self.conv(x)
        rest, width = self.cheap.out_channels, self.conv.out_channels
        partners = torch.cat([computed] * -(-rest // width), 1)[:, :rest] if rest > width else computed[:, :rest]
        return torch.cat([computed, self.cheap(partners)], 1)


def narrow(net: nn.Module, state: Mapping[str, Any]) -> None:
    """Narrow the layers of a network, in place, that a state dict holds narrowed.

    A narrowed layer has taken the BatchNorm behind it into its weights, so that such a state has no values for it, and it goes. Names and
    shapes that do not fit the network change nothing: loading the state then says what is wrong.
    """
    narrowed = False
    modules = dict(net.named_modules())
    for key, cheap in state.items():
        path = key.removesuffix(CHEAP)
        layer = modules.get(path) if key.endswith(CHEAP) else None
        if not isinstance(layer, nn.Conv2d) or layer.groups > 1 or cheap.dim() != 4:
            continue
        rest, kernel = cheap.shape[0], cheap.shape[2]
        if 0 < rest < layer.out_channels and cheap.shape == (rest, 1, kernel, kernel) and kernel % 2:
            replace_module(net, path, NarrowConv2d(layer, layer.out_channels - rest, kernel))
            narrowed = True
    for path, module in list(net.named_modules()) if narrowed else []:
        if isinstance(module, nn.BatchNorm2d) and not any(key.startswith(f"{path}.") for key in state):
            replace_module(net, path, nn.Identity())


def replace_module(net: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of another; path: as in named_modules."""
    parent, _, name = path.rpartition(".")
    net.get_submodule(parent)._modules[name] = module.train(net.training)


def shrink(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the convolutions and BatchNorms of a network, in place, the fewer channels that they have in a state dict.

    Their weights stay what they were where nothing is smaller, and are the first ones elsewhere: the state is still to be loaded. Names
    and shapes that do not fit change nothing.
    """
    for path, module in list(net.named_modules()):
        found = state.get(f"{path}.weight")
        if found is None or not isinstance(module, nn.Conv2d | nn.BatchNorm2d) or module.weight is None:
            continue
        if found.dim() != module.weight.dim() or not all(0 < new <= old for new, old in zip(found.shape, module.weight.shape, strict=True)):
            continue
        outputs = found.shape[0]
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            if value is None or not value.dim():
                continue
            part = value.detach()[:outputs, : found.shape[1]] if name == "weight" and value.dim() == 4 else value.detach()[:outputs]
            setattr(module, name, nn.Parameter(part.clone(), value.requires_grad) if name in module._parameters else part.clone())
        if isinstance(module, nn.BatchNorm2d):
            module.num_features = outputs
        else:
            depthwise = module.groups == module.in_channels > 1
            module.groups = outputs if depthwise else module.groups
            module.out_channels, module.in_channels = outputs, found.shape[1] * module.groups
