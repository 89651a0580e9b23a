"""Small networks in ONNX files with the outputs of real families, for tests of all that runs network files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parents[1] / "skip" / "importers"))

from onnx_graphs import Builder, export  # noqa: E402

SIZE = (64, 96)


def _levels(b: Builder) -> list[str]:
    """Maps of 16 channels at strides 8, 16 and 32."""
    y = b.node("Relu", b.conv("x", 3, 8, strides=[2, 2]))
    y = b.node("Relu", b.conv(y, 8, 16, strides=[2, 2]))
    maps = []
    for _ in range(3):
        y = b.node("Relu", b.conv(y, 16, 16, strides=[2, 2]))
        maps.append(y)
    return maps


def _rows(b: Builder, y: str, channels: int) -> str:
    return str(b.node("Reshape", y, b.ints(1, channels, -1)))


def yolox_file(path: Path, size: tuple[Any, Any] = SIZE, classes: int = 3) -> Path:
    """(1, N, 5 + classes) as YOLOX's authors export it."""
    b = Builder(11, seed=5)
    rows = []
    for y in _levels(b):
        boxes = b.conv(y, 16, 4, 1)
        sure, classes_ = (b.node("Sigmoid", b.conv(y, 16, count, 1)) for count in (1, classes))
        rows.append(_rows(b, b.node("Concat", boxes, sure, classes_, axis=1), 5 + classes))
    output = b.node("Transpose", b.node("Concat", *rows, axis=2), perm=[0, 2, 1])
    return b.save(path, output, shape=(1, 3, *size))


def ultralytics_file(path: Path, size: tuple[Any, Any] = SIZE, classes: int = 3, **metadata: str) -> Path:
    """(1, 4 + classes, N); boxes are near the middle of the picture."""
    b = Builder(17, seed=6)
    rows = []
    for y in _levels(b):
        boxes = b.node("Mul", b.node("Sigmoid", b.conv(y, 16, 4, 1)), b.constant([[[[60.0]], [[60.0]], [[20.0]], [[20.0]]]]))
        rows.append(_rows(b, b.node("Concat", boxes, b.node("Sigmoid", b.conv(y, 16, classes, 1)), axis=1), 4 + classes))
    b.save(path, b.node("Concat", *rows, axis=2), shape=(1, 3, *size))
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


class Decoded(nn.Module):
    """Decoding as YOLOv8 has it: boxes by distributions over 16 distances (or by distances), classes by sigmoids. bins: 16 or 1."""

    def __init__(self, classes: int, bins: int, masks: int = 0) -> None:
        super().__init__()
        self.bins = bins
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.SiLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.SiLU())
        self.down = nn.ModuleList(nn.Conv2d(16, 16, 3, 2, 1) for _ in range(3))
        self.sides, self.classes = (nn.ModuleList(nn.Conv2d(16, count, 1) for _ in range(3)) for count in (4 * bins, classes))
        self.masks = nn.ModuleList(nn.Conv2d(16, masks, 1) for _ in range(3)) if masks else None
        self.share = nn.Conv2d(bins, 1, 1, bias=False)
        self.share.weight.data[:] = torch.arange(bins).view(1, -1, 1, 1) if bins > 1 else 1.0

    def forward(self, x: Tensor) -> Any:
        small = x = self.stem(x)
        levels, grids, strides, masks = [], [], [], []
        for level, down in enumerate(self.down):
            x = F.silu(down(x))
            joined = torch.cat([self.sides[level](x), self.classes[level](x)], 1)
            rows, columns = x.shape[2:]
            y, across = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
            grids.append(torch.stack([across, y]).view(1, 2, -1))
            strides.append(torch.full((1, 1, rows * columns), 8.0 * 2**level))
            levels.append(joined.view(1, joined.shape[1], -1))
            if self.masks is not None:
                masks.append(self.masks[level](x).view(1, -1, rows * columns))
        every, grid, stride = torch.cat(levels, 2), torch.cat(grids, 2), torch.cat(strides, 2)
        sides, scores = every.split([4 * self.bins, every.shape[1] - 4 * self.bins], 1)
        odds = sides.view(1, 4, self.bins, -1).transpose(1, 2)
        distances = self.share(odds.softmax(1) if self.bins > 1 else odds).view(1, 4, -1)
        low, high = grid - distances[:, :2], grid + distances[:, 2:]
        rows_ = torch.cat(
            [torch.cat([(low + high) / 2, high - low], 1) * stride, scores.sigmoid(), *([torch.cat(masks, 2)] if masks else [])], 1
        )
        return rows_ if self.masks is None else (rows_, small.repeat(1, 2, 1, 1))


