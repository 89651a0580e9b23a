"""PP-TinyPose by name (PaddleDetection). The network is in networks/tinypose.py."""

from __future__ import annotations

from dataclasses import dataclass

from skipvid.models.heatmaps import HeatmapHead
from skipvid.models.spec import PoseSpec


@dataclass(frozen=True, slots=True)
class TinyPoseConfig:
    """One member of the family."""

    name: str
    image_size: tuple[int, int]  # (height, width) of the input it was designed for, pixels; multiples of 32
    stem: int = 32  # channels at 1/4 of the input's size
    channels: tuple[int, ...] = (40, 80, 160, 320)  # of the branches, the finest first
    modules: tuple[int, ...] = (2, 4, 2)  # exchanges between branches in the stages with 2, 3 and 4 branches
    units: int = 2  # shuffle units of a branch, per module
    joints: int = 17  # heat maps


CONFIGS: dict[str, TinyPoseConfig] = {"tinypose_256x192": TinyPoseConfig("tinypose_256x192", (256, 192))}


SPECS = tuple(
    PoseSpec(config=config, network="skipvid.models.networks.tinypose:TinyPose", outputs="joints", head=HeatmapHead)
    for config in CONFIGS.values()
)
