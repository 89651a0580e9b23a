"""Does skipping pay? A short run of a converted network says it before anybody wonders."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skipvid.skip.backend import Program

SHARE = 0.05
"""Of the picture, that changes."""
ROUNDS = 3
"""Frames of each kind, the first of which is not timed."""


def measured(program: Program, shapes: Sequence[tuple[int, ...]]) -> str:
    """One sentence. shapes: of the network's inputs, (1, C, H, W) each."""
    generator = torch.Generator(device="cpu").manual_seed(0)

    def frame() -> list[Tensor]:
        return [_changed(shape, generator) for shape in shapes]

    state = program.new_state()
    program.run(state, frame(), True)
    gated, dense = _best(lambda: program.run(state, frame(), False)), _best(lambda: program.run_dense(frame()))
    times = f"{gated:.1f} ms gated, {dense:.1f} ms dense"
    if gated > dense:
        return f"tried with {SHARE:.0%} of the picture changing: {times}; where that goes on, frames are computed densely"
    return f"tried with {SHARE:.0%} of the picture changing: {times}, {dense / gated:.1f} times as fast"


def _changed(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A map with other content in a corner; the rest is 0."""
    result = torch.zeros(shape, dtype=torch.float32, device="cpu")
    height, width = (max(1, round(extent * SHARE**0.5)) for extent in shape[2:])
    result[..., :height, :width] = torch.randn(*shape[:2], height, width, generator=generator, dtype=torch.float32, device="cpu")
    return result


def _best(run: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    return min(times[1:])
