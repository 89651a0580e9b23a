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
        from skipvid.cli.networks import chosen_preset, load_pose_engine
        from skipvid.presets.preset import DEFAULT_POSE

        return load_pose_engine(options, chosen_preset(options, DEFAULT_POSE), talk)

    return follow("pose", options, load)


def check_people(options: Mapping[str, Any]) -> None:
    """Raises UsageError where options about persons contradict each other."""
    if options["full_frame"] and (options["detector"] or options["detector_weights"] or options["detect_every"] > 1):
        raise UsageError("--full-frame uses no detector", "leave out the detector's options")
