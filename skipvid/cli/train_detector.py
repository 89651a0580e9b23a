"""`skipvid train detector` and `skipvid train grade`: small detectors of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import combine, option
from skipvid.cli.train import finish, mix_options, names_of, root_option, say, schedule_options, set_threads, threads_option
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.detector import Recipe

recipe_options = combine(
    option("--crop", default="320", show_default=True, metavar="PX,...", help="Sides of training pictures, one after the other."),
    option("--size", type=click.IntRange(min=64), default=512, show_default=True, metavar="PX", help="Longer side of the input in use."),
    option("--slow", type=click.FloatRange(min=0), default=0.35, show_default=True, help="Factor on the backbone's learning rate."),
    option("--freeze", type=click.IntRange(min=0), default=3, show_default=True, metavar="N", help="Leave the first N stages as they are."),
    schedule_options(steps=2000, batch=16, of="Pictures", evaluate_every=250),
)


def recipe_of(
    *, steps: int, batch: int, crop: str, size: int, rate: float, slow: float, freeze: int, evaluate_every: int, patience: int, seed: int
) -> Recipe:
    from skipvid.train.detector import Recipe
    from skipvid.train.loop import Schedule

    crops = tuple(int(side) if side.isdigit() else 0 for side in names_of(crop))
    if not crops or any(side < 64 or side % 32 for side in (*crops, size)):
        raise UsageError(f"--crop {crop} and --size {size} must be multiples of 32 from 64 on", "for example 256,256,384 and 512")
    frozen = ("backbone.conv_stem.", "backbone.bn1.", *(f"backbone.blocks.{stage}." for stage in range(freeze))) if freeze else ()
    schedule = Schedule(
        steps, batch=batch, rate=rate, slow=slow, frozen=frozen, evaluate_every=evaluate_every, patience=patience, seed=seed
    )
    return Recipe(schedule, crops=crops, longest=size)


@click.command()
@mix_options
@option("--backbone", type=click.Path(path_type=Path), metavar="FILE.xml", help="Begin with the backbone of a PicoDet-LCNet instead.")
@option("--name", default="my-detector", show_default=True, help="Name of the preset.")
@recipe_options
def detector(
    mix: Path,
    output: Path,
    root: Path,
    labels: Path | None,
    without: str | None,
    start: Path | None,
    backbone: Path | None,
    name: str,
    threads: int | None,
    resume: bool,
    quiet: bool,
    **numbers: Any,
) -> None:
    """Train a detector on a mix of labelled pictures and clips that teachers label.

    \b
    skipvid train detector street.mix.yaml -o run
    skipvid train detector street.mix.yaml -o run --resume
    """
    set_threads(threads)
    from skipvid.train.detector import train_detector, write_detector_preset
    from skipvid.train.exams import open_exams
    from skipvid.train.measure import exams_of_samples
    from skipvid.train.mix import gather, load_mix, split_off

    recipe = recipe_of(**numbers)
    plan = load_mix(mix, root).without(names_of(without))
    samples, held = split_off(gather(plan, labels or output / "labels", say(quiet)), plan.held_out)
    exams = open_exams(plan) + exams_of_samples(held)
    trained = train_detector(recipe, samples, exams, output, shares=plan.shares, start=start, backbone=backbone, resume=resume, quiet=quiet)
    preset = write_detector_preset(trained, recipe, output / f"{name}.yaml", source=f"trained on {mix.name} by skipvid")
    finish(preset, quiet)


@click.command()
@click.argument("mix", type=click.Path(path_type=Path), metavar="MIX.yaml")
@root_option
@option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE", help="Of efficientdet-nano; without it the mix's teachers are graded."
)
@option("--size", type=click.IntRange(min=64), default=512, show_default=True, metavar="PX", help="Longer side of the input.")
@option("--stride", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Every N-th frame.")
@threads_option
def grade(mix: Path, root: Path, weights: Path | None, size: int, stride: int, threads: int | None) -> None:
    """AP50 on the exams of a mix: one line each on stdout, the exam's name and the figure."""
    set_threads(threads)
    from dataclasses import replace

    from skipvid.models import build_model, load_weights
    from skipvid.models.efficientdet import CONFIGS
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.train.exams import open_exams
    from skipvid.train.mix import load_mix, open_teacher
    from skipvid.train.samples import CLASS_COUNT

    plan = load_mix(mix, root)
    if not plan.exams:
        raise UsageError(f"mix file {mix} has no exams", "list clips with ground truth under 'exams'")
    net = None
    if weights is not None:
        net = build_model(DEFAULT_DETECT, num_classes=CLASS_COUNT)
        load_weights(net, weights)
    teacher = open_teacher(plan, tiles=False, threads=threads or 1) if net is None else None
    if net is None and teacher is None:
        raise UsageError("nothing to grade", "give --weights, or a mix with teachers")
    for entry in plan.exams:
        (exam,) = open_exams(replace(plan, exams=(replace(entry, stride=stride),)))
        if net is not None:
            result = exam.grade(net, longest=size, anchor_scale=CONFIGS[DEFAULT_DETECT].anchor_scale)
        else:
            assert teacher is not None
            result = exam.grade_teacher(teacher)
        click.echo(f"{entry.name}\t{result:.4f}")
