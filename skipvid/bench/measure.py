"""Measuring: gated, dense on our kernels and dense elsewhere take turns on the same frames, in one thread of control."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.bench.runtimes import Frames, Runtime, open_runtime
from skipvid.core.errors import UsageError
from skipvid.models import build_model, load_weights
from skipvid.presets.preset import FILE, Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.tasks.network_files import open_net

T = TypeVar("T")

WARM_UP = 2
"""Frames behind the keyframe that are run and not counted: caches, thread pools and the processor's clock settle."""

DENSE_EVERY = 4
"""Of the dense runtimes one run per so many frames: they do not depend on what changed, and take most of the time."""

SETTLE = 0.02
"""Seconds before and after another runtime's turn: some have threads that wait for work by spinning, and would take a core from others."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found for one preset and one stream of frames. Keyframe and warm-up are left out.

    what: "patch 10%", or the clip's name. frames: measured. changed: share of the input's pixels that differ from the frame before.
    macs, dense_macs: per frame. skip_ms, dense_ms: of our back end with and without gates, medians. runtime_ms: medians of the others by
    name; missing: why others were not measured. state_bytes: memory of one session. precision: "f32" or "bf16", of our back end.
    """

    preset: str
    size: tuple[int, int]
    what: str
    frames: int
    changed: float
    macs: float
    dense_macs: float
    skip_ms: float
    dense_ms: float
    state_bytes: int
    threads: int
    threshold: float
    weights: str
    precision: str
    runtime_ms: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def saving(self) -> float:
        """Fraction of MACs not spent."""
        return 1 - self.macs / self.dense_macs

    @property
    def reduction(self) -> float:
        """How many times fewer MACs; infinite where nothing was computed."""
        return self.dense_macs / self.macs if self.macs else float("inf")

    @property
    def speedup(self) -> float:
        """Our dense time over our gated time."""
        return self.dense_ms / self.skip_ms


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A preset's network, gated. weights: what was loaded, for the record."""

    preset: Preset
    net: nn.Module
    model: SkipModel
    threads: int
    weights: str


def load_subject(preset: Preset, config: SkipConfig, weights: Path | None) -> Subject:
    """Build a preset's network. weights: None = random ones, always the same. Raises WeightsError where they do not fit."""
    torch.manual_seed(0)
    if preset.model == FILE:
        if weights is None:
            raise UsageError(f"preset {preset.name} is a network file, which has no random weights", "leave out --weights random")
        net = open_net(preset, weights)
    else:
        net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
        if weights is not None:
            load_weights(net, weights)
    net.requires_grad_(False)
    return Subject(preset, net, SkipModel(net, config), config.threads, weights.name if weights is not None else "random")


def open_runtimes(subject: Subject, names: Sequence[str], size: tuple[int, int], frames: Frames) -> list[Runtime]:
    """The runtimes `names` for inputs of (height, width) `size`, such as `frames` makes."""
    example = torch.zeros(1, 3, *size)
    return [open_runtime(name, subject.net, example, subject.threads, frames) for name in names]


def measure(subject: Subject, size: tuple[int, int], what: str, frames: Iterable[Picture], runtimes: Sequence[Runtime]) -> Measurement:
    """Run a stream of inputs through a new session and, in turns with it, densely. Raises UsageError for too few frames to measure.

    Our own times include the conversion from bytes; the other runtimes get tensors. All frames are made before any is run: a decoder reads
    ahead in threads of its own, which would take a core from whatever runs next, and that is the gated run.
    """
    session = subject.model.session()
    calls: dict[str, Callable[[Tensor], object]] = {runtime.name: runtime.run for runtime in runtimes if runtime.run is not None}
    skip_ms: list[float] = []
    dense_ms: list[float] = []
    others_ms: dict[str, list[float]] = {name: [] for name in calls}
    changed: list[float] = []
    macs: list[int] = []
    before: Picture | None = None
    for number, frame in enumerate(list(frames)):
        taken = _milliseconds(session, frame)
        if number > WARM_UP:
            skip_ms.append(taken)
            macs.append(session.cost.macs)
            assert before is not None
            changed.append(float((frame.pixels != before.pixels).any(2).mean()))
        before = frame
        if number <= 1 or number % DENSE_EVERY == 0:
            spent = [_milliseconds(subject.model.dense, frame)]
            if calls:
                tensor = frame.tensor()
                for call in calls.values():
                    time.sleep(SETTLE)
                    spent.append(_milliseconds(call, tensor))
                time.sleep(SETTLE)
            if number > 1:
                for times, value in zip((dense_ms, *others_ms.values()), spent, strict=True):
                    times.append(value)
    if not skip_ms or not dense_ms:
        raise UsageError(f"{what} has too few frames to be measured", f"{DENSE_EVERY + 1} are the fewest")
    return Measurement(
        subject.preset.name,
        size,
        what,
        len(skip_ms),
        float(np.mean(changed)),
        float(np.mean(macs)),
        float(session.cost.dense_macs),
        statistics.median(skip_ms),
        statistics.median(dense_ms),
        session.memory_bytes,
        subject.threads,
        subject.model.config.threshold,
        subject.weights,
        subject.model.precision,
        {name: statistics.median(times) for name, times in others_ms.items()},
        {runtime.name: runtime.missing for runtime in runtimes if runtime.run is None},
    )


def _milliseconds(call: Callable[[T], object], frame: T) -> float:
    begin = time.perf_counter()
    call(frame)
    return (time.perf_counter() - begin) * 1e3
