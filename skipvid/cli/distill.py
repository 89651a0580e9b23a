"""`skipvid distill`: a small model for one's own camera, from video without labels and a teacher."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, required, setting
from skipvid.cli.settings.training import NAME_HELP, RecipeSettings
from skipvid.cli.train import finish, say, set_threads
from skipvid.cli.train_detector import recipe_of
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.detector import Recipe
    from skipvid.train.loop import Schedule
    from skipvid.train.teachers import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSettings:
    """Settings of `distill`."""

    clips: tuple[Path, ...] = argument("CLIP...")
    output: Path = required("-o", "--output", metavar="FOLDER", help="Labels, checkpoints and preset go here.")
    teacher: str = required("--teacher", metavar="PRESET|FILE", help="A preset, or an .onnx or OpenVINO .xml file.")
    teacher_weights: Path | None = setting("--teacher-weights", default=None, metavar="FILE", help="Of a pose preset, instead of its own.")
    layout: Literal["yolox", "picodet", "heatmaps"] = setting(
        "--layout", default="yolox", show_default=True, help="Outputs of a teacher file."
    )
    tiles: bool = flag("--tiles", help="Let the teacher look at four tiles of each frame as well: slower, finds smaller objects.")
    sure: float = setting(
        "--sure", default=0.35, type=click.FloatRange(0, 1), show_default=True, help="Teacher's score from which a box is a label."
    )
    stride: int = setting(
        "--stride", default=10, type=click.IntRange(min=1), show_default=True, metavar="N", help="Label every N-th frame."
    )
    held_out: float = setting(
        "--held-out", default=0.2, type=click.FloatRange(0, 0.9), show_default=True, help="Last part of each clip, to measure on."
    )
    start: Path | None = setting("--start", default=None, metavar="FILE", help="Weights to begin with.  [the bundled ones]")
    name: str = setting("--name", default="my-camera", show_default=True, help=NAME_HELP)
    recipe: RecipeSettings = field(default_factory=RecipeSettings)


@command(DistillSettings)
def distill(settings: DistillSettings) -> None:
    """A detector or a pose network for your own camera, from video without labels and a teacher.

    A teacher that finds keypoints makes a pose network; the bundled detector then finds the persons.

    \b
    skipvid distill monday.mp4 tuesday.mp4 --teacher tf_efficientdet_d2 -o my-camera
    skipvid detect wednesday.mp4 --preset my-camera/my-camera.yaml
    skipvid distill gym.mp4 --teacher hrnet_w48_384x288 -o my-gym
    """
    timing = settings.recipe.schedule
    set_threads(timing.threads)
    recipe = recipe_of(settings.recipe)
    if _finds_keypoints(settings.teacher, settings.layout):
        finish(_distill_pose(settings, recipe.schedule), timing.quiet, "pose")
        return
    if settings.teacher_weights is not None:
        raise UsageError("--teacher-weights is for a pose preset", f"{settings.teacher} detects, and has its weights in its preset")
    finish(_distill_detector(settings, recipe), timing.quiet)


def _distill_pose(settings: DistillSettings, schedule: Schedule) -> Path:
    """Train a pose network. Returns its preset."""
    from skipvid.train.distill import distill_pose
    from skipvid.train.pose_teacher import open_pose_teacher

    timing = settings.recipe.schedule
    return distill_pose(
        replace(schedule, slow=1.0, frozen=()),
        settings.clips,
        open_pose_teacher(settings.teacher, settings.teacher_weights, threads=timing.threads or 1),
        settings.output,
        sure=settings.sure,
        name=settings.name,
        stride=settings.stride,
        held_out=settings.held_out,
        start=settings.start,
        resume=timing.resume,
        quiet=timing.quiet,
        report=say(timing.quiet),
    )


def _distill_detector(settings: DistillSettings, recipe: Recipe) -> Path:
    """Train a detector. Returns its preset."""
    from skipvid.presets.preset import DEFAULT_DETECT, load_preset
    from skipvid.presets.weights import resolve_weights
    from skipvid.train.distill import distill_detector
    from skipvid.train.label import Trust

    timing = settings.recipe.schedule
    return distill_detector(
        recipe,
        settings.clips,
        _open_teacher(settings.teacher, settings.layout, settings.tiles, timing.threads or 1),
        settings.output,
        trust=Trust(sure=settings.sure, unsure=settings.sure / 3),
        name=settings.name,
        stride=settings.stride,
        held_out=settings.held_out,
        start=settings.start or resolve_weights(load_preset(DEFAULT_DETECT)).path,
        resume=timing.resume,
        quiet=timing.quiet,
        report=say(timing.quiet),
    )


def _finds_keypoints(teacher: str, layout: str) -> bool:
    from skipvid.presets.preset import load_preset

    if Path(teacher).suffix in (".onnx", ".xml"):
        return layout == "heatmaps"
    return load_preset(teacher).task == "pose"


def _open_teacher(teacher: str, layout: str, tiles: bool, threads: int) -> Teacher:
    from skipvid.train.preset_teacher import open_preset_teacher
    from skipvid.train.teachers import TEACHER_LAYOUTS, Ensemble

    path = Path(teacher)
    if path.suffix in (".onnx", ".xml"):
        opened: Teacher = TEACHER_LAYOUTS[layout](path, threads=threads)
    else:
        opened = open_preset_teacher(teacher)
    return Ensemble([opened], [1.0], tiles=tiles)
