"""Calibration by goal: thresholds are found on some blocks of time, and what they do is measured on the block that was left out.

Each clip is cut into FOLDS blocks. For each of them, the proportions of the thresholds come from the other blocks; what a level of them
loses is measured on the left-out blocks, taken together. Levels are tried upwards, for as long as the upper limit of their loss keeps the
goal (see `evidence`). The thresholds that are kept have their proportions from all blocks. Streams run through all blocks, so that a block
begins as it would in use.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.files import output_errors, write_text
from skipvid.core.results import Frame, FrameResult
from skipvid.evaluate.bootstrap import DRAWS, LEAST_BLOCKS, Interval, blocks_of, interval_of, resampled
from skipvid.evaluate.evidence import BLOCK_FRAMES, LEVELS, SURE, at_most, expected, limit_blocks
from skipvid.evaluate.found import Found, Goal, GoalNotMet, Point
from skipvid.evaluate.material import FOLDS, Material, Seen
from skipvid.evaluate.run import Measure, Pass, joined, main_measure
from skipvid.skip.recording import Recorder
from skipvid.skip.sensitivity import Sensitivity, check_calibrated, rounded
from skipvid.tasks.engine import Engine

Progress = Callable[[FrameResult], None]

SAMPLES = 6
"""Frames of each block that the sensitivity is measured on."""

HARDLY = 1.1
"""Times fewer MACs below which hardly any frame was left to the gates, so that what was lost says nothing about them."""


def calibrate_by_goal(
    engine: Engine,
    material: Material,
    goal: Goal,
    *,
    keep: Path | None = None,
    floor: float = 0.0,
    tell: Callable[[str], None] = lambda text: None,
    watch: Callable[[int], Progress] = lambda frames: lambda result: None,
) -> Found:
    """Find thresholds that meet a goal on frames that they were not found on.

    keep: a folder for what was run, so that a second call goes on where the first one ended. floor: the lowest threshold of a map.
    tell: called with a line for what is no pass. watch: called with the number of frames that passes will run over; what it returns is
    called with the result of each.
    Raises GoalNotMet where no working point meets the goal or gates hardly ran, UsageError where the engine's gates have no thresholds of
    single maps.
    """
    check_calibrated(engine.model.config)
    return _Search(engine, material, goal, keep, floor, tell, watch).run()


def with_noise(seed: int = 0, sigma: float = 1.0) -> Callable[[Frame], Frame]:
    """What adds Gaussian noise of so many grey levels to frames: the least change that any camera makes."""
    random = np.random.default_rng(seed)

    def spoilt(frame: Frame) -> Frame:
        noisy = frame.image + sigma * random.standard_normal(frame.image.shape, np.float32)
        return replace(frame, picture=np.clip(np.rint(noisy), 0, 255).astype(np.uint8))

    return spoilt


class _Search:
    def __init__(
        self,
        engine: Engine,
        material: Material,
        goal: Goal,
        keep: Path | None,
        floor: float,
        tell: Callable[[str], None] = lambda text: None,
        watch: Callable[[int], Progress] = lambda frames: lambda result: None,
    ) -> None:
        self.engine, self.material, self.goal, self.keep, self.floor, self.tell = engine, material, goal, keep, floor, tell
        self.unit = engine.model.config.threshold or 0.03
        passes = [f"{fold}-{number}" for fold in range(FOLDS) for number in range(len(LEVELS))]
        passes += ["dense"] if material.labels else ["dense", "noise"]
        kept = {} if keep is None else {name: Seen.load(keep / f"{name}.npz", len(material)) for name in passes}
        self.kept = {name: seen for name, seen in kept.items() if seen is not None}
        if self.kept:
            tell(f"{len(self.kept)} of {len(passes)} passes are kept from before")
        self.progress = watch((len(passes) - len(self.kept)) * len(material))

    def run(self) -> Found:
        self.dense = self._seen("dense", self._densely)
        self.objects, self.parts = self.material.objects(self.dense), [self.material.folds == fold for fold in range(FOLDS)]
        if self.material.labels:
            self._check_truth()
        self.yardstick = self.dense if self.material.labels else self._seen("noise", lambda: self._densely(with_noise()))
        sensitivities = self._sensitivities()
        self.gated = [[self._run(fold, number, _together(sensitivities, fold)) for number in range(len(LEVELS))] for fold in range(FOLDS)]
        self.reference = joined([self._measured(self.yardstick, some) for some in self.parts])
        frontier = tuple(self._point(number) for number in range(len(LEVELS)))
        number = self._chosen(frontier)
        level = rounded(self.unit * LEVELS[number])
        thresholds = {name: rounded(value) for name, value in _together(sensitivities, None).thresholds(level, self.floor).items()}
        measure, value = main_measure(self.reference)
        return Found(
            level,
            thresholds,
            promised=frontier[number],
            frontier=frontier,
            measure=measure,
            yardstick=value(np.ones(len(self.reference.groups), np.int64)),
            dense_ms=float(np.median(self.dense.ms)),
            frames=len(self.material),
            objects=self.objects,
        )

    def _check_truth(self) -> None:
        """Raises SourceError where the truth leaves next to nothing that gates could lose, so that any promise would be kept."""
        dense = joined([self._measured(self.dense, some) for some in self.parts])
        if not dense.groups:
            raise SourceError("no frame of these clips has a label", "give the truth of these clips, and frames that it labels")
        if not self.objects:
            raise SourceError("the truth has no object to be found in these frames", "calibrate without --truth, or on other frames")
        measure, value = main_measure(dense)
        most = value(np.ones(len(dense.groups), np.int64))
        if not most > max(1.0, self.goal.value if self.goal.kind == "drop" else 0.0):
            raise SourceError(
                f"the dense network has {measure} {most:.1f} by this truth: next to nothing could be lost",
                "is it the truth of these clips, and of classes that the network finds?",
            )

    def _chosen(self, frontier: Sequence[Point]) -> int:
        """For a drop the highest level up to which all keep the goal, else the lowest that reaches it. Raises UsageError."""
        if self.goal.kind == "drop":
            number = sum(1 for _ in itertools.takewhile(self.goal.met_by, frontier)) - 1
        else:
            number = next((number for number, point in enumerate(frontier) if self.goal.met_by(point)), -1)
        if number >= 0:
            if self.goal.kind == "drop" and frontier[number].fewer < HARDLY:
                raise GoalNotMet(
                    f"nearly everything changes in these clips: {frontier[number].fewer:.2f} times fewer MACs, which shows nothing of what "
                    "gates lose",
                    "give clips of a camera that stands still, and of what it sees on a calm day, too",
                    frontier,
                )
            return number
        if self.goal.kind == "drop":
            first = frontier[0]
            lost = f"{first.lost.value:.2f}, at most {first.at_most:.2f} ({SURE:.0%} sure)"
            near = f"the most careful thresholds, {first.level:.3g}, lost {lost}"
            hint = "allow more, give more frames, or begin lower: --threshold"
        elif self.goal.kind == "saving":
            near = f"the most is {max(point.fewer for point in frontier):.2f} times"
            hint = "ask for less, or begin higher: --threshold"
        else:
            near = f"the least is {min(point.ms for point in frontier):.2f} ms"
            hint = "allow more, take a smaller network or more threads, or begin higher: --threshold"
        raise GoalNotMet(f"no working point meets the goal on the frames that were left out: {self.goal}; {near}", hint, frontier)

    def _point(self, number: int) -> Point:
        """What a level does on the blocks that were left out, taken together."""
        own = joined([self._measured(self.gated[fold][number], some) for fold, some in enumerate(self.parts)])
        names = [main_measure(own)[0], *(["graded agreement"] if own.graded else [])]
        losses = [_loss(own.measures()[name], self.reference.measures()[name]) for name in names]
        values = [lost(np.ones(len(own.groups), np.int64)) for lost in losses]
        draws = [resampled(lost, limit_blocks(own.groups), DRAWS) for lost in losses]
        truth = self.material.labels is not None
        elsewhere = expected(number, self.unit)
        highest = max(at_most(*each, self.objects, elsewhere, truth) for each in zip(values, draws, strict=True))
        # Of several clips each block of time begins one more, however few frames it has.
        enough = len(blocks_of(own.groups, BLOCK_FRAMES)) >= LEAST_BLOCKS and len(own.groups) > (LEAST_BLOCKS - 1) * BLOCK_FRAMES
        interval = interval_of(values[0], draws[0]) if enough else Interval(values[0], -math.inf, math.inf)
        return Point(self.unit * LEVELS[number], interval, highest, own.fewer, float(np.median(own.model_ms)))

    def _measured(self, seen: Seen, frames: NDArray[np.bool_]) -> Pass:
        return self.material.measured(seen, self.dense, frames, getattr(self.engine, "score_threshold", 0.0))

    def _run(self, fold: int, number: int, sensitivity: Sensitivity) -> Seen:
        """A run of all frames with thresholds whose proportions come from all blocks but one."""
        level = self.unit * LEVELS[number]
        config = replace(self.engine.model.config, threshold=level, thresholds=sensitivity.thresholds(level, self.floor))
        return self._seen(f"{fold}-{number}", lambda: Seen.of(self.material, self.engine.regated(config).stream, progress=self.progress))

    def _densely(self, change: Callable[[Frame], Frame] = lambda frame: frame) -> Seen:
        return Seen.of(self.material, self.engine.dense_stream, self._dense_macs(), change, self.progress)

    def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
        seen = self.kept.get(name)
        if seen is None:
            seen = run()
            if self.keep is not None:
                seen.save(self.keep / f"{name}.npz")
        return seen

    def _sensitivities(self) -> list[Sensitivity]:
        """Of each block, on a sample of its frames; kept like passes."""
        path = None if self.keep is None else self.keep / "sensitivity.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8")) if path is not None else []
            if len(kept) == FOLDS:
                return [Sensitivity(self.engine.model).restored(each) for each in kept]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none, or one that was broken off while it was written
        found = self._measured_sensitivities()
        self.tell("measured how much the outputs depend on each map")
        if path is not None:
            with output_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps([each.record() for each in found]))
        return found

    def _measured_sensitivities(self) -> list[Sensitivity]:
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


def _loss(mine: Measure, theirs: Measure) -> Measure:
    return lambda times: theirs(times) - mine(times)


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    return frames[:: max(1, len(frames) // SAMPLES)][:SAMPLES]


def _together(sensitivities: Sequence[Sensitivity], without: int | None) -> Sensitivity:
    first, *others = [each for fold, each in enumerate(sensitivities) if fold != without]
    return first.with_those_of(others)
