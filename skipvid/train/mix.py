"""A mix file: which pictures a detector learns from, who labels what they do not have, and what it is measured on.

One flat YAML; docs/efficientdet-nano.mix.yaml is the one behind the bundled detector. Paths are relative to the folder given with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from skipvid.core.errors import UsageError
from skipvid.core.text import one_line
from skipvid.train.label import complete, doubt, label_frames
from skipvid.train.readers import read_coco, read_yolo
from skipvid.train.samples import Sample, load_pack, save_pack
from skipvid.train.teachers import COCO80_IDS, TEACHER_LAYOUTS, Ensemble, Teacher


@dataclass(frozen=True, slots=True)
class TeacherEntry:
    """A teacher. layout: see TEACHER_LAYOUTS. categories: COCO's number of each of its classes; empty = the 80 of COCO in order."""

    file: str
    layout: str
    categories: tuple[int, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PoseTeacherEntry:
    """Who finds joints. network: a pose preset, or an .onnx or .xml file that puts out heat maps. weights: of a preset."""

    network: str
    weights: str = ""


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """Pictures. kind: coco (needs annotations), yolo (needs class_ids), clip (videos, or folders of frames) or pack.

    path, annotations: relative to the mix's root; with * they name several, in alphabetical order.
    """

    name: str
    kind: str
    path: str
    share: float  # how often it is drawn, relative to the others
    annotations: str = ""
    class_ids: Mapping[int, int] = field(default_factory=dict)  # number in YOLO files -> COCO's number
    known: tuple[int, ...] = ()  # COCO's numbers of the classes labelled throughout; empty = all that the files list
    stride: int = 1  # of a clip: every so many frames
    tiles: bool = False  # teachers look at four tiles as well, for small objects
    longest: int = 640  # pixels; pictures are stored no larger
    part: tuple[int, int] = (0, 1 << 30)  # of the pictures, first and behind the last


@dataclass(frozen=True, slots=True)
class ExamEntry:
    """A clip with ground truth: MOT text, or a COCO .json. categories: COCO's numbers that count as a hit.

    first: MOT's number of the first frame.
    """

    name: str
    path: str
    truth: str
    categories: tuple[int, ...]
    first: int = 1
    stride: int = 1
    minimum_fill: float = 0.0
    labelled_only: bool = False  # leave out frames of which the truth has no line


@dataclass(frozen=True, slots=True)
class Mix:
    teachers: tuple[TeacherEntry, ...]
    sources: tuple[SourceEntry, ...]
    exams: tuple[ExamEntry, ...] = ()
    held_out: tuple[str, ...] = ()  # sources that are only measured on
    pose_teacher: PoseTeacherEntry | None = None  # of `train pose`
    root: Path = Path()

    @property
    def shares(self) -> dict[str, float]:
        return {source.name: source.share for source in self.sources if source.name not in self.held_out}

    def without(self, names: Sequence[str]) -> Mix:
        """The mix without some sources. Raises UsageError for a name that it does not have."""
        known = [source.name for source in self.sources]
        for name in names:
            if name not in known:
                raise UsageError(f"the mix has no source '{name}'", f"its sources: {', '.join(known)}")
        return replace(self, sources=tuple(source for source in self.sources if source.name not in names))


Entry = TypeVar("Entry", TeacherEntry, PoseTeacherEntry, SourceEntry, ExamEntry)


def load_mix(path: Path, root: Path) -> Mix:
    """Raises UsageError with one line that names the file and the key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"mix file {path} cannot be read: {one_line(error)}") from None
    if not isinstance(content, dict) or not isinstance(content.get("sources"), list):
        raise UsageError(f"mix file {path} has no list 'sources'", "see docs/model_card.md")
    unknown = set(content) - {"teachers", "sources", "exams", "held_out", "pose_teacher"}
    if unknown:
        raise UsageError(f"mix file {path}: unknown key '{min(unknown)}'", "allowed: teachers, pose_teacher, sources, exams, held_out")

    def entries(key: str, kind: type[Entry]) -> tuple[Entry, ...]:
        return tuple(_entry(item, kind, f"mix file {path}, {key} {number}") for number, item in enumerate(content.get(key) or (), start=1))

    poses = content.get("pose_teacher")
    mix = Mix(
        entries("teachers", TeacherEntry),
        entries("sources", SourceEntry),
        entries("exams", ExamEntry),
        tuple(content.get("held_out") or ()),
        _entry(poses, PoseTeacherEntry, f"mix file {path}, pose_teacher") if poses is not None else None,
        root,
    )
    for source in mix.sources:
        if source.kind not in _READERS:
            raise UsageError(f"mix file {path}: source {source.name} is of unknown kind '{source.kind}'", f"known: {', '.join(_READERS)}")
    for teacher in mix.teachers:
        if teacher.layout not in TEACHER_LAYOUTS:
            raise UsageError(f"mix file {path}: unknown layout '{teacher.layout}'", f"known: {', '.join(TEACHER_LAYOUTS)}")
    return mix


def _entry(item: Any, kind: type[Entry], where: str) -> Entry:
    specs = {spec.name: spec for spec in fields(kind)}
    if not isinstance(item, dict):
        raise UsageError(f"{where}: must be a list of 'key: value'")
    for key in item:
        if key not in specs:
            raise UsageError(f"{where}: unknown key '{key}'", f"allowed: {', '.join(specs)}")
    for name, spec in specs.items():
        if name not in item and spec.default is MISSING and spec.default_factory is MISSING:
            raise UsageError(f"{where}: '{name}' is missing")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
    return kind(**values)


def open_teacher(mix: Mix, *, tiles: bool, threads: int = 1) -> Teacher | None:
    """All teachers of a mix as one, or None where it has none."""
    if not mix.teachers:
        return None
    opened = [
        TEACHER_LAYOUTS[entry.layout](mix.root / entry.file, entry.categories or COCO80_IDS, threads=threads) for entry in mix.teachers
    ]
    return Ensemble(opened, [entry.weight for entry in mix.teachers], tiles=tiles)


def gather(mix: Mix, labels: Path, report: Callable[[str], None]) -> list[Sample]:
    """All samples of a mix, held-out ones too, with `source` set to the entry's name.

    Each source is labelled once and kept in `labels` as NAME.npz; a source whose pack is there is not read again.
    """
    labels.mkdir(parents=True, exist_ok=True)
    samples = []
    for source in mix.sources:
        pack = mix.root / source.path if source.kind == "pack" else labels / f"{source.name}.npz"
        if not pack.exists() and source.kind != "pack":
            report(f"labelling {source.name}")
            teacher = open_teacher(mix, tiles=source.tiles)
            save_pack(pack, list(_READERS[source.kind](source, mix.root, teacher)))
        loaded = load_pack(pack)[slice(*source.part)]
        samples += [replace(sample, source=source.name, targets=doubt(sample.targets)) for sample in loaded]
    return samples


def matching_paths(root: Path, pattern: str) -> list[Path]:
    """What a path, or a pattern with *, names. Raises UsageError where that is nothing."""
    paths = [Path(path) for path in sorted(glob(str(root / pattern)))]
    if not paths:
        raise UsageError(f"{root / pattern} does not exist", "check the mix and --root")
    return paths


def _from_coco(source: SourceEntry, root: Path, teacher: Teacher | None) -> Iterator[Sample]:
    known = source.known or None
    for folder, labels in zip(matching_paths(root, source.path), matching_paths(root, source.annotations), strict=True):
        for sample in read_coco(labels, folder, source.name, known):
            yield sample if teacher is None or sample.known.all() else complete(sample, teacher)


def _from_yolo(source: SourceEntry, root: Path, teacher: Teacher | None) -> Iterator[Sample]:
    samples = read_yolo(root / source.path, source.class_ids, source.name)
    return samples if teacher is None else (complete(sample, teacher) for sample in samples)


def _from_clip(source: SourceEntry, root: Path, teacher: Teacher | None) -> Iterator[Sample]:
    if teacher is None:
        raise UsageError(f"source {source.name} has no labels and the mix has no teacher", "add one under 'teachers'")
    for path in matching_paths(root, source.path):
        yield from label_frames(path, teacher, stride=source.stride, longest=source.longest)


def _from_pack(source: SourceEntry, root: Path, teacher: Teacher | None) -> Iterator[Sample]:
    return iter(load_pack(root / source.path))


_READERS: dict[str, Callable[[SourceEntry, Path, Teacher | None], Iterator[Sample]]] = {
    "coco": _from_coco,
    "yolo": _from_yolo,
    "clip": _from_clip,
    "pack": _from_pack,
}


def split_off(samples: Sequence[Sample], names: Sequence[str]) -> tuple[list[Sample], list[Sample]]:
    """(samples of other sources, samples of the named ones)"""
    held = np.array([sample.source in names for sample in samples], np.bool_)
    return [s for s, h in zip(samples, held, strict=True) if not h], [s for s, h in zip(samples, held, strict=True) if h]
