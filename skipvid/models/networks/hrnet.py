"""HRNet for pose estimation (Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019).

Parameter names are those of the original code, so that its checkpoints load; MMPose's are the same under "backbone." and "head.".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from skipvid.models.hrnet import HRNetConfig

EXPANSION = 4
"""A bottleneck returns this many times its inner channels."""

V = TypeVar("V")


def _conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3(channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 around a shortcut, which is projected where the number of channels changes."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _conv3(inner, inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.downsample = projection if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _fusion(source: int, target: int, channels: tuple[int, ...]) -> nn.Module:
    """What brings branch `source` to the size and width of branch `target`."""
    inputs, outputs = channels[source], channels[target]
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), up)
    steps = target - source
    halvings = [nn.Sequential(_conv3(inputs, inputs, 2), nn.BatchNorm2d(inputs), nn.ReLU()) for _ in range(steps - 1)]
    return nn.Sequential(*halvings, nn.Sequential(_conv3(inputs, outputs, 2), nn.BatchNorm2d(outputs)))


class HighResolutionModule(nn.Module):
    """Parallel branches, then an exchange: every output is the sum of all branches. outputs: how many of them, the finest first."""

    def __init__(self, channels: tuple[int, ...], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(source, target, channels) for source in range(len(channels))) for target in range(outputs)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        results = []
        for row in self.fuse_layers:
            assert isinstance(row, nn.ModuleList)
            parts = [layer(x) for layer, x in zip(row, maps, strict=True)]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            results.append(F.relu(total))
        return results


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """One layer per branch of the next stage. The last one halves the coarsest map; the others only adapt the width."""
    layers: list[nn.Module] = []
    for branch, width in enumerate(after):
        if branch < len(before):
            adapt = nn.Sequential(_conv3(before[branch], width), nn.BatchNorm2d(width), nn.ReLU())
            layers.append(adapt if before[branch] != width else nn.Identity())
        else:
            halving = nn.Sequential(_conv3(before[-1], width, 2), nn.BatchNorm2d(width), nn.ReLU())
            layers.append(nn.Sequential(halving))
    return nn.ModuleList(layers)


def _branch_out(layers: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    """Maps of one stage -> maps of the next, which has a branch more."""
    return [layer(maps[min(branch, len(maps) - 1)]) for branch, layer in enumerate(layers)]


class HRNet(nn.Module):
    """x: (N, 3, H, W) float32, H and W multiples of 32 -> heat maps (N, joints, H / 4, W / 4) float32."""

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = _conv3(3, config.stem, 2)
        self.bn1 = nn.BatchNorm2d(config.stem)
        self.conv2 = _conv3(config.stem, config.stem, 2)
        self.bn2 = nn.BatchNorm2d(config.stem)
        wide = config.bottleneck * EXPANSION
        rest = (Bottleneck(wide, config.bottleneck) for _ in range(config.bottlenecks - 1))
        self.layer1 = nn.Sequential(Bottleneck(config.stem, config.bottleneck), *rest)
        two, three, four = (tuple(config.width * 2**branch for branch in range(count)) for count in (2, 3, 4))
        self.transition1 = _transition((wide,), two)
        self.stage2 = self._stage(two, config.modules[0])
        self.transition2 = _transition(two, three)
        self.stage3 = self._stage(three, config.modules[1])
        self.transition3 = _transition(three, four)
        self.stage4 = self._stage(four, config.modules[2], outputs=1)
        self.final_layer = nn.Conv2d(config.width, config.joints, 1)

    def _stage(self, channels: tuple[int, ...], modules: int, outputs: int | None = None) -> nn.Sequential:
        """outputs: of the last module; all branches where None."""
        counts = [len(channels)] * (modules - 1) + [outputs or len(channels)]
        return nn.Sequential(*(HighResolutionModule(channels, self.config.blocks, count) for count in counts))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        maps = [self.layer1(x)]
        maps = self.stage2(_branch_out(self.transition1, maps))
        maps = self.stage3(_branch_out(self.transition2, maps))
        maps = self.stage4(_branch_out(self.transition3, maps))
        heatmaps: Tensor = self.final_layer(maps[0])
        return heatmaps

    def adapt_keys(self, state: Mapping[str, V]) -> dict[str, V]:
        """MMPose's names -> ours; the constants of its preprocessing, which some of its files hold, are left out."""
        if not any(key.startswith("backbone.") for key in state):
            return dict(state)
        kept = {key: value for key, value in state.items() if not key.startswith("data_preprocessor.")}
        return {re.sub(r"^(backbone|head|keypoint_head)\.", "", key): value for key, value in kept.items()}
