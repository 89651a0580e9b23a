"""`skipvid train pose` and `skipvid train grade-pose`: small pose networks of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import option
from skipvid.cli.train import finish, mix_options, names_of, say, schedule_options, set_threads, threads_option
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.mix import Mix
    from skipvid.train.pose_teacher import PoseTeacher


def _input_size(text: str) -> tuple[int, int]:
    rows, _, columns = text.lower().partition("x")
    if not rows.isdigit() or not columns.isdigit():
        raise UsageError(f"--input {text} is not a size", "write HEIGHTxWIDTH, for example 256x192")
    return int(rows), int(columns)


def _teacher(mix: Mix, threads: int) -> PoseTeacher | None:
    from skipvid.train.pose_teacher import open_pose_teacher

    entry = mix.pose_teacher
    if entry is None:
        return None
    network = str(mix.root / entry.network) if entry.network.endswith((".onnx", ".xml", ".yaml")) else entry.network
    return open_pose_teacher(network, mix.root / entry.weights if entry.weights else None, threads=threads)


@click.command()
@mix_options
@option("--network", default="hrnet-nano", show_default=True, help="An HRNet: see skipvid presets list.")
@option("--name", default="my-pose", show_default=True, help="Name of the preset.")
@option("--input", "size", default="256x192", show_default=True, metavar="HxW", help="Size of a person's window; multiples of 32.")
@option("--light", is_flag=True, help="Vary persons less: for short trainings.")
@schedule_options(steps=20000, batch=32, of="Persons", evaluate_every=1000)
def pose(
    mix: Path,
    output: Path,
    root: Path,
    labels: Path | None,
    without: str | None,
    start: Path | None,
    network: str,
    name: str,
    size: str,
    light: bool,
    threads: int | None,
    resume: bool,
    quiet: bool,
    **numbers: Any,
) -> None:
    """Train a pose network on a mix of labelled persons and clips whose persons a teacher labels.

    The persons of sources under held_out are not learned from: the mean OKS on them chooses the weights.

    \b
    skipvid train pose people.mix.yaml -o run --input 128x96
    skipvid train pose people.mix.yaml -o run2 --start run/weights.pt --rate 5e-4
    """
    set_threads(threads)
    from skipvid.train.loop import Schedule
    from skipvid.train.mix import load_mix
    from skipvid.train.people_sources import gather_people
    from skipvid.train.pose import PoseRecipe, train_pose, write_pose_preset
    from skipvid.train.pose_augment import LIGHT, PoseAugment

    augment = LIGHT if light else PoseAugment()
    recipe = PoseRecipe(Schedule(**numbers), network=network, input_size=_input_size(size), augment=augment)
    plan = load_mix(mix, root).without(names_of(without))
    people = gather_people(plan, labels or output / "labels", _teacher(plan, threads or 1), say(quiet))
    learned = [person for person in people if person.source not in plan.held_out]
    held = [person for person in people if person.source in plan.held_out]
    trained = train_pose(recipe, learned, held, output, shares=plan.shares, start=start, resume=resume, quiet=quiet)
    preset = write_pose_preset(trained, recipe, output / f"{name}.yaml", source=f"trained on {mix.name} by skipvid")
    finish(preset, quiet, "pose")


@click.command("grade-pose")
@click.argument("annotations", type=click.Path(path_type=Path), metavar="KEYPOINTS.json")
@click.argument("pictures", type=click.Path(path_type=Path), metavar="FOLDER|VIDEO")
@option("--preset", default=None, metavar="NAME|FILE", help="The network to grade.  [the bundled one]")
@option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Instead of the preset's.")
@option("--joints", type=click.IntRange(1, 17), default=1, show_default=True, metavar="N", help="Persons with so many labelled joints.")
@option("--part", nargs=2, type=int, default=(0, 1 << 30), metavar="FIRST BEHIND", help="Of the pictures with persons.  [all]")
@threads_option
def grade_pose(
    annotations: Path, pictures: Path, preset: str | None, weights: Path | None, joints: int, part: tuple[int, int], threads: int | None
) -> None:
    """Mean OKS of a pose network on a COCO keypoint file, given the true boxes: name and figure on stdout, a line each."""
    set_threads(threads)
    from skipvid.presets.preset import DEFAULT_POSE
    from skipvid.train.mix import Mix, SourceEntry
    from skipvid.train.oks import grade_people
    from skipvid.train.people import PRESENT
    from skipvid.train.people_sources import labelled_people
    from skipvid.train.pose_teacher import open_pose_teacher

    network = open_pose_teacher(preset or DEFAULT_POSE, weights, threads=threads or 1)
    source = SourceEntry("graded", "coco", str(pictures), 1.0, annotations=str(annotations), part=part)
    people = [
        person for person in labelled_people(Mix((), (source,), held_out=("graded",)), source) if (person.states == PRESENT).sum() >= joints
    ]
    if not people:
        raise UsageError(f"{annotations} has no such person", "lower --joints, widen --part")
    click.echo(f"persons\t{len(people)}")
    for name, figure in grade_people(people, network.heat, network.input_size).items():
        click.echo(f"{name}\t{figure:.4f}")
