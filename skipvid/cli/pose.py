"""`skipvid pose`: find the keypoints of people, computing only what changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.course import course_options, follow
from skipvid.cli.options import combine, option
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import Preset
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.pose_engine import PoseEngine

people_options = combine(
    option("--detector", metavar="NAME|FILE", help="Detection preset that finds the persons.  [default: efficientdet-nano]"),
    option("--detector-weights", metavar="FILE", help="Load this file instead of that preset's weights."),
    option("--detect-every", type=click.IntRange(min=1), default=1, metavar="N", help="Run the detector in every N-th frame."),
    option("--max-persons", type=click.IntRange(min=1), default=12, metavar="N", help="Look at N persons at most.  [default: 12]"),
    option("--full-frame", is_flag=True, help="No detector: one person who fills the picture."),
)


@click.command()
@course_options("hrnet-nano", people_options)
def pose(**options: Any) -> int:
    """Find people's keypoints in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input. A detector finds the
    persons; each is then watched through a window of the frame that stays for as long as the person stays inside.
    --threshold, --gate and --block are for both networks.
    """
    check_people(options)

    def load(talk: Talk) -> PoseEngine:
        from skipvid.cli.setup import chosen_preset
        from skipvid.presets.preset import DEFAULT_POSE

        return load_pose_engine(options, chosen_preset(options, DEFAULT_POSE), talk)

    return follow("pose", options, load)


def check_people(options: Mapping[str, Any]) -> None:
    """Raises UsageError where options about persons contradict each other."""
    if options["full_frame"] and (options["detector"] or options["detector_weights"] or options["detect_every"] > 1):
        raise UsageError("--full-frame uses no detector", "leave out the detector's options")


def load_pose_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> PoseEngine:
    """Both networks, weights found (or downloaded) and loaded."""
    from skipvid.cli.setup import DownloadBar, chosen_preset, load_detect_engine, skip_config
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.presets.weights import resolve_weights
    from skipvid.tasks.people import PoseOptions
    from skipvid.tasks.pose_engine import WEAK, PoseEngine

    score = preset.score_threshold if options["conf"] is None else options["conf"]
    detector = None
    if not options["full_frame"]:
        own = {"preset": options["detector"], "weights": options["detector_weights"], "conf": WEAK * score, "gate_weights": None}
        if options["gate"] == "gumbel":
            own["gate"] = None  # learned gates are those of the pose network; the detector has its preset's
        theirs = {**options, **own}
        detector = load_detect_engine(theirs, chosen_preset(theirs, DEFAULT_DETECT), talk)
    weights = resolve_weights(preset, options["weights"], options["offline"], DownloadBar(talk, preset.name))
    talk.say(f"preset {preset.name}, weights {weights.path}", detail=True)
    people = PoseOptions(score, options["detect_every"], options["max_persons"])
    return PoseEngine(preset, skip_config(options, preset, talk), weights.path, weights.sha256, detector, people)


def load_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> DetectEngine | PoseEngine:
    """The engine for a preset, whatever its task."""
    from skipvid.cli.setup import load_detect_engine

    return load_pose_engine(options, preset, talk) if preset.task == "pose" else load_detect_engine(options, preset, talk)
