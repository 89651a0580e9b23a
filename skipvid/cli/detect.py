"""`skipvid detect`: find people and vehicles in videos, computing only what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.course import course_options, follow

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.tasks.detect_engine import DetectEngine


@click.command()
@course_options("efficientdet-nano")
def detect(**options: Any) -> int:
    """Detect objects in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input.
    """

    def load(talk: Talk) -> DetectEngine:
        from skipvid.cli.networks import chosen_preset, load_detect_engine
        from skipvid.presets.preset import DEFAULT_DETECT

        return load_detect_engine(options, chosen_preset(options, DEFAULT_DETECT), talk)

    return follow("detect", options, load)
