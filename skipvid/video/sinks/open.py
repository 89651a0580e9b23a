"""From a target that the user wrote to the Sink that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import OutputError
from skipvid.core.results import RunHeader
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.coco import CocoSink
from skipvid.video.sinks.image import ImageSink
from skipvid.video.sinks.json_files import JsonlSink, JsonSink
from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.tables import CsvSink, MotSink
from skipvid.video.sinks.targets import STDOUT, suffix_of
from skipvid.video.sinks.video import Render, VideoSink


def open_sink(
    target: str,
    header: RunHeader,
    options: SinkOptions | None = None,
    renderer: Render | None = None,
    picture: Callable[[], NDArray[np.uint8]] | None = None,
) -> Sink:
    """Open the output that a target's suffix names; `-` is JSONL on stdout. Existing files are replaced: ask check_target first.

    renderer: makes the pictures of a video output. picture: makes the one picture of a .png output, after the last frame.
    Raises OutputError where the suffix is unknown, or the command has no pictures to offer for it, or the file cannot be written.
    """
    if target == STDOUT:
        return JsonlSink(None, header)
    path = Path(target)
    match suffix_of(target):
        case ".jsonl":
            return JsonlSink(path, header)
        case ".json":
            return JsonSink(path, header)
        case ".coco.json":
            return CocoSink(path, header)
        case ".csv":
            return CsvSink(path, header)
        case ".mot.txt":
            return MotSink(path)
        case ".png" if picture is not None:
            return ImageSink(path, picture)
        case ".mp4" | ".mkv" | ".webm" if renderer is not None:
            return VideoSink(path, header, renderer, options)
        case suffix:
            raise OutputError(f"{target}: {header.command} makes no {suffix} output", "choose another suffix")
