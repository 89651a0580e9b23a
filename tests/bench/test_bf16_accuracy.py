"""The floors of benchmarks/bf16_accuracy.py: what f32 shows against what it shows under noise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import bf16_accuracy  # noqa: E402
from measured_clips import Passes  # noqa: E402

from skipvid.core.results import Detections  # noqa: E402
from skipvid.evaluate.goal import with_noise  # noqa: E402
from skipvid.evaluate.material import Seen  # noqa: E402
from skipvid.skip.config import SkipConfig  # noqa: E402


def seen(*frames: int) -> Seen:
    """So many objects in each frame, always at the same places."""
    boxes = np.array([[20.0 * number, 0, 20 * number + 10, 10] for number in range(9)], np.float32)
    found = [Detections(boxes[:count], np.full(count, 0.9, np.float32), np.zeros(count, np.int64), ("",) * count) for count in frames]
    return Seen(found, np.zeros(len(frames), np.int64), np.zeros(len(frames), np.int64), np.zeros(len(frames)))


def test_a_floor_of_several_draws_is_the_f1_of_all_of_them_together() -> None:
    own = seen(4, 2)
    draws = [bf16_accuracy.counts(own, other) for other in (seen(4, 2), seen(2, 2), seen(4, 0))]
    pairs, every = 2 * (6 + 4 + 4), 12 + 10 + 10
    assert bf16_accuracy.f1(np.sum(draws, axis=0)) == pytest.approx(pairs / every)


def test_passes_under_noise_are_kept_apart_by_draw_strength_and_gates() -> None:
    kept: list[tuple[str, str]] = []

    class Named(Passes):
        def _kept(self, engine: Any, material: Any, way: str, start: Any, change: Callable[[Any], Any] = lambda f: f) -> Seen:
            kept.append((way, start))
            return seen(1)

    engine: Any = SimpleNamespace(model=SimpleNamespace(config=SkipConfig(precision="f32")), stream="gated", dense_stream="dense")
    passes = Named(None)
    passes.noisy(engine, Any, with_noise())
    bf16_accuracy.noisy(passes, engine, Any)
    bf16_accuracy.noisy(passes, engine, Any, 0.25)
    ways = [way for way, _ in kept]
    assert len(set(ways)) == len(ways) == 1 + 2 * bf16_accuracy.DRAWS
    assert [start for _, start in kept] == ["dense"] + ["gated"] * (len(kept) - 1)
    assert ways[0] == "noise dense f32", "as the passes of other scripts are named, which share a folder"
