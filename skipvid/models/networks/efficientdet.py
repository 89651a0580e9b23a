"""EfficientDet: an EfficientNet, a bidirectional feature pyramid (BiFPN) and two heads shared by all levels.

Tan, Pang and Le, "EfficientDet: Scalable and Efficient Object Detection" (CVPR 2020). Parameter names are those of the effdet package
(rwightman/efficientdet-pytorch), so that its checkpoints load unchanged.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipvid.models.anchors import ANCHORS_PER_CELL, LEVELS
from skipvid.models.efficientdet import EfficientDetConfig
from skipvid.models.networks.efficientnet import ACTIVATIONS, Conv2d, EfficientNet, pad_same

FUSION_EPS = 1e-4
"""Keeps the normalised fusion weights finite (equation of section 3.3 of the paper)."""


class _ConvNorm(nn.Module):
    """1×1 convolution and BatchNorm, without an activation."""

    def __init__(self, inputs: int, config: EfficientDetConfig) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, config.fpn_channels, 1, bias=config.conv_bias)
        self.bn = _norm(config)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class _SeparableConv(nn.Module):
    """3×3 depthwise, then pointwise; BatchNorm after it where `norm`."""

    def __init__(self, config: EfficientDetConfig, outputs: int, bias: bool, norm: bool) -> None:
        super().__init__()
        channels = config.fpn_channels
        self.conv_dw = Conv2d(channels, channels, 3, groups=channels)
        self.conv_pw = Conv2d(channels, outputs, 1, bias=bias)
        self.bn = _norm(config) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv_pw(self.conv_dw(x)))
        return y


class _Resample(nn.Module):
    """Brings a map to the pyramid's width (1×1 convolution where it differs) and by `step` levels up (halved) or down (nearest)."""

    def __init__(self, inputs: int, step: int, config: EfficientDetConfig) -> None:
        super().__init__()
        self.conv = _ConvNorm(inputs, config) if inputs != config.fpn_channels else nn.Identity()
        self.step = step
        self.same = config.same_padding

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """size: (h, w) of the finer level; needed for a step down."""
        x = self.conv(x)
        if self.step > 0:
            if self.same:
                return F.max_pool2d(pad_same(x, 3, 2, value=-math.inf), 3, 2)
            return F.max_pool2d(x, 3, 2, padding=1)
        return F.interpolate(x, size=size, mode="nearest") if self.step < 0 else x


class _Combine(nn.Module):
    """Weighted sum of maps, all brought to one level: "fast normalised fusion" of section 3.3, or a plain sum."""

    def __init__(self, sources: tuple[int, ...], steps: tuple[int, ...], channels: tuple[int, ...], config: EfficientDetConfig) -> None:
        super().__init__()
        self.sources = sources
        parts = zip(sources, steps, channels, strict=True)
        self.resample = nn.ModuleDict({str(source): _Resample(width, step, config) for source, step, width in parts})
        if config.weighted:
            self.edge_weights = nn.Parameter(torch.ones(len(sources)))
        self.weighted = config.weighted

    def forward(self, maps: list[Tensor]) -> Tensor:
        height, width = maps[self.sources[0]].shape[2:]
        parts = [self.resample[str(source)](maps[source], (height, width)) for source in self.sources]
        if self.weighted:
            weights = self.edge_weights.relu()
            weights = weights / (weights.sum() + FUSION_EPS)
            parts = [part * weights[index] for index, part in enumerate(parts)]
        total: Tensor = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class _Node(nn.Module):
    """One node of the pyramid: combine, activate, convolve."""

    def __init__(self, combine: _Combine, config: EfficientDetConfig) -> None:
        super().__init__()
        self.combine = combine
        conv = _SeparableConv(config, config.fpn_channels, bias=config.conv_bias, norm=True)
        self.after_combine = nn.Sequential()
        self.after_combine.add_module("act", ACTIVATIONS[config.activation]())
        self.after_combine.add_module("conv", conv)

    def forward(self, maps: list[Tensor]) -> Tensor:
        y: Tensor = self.after_combine(self.combine(maps))
        return y


