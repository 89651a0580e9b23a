"""A network for one's own camera, from video without labels: clips labelled by a teacher once, the last part of each held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from skipvid.core.errors import OutputError, UsageError
from skipvid.presets.preset import DEFAULT_DETECT, DEFAULT_POSE, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.train.detector import Recipe, train_detector, write_detector_preset
from skipvid.train.label import Trust, doubt, label_frames
from skipvid.train.loop import Schedule
from skipvid.train.measure import exams_of_samples
from skipvid.train.people import Person, cut_out, load_people, save_people
from skipvid.train.people_sources import people_of
from skipvid.train.pose import PoseRecipe, train_pose, write_pose_preset
from skipvid.train.pose_teacher import PoseTeacher
from skipvid.train.preset_teacher import open_preset_teacher
from skipvid.train.samples import Sample, load_pack, save_pack
from skipvid.train.teachers import Ensemble, Teacher

LEAST_HEIGHT = 48.0
"""Of a person, pixels: joints of smaller ones cannot be told apart."""

Report = Callable[[str], None]
"""Called with one line about what is being done."""

T = TypeVar("T")


def distill_detector(
    recipe: Recipe,
    clips: Sequence[Path],
    teacher: Teacher,
    folder: Path,
    *,
    name: str,
    stride: int = 10,
    held_out: float = 0.2,
    trust: Trust | None = None,
    start: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    report: Report = print,
) -> Path:
    """A detector; returns the path of a preset (YAML) that uses it.

    The teacher labels every `stride`-th frame. The last `held_out` of each clip is not learned from: the AP50 against the teacher there
    chooses the weights. start: weights to fine-tune. Everything lies in `folder`: labels/, run/, weights.pt and NAME.yaml.
    Raises UsageError where no object is found, SourceError for a clip that cannot be read, OutputError for an unfit folder.
    """

    def label(clip: Path, pack: Path) -> None:
        save_pack(pack, list(label_frames(clip, teacher, stride=stride, longest=max(640, recipe.longest), trust=trust)))

    def load(pack: Path) -> list[Sample]:
        return [replace(sample, targets=doubt(sample.targets)) for sample in load_pack(pack)]

    learned, kept = labelled_clips(clips, folder / "labels", ".npz", label, load, held_out, report)
    objects = sum(int((~sample.targets.ignore).sum()) for sample in learned)
    if not objects:
        raise UsageError("the teacher is sure of no object in these clips", "lower --sure, or choose a teacher that knows the scene")
    report(f"{len(learned)} frames with {objects} objects to learn from, {len(kept)} held out")
    trained = train_detector(recipe, learned, exams_of_samples(kept), folder / "run", start=start, resume=resume, quiet=quiet)
    return write_detector_preset(trained, recipe, folder / f"{name}.yaml", source=f"distilled from {len(clips)} clips by skipvid")


def distill_pose(
    schedule: Schedule,
    clips: Sequence[Path],
    teacher: PoseTeacher,
    folder: Path,
    *,
    name: str,
    stride: int = 10,
    held_out: float = 0.2,
    sure: float = 0.35,
    start: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    report: Report = print,
) -> Path:
    """A pose network; returns the path of a preset (YAML) that uses it.

    Persons that the bundled detector is `sure` of, in every `stride`-th frame, get their joints from the teacher. The last `held_out` of
    each clip's persons is not learned from: the OKS to the teacher there chooses the weights. start: weights to fine-tune, the bundled
    ones where None. Everything lies in `folder`: labels/, run/ and NAME.yaml.
    Raises UsageError where no person is found, SourceError for a clip that cannot be read, OutputError for an unfit folder.
    """
    preset = load_preset(DEFAULT_POSE)
    assert not isinstance(preset.image_size, int)  # the bundled network has a window of one size
    recipe = PoseRecipe(schedule, network=preset.model, input_size=preset.image_size)

    def label(clip: Path, pack: Path) -> None:
        save_people(pack, _people(clip, teacher, stride, sure))

    learned, kept = labelled_clips(clips, folder / "labels", ".people.npz", label, load_people, held_out, report)
    if not learned:
        raise UsageError("the teacher is sure of no person in these clips", "lower --sure or --stride, or take clips with larger people")
    report(f"{len(learned)} persons to learn from, {len(kept)} held out")
    weights = start or resolve_weights(preset).path
    trained = train_pose(recipe, learned, kept, folder / "run", start=weights, resume=resume, quiet=quiet)
    return write_pose_preset(trained, recipe, folder / f"{name}.yaml", source=f"distilled from {len(clips)} clips by skipvid")


def labelled_clips(
    clips: Sequence[Path],
    folder: Path,
    suffix: str,
    label: Callable[[Path, Path], None],
    load: Callable[[Path], list[T]],
    held_out: float,
    report: Report,
) -> tuple[list[T], list[T]]:
    """What clips show, to learn from and to measure on: the last share `held_out` of each. Raises OutputError for an unfit folder.

    label: writes what a clip shows to a pack in `folder`, whose name ends in `suffix`; called for clips without one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}", "choose another one") from error
    learned: list[T] = []
    kept: list[T] = []
    for number, clip in enumerate(clips):
        pack = folder / f"{number:02d}-{clip.stem}{suffix}"
        if not pack.exists():
            report(f"labelling {clip}")
            label(clip, pack)
        items = load(pack)
        split = len(items) - int(len(items) * held_out)
        learned, kept = learned + items[:split], kept + items[split:]
    return learned, kept


def _people(clip: Path, teacher: PoseTeacher, stride: int, sure: float) -> list[Person]:
    detector = Ensemble([open_preset_teacher(DEFAULT_DETECT)], [1.0])
    people = []
    for sample in label_frames(clip, detector, stride=stride, longest=1920, trust=Trust(sure=sure, unsure=sure / 3)):
        for person in people_of(sample, LEAST_HEIGHT):
            done = teacher.complete(cut_out(person))
            if done is not None:
                people.append(replace(done, source=clip.stem))
    return people
