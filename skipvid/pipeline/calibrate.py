"""Calibration: a threshold for each map, from material without labels, for as many MACs saved as one threshold saves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from skipvid.core.errors import SourceError, UsageError
from skipvid.core.results import Frame
from skipvid.skip.api import SkipModel
from skipvid.skip.recording import Recorder, Recording, Replay, replay
from skipvid.skip.sensitivity import Sensitivity, check_calibrated, rounded
from skipvid.tasks.engine import Engine

LEVELS = tuple(0.25 * 2 ** (step / 2) for step in range(9))
"""Levels that are tried, in units of the network's one threshold: from a quarter of it to four times."""

SAMPLES = 24
"""Frames on which the sensitivity is measured, spread over the material."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """threshold: for maps that have none of their own. thresholds: by map. measured: what they do on the material. before: what one
    threshold does there. frames: network inputs that were used."""

    threshold: float
    thresholds: Mapping[str, float]
    measured: Replay
    before: Replay
    frames: int


def calibrate(
    engine: Engine,
    sources: Sequence[Iterable[Frame]],
    most: int = 200,
    floor: float = 0.0,
    tell: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Calibrate an engine's network (of a pose engine: the pose network) on the frames of `sources`, each a stream of its own.

    As many MACs are saved as the engine's own thresholds save on this material, keyframes included, with a smaller error.
    most: network inputs to use, shared fairly among the sources. floor: the lowest threshold of a map. tell: called with a line for each
    stage.
    Raises UsageError where the engine has no norm gates or no level saves as much, SourceError where there is nothing to look at.
    """
    model = engine.model
    check_calibrated(model.config)
    runs = record(engine, sources, most)
    frames = sum(len(run) for run in runs)
    if not frames:
        raise SourceError("nothing was found in the material that the network could look at", "calibrate on clips like those to come")
    tell(f"recorded {frames} inputs of the network")
    sensitivity = measure(model, runs)
    tell("measured how much the outputs depend on each map")
    return _search(model, runs, partial(sensitivity.thresholds, floor=floor), frames)


def record(engine: Engine, sources: Sequence[Iterable[Frame]], most: int) -> list[Recording]:
    """What an engine's network is given for the frames of `sources`, from keyframe to keyframe; at most `most` inputs."""
    watched = copy.copy(engine)
    recorder = Recorder(engine.model)
    watched.model = recorder
    for number, source in enumerate(sources):
        recorder.left = (most - recorder.recorded) // (len(sources) - number)
        stream = watched.stream()
        for frame in source:
            stream.process(frame)
            if recorder.left <= 0:
                break
    return recorder.recordings


def measure(model: SkipModel, runs: Sequence[Recording]) -> Sensitivity:
    """The sensitivity of a network on a sample of what was recorded."""
    inputs = [each for run in runs for each in run]
    sensitivity = Sensitivity(model)
    for number in range(0, len(inputs), max(1, len(inputs) // SAMPLES)):
        sensitivity.add(*inputs[number])
    return sensitivity


def _search(model: SkipModel, runs: Sequence[Recording], thresholds_at: Callable[[float], dict[str, float]], frames: int) -> Calibration:
    """The level at which the thresholds save what one threshold saves."""
    # Frames that are computed densely because nearly everything moved would make the saving jump from level to level.
    model = model.regated(replace(model.config, dense_above=1.0))
    unit = model.config.threshold or 0.03
    levels = [unit * factor for factor in LEVELS]
    configs = [replace(model.config, threshold=level, thresholds=thresholds_at(level)) for level in levels]
    before, *tried = replay(model, runs, [model.config, *configs])
    wanted = before.saving
    savings = [result.saving for result in tried]
    if not savings[0] <= wanted <= savings[-1]:
        reach = f"from {savings[0]:.1%} to {savings[-1]:.1%}"
        raise UsageError(
            f"{wanted:.1%} of the MACs cannot be saved on this material: thresholds reach {reach}", "choose another --threshold"
        )
    upper = next(number for number, value in enumerate(savings) if value >= wanted)
    level = levels[upper]
    if upper:
        # Between two levels the saving grows with the logarithm of the level.
        share = (wanted - savings[upper - 1]) / (savings[upper] - savings[upper - 1])
        level = levels[upper - 1] * (levels[upper] / levels[upper - 1]) ** share
    thresholds = {name: rounded(value) for name, value in thresholds_at(level).items()}
    chosen = replace(model.config, threshold=rounded(level), thresholds=thresholds)
    return Calibration(chosen.threshold, thresholds, replay(model, runs, [chosen])[0], before, frames)
