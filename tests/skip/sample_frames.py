"""Frames that change the way a stream does: locally, barely, everywhere, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def frames(shape: tuple[int, ...], count: int, seed: int = 0) -> Iterator[Tensor]:
    """`count` frames of (1, C, H, W): each differs from the one before in a rectangle, a pixel, a little noise, everywhere or nowhere."""
    random = torch.Generator().manual_seed(seed)
    height, width = shape[2:]
    frame = torch.randn(shape, generator=random)
    for _ in range(count):
        yield frame.clone()
        kind = int(torch.randint(12, (), generator=random))
        y, x = (int(torch.randint(extent, (), generator=random)) for extent in (height, width))
        if kind < 5:
            part = frame[:, :, y : y + 1 + height // 4, x : x + 1 + width // 4]
            part.copy_(torch.randn(part.shape, generator=random))
        elif kind < 8:
            frame[:, :, y, x] += 0.1 * kind
        elif kind == 8:
            frame = frame + 0.01 * torch.randn(shape, generator=random)
        elif kind == 9:
            frame = torch.randn(shape, generator=random)
        elif kind == 10:
            frame = torch.zeros(shape) if height % 2 else frame.flip(3)
