"""Networks for zoo.py that no package on PyPI has as plain modules, from their published structure: YOLOv8n, YOLO11n, SegFormer-B0.

The two detectors return what deployed ones return: (1, 4 + classes, anchors), boxes as centre and size in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BINS = 16
"""Of the distribution whose mean is a box side's distance."""
CLASSES = 80


class Conv(nn.Sequential):
    """Convolution, norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.SiLU() if act else nn.Identity())


class Bottleneck(nn.Module):
    def __init__(self, channels: int, hidden: int, residual: bool) -> None:
        super().__init__()
        self.first, self.second, self.residual = Conv(channels, hidden, 3), Conv(hidden, channels, 3), residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return x + y if self.residual else y


class Partial(nn.Module):
    """Two 1 × 1 convolutions around three bottlenecks on one of two branches (C3k)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        hidden = outputs // 2
        self.left, self.right, self.join = Conv(channels, hidden), Conv(channels, hidden), Conv(2 * hidden, outputs)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, hidden, True) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat((self.blocks(self.left(x)), self.right(x)), 1))
        return joined


class Split(nn.Module):
    """Half of the channels pass through blocks, and every intermediate result is kept (C2f; with `partial` C3k2)."""

    def __init__(self, inputs: int, outputs: int, blocks: int, residual: bool, share: float = 0.5, partial: bool | None = None) -> None:
        super().__init__()
        self.hidden = int(outputs * share)
        self.first, self.last = Conv(inputs, 2 * self.hidden), Conv((2 + blocks) * self.hidden, outputs)
        inner = self.hidden if partial is None else self.hidden // 2
        self.blocks = nn.ModuleList(
            Partial(self.hidden, self.hidden) if partial else Bottleneck(self.hidden, inner, residual) for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        joined: Tensor = self.last(torch.cat(parts, 1))
        return joined


class PyramidPool(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last, self.pool = Conv(channels, channels // 2), Conv(2 * channels, channels), nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        joined: Tensor = self.last(torch.cat(parts, 1))
        return joined


class Attention(nn.Module):
    """Attention over all pixels, and a feed-forward layer, on half of the channels (C2PSA)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.heads, self.width = heads, hidden // heads
        self.key = self.width // 2
        self.first, self.last = Conv(channels, channels), Conv(channels, channels)
        self.qkv = Conv(hidden, hidden + 2 * self.key * heads, act=False)
        self.place, self.project = Conv(hidden, hidden, 3, groups=hidden, act=False), Conv(hidden, hidden, act=False)
        self.feed = nn.Sequential(Conv(hidden, 2 * hidden), Conv(2 * hidden, hidden, act=False))

    def attend(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(x).view(batch, self.heads, 2 * self.key + self.width, height * width)
        q, k, v = qkv.split((self.key, self.key, self.width), 2)
        weights = ((q.transpose(-2, -1) @ k) * self.key**-0.5).softmax(-1)
        y = (v @ weights.transpose(-2, -1)).view(batch, channels, height, width)
        projected: Tensor = self.project(y + self.place(v.reshape(batch, channels, height, width)))
        return projected

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).chunk(2, 1)
        right = right + self.attend(right)
        joined: Tensor = self.last(torch.cat((left, right + self.feed(right)), 1))
        return joined


class Detect(nn.Module):
    """Boxes as distributions of the distances of their sides, and scores, from three maps."""

    def __init__(self, channels: Sequence[int], size: int, light: bool) -> None:
        super().__init__()
        box, score = max(16, channels[0] // 4, 4 * BINS), max(channels[0], min(CLASSES, 100))

        def scores(inputs: int) -> nn.Sequential:
            if light:
                first = nn.Sequential(Conv(inputs, inputs, 3, groups=inputs), Conv(inputs, score))
                second = nn.Sequential(Conv(score, score, 3, groups=score), Conv(score, score))
                return nn.Sequential(first, second, nn.Conv2d(score, CLASSES, 1))
            return nn.Sequential(Conv(inputs, score, 3), Conv(score, score, 3), nn.Conv2d(score, CLASSES, 1))

        self.boxes = nn.ModuleList(nn.Sequential(Conv(c, box, 3), Conv(box, box, 3), nn.Conv2d(box, 4 * BINS, 1)) for c in channels)
        self.scores = nn.ModuleList(scores(c) for c in channels)
        self.mean = nn.Conv2d(BINS, 1, 1, bias=False)
        self.mean.weight.data[:] = torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1)
        anchors, strides = [], []
        for stride in (8, 16, 32):
            y, x = torch.meshgrid(torch.arange(size // stride) + 0.5, torch.arange(size // stride) + 0.5, indexing="ij")
            anchors.append(torch.stack((x.flatten(), y.flatten())))
            strides.append(torch.full((1, x.numel()), float(stride)))
        self.register_buffer("anchors", torch.cat(anchors, 1).unsqueeze(0))
        self.register_buffer("strides", torch.cat(strides, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        joined = [torch.cat((box(x), score(x)), 1) for x, box, score in zip(maps, self.boxes, self.scores, strict=True)]
        flat = torch.cat([x.flatten(2) for x in joined], 2)
        sides, scores = flat.split((4 * BINS, CLASSES), 1)
        distances = self.mean(sides.unflatten(1, (4, BINS)).transpose(2, 1).softmax(1)).squeeze(1)
        low, high = distances.chunk(2, 1)
        first, last = self.anchors - low, self.anchors + high
        boxes = torch.cat(((first + last) / 2, last - first), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1)


class Yolo(nn.Module):
    """The nano size of YOLOv8, or with `newer` of YOLO11."""

    def __init__(self, size: int, newer: bool = False) -> None:
        super().__init__()

        def split(inputs: int, outputs: int, blocks: int, residual: bool, partial: bool, share: float = 0.5) -> Split:
            return Split(inputs, outputs, 1, True, share, partial) if newer else Split(inputs, outputs, blocks, residual)

        wide = 2 if newer else 1
        self.stem = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), split(32, 32 * wide, 1, True, False, 0.25))
        self.third = nn.Sequential(Conv(32 * wide, 64, 3, 2), split(64, 64 * wide, 2, True, False, 0.25))
        self.fourth = nn.Sequential(Conv(64 * wide, 128, 3, 2), split(128, 128, 2, True, True))
        self.fifth = nn.Sequential(Conv(128, 256, 3, 2), split(256, 256, 1, True, True), PyramidPool(256))
        self.attention = Attention(256, 2) if newer else nn.Identity()
        self.up = nn.Upsample(scale_factor=2)
        self.mix4, self.mix3 = split(384, 128, 1, False, False), split(128 + 64 * wide, 64, 1, False, False)
        self.down3, self.down4 = Conv(64, 64, 3, 2), Conv(128, 128, 3, 2)
        self.out4, self.out5 = split(192, 128, 1, False, False), split(384, 256, 1, False, True)
        self.detect = Detect((64, 128, 256), size, newer)

    def forward(self, x: Tensor) -> Tensor:
        p3 = self.third(self.stem(x))
        p4 = self.fourth(p3)
        p5 = self.attention(self.fifth(p4))
        n4 = self.mix4(torch.cat((self.up(p5), p4), 1))
        n3 = self.mix3(torch.cat((self.up(n4), p3), 1))
        o4 = self.out4(torch.cat((self.down3(n3), n4), 1))
        o5 = self.out5(torch.cat((self.down4(o4), p5), 1))
        boxes: Tensor = self.detect((n3, o4, o5))
        return boxes


class ReducedAttention(nn.Module):
    """Attention of all pixels to those of a map that a strided convolution has made smaller."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.project = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels), nn.Linear(channels, channels)
        self.reduce = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        batch, count, channels = x.shape
        q = self.q(x).reshape(batch, count, self.heads, -1).transpose(1, 2)
        if self.reduce is not None:
            x = self.norm(self.reduce(x.transpose(1, 2).reshape(batch, channels, height, width)).flatten(2).transpose(1, 2))
        k, v = self.kv(x).reshape(batch, -1, 2, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.project(y.transpose(1, 2).reshape(batch, count, channels))
        return projected


class MixBlock(nn.Module):
    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = ReducedAttention(channels, heads, reduction)
        self.grow, self.shrink = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.mix = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        x = x + self.attention(self.norm1(x), height, width)
        y = self.grow(self.norm2(x))
        y = self.mix(y.transpose(1, 2).unflatten(2, (height, width))).flatten(2).transpose(1, 2)
        return x + self.shrink(functional.gelu(y))


class SegFormer(nn.Module):
    """The B0 size: a pyramid of transformers, whose four maps a head of linear layers joins."""

    def __init__(self, classes: int = 150, embedding: int = 256) -> None:
        super().__init__()
        channels, heads, reductions, inputs = (32, 64, 160, 256), (1, 2, 5, 8), (8, 4, 2, 1), 3
        self.embeds, self.norms, self.stages, self.ends = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stage, own in enumerate(channels):
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            self.embeds.append(nn.Conv2d(inputs, own, kernel, stride, kernel // 2))
            self.norms.append(nn.LayerNorm(own))
            self.stages.append(nn.ModuleList(MixBlock(own, heads[stage], reductions[stage]) for _ in range(2)))
            self.ends.append(nn.LayerNorm(own))
            inputs = own
        self.heads = nn.ModuleList(nn.Linear(own, embedding) for own in channels)
        self.fuse = nn.Sequential(nn.Conv2d(4 * embedding, embedding, 1, bias=False), nn.BatchNorm2d(embedding), nn.ReLU())
        self.classify = nn.Conv2d(embedding, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = []
        for embed, norm, blocks, end in zip(self.embeds, self.norms, self.stages, self.ends, strict=True):
            x = embed(x)
            height, width = x.shape[2:]
            tokens = norm(x.flatten(2).transpose(1, 2))
            for block in blocks:
                tokens = block(tokens, height, width)
            x = end(tokens).unflatten(1, (height, width)).permute(0, 3, 1, 2).contiguous()
            maps.append(x)
        size = maps[0].shape[2:]
        joined = []
        for head, part in zip(self.heads, maps, strict=True):
            y = head(part.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, part.shape[2:])
            joined.append(functional.interpolate(y, size, mode="bilinear", align_corners=False))
        classes: Tensor = self.classify(self.fuse(torch.cat(joined[::-1], 1)))
        return classes
