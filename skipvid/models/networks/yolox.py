"""YOLOX: a CSP backbone, a path-aggregating pyramid and a decoupled head (Ge et al., "YOLOX: Exceeding YOLO Series in 2021").

Parameter names are those of the original code (Megvii-BaseDetection/YOLOX), so that its checkpoints load unchanged. The input is BGR, 0 to
255, the picture at its top left, filled up with grey 114.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skipvid.models.yolox import STRIDES, YoloxConfig


class _ConvNorm(nn.Module):
    """Convolution that keeps the size (or halves it), BatchNorm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class _Separable(nn.Module):
    """3×3 depthwise, then pointwise, each with BatchNorm and SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = _ConvNorm(inputs, inputs, 3, stride, groups=inputs)
        self.pconv = _ConvNorm(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pconv(self.dconv(x))
        return y


def _conv3(inputs: int, outputs: int, config: YoloxConfig, stride: int = 1) -> nn.Module:
    return _Separable(inputs, outputs, stride) if config.depthwise else _ConvNorm(inputs, outputs, 3, stride)


class _Focus(nn.Module):
    """Each 2×2 pixels become one with four times the channels; then a 3×3 convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        # Written as the 6×6 convolution with stride 2 that it is: of pixels that are moved about no mask would be known. Channels of the
        # kernel are ordered by column within the 2×2, then row, then colour.
        kernel = self.conv.conv.weight
        kernel = kernel.view(-1, 2, 2, 3, 3, 3).permute(0, 3, 4, 2, 5, 1).reshape(-1, 3, 6, 6)
        return F.silu(self.conv.bn(F.conv2d(x, kernel, stride=2, padding=2)))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, config: YoloxConfig, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(channels, channels, 1)
        self.conv2 = _conv3(channels, channels, config)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        return y + x if self.shortcut else y


class _CSP(nn.Module):
    """Half of the channels go through bottlenecks, the other half past them (Wang et al., "CSPNet")."""

    def __init__(self, inputs: int, outputs: int, repeats: int, config: YoloxConfig, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = _ConvNorm(inputs, half, 1)
        self.conv2 = _ConvNorm(inputs, half, 1)
        self.conv3 = _ConvNorm(2 * half, outputs, 1)
        self.m = nn.Sequential(*(_Bottleneck(half, config, shortcut) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        through, past = self.conv1(x), self.conv2(x)
        y: Tensor = self.conv3(torch.cat([self.m(through), past], 1))
        return y


class _PyramidPool(nn.Module):
    """Maxima over 5×5, 9×9 and 13×13 beside the map itself (He et al., "Spatial Pyramid Pooling")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(channels, channels // 2, 1)
        self.conv2 = _ConvNorm(channels * 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y: Tensor = self.conv2(torch.cat([x, *(F.max_pool2d(x, side, 1, side // 2) for side in (5, 9, 13))], 1))
        return y


class _Darknet(nn.Module):
    """x -> the maps at 1/8, 1/16 and 1/32 of its size."""

    def __init__(self, config: YoloxConfig) -> None:
        super().__init__()
        stem, two, three, four, five = (config.channels(full) for full in (64, 128, 256, 512, 1024))
        few, many = config.repeats(3), config.repeats(3) * 3
        self.stem = _Focus(stem)
        self.dark2 = nn.Sequential(_conv3(stem, two, config, 2), _CSP(two, two, few, config))
        self.dark3 = nn.Sequential(_conv3(two, three, config, 2), _CSP(three, three, many, config))
        self.dark4 = nn.Sequential(_conv3(three, four, config, 2), _CSP(four, four, many, config))
        self.dark5 = nn.Sequential(_conv3(four, five, config, 2), _PyramidPool(five), _CSP(five, five, few, config, shortcut=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        three = self.dark3(self.dark2(self.stem(x)))
        four = self.dark4(three)
        return three, four, self.dark5(four)


class _Pyramid(nn.Module):
    """The backbone and the pyramid over it, down and up again; its names are upstream's."""

    def __init__(self, config: YoloxConfig) -> None:
        super().__init__()
        three, four, five = (config.channels(full) for full in (256, 512, 1024))
        repeats = config.repeats(3)
        self.backbone = _Darknet(config)
        self.lateral_conv0 = _ConvNorm(five, four, 1)
        self.C3_p4 = _CSP(2 * four, four, repeats, config, shortcut=False)
        self.reduce_conv1 = _ConvNorm(four, three, 1)
        self.C3_p3 = _CSP(2 * three, three, repeats, config, shortcut=False)
        self.bu_conv2 = _conv3(three, three, config, 2)
        self.C3_n3 = _CSP(2 * three, four, repeats, config, shortcut=False)
        self.bu_conv1 = _conv3(four, four, config, 2)
        self.C3_n4 = _CSP(2 * four, five, repeats, config, shortcut=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        three, four, five = self.backbone(x)
        from_five = self.lateral_conv0(five)
        from_four = self.reduce_conv1(self.C3_p4(torch.cat([_doubled(from_five), four], 1)))
        level3: Tensor = self.C3_p3(torch.cat([_doubled(from_four), three], 1))
        level4: Tensor = self.C3_n3(torch.cat([self.bu_conv2(level3), from_four], 1))
        level5: Tensor = self.C3_n4(torch.cat([self.bu_conv1(level4), from_five], 1))
        return level3, level4, level5


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class _Head(nn.Module):
    """One branch for classes, one for boxes and objectness, on each level with weights of its own."""

    def __init__(self, config: YoloxConfig) -> None:
        super().__init__()
        width = config.channels(256)
        self.stems = nn.ModuleList(_ConvNorm(config.channels(full), width, 1) for full in (256, 512, 1024))
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(nn.Sequential(_conv3(width, width, config), _conv3(width, width, config)) for _ in STRIDES) for _ in range(2)
        )
        self.cls_preds, self.reg_preds, self.obj_preds = (
            nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in STRIDES) for outputs in (config.num_classes, 4, 1)
        )
        for prediction in (*self.cls_preds, *self.obj_preds):
            assert isinstance(prediction, nn.Conv2d) and prediction.bias is not None
            nn.init.constant_(prediction.bias, -math.log(99.0))  # every score starts at 0.01 (focal loss)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        classes, boxes, objects = [], [], []
        for level, x in enumerate(maps):
            x = self.stems[level](x)
            classes.append(self.cls_preds[level](self.cls_convs[level](x)))
            regressed = self.reg_convs[level](x)
            boxes.append(self.reg_preds[level](regressed))
            objects.append(self.obj_preds[level](regressed))
        return classes, boxes, objects


class Yolox(nn.Module):
    """x: (N, 3, H, W) float32, BGR, 0 to 255, H and W multiples of 32 -> (class maps, box maps, objectness maps), three each, for STRIDES.

    Class maps (N, C, h, w) and objectness maps (N, 1, h, w) are logits. Box maps (N, 4, h, w): the centre from the cell's corner and the
    logarithms of width and height, (dx, dy, lw, lh), in strides.
    """

    def __init__(self, config: YoloxConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _Pyramid(config)
        self.head = _Head(config)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        result: tuple[list[Tensor], list[Tensor], list[Tensor]] = self.head(self.backbone(x))
        return result
