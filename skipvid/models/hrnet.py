"""The family of HRNet by name (Sun et al., CVPR 2019). The network is in networks/hrnet.py."""

from __future__ import annotations

from dataclasses import dataclass

from skipvid.models.heatmaps import HeatmapHead
from skipvid.models.spec import PoseSpec


@dataclass(frozen=True, slots=True)
class HRNetConfig:
    """One member of the family. Branch b of a stage has width * 2**b channels at 1 / 2**(b + 2) of the input's size."""

    name: str
    width: int  # channels of the finest branch: the W of W32
    image_size: tuple[int, int]  # (height, width) of the input it was designed for, pixels; multiples of 32
    joints: int = 17  # heat maps
    stem: int = 64  # channels of the two strided convolutions
    bottleneck: int = 64  # inner channels of the first stage
    bottlenecks: int = 4  # blocks of the first stage
    blocks: int = 4  # residual blocks of a branch, per module
    modules: tuple[int, int, int] = (1, 4, 3)  # exchanges between branches in the stages with 2, 3 and 4 branches


CONFIGS: dict[str, HRNetConfig] = {
    config.name: config
    for config in (
        HRNetConfig("hrnet_w32_256x192", width=32, image_size=(256, 192)),
        HRNetConfig("hrnet_w32_384x288", width=32, image_size=(384, 288)),
        HRNetConfig("hrnet_w48_256x192", width=48, image_size=(256, 192)),
        HRNetConfig("hrnet_w48_384x288", width=48, image_size=(384, 288)),
        HRNetConfig("hrnet-nano", width=16, image_size=(256, 192), stem=32, bottleneck=16, bottlenecks=2, blocks=2, modules=(1, 2, 1)),
    )
}
"""The published networks, and a small one of this project."""


SPECS = tuple(
    PoseSpec(config=config, network="skipvid.models.networks.hrnet:HRNet", outputs="joints", head=HeatmapHead)
    for config in CONFIGS.values()
)