def yolov8_file(path: Path, classes: int = 3, bins: int = 16, masks: int = 0) -> Path:
    """Rows and how they were decoded, as Ultralytics exports it."""
    torch.manual_seed(2)
    net = Decoded(classes, bins, masks)
    for branch in (net.classes, net.sides):
        for conv in branch:
            conv.weight.data *= 4
    return export(net, path, 17, (1, 3, *SIZE))


def heat_map_file(path: Path, size: tuple[int, int] = SIZE, joints: int = 17) -> Path:
    """(1, joints, height / 4, width / 4)."""
    b = Builder(13, seed=7)
    y = b.node("Relu", b.conv(b.node("Relu", b.conv("x", 3, 8, strides=[2, 2])), 8, 16, strides=[2, 2]))
    return b.save(path, b.node("Sigmoid", b.conv(y, 16, joints)), shape=(1, 3, *size))


class Segmenting(nn.Module):
    """Features at a quarter of the picture, scores of classes enlarged to all of it, as torchvision's and smp's networks have it.

    end: what becomes of the scores: "scores", "numbers" (int64), "numbers, kept" (as (1, 1, h, w), float32), "chance" or "logit" of one
    class; "coarse" are scores that are not enlarged.
    """

    def __init__(self, classes: int, end: str) -> None:
        super().__init__()
        self.end = end
        first, second, third = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.features = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.classify = nn.Conv2d(16, classes, 1)

    def forward(self, x: Tensor) -> Any:
        scores = self.classify(F.relu(self.features(x)))
        if self.end == "coarse":
            return scores
        scores = F.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)
        if self.end == "numbers":
            return scores.argmax(1)
        if self.end == "numbers, kept":
            return scores.argmax(1, keepdim=True).float()
        return scores.sigmoid() if self.end == "chance" else scores


def segment_net(end: str = "scores", classes: int = 3) -> Segmenting:
    """Random weights whose classes share the picture."""
    torch.manual_seed(4)
    net = Segmenting(1 if end in ("chance", "logit") else classes, end).eval()
    net.classify.weight.data *= 6
    net.classify.bias.data.zero_()
    return net


def segment_file(path: Path, end: str = "scores", classes: int = 3, size: tuple[int, int] = SIZE) -> Path:
    """A class map, in one of its forms."""
    return export(segment_net(end, classes), path, 17, (1, 3, *size))


class People(Decoded):
    """YOLOv8-pose: a person's rows, and 17 joints behind them, x and y from the corner of the cell, as Ultralytics exports it."""

    def __init__(self) -> None:
        super().__init__(1, 16)
        self.joints = nn.ModuleList(nn.Conv2d(16, 51, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        rows, parts = super().forward(x), []
        x = self.stem(x)
        for level, down in enumerate(self.down):
            x = F.silu(down(x))
            height, width = x.shape[2:]
            y, across = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
            values = self.joints[level](x).view(1, 17, 3, -1)
            stride = 8.0 * 2**level
            columns, lines = ((2 * values[:, :, n] + (grid.reshape(1, 1, -1) - 0.5)) * stride for n, grid in enumerate((across, y)))
            parts.append(torch.stack([columns, lines, values[:, :, 2].sigmoid()], 2).view(1, 51, -1))
        return torch.cat([rows, torch.cat(parts, 2)], 1)


def people_file(path: Path, size: tuple[int, int] = SIZE, **metadata: str) -> Path:
    """(1, 56, N)."""
    torch.manual_seed(3)
    net = People()
    for branch in (net.classes, net.sides, net.joints):
        for conv in branch:
            conv.weight.data *= 4
    export(net, path, 17, (1, 3, *size))
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
