"""A pose network for one's own camera: persons found by the bundled detector, their joints by a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skipvid.errors import OutputError, UsageError
from skipvid.presets import DEFAULT_DETECT, DEFAULT_POSE, load_preset
from skipvid.train.detector import Report, open_preset_teacher
from skipvid.train.label import Trust, label_frames
from skipvid.train.loop import Schedule
from skipvid.train.people import Person, cut_out, load_people, save_people
from skipvid.train.people_sources import people_of
from skipvid.train.pose import PoseRecipe, train_pose, write_pose_preset
from skipvid.train.pose_teacher import PoseTeacher
from skipvid.train.teachers import Ensemble
from skipvid.weights import resolve_weights

LEAST_HEIGHT = 48.0
"""Of a person, pixels: joints of smaller ones cannot be told apart."""


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
    """Returns the path of a preset (YAML) that uses the new network.

    Persons that the bundled detector is `sure` of, in every `stride`-th frame, get their joints from the teacher. The last `held_out` of
    each clip's persons is not learned from: the OKS to the teacher there chooses the weights. start: weights to fine-tune, the bundled
    ones where None. Everything lies in `folder`: labels/, run/ and NAME.yaml.
    Raises UsageError where no person is found, SourceError for a clip that cannot be read, OutputError for an unfit folder.
    """
    preset = load_preset(DEFAULT_POSE)
    assert not isinstance(preset.image_size, int)  # the bundled network has a window of one size
    recipe = PoseRecipe(schedule, network=preset.model, input_size=preset.image_size)
    labels = folder / "labels"
    try:
        labels.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {labels}: {error.strerror}", "choose another one") from error
    learned: list[Person] = []
    kept: list[Person] = []
    for number, clip in enumerate(clips):
        pack = labels / f"{number:02d}-{clip.stem}.people.npz"
        if not pack.exists():
            report(f"labelling {clip}")
            save_people(pack, _label(clip, teacher, stride, sure))
        people = load_people(pack)
        split = len(people) - int(len(people) * held_out)
        learned, kept = learned + people[:split], kept + people[split:]
    if not learned:
        raise UsageError("the teacher is sure of no person in these clips", "lower --sure or --stride, or take clips with larger people")
    report(f"{len(learned)} persons to learn from, {len(kept)} held out")
    weights = start or resolve_weights(preset).path
    trained = train_pose(recipe, learned, kept, folder / "run", start=weights, resume=resume, quiet=quiet)
    return write_pose_preset(trained, recipe, folder / f"{name}.yaml", source=f"distilled from {len(clips)} clips by skipvid")


def _label(clip: Path, teacher: PoseTeacher, stride: int, sure: float) -> list[Person]:
    detector = Ensemble([open_preset_teacher(DEFAULT_DETECT)], [1.0])
    people = []
    for sample in label_frames(clip, detector, stride=stride, longest=1920, trust=Trust(sure=sure, unsure=sure / 3)):
        for person in people_of(sample, LEAST_HEIGHT):
            done = teacher.complete(cut_out(person))
            if done is not None:
                people.append(replace(done, source=clip.stem))
    return people
