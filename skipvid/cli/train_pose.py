"""`skipvid train pose` and `skipvid train grade-pose`: small pose networks of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, setting
from skipvid.cli.settings.training import NAME_HELP, THREADS_HELP, MixSettings, ScheduleSettings
from skipvid.cli.settings.types import InputSize
from skipvid.cli.train import finish, say, set_threads
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.mix import Mix
    from skipvid.train.pose_teacher import PoseTeacher


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseScheduleSettings(ScheduleSettings):
    """How long to train on persons."""

    steps: int = setting(
        "--steps", default=20000, type=click.IntRange(min=1), show_default=True, metavar="N", help="Optimiser steps in all."
    )
    batch: int = setting("--batch", default=32, type=click.IntRange(min=1), show_default=True, metavar="N", help="Persons a step.")
    evaluate_every: int = setting(
        "--evaluate-every", default=1000, type=click.IntRange(min=1), show_default=True, metavar="N", help="Steps between measurements."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPoseSettings:
    """Settings of `train pose`."""

    mix: MixSettings
    network: str = setting("--network", default="hrnet-nano", show_default=True, help="An HRNet: see skipvid presets list.")
    name: str = setting("--name", default="my-pose", show_default=True, help=NAME_HELP)
    size: tuple[int, int] = setting(
        "--input",
        default=(256, 192),
        type=InputSize(),
        show_default=True,
        metavar="HxW",
        help="Size of a person's window; multiples of 32.",
    )
    light: bool = flag("--light", help="Vary persons less: for short trainings.")
    schedule: PoseScheduleSettings = field(default_factory=PoseScheduleSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradePoseSettings:
    """Settings of `train grade-pose`."""

    annotations: Path = argument("KEYPOINTS.json")
    pictures: Path = argument("FOLDER|VIDEO")
    preset: str | None = setting("--preset", default=None, metavar="NAME|FILE", help="The network to grade.  [the bundled one]")
    weights: Path | None = setting("--weights", default=None, metavar="FILE", help="Instead of the preset's.")
    joints: int = setting(
        "--joints",
        default=1,
        type=click.IntRange(1, 17),
        show_default=True,
        metavar="N",
        help="Persons with so many labelled joints.",
    )
    part: tuple[int, int] = setting("--part", default=(0, 1 << 30), metavar="FIRST BEHIND", help="Of the pictures with persons.  [all]")
    threads: int | None = setting("--threads", default=None, type=click.IntRange(min=1), metavar="N", help=THREADS_HELP)


def _teacher(mix: Mix, threads: int) -> PoseTeacher | None:
    from skipvid.train.pose_teacher import open_pose_teacher

    entry = mix.pose_teacher
    if entry is None:
        return None
    network = str(mix.root / entry.network) if entry.network.endswith((".onnx", ".xml", ".yaml")) else entry.network
    return open_pose_teacher(network, mix.root / entry.weights if entry.weights else None, threads=threads)


@command(TrainPoseSettings)
def pose(settings: TrainPoseSettings) -> None:
    """Train a pose network on a mix of labelled persons and clips whose persons a teacher labels.

    The persons of sources under held_out are not learned from: the mean OKS on them chooses the weights.

    \b
    skipvid train pose people.mix.yaml -o run --input 128x96
    skipvid train pose people.mix.yaml -o run2 --start run/weights.pt --rate 5e-4
    """
    mixed, timing = settings.mix, settings.schedule
    set_threads(timing.threads)
    from skipvid.train.loop import Schedule
    from skipvid.train.mix import load_mix
    from skipvid.train.people_sources import gather_people
    from skipvid.train.pose import PoseRecipe, train_pose, write_pose_preset
    from skipvid.train.pose_augment import LIGHT, PoseAugment

    schedule = Schedule(
        timing.steps,
        batch=timing.batch,
        rate=timing.rate,
        evaluate_every=timing.evaluate_every,
        patience=timing.patience,
        seed=timing.seed,
    )
    recipe = PoseRecipe(schedule, network=settings.network, input_size=settings.size, augment=LIGHT if settings.light else PoseAugment())
    plan = load_mix(mixed.mix, mixed.root).without(mixed.without)
    teacher = _teacher(plan, timing.threads or 1)
    people = gather_people(plan, mixed.labels or mixed.output / "labels", teacher, say(timing.quiet))
    learned = [person for person in people if person.source not in plan.held_out]
    held = [person for person in people if person.source in plan.held_out]
    trained = train_pose(
        recipe,
        learned,
        held,
        mixed.output,
        shares=plan.shares,
        start=mixed.start,
        resume=timing.resume,
        quiet=timing.quiet,
    )
    file = mixed.output / f"{settings.name}.yaml"
    finish(write_pose_preset(trained, recipe, file, source=f"trained on {mixed.mix.name} by skipvid"), timing.quiet, "pose")


@command(GradePoseSettings, "grade-pose")
def grade_pose(settings: GradePoseSettings) -> None:
    """Mean OKS of a pose network on a COCO keypoint file, given the true boxes: name and figure on stdout, a line each."""
    set_threads(settings.threads)
    from skipvid.presets.preset import DEFAULT_POSE
    from skipvid.train.mix import Mix, SourceEntry
    from skipvid.train.oks import grade_people
    from skipvid.train.people import PRESENT
    from skipvid.train.people_sources import labelled_people
    from skipvid.train.pose_teacher import open_pose_teacher

    network = open_pose_teacher(settings.preset or DEFAULT_POSE, settings.weights, threads=settings.threads or 1)
    source = SourceEntry("graded", "coco", str(settings.pictures), 1.0, annotations=str(settings.annotations), part=settings.part)
    labelled = labelled_people(Mix((), (source,), held_out=("graded",)), source)
    people = [person for person in labelled if (person.states == PRESENT).sum() >= settings.joints]
    if not people:
        raise UsageError(f"{settings.annotations} has no such person", "lower --joints, widen --part")
    click.echo(f"persons\t{len(people)}")
    for name, figure in grade_people(people, network.heat, network.input_size).items():
        click.echo(f"{name}\t{figure:.4f}")
