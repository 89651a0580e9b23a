"""PP-TinyPose: a light HRNet for pose estimation, built of shuffle units (PaddleDetection; after Lite-HRNet, Yu et al., CVPR 2021).

BatchNorm is folded into the convolutions, as in the published inference network. That network numbers its convolutions in the order in
which they run; here they are registered in the same order, so that its parameters find their places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skipvid.models.tinypose import TinyPoseConfig

V = TypeVar("V")


class _Pointwise(nn.Module):
    """1×1 convolution; ReLU where `relu`."""

    def __init__(self, inputs: int, outputs: int, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return F.relu(y) if self.relu else y


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels)


def _separable(inputs: int, outputs: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    return nn.Sequential(_depthwise(inputs, stride), _Pointwise(inputs, outputs, relu))


def _shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels."""
    batch, channels, height, width = x.shape
    return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class _Stem(nn.Module):
    """To 1/4 of the size: a strided convolution, then two ways to halve, one for each half of its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = nn.Conv2d(3, channels, 3, 2, 1)
        self.direct = _separable(half, half, 2)
        self.expanded = nn.Sequential(_Pointwise(half, channels), _separable(channels, half, 2))

    def forward(self, x: Tensor) -> Tensor:
        left, right = F.relu(self.conv(x)).chunk(2, 1)
        return _shuffle(torch.cat([self.direct(left), self.expanded(right)], 1))


class _ShuffleUnit(nn.Module):
    """Transforms half of the channels, and mixes the halves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.transform = nn.Sequential(_Pointwise(half, half), _separable(half, half))

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        return _shuffle(torch.cat([kept, self.transform(changed)], 1))


def _fusion(source: int, target: int, channels: tuple[int, ...]) -> nn.Module:
    """What brings branch `source` to the size and width of branch `target`."""
    inputs, outputs = channels[source], channels[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(_Pointwise(inputs, outputs, relu=False), nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"))
    halvings = [_separable(inputs, inputs, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, _separable(inputs, outputs, 2, relu=False))


class _Module(nn.Module):
    """Parallel branches, then an exchange between them."""

    def __init__(self, channels: tuple[int, ...], units: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(_ShuffleUnit(width) for _ in range(units))) for width in channels)
        pairs = range(len(channels))
        self.fusions = nn.ModuleList(nn.ModuleList(_fusion(source, target, channels) for source in pairs) for target in pairs)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        results = []
        for target, row in enumerate(self.fusions):
            assert isinstance(row, nn.ModuleList)
            # The published network was trained with two peculiarities: the first branch counts twice in every sum, and once its own sum
            # is made, it takes the place of the first branch for all that follow.
            total = 2 * row[0](maps[0])
            for source in range(1, len(maps)):
                total = total + row[source](maps[source])
            if target == 0:
                maps[0] = total
            results.append(F.relu(total))
        return results


class TinyPose(nn.Module):
    """x: (N, 3, H, W) float32, H and W multiples of 32 -> heat maps (N, joints, H / 4, W / 4) float32."""

    def __init__(self, config: TinyPoseConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = _Stem(config.stem)
        self.transition1 = nn.ModuleList([_separable(config.stem, channels[0]), _separable(config.stem, channels[1], 2)])
        self.stage2 = nn.Sequential(*(_Module(channels[:2], config.units) for _ in range(config.modules[0])))
        self.transition2 = _separable(channels[1], channels[2], 2)
        self.stage3 = nn.Sequential(*(_Module(channels[:3], config.units) for _ in range(config.modules[1])))
        self.transition3 = _separable(channels[2], channels[3], 2)
        self.stage4 = nn.Sequential(*(_Module(channels, config.units) for _ in range(config.modules[2])))
        finer = (*channels[-2::-1], channels[0])
        self.head = nn.ModuleList(_separable(inputs, outputs) for inputs, outputs in zip(channels[::-1], finer, strict=True))
        self.final_layer = nn.Conv2d(channels[0], config.joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        maps = self.stage2([layer(x) for layer in self.transition1])
        maps = self.stage3([*maps, self.transition2(maps[-1])])
        maps = self.stage4([*maps, self.transition3(maps[-1])])
        y = self.head[0](maps[-1])
        for layer, finer in zip(list(self.head)[1:], maps[-2::-1], strict=True):
            y = layer(finer + F.interpolate(y, finer.shape[2:], mode="bilinear", align_corners=True))
        heatmaps: Tensor = self.final_layer(y)
        return heatmaps

    def adapt_keys(self, state: Mapping[str, V]) -> dict[str, V]:
        """The published numbers (convs.Conv_0, convs.Conv_1, ...) -> our names."""
        names = [name for name, module in self.named_modules() if isinstance(module, nn.Conv2d)]
        ours = {f"convs.Conv_{number}": name for number, name in enumerate(names)}
        renamed = {}
        for key, value in state.items():
            layer, _, parameter = key.rpartition(".")
            renamed[f"{ours.get(layer, layer)}.{parameter}" if layer else key] = value
        return renamed
