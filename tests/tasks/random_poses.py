"""A pose network with random weights, which finds every keypoint somewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from skipvid import build_model
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.pose_engine import PoseEngine


def random_pose_engine(folder: Path, image_size: tuple[int, int]) -> PoseEngine:
    """folder: where its weights are written. image_size: (height, width) of a window."""
    torch.manual_seed(0)
    net = build_model("hrnet-nano")
    net.final_layer.bias.data.fill_(0.6)  # type: ignore[union-attr, operator]
    path = folder / "random.pt"
    torch.save(net.state_dict(), path)
    preset = replace(load_preset("hrnet_w32_256x192"), model="hrnet-nano", image_size=image_size)
    return PoseEngine(preset, SkipConfig(), path)
