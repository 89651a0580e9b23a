"""Clips that networks are measured on, and what a way of running found and computed on each of them, kept on disk.

A clip with truth is measured by AP50 (or PCK); one without by its agreement with the dense network. A pass is made once: its file is named
after everything that it depends on, so that a script that was broken off goes on where it ended, and scripts share passes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from sequences import SEQUENCES
from videos import clips as video_files

from skipvid.core.files import write_text
from skipvid.core.results import Frame
from skipvid.evaluate.bootstrap import LEAST_BLOCKS, Interval, blocks_of, bootstrap
from skipvid.evaluate.jhmdb import read_joints_json
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.run import Pass, main_measure
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.presets.preset import Preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Engine, Stream
from skipvid.train.readers import read_mot
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

FAINTEST = 0.05
"""Score from which detections are kept where there is truth: average precision needs those that would not be shown, too."""

SHORTEST = 15
"""Frames of the shortest block of time that is drawn as a whole: shorter ones are too alike to stand for others."""


class Passes:
    """Passes over clips, kept below a folder; None: they are not kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def gated(self, engine: Engine, material: Material, level: float = 1.0) -> Seen:
        """With the engine's gates, their thresholds times `level`."""
        config = engine.model.config
        config = config.at(level * config.threshold) if level != 1 else config
        return self._kept(engine, material, repr(config), lambda: engine.regated(config).stream())

    def dense(self, engine: Engine, material: Material) -> Seen:
        """Without gates, in the engine's precision."""
        return self._kept(engine, material, _dense(engine), engine.dense_stream)

    def noisy(self, engine: Engine, material: Material, change: Callable[[Frame], Frame], name: str = "noise", gated: bool = False) -> Seen:
        """On spoilt frames, without gates or with the engine's. name: of the change."""
        way, start = (repr(engine.model.config), engine.stream) if gated else (_dense(engine), engine.dense_stream)
        return self._kept(engine, material, f"{name} {way}", start, change)

    def instead(self, engine: Engine, material: Material, name: str, start: Callable[[], Stream]) -> Seen:
        """Another way to use the dense network, known by its name."""
        return self._kept(engine, material, f"{name} {_dense(engine)}", start)

    def together(self, engine: Engine, material: Material, names: Sequence[str], run: Callable[[], Sequence[Seen]]) -> list[Seen]:
        """Ways that are run side by side, known by their names."""
        all_parts = [self._parts(engine, material, name) for name in names]
        found = [self._load(parts, material) for parts in all_parts]
        if any(seen is None for seen in found):
            found = list(run())
            for parts, seen in zip(all_parts, found, strict=True):
                self._save(parts, seen)
        return [seen for seen in found if seen is not None]

    def _kept(
        self, engine: Engine, material: Material, way: str, start: Callable[[], Stream], change: Callable[[Frame], Frame] = lambda f: f
    ) -> Seen:
        parts = self._parts(engine, material, way)
        seen = self._load(parts, material)
        if seen is None:
            _, _, frame = next(material.frames())
            seen = Seen.of(material, start, engine.dense_macs(frame.height, frame.width), change)
            self._save(parts, seen)
        return seen

    @staticmethod
    def _parts(engine: Engine, material: Material, way: str) -> tuple[object, ...]:
        """Everything that a pass depends on."""
        clip = material.clips[0]
        score = engine.score_threshold if isinstance(engine, DetectEngine) else None
        return engine.preset.name, engine.weights_sha256, score, way, clip.name, clip.source, len(material)

    def _path(self, parts: tuple[object, ...]) -> Path | None:
        return None if self._folder is None else self._folder / hashlib.sha256(repr(parts).encode()).hexdigest()[:20]

    def _load(self, parts: tuple[object, ...], material: Material) -> Seen | None:
        path = self._path(parts)
        return None if path is None else Seen.load(path.with_suffix(".npz"), len(material))

    def _save(self, parts: tuple[object, ...], seen: Seen) -> None:
        path = self._path(parts)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path.with_suffix(".json"), json.dumps({"pass": [str(part) for part in parts]}))
            seen.save(path.with_suffix(".npz"))


