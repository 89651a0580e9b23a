"""Calibration by goal: thresholds are found on some blocks of time, and what they do is measured on the block that was left out.

Each clip is cut into FOLDS blocks. For each of them, the proportions of the thresholds and the level that meets the goal come from the
other blocks; what is promised is what the left-out blocks, taken together, then show. The thresholds that are kept have their proportions
from all blocks, and the mean level. Streams run through all blocks, so that a block begins as it would in use.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError, UsageError
from skipvid.core.results import Frame
from skipvid.evaluate.bootstrap import DRAWS, Interval, blocks_of, bootstrap
from skipvid.evaluate.material import FOLDS, Material, Seen
from skipvid.evaluate.run import joined, main_measure
from skipvid.skip.recording import Recorder
from skipvid.skip.sensitivity import Sensitivity, check_calibrated, rounded
from skipvid.tasks.engine import Engine

LEVELS = tuple(2 ** (step / 2) for step in range(-2, 5))
"""Levels that are tried, in units of the network's one threshold: from half of it to four times."""

SAMPLES = 6
"""Frames of each block that the sensitivity is measured on."""

BLOCK_FRAMES = 25
"""Frames that the bootstrap draws together."""


@dataclass(frozen=True, slots=True)
class Goal:
    """drop: lose at most `value` points. saving: need `value` times fewer MACs. budget: `value` milliseconds a frame for the network."""

    kind: Literal["drop", "saving", "budget"]
    value: float

    def __str__(self) -> str:
        words = {"drop": "at most {:g} points lost", "saving": "{:g} times fewer MACs", "budget": "at most {:g} ms a frame"}
        return words[self.kind].format(self.value)

    def met_by(self, point: Point) -> bool:
        if self.kind == "drop":
            return point.lost.value <= self.value
        return point.fewer >= self.value if self.kind == "saving" else point.ms <= self.value


@dataclass(frozen=True, slots=True)
class Point:
    """A working point. lost: points of the measure against the yardstick. fewer: times fewer MACs. ms: median of the network a frame."""

    level: float
    lost: Interval
    fewer: float
    ms: float


@dataclass(frozen=True, slots=True)
class Found:
    """threshold, thresholds: to be used. promised: measured on the blocks that were left out. frontier: the same at every level.

    measure: its name. yardstick: the measure of the dense network; without truth, of the dense network under noise. dense_ms: its time.
    """

    threshold: float
    thresholds: dict[str, float]
    promised: Point
    frontier: tuple[Point, ...]
    measure: str
    yardstick: float
    dense_ms: float
    frames: int


def calibrate_by_goal(
    engine: Engine,
    material: Material,
    goal: Goal,
    *,
    keep: Path | None = None,
    floor: float = 0.0,
    tell: Callable[[str], None] = lambda text: None,
) -> Found:
    """Find thresholds that meet a goal on frames that they were not found on.

    keep: a folder for what was run, so that a second call goes on where the first one ended. floor: the lowest threshold of a map.
    Raises UsageError where the engine's gates have no thresholds of single maps, or no working point meets the goal.
    """
    check_calibrated(engine.model.config)
    return _Search(engine, material, goal, keep, floor, tell).run()


def with_noise(seed: int = 0, sigma: float = 1.0) -> Callable[[Frame], Frame]:
    """What adds Gaussian noise of so many grey levels to frames: the least change that any camera makes."""
    random = np.random.default_rng(seed)

    def spoilt(frame: Frame) -> Frame:
        noisy = frame.image + sigma * random.standard_normal(frame.image.shape, np.float32)
        return replace(frame, picture=np.clip(np.rint(noisy), 0, 255).astype(np.uint8))

    return spoilt