def bifpn_topology() -> list[tuple[int, tuple[int, ...]]]:
    """One row per node of a BiFPN cell, in order: its level, and the maps it combines (figure 2d of the paper).

    Maps 0..4 are the cell's inputs P3..P7, map 5 + i is the output of node i. The first of the maps has the node's own level.
    """
    latest = {level: index for index, level in enumerate(LEVELS)}
    rows: list[tuple[int, tuple[int, ...]]] = []

    def add(level: int, sources: tuple[int, ...]) -> None:
        rows.append((level, sources))
        latest[level] = len(LEVELS) + len(rows) - 1

    for level in LEVELS[-2::-1]:  # top-down
        add(level, (latest[level], latest[level + 1]))
    for level in LEVELS[1:]:  # bottom-up: also the cell's own input, where the top-down path made a second map of that level
        own = LEVELS.index(level)
        sources = (own,) if latest[level] == own else (own, latest[level])
        add(level, (*sources, latest[level - 1]))
    return rows


class _Cell(nn.Module):
    """One repetition of the BiFPN. inputs: channels of its five input maps."""

    def __init__(self, inputs: tuple[int, ...], config: EfficientDetConfig) -> None:
        super().__init__()
        levels = list(LEVELS)
        channels = list(inputs)
        self.fnode = nn.ModuleList()
        for level, sources in bifpn_topology():
            steps = tuple(level - levels[source] for source in sources)
            combine = _Combine(sources, steps, tuple(channels[source] for source in sources), config)
            self.fnode.append(_Node(combine, config))
            levels.append(level)
            channels.append(config.fpn_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = list(maps)
        for node in self.fnode:
            maps.append(node(maps))
        return maps[-len(LEVELS) :]


class _BiFPN(nn.Module):
    def __init__(self, backbone_channels: tuple[int, ...], config: EfficientDetConfig) -> None:
        super().__init__()
        width = config.fpn_channels
        self.resample = nn.ModuleDict({"3": _Resample(backbone_channels[-1], 1, config), "4": _Resample(width, 1, config)})
        inputs = (*backbone_channels, width, width)
        self.cell = nn.Sequential(*(_Cell(inputs if i == 0 else (width,) * len(LEVELS), config) for i in range(config.fpn_repeats)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        p6 = self.resample["3"](maps[-1])
        p7 = self.resample["4"](p6)
        levels: list[Tensor] = self.cell([*maps, p6, p7])
        return levels


class _Head(nn.Module):
    """The same convolutions on every level, each level with BatchNorms of its own."""

    def __init__(self, outputs: int, config: EfficientDetConfig) -> None:
        super().__init__()
        repeats = range(config.head_repeats)
        self.conv_rep = nn.ModuleList(_SeparableConv(config, config.fpn_channels, bias=config.conv_bias, norm=False) for _ in repeats)
        self.bn_rep = nn.ModuleList(nn.ModuleList(nn.ModuleDict({"bn": _norm(config)}) for _ in LEVELS) for _ in repeats)
        self.act = ACTIVATIONS[config.activation]()
        self.predict = _SeparableConv(config, outputs, bias=True, norm=False)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        results = []
        for level, x in enumerate(maps):
            for conv, norms in zip(self.conv_rep, self.bn_rep, strict=True):
                x = self.act(norms[level]["bn"](conv(x)))  # type: ignore[index]
            results.append(self.predict(x))
        return results


class EfficientDet(nn.Module):
    """x: (N, 3, H, W) float32, normalised RGB -> (class_levels, box_levels), five maps each, for levels 3 to 7.

    class_levels[i]: (N, A·C, h, w) logits, channel a·C + c. box_levels[i]: (N, A·4, h, w), channel a·4 + (ty, tx, th, tw), relative to
    the anchors of anchors.py. H and W may be any multiple of 32; from multiples of 128 every level halves exactly.
    """

    def __init__(self, config: EfficientDetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = EfficientNet(config.backbone)
        self.fpn = _BiFPN(self.backbone.channels, config)
        self.class_net = _Head(ANCHORS_PER_CELL * config.num_classes, config)
        self.box_net = _Head(ANCHORS_PER_CELL * 4, config)
        _initialise(self)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        levels = self.fpn(self.backbone(x))
        return self.class_net(levels), self.box_net(levels)


def _norm(config: EfficientDetConfig) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(config.fpn_channels, eps=config.norm_eps, momentum=config.norm_momentum)


@torch.no_grad()
def _initialise(net: EfficientDet) -> None:
    """Variance-preserving weights for pyramid and heads; class biases such that every score starts at 0.01 (focal loss, section 4)."""
    for part in (net.fpn, net.class_net, net.box_net):
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.in_channels // module.groups * math.prod(module.kernel_size)
                nn.init.normal_(module.weight, std=math.sqrt(1.0 / fan_in))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    prediction = net.class_net.predict.conv_pw
    nn.init.constant_(prediction.bias, -math.log(99.0))  # type: ignore[arg-type]
