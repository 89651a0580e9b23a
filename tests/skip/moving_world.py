"""Frames of a random world that is looked at through a window, which moves by whole pixels, while single pixels change."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Shift = tuple[int, int]


def walk(shape: tuple[int, ...], count: int, seed: int, steps: tuple[int, int], share: float = 0.05) -> Iterator[tuple[Tensor, Shift]]:
    """Frames (1, C, H, W), each with how far the window moved since the last one: by multiples of `steps`, at times by nothing."""
    generator = torch.Generator().manual_seed(seed)
    _, channels, height, width = shape
    world = torch.randn(1, channels, 5 * height, 5 * width, generator=generator)
    at = torch.tensor([2 * height, 2 * width])
    for number in range(count):
        shift = (0, 0)
        if number and number % 3 != 2:
            by = torch.tensor([_step(extent, step, generator) for extent, step in zip((height, width), steps, strict=True)])
            inside = (at + by >= 0).all() and at[0] + by[0] <= 4 * height and at[1] + by[1] <= 4 * width
            if inside:
                at, shift = at + by, (int(by[0]), int(by[1]))
        changed = torch.rand(world.shape[2:], generator=generator) < share
        world = torch.where(changed, torch.randn(world.shape, generator=generator), world)
        yield world[:, :, at[0] : at[0] + height, at[1] : at[1] + width].clone(), shift


def _step(extent: int, step: int, generator: torch.Generator) -> int:
    most = max(1, extent // step // 2)
    by = step * int(torch.randint(-most, most + 1, (1,), generator=generator))
    return by if abs(by) < extent else 0
