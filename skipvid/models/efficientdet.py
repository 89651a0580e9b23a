"""The family of EfficientDet by name (Tan, Pang and Le, CVPR 2020). The network is in networks/efficientdet.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from skipvid.models.anchors import AnchorHead
from skipvid.models.efficientnet import B0_STAGES, EfficientNetConfig, Stage
from skipvid.models.spec import DetectorSpec


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


SPECS = tuple(
    DetectorSpec(
        config=config,
        network="skipvid.models.networks.efficientdet:EfficientDet",
        outputs="num_classes",
        head=partial(AnchorHead, anchor_scale=config.anchor_scale),
    )
    for config in CONFIGS.values()
)
