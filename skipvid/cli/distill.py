"""`skipvid distill`: a small model for one's own camera, from video without labels and a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import option
from skipvid.cli.train import finish, say, set_threads
from skipvid.cli.train_detector import recipe_of, recipe_options
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.train.teachers import Teacher

HEATMAPS = "heatmaps"
"""The layout of a teacher file that finds keypoints."""


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CLIP...")
@option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Labels, checkpoints and preset go here.")
@option("--teacher", required=True, metavar="PRESET|FILE", help="A preset, or an .onnx or OpenVINO .xml file.")
@option("--teacher-weights", type=click.Path(path_type=Path), metavar="FILE", help="Of a pose preset, instead of its own.")
@option(
    "--layout", type=click.Choice(["yolox", "picodet", HEATMAPS]), default="yolox", show_default=True, help="Outputs of a teacher file."
)
@option("--tiles", is_flag=True, help="Let the teacher look at four tiles of each frame as well: slower, finds smaller objects.")
@option("--sure", type=click.FloatRange(0, 1), default=0.35, show_default=True, help="Teacher's score from which a box is a label.")
@option("--stride", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Label every N-th frame.")
@option("--held-out", type=click.FloatRange(0, 0.9), default=0.2, show_default=True, help="Last part of each clip, to measure on.")
@option("--start", type=click.Path(path_type=Path), metavar="FILE", help="Weights to begin with.  [the bundled ones]")
@option("--name", default="my-camera", show_default=True, help="Name of the preset.")
@recipe_options
def distill(
    clips: tuple[Path, ...],
    output: Path,
    teacher: str,
    teacher_weights: Path | None,
    layout: str,
    tiles: bool,
    sure: float,
    stride: int,
    held_out: float,
    start: Path | None,
    name: str,
    threads: int | None,
    resume: bool,
    quiet: bool,
    **numbers: Any,
) -> None:
    """A detector or a pose network for your own camera, from video without labels and a teacher.

    A teacher that finds keypoints makes a pose network; the bundled detector then finds the persons.

    \b
    skipvid distill monday.mp4 tuesday.mp4 --teacher tf_efficientdet_d2 -o my-camera
    skipvid detect wednesday.mp4 --preset my-camera/my-camera.yaml
    skipvid distill gym.mp4 --teacher hrnet_w48_384x288 -o my-gym
    """
    set_threads(threads)
    recipe = recipe_of(**numbers)
    shared: dict[str, Any] = {
        "name": name,
        "stride": stride,
        "held_out": held_out,
        "start": start,
        "resume": resume,
        "quiet": quiet,
        "report": say(quiet),
    }
    if _finds_keypoints(teacher, layout):
        from skipvid.train.distill import distill_pose
        from skipvid.train.pose_teacher import open_pose_teacher

        pose_teacher = open_pose_teacher(teacher, teacher_weights, threads=threads or 1)
        schedule = replace(recipe.schedule, slow=1.0, frozen=())
        finish(distill_pose(schedule, clips, pose_teacher, output, sure=sure, **shared), quiet, "pose")
        return
    if teacher_weights is not None:
        raise UsageError("--teacher-weights is for a pose preset", f"{teacher} detects, and has its weights in its preset")
    from skipvid.presets.preset import DEFAULT_DETECT, load_preset
    from skipvid.presets.weights import resolve_weights
    from skipvid.train.distill import distill_detector
    from skipvid.train.label import Trust

    shared["start"] = start or resolve_weights(load_preset(DEFAULT_DETECT)).path
    opened = _open_teacher(teacher, layout, tiles, threads or 1)
    finish(distill_detector(recipe, clips, opened, output, trust=Trust(sure=sure, unsure=sure / 3), **shared), quiet)


def _finds_keypoints(teacher: str, layout: str) -> bool:
    from skipvid.presets.preset import load_preset

    if Path(teacher).suffix in (".onnx", ".xml"):
        return layout == HEATMAPS
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
