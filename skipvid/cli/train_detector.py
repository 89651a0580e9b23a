"""`skipvid train detector` and `skipvid train grade`: small detectors of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, setting
from skipvid.cli.settings.training import NAME_HELP, THREADS_HELP, MixSettings, RecipeSettings
from skipvid.cli.train import finish, say, set_threads
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.detector import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainDetectorSettings:
    """Settings of `train detector`."""

    mix: MixSettings
    backbone: Path | None = setting(
        "--backbone", default=None, metavar="FILE.xml", help="Begin with the backbone of a PicoDet-LCNet instead."
    )
    name: str = setting("--name", default="my-detector", show_default=True, help=NAME_HELP)
    recipe: RecipeSettings = field(default_factory=RecipeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeSettings:
    """Settings of `train grade`."""

    mix: Path = argument("MIX.yaml")
    root: Path = setting("--root", default=Path(), metavar="FOLDER", help="Of the paths in the mix.")
    weights: Path | None = setting(
        "--weights", default=None, metavar="FILE", help="Of efficientdet-nano; without it the mix's teachers are graded."
    )
    size: int = setting(
        "--size", default=512, type=click.IntRange(min=64), show_default=True, metavar="PX", help="Longer side of the input."
    )
    stride: int = setting("--stride", default=1, type=click.IntRange(min=1), show_default=True, metavar="N", help="Every N-th frame.")
    threads: int | None = setting("--threads", default=None, type=click.IntRange(min=1), metavar="N", help=THREADS_HELP)


def recipe_of(settings: RecipeSettings) -> Recipe:
    """The recipe of a detector's training. Raises UsageError for sizes that no network takes."""
    from skipvid.train.detector import Recipe
    from skipvid.train.loop import Schedule

    if any(side < 64 or side % 32 for side in (*settings.crop, settings.size)):
        raise UsageError(
            f"--crop {','.join(map(str, settings.crop))} and --size {settings.size} must be multiples of 32 from 64 on",
            "for example 256,256,384 and 512",
        )
    stages = tuple(f"backbone.blocks.{stage}." for stage in range(settings.freeze))
    schedule = settings.schedule
    return Recipe(
        Schedule(
            schedule.steps,
            batch=schedule.batch,
            rate=schedule.rate,
            slow=settings.slow,
            frozen=("backbone.conv_stem.", "backbone.bn1.", *stages) if settings.freeze else (),
            evaluate_every=schedule.evaluate_every,
            patience=schedule.patience,
            seed=schedule.seed,
        ),
        crops=settings.crop,
        longest=settings.size,
    )


@command(TrainDetectorSettings)
def detector(settings: TrainDetectorSettings) -> None:
    """Train a detector on a mix of labelled pictures and clips that teachers label.

    \b
    skipvid train detector street.mix.yaml -o run
    skipvid train detector street.mix.yaml -o run --resume
    """
    mixed, schedule = settings.mix, settings.recipe.schedule
    set_threads(schedule.threads)
    from skipvid.train.detector import train_detector, write_detector_preset
    from skipvid.train.exams import open_exams
    from skipvid.train.measure import exams_of_samples
    from skipvid.train.mix import gather, load_mix, split_off

    recipe = recipe_of(settings.recipe)
    plan = load_mix(mixed.mix, mixed.root).without(mixed.without)
    samples, held = split_off(gather(plan, mixed.labels or mixed.output / "labels", say(schedule.quiet)), plan.held_out)
    trained = train_detector(
        recipe,
        samples,
        open_exams(plan) + exams_of_samples(held),
        mixed.output,
        shares=plan.shares,
        start=mixed.start,
        backbone=settings.backbone,
        resume=schedule.resume,
        quiet=schedule.quiet,
    )
    file = mixed.output / f"{settings.name}.yaml"
    finish(write_detector_preset(trained, recipe, file, source=f"trained on {mixed.mix.name} by skipvid"), schedule.quiet)


@command(GradeSettings)
def grade(settings: GradeSettings) -> None:
    """AP50 on the exams of a mix: one line each on stdout, the exam's name and the figure."""
    set_threads(settings.threads)
    from skipvid.models import build_model, load_weights
    from skipvid.models.efficientdet import CONFIGS
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.train.exams import open_exams
    from skipvid.train.mix import load_mix, open_teacher
    from skipvid.train.samples import CLASS_COUNT

    plan = load_mix(settings.mix, settings.root)
    if not plan.exams:
        raise UsageError(f"mix file {settings.mix} has no exams", "list clips with ground truth under 'exams'")
    net = None
    if settings.weights is not None:
        net = build_model(DEFAULT_DETECT, num_classes=CLASS_COUNT)
        load_weights(net, settings.weights)
    teacher = open_teacher(plan, tiles=False, threads=settings.threads or 1) if net is None else None
    if net is None and teacher is None:
        raise UsageError("nothing to grade", "give --weights, or a mix with teachers")
    for entry in plan.exams:
        (exam,) = open_exams(replace(plan, exams=(replace(entry, stride=settings.stride),)))
        if net is not None:
            result = exam.grade(net, longest=settings.size, anchor_scale=CONFIGS[DEFAULT_DETECT].anchor_scale)
        else:
            assert teacher is not None
            result = exam.grade_teacher(teacher)
        click.echo(f"{entry.name}\t{result:.4f}")