def _dense(engine: Engine) -> str:
    return f"dense {engine.model.config.precision}"


def detector(preset: Preset, config: SkipConfig, score: float) -> DetectEngine:
    """An engine that keeps detections of at least this score."""
    weights = resolve_weights(preset)
    return DetectEngine(preset, config, weights.path, weights.sha256, score, scene_cuts=False)


def with_truth(data: Path, most: int | None = None) -> dict[str, Material]:
    """The three sequences whose frames have true boxes, by name. most: frames of each."""
    found = {}
    for each in SEQUENCES:
        truths = {
            number - each.first: FrameTruth(truth.boxes, np.full(len(truth.boxes), each.categories[0], np.int64), truth.ignore)
            for number, truth in read_mot(data / each.truth, minimum_fill=each.minimum_fill).items()
        }
        clip = LabelledClip(each.name, str(data / each.clip), truths)
        found[each.name] = Material.read([clip], partial(_opened, most), Labels(each.categories, merged=True))
    return found


def without_truth(specs: Sequence[str], most: int | None = None) -> dict[str, Material]:
    """Videos, by folder and name: the dense network stands in for a truth."""
    clips = [LabelledClip("/".join(Path(spec).parts[-2:]), spec) for spec in specs]
    return {clip.name: Material.read([clip], partial(_opened, most), None) for clip in clips}


def every_video(data: Path) -> list[str]:
    """Those of the data, and the project's samples; the sequences with truth among them."""
    samples = Path(__file__).parents[1] / "sample_videos"
    return [*video_files(data), *(str(path) for path in sorted(samples.glob("*.mp4")))]


def persons(data: Path, preset: Preset) -> dict[str, Material]:
    """JHMDB's clips, by name."""
    clips = read_joints_json(data / "sequences" / "jhmdb" / "joints.json")
    return {clip.name: Material.read([clip], partial(_opened, None), Labels((1,), keypoints=preset.keypoints)) for clip in clips}


def half_of(material: Material, number: int) -> Material:
    """The first (0) or the second (1) half of a clip, a clip of its own."""
    count = len(material) // 2
    return part_of(material, f"half {number + 1}", number * count, count)


def part_of(material: Material, name: str, first: int, count: int) -> Material:
    """Some frames of a clip, a clip of its own."""

    @contextmanager
    def opened(clip: LabelledClip) -> Iterator[Iterator[Frame]]:
        with material.opened(clip) as frames:
            yield itertools.islice(frames, first, first + count)

    (clip,) = material.clips
    return Material.read([replace(clip, name=f"{clip.name}, {name}")], opened, material.labels)


@contextmanager
def _opened(most: int | None, clip: LabelledClip) -> Iterator[Iterator[Frame]]:
    with open_source(clip.source, ReadOptions(max_frames=most)) as source:
        yield itertools.islice(source, most)


def measured(material: Material, seen: Seen, dense: Seen, part: slice = slice(None)) -> Pass:
    """A pass over the frames, or some of them."""
    frames = np.zeros(len(material), np.bool_)
    frames[part] = True
    return material.measured(seen, dense, frames)


def value_of(outcome: Pass) -> float:
    """Its main measure, percent: PCK of poses, else AP50, or agreement with the dense network."""
    return main_measure(outcome)[1](np.ones(len(outcome.groups), np.int64))


def lost(own: Pass, reference: Pass, block: int) -> Interval:
    """Points of the main measure that a pass loses to another one on the same frames. block: as in `blocks_of`.

    Where that makes fewer blocks than an interval needs, they are shorter, see `block_frames`.
    """
    (_, mine), (_, theirs) = main_measure(own), main_measure(reference)
    return bootstrap(lambda times: theirs(times) - mine(times), blocks_of(own.groups, block_frames(len(own.groups), block)))


def block_frames(frames: int, most: int) -> int:
    """The length of blocks that so many frames are cut into: at most `most`, less for an interval's sake, but not below SHORTEST."""
    return min(most, max(SHORTEST, frames // LEAST_BLOCKS))
