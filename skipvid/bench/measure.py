"""Measuring: gated, dense on our kernels and dense elsewhere take turns on the same frames, in one thread of control."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.bench.runtimes import Runtime, open_runtime
from skipvid.models import build_model, load_weights
from skipvid.presets import Preset
from skipvid.runtime.config import SkipConfig
from skipvid.runtime.model import SkipModel

WARM_UP = 2
"""Frames behind the keyframe that are run and not counted: caches, thread pools and the processor's clock settle."""

DENSE_EVERY = 4
"""Of the dense runtimes one run per so many frames: they do not depend on what changed, and take most of the time."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found for one preset and one stream of frames. Keyframe and warm-up are left out.

    what: "patch 10%", or the clip's name. frames: measured. changed: share of the input's pixels that differ from the frame before.
    macs, dense_macs: per frame. skip_ms, dense_ms: of our back end with and without gates, medians. runtime_ms: medians of the others by
    name; missing: why others were not measured. state_bytes: memory of one session.
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
    net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    if weights is not None:
        load_weights(net, weights)
    net.requires_grad_(False)
    return Subject(preset, net, SkipModel(net, config), config.threads, weights.name if weights is not None else "random")


def open_runtimes(subject: Subject, names: Sequence[str], size: tuple[int, int]) -> list[Runtime]:
    """The runtimes `names` for inputs of (height, width) `size`."""
    example = torch.zeros(1, 3, *size)
    return [open_runtime(name, subject.net, example, subject.threads) for name in names]


def measure(subject: Subject, size: tuple[int, int], what: str, frames: Iterable[Tensor], runtimes: Sequence[Runtime]) -> Measurement:
    """Run a stream of inputs (1, 3, h, w) through a new session and, in turns with it, densely.

    Raises UsageError, from the session, for inputs that are no such tensors; ValueError for too few frames to measure anything.
    """
    session = subject.model.session()
    calls: dict[str, Callable[[Tensor], object]] = {"": subject.model.dense}
    calls |= {runtime.name: runtime.run for runtime in runtimes if runtime.run is not None}
    skip_ms: list[float] = []
    dense_ms: dict[str, list[float]] = {name: [] for name in calls}
    changed: list[float] = []
    macs: list[int] = []
    before: Tensor | None = None
    for number, frame in enumerate(frames):
        spent = _milliseconds(session, frame)
        if number > WARM_UP:
            skip_ms.append(spent)
            macs.append(session.cost.macs)
            assert before is not None
            changed.append(float((frame != before).any(1).float().mean()))
        before = frame
        if number <= 1 or number % DENSE_EVERY == 0:
            for name, call in calls.items():
                spent = _milliseconds(call, frame)
                if number > 1:
                    dense_ms[name].append(spent)
    if not skip_ms or not dense_ms[""]:
        raise ValueError(f"{what} has too few frames to be measured")
    medians = {name: statistics.median(values) for name, values in dense_ms.items()}
    return Measurement(
        subject.preset.name,
        size,
        what,
        len(skip_ms),
        float(np.mean(changed)),
        float(np.mean(macs)),
        float(session.cost.dense_macs),
        statistics.median(skip_ms),
        medians.pop(""),
        session.memory_bytes,
        subject.threads,
        subject.model.config.threshold,
        subject.weights,
        medians,
        {runtime.name: runtime.missing for runtime in runtimes if runtime.run is None},
    )


def _milliseconds(call: Callable[[Tensor], object], frame: Tensor) -> float:
    begin = time.perf_counter()
    call(frame)
    return (time.perf_counter() - begin) * 1e3