class _Search:
    def __init__(
        self, engine: Engine, material: Material, goal: Goal, keep: Path | None, floor: float, tell: Callable[[str], None]
    ) -> None:
        self.engine, self.material, self.goal, self.keep, self.floor, self.tell = engine, material, goal, keep, floor, tell
        self.unit = engine.model.config.threshold or 0.03
        self.passes = len(LEVELS) * FOLDS + (1 if material.labels else 2)
        self.done = 0

    def run(self) -> Found:
        self.dense = self._seen("dense", lambda: Seen.of(self.material, self.engine.dense_stream, self._dense_macs()))
        noisy = lambda: Seen.of(self.material, self.engine.dense_stream, self._dense_macs(), with_noise())  # noqa: E731
        self.yardstick = self.dense if self.material.labels else self._seen("noise", noisy)
        sensitivities = self._sensitivities()
        self.tell("measured how much the outputs depend on each map")
        self.gated = [[self._run(fold, number, _together(sensitivities, fold)) for number in range(len(LEVELS))] for fold in range(FOLDS)]
        frontier = tuple(self._held_out([number] * FOLDS) for number in range(len(LEVELS)))
        levels, promised = self._chosen(frontier)
        level = rounded(self.unit * math.exp(sum(math.log(LEVELS[number]) for number in levels) / FOLDS))
        thresholds = {name: rounded(value) for name, value in _together(sensitivities, None).thresholds(level, self.floor).items()}
        everything = np.ones(len(self.material), np.bool_)
        reference = self.material.measured(self.yardstick, self.dense, everything)
        measure, value = main_measure(reference)
        times = np.ones(len(reference.groups), np.int64)
        return Found(level, thresholds, promised, frontier, measure, value(times), float(np.median(self.dense.ms)), len(self.material))

    def _chosen(self, frontier: Sequence[Point]) -> tuple[list[int], Point]:
        """The level of each fold, which the other blocks choose, and what the left-out blocks show; more careful where they show less."""
        careful = -1 if self.goal.kind == "drop" else 1
        levels = [self._choice(fold) for fold in range(FOLDS)]
        while all(number is not None and 0 <= number < len(LEVELS) for number in levels):
            chosen = [number for number in levels if number is not None]
            point = self._held_out(chosen)
            if self.goal.met_by(point):
                return chosen, point
            levels = [number + careful for number in chosen]
        best = min(frontier, key=lambda point: point.lost.value if self.goal.kind == "drop" else -point.fewer)
        near = f"{best.lost.value:.2f} points lost at {best.fewer:.2f} times fewer MACs, {best.ms:.1f} ms"
        raise UsageError(
            f"no working point meets the goal on the frames that were left out: {self.goal}", f"ask for less; the nearest has {near}"
        )

    def _choice(self, fold: int) -> int | None:
        """The level for a block, chosen on the others: for a drop the highest below which all are good, else the lowest that is good."""
        others = self.material.folds != fold
        good = [self.goal.met_by(self._point(number, [self.gated[fold][number]], [others], 0)) for number in range(len(LEVELS))]
        if self.goal.kind == "drop":
            highest = (good.index(False) if False in good else len(LEVELS)) - 1
            return highest if highest >= 0 else None
        return good.index(True) if True in good else None

    def _held_out(self, levels: Sequence[int]) -> Point:
        seen = [self.gated[fold][number] for fold, number in enumerate(levels)]
        return self._point(levels[0], seen, [self.material.folds == fold for fold in range(FOLDS)], DRAWS)

    def _point(self, number: int, seen: Sequence[Seen], frames: Sequence[NDArray[np.bool_]], draws: int) -> Point:
        """What ways of running do on frames of their own, taken together. draws: of the bootstrap; 0 = no interval."""
        own = joined([self.material.measured(each, self.dense, some) for each, some in zip(seen, frames, strict=True)])
        other = joined([self.material.measured(self.yardstick, self.dense, some) for some in frames])
        if not own.groups:
            raise SourceError("no frame of a block of time has a label", "give clips with labels all over their length")
        (_, mine), (_, theirs) = main_measure(own), main_measure(other)
        blocks = blocks_of(own.groups, BLOCK_FRAMES)

        def lost(times: NDArray[np.int64]) -> float:
            return theirs(times) - mine(times)

        value = lost(np.ones(len(own.groups), np.int64))
        interval = bootstrap(lost, blocks, draws) if draws else Interval(value, -math.inf, math.inf)
        return Point(self.unit * LEVELS[number], interval, own.fewer, float(np.median(own.model_ms)))

    def _run(self, fold: int, number: int, sensitivity: Sensitivity) -> Seen:
        """A run of all frames with thresholds whose proportions come from all blocks but one."""
        level = self.unit * LEVELS[number]
        config = replace(self.engine.model.config, threshold=level, thresholds=sensitivity.thresholds(level, self.floor))
        return self._seen(f"{fold}-{number}", lambda: Seen.of(self.material, self.engine.regated(config).stream))

    def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
        path = None if self.keep is None else self.keep / f"{name}.npz"
        seen = None if path is None else Seen.load(path, len(self.material))
        if seen is None:
            seen = run()
            if path is not None:
                seen.save(path)
        self.done += 1
        self.tell(f"pass {self.done} of {self.passes} over {len(self.material)} frames")
        return seen

    def _sensitivities(self) -> list[Sensitivity]:
        """Of each block, on a sample of its frames."""
        watched = copy.copy(self.engine)
        recorder = Recorder(self.engine.model)
        watched.model = recorder
        wanted = np.concatenate([_spread(np.flatnonzero(self.material.folds == fold)) for fold in range(FOLDS)])
        sensitivities = [Sensitivity(self.engine.model) for _ in range(FOLDS)]
        used = np.zeros(FOLDS, np.int64)
        for number, _, frame in self.material.frames():
            if number not in wanted:
                continue
            recorder.left = 1
            recorder.recordings.clear()
            watched.stream().process(frame)  # by itself: a keyframe begins a recording
            for inputs in (each for recording in recorder.recordings for each in recording):
                sensitivities[self.material.folds[number]].add(*inputs)
                used[self.material.folds[number]] += 1
        if not used.all():
            raise SourceError(
                "nothing was found in a block of time that the network could look at", "calibrate on clips like those to come"
            )
        return sensitivities

    def _dense_macs(self) -> int:
        _, _, frame = next(self.material.frames())
        return self.engine.dense_macs(frame.height, frame.width)


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    return frames[:: max(1, len(frames) // SAMPLES)][:SAMPLES]


def _together(sensitivities: Sequence[Sensitivity], without: int | None) -> Sensitivity:
    first, *others = [each for fold, each in enumerate(sensitivities) if fold != without]
    return first.with_those_of(others)
