"""EfficientDet: an EfficientNet, a bidirectional feature pyramid (BiFPN) and two heads shared by all levels.

Tan, Pang and Le, "EfficientDet: Scalable and Efficient Object Detection" (CVPR 2020). Parameter names are those of the effdet package
(rwightman/efficientdet-pytorch), so that its checkpoints load unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipvid.models.anchors import ANCHORS_PER_CELL, LEVELS, AnchorHead
from skipvid.models.efficientnet import ACTIVATIONS, B0_STAGES, Conv2d, EfficientNet, EfficientNetConfig, Stage, pad_same
from skipvid.models.spec import DetectorSpec

FUSION_EPS = 1e-4
"""Keeps the normalised fusion weights finite (equation of section 3.3 of the paper)."""


@dataclass(frozen=True, slots=True)
class EfficientDetConfig:
    """A detector. Levels, ratios and scales of the anchors are the same in the whole family; see anchors.py."""

    name: str
    backbone: EfficientNetConfig
    fpn_channels: int
    fpn_repeats: int
    head_repeats: int
    image_size: tuple[int, int]  # (height, width) of the training, pixels
    num_classes: int = 90  # COCO category numbers 1..90, ten of them unused
    anchor_scale: float = 4.0  # side of the smallest anchor over the level's stride
    activation: str = "silu"
    weighted: bool = True  # learned fusion weights; otherwise a plain sum
    conv_bias: bool = True  # a bias before every BatchNorm too, as TensorFlow's checkpoints have it
    same_padding: bool = True
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01


_TF_B0 = EfficientNetConfig(B0_STAGES, same_padding=True, norm_eps=1e-3)
_PLAIN_B0 = EfficientNetConfig(B0_STAGES)
_LITE0 = replace(_TF_B0, squeeze=False, scale_ends=False, activation="relu6")

# Depthwise convolutions, strides and widths are those of PP-LCNet x0.75, whose pointwise convolutions the projections and expansions of
# neighbouring blocks factorise: see skipvid/train/transplant.py.
_NANO = EfficientNetConfig(
    stages=(
        Stage(repeats=1, kernel=3, stride=1, expand=1, channels=8),
        Stage(repeats=1, kernel=3, stride=2, expand=3, channels=24),
        Stage(repeats=1, kernel=3, stride=1, expand=2, channels=24),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=48),
        Stage(repeats=1, kernel=3, stride=1, expand=2, channels=48),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=96),
        Stage(repeats=5, kernel=5, stride=1, expand=2, channels=96),
        Stage(repeats=1, kernel=5, stride=2, expand=2, channels=192),
        Stage(repeats=1, kernel=5, stride=1, expand=2, channels=192),
    ),
    stem=16,
    squeeze=False,  # a global mean would spread every change over the whole map
    shortcut=False,  # the pretrained layers have none
)


def _tf(name: str, size: int, width: float, depth: float, channels: int, fpn_repeats: int, head_repeats: int) -> EfficientDetConfig:
    backbone = replace(_TF_B0, width=width, depth=depth)
    return EfficientDetConfig(name, backbone, channels, fpn_repeats, head_repeats, (size, size))


def _lite(name: str, size: int, width: float, depth: float, channels: int, fpn_repeats: int) -> EfficientDetConfig:
    backbone = replace(_LITE0, width=width, depth=depth)
    return EfficientDetConfig(name, backbone, channels, fpn_repeats, 3, (size, size), anchor_scale=3.0, activation="relu6", weighted=False)


def _plain(name: str, size: int, width: float, depth: float, channels: int, fpn_repeats: int) -> EfficientDetConfig:
    backbone = replace(_PLAIN_B0, width=width, depth=depth)
    return EfficientDetConfig(name, backbone, channels, fpn_repeats, 3, (size, size), conv_bias=False, same_padding=False)


CONFIGS: dict[str, EfficientDetConfig] = {
    config.name: config
    for config in (
        _tf("tf_efficientdet_d0", 512, width=1.0, depth=1.0, channels=64, fpn_repeats=3, head_repeats=3),
        _tf("tf_efficientdet_d1", 640, width=1.0, depth=1.1, channels=88, fpn_repeats=4, head_repeats=3),
        _tf("tf_efficientdet_d2", 768, width=1.1, depth=1.2, channels=112, fpn_repeats=5, head_repeats=3),
        _tf("tf_efficientdet_d3", 896, width=1.2, depth=1.4, channels=160, fpn_repeats=6, head_repeats=4),
        _tf("tf_efficientdet_d4", 1024, width=1.4, depth=1.8, channels=224, fpn_repeats=7, head_repeats=4),
        _lite("tf_efficientdet_lite0", 320, width=1.0, depth=1.0, channels=64, fpn_repeats=3),
        _lite("tf_efficientdet_lite1", 384, width=1.0, depth=1.1, channels=88, fpn_repeats=4),
        _lite("tf_efficientdet_lite2", 448, width=1.1, depth=1.2, channels=112, fpn_repeats=5),
        _plain("efficientdet_d0", 512, width=1.0, depth=1.0, channels=64, fpn_repeats=3),
        _plain("efficientdet_d1", 640, width=1.0, depth=1.1, channels=88, fpn_repeats=4),
        EfficientDetConfig(
            name="efficientdet-nano",
            backbone=_NANO,
            fpn_channels=64,
            fpn_repeats=3,
            head_repeats=2,
            image_size=(416, 544),
            num_classes=6,  # person, bicycle, car, motorcycle, bus, truck
            anchor_scale=3.0,  # people in street scenes are small
            conv_bias=False,
            same_padding=False,
            norm_eps=1e-5,
            norm_momentum=0.1,
        ),
    )
}
"""All members of the family by name: `tf_` ported from TensorFlow, plain ones trained in PyTorch, and the project's own."""


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


SPECS = tuple(
    DetectorSpec(
        config=config,
        network=EfficientDet,
        outputs="num_classes",
        head=partial(AnchorHead, anchor_scale=config.anchor_scale),
    )
    for config in CONFIGS.values()
)
