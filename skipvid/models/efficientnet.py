"""EfficientNet and EfficientNet-Lite as backbones of detectors: what makes up a member. The network is in networks/efficientnet.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the topology: `repeats` blocks of which the first has the stride, all before scaling by width and depth."""

    repeats: int
    kernel: int
    stride: int
    expand: int  # channels of the depthwise convolution over the block's input channels; 1 = a block without expansion
    channels: int


@dataclass(frozen=True, slots=True)
class EfficientNetConfig:
    """A backbone. The maps handed out are the last ones of stride 8, 16 and 32."""

    stages: tuple[Stage, ...]
    stem: int = 32  # channels after the first convolution, before scaling
    width: float = 1.0  # factor on channels, rounded to a multiple of 8
    depth: float = 1.0  # factor on repeats, rounded up
    squeeze: bool = True  # squeeze-and-excite in every block, a quarter of the block's input channels
    shortcut: bool = True  # identity around every block that keeps the shape of its input
    scale_ends: bool = True  # Lite keeps the stem's width and the repeats of the first and last stage
    activation: str = "silu"  # silu | relu6
    same_padding: bool = False  # pad like TensorFlow ("SAME") instead of symmetrically
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1


B0_STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expand=1, channels=16),
    Stage(repeats=2, kernel=3, stride=2, expand=6, channels=24),
    Stage(repeats=2, kernel=5, stride=2, expand=6, channels=40),
    Stage(repeats=3, kernel=3, stride=2, expand=6, channels=80),
    Stage(repeats=3, kernel=5, stride=1, expand=6, channels=112),
    Stage(repeats=4, kernel=5, stride=2, expand=6, channels=192),
    Stage(repeats=1, kernel=3, stride=1, expand=6, channels=320),
)
"""EfficientNet-B0, Table 1 of the paper, without its head."""
