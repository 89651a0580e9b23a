"""Write a rendered clip as H.264 MP4 at a camera-like bit rate, its ground truth beside it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from .truth import Annotation, write_truth


def write_clip(
    path: Path, frames: Iterable[tuple[NDArray[np.uint8], list[Annotation]]], fps: int, seconds: float, megabytes: float = 2.7
) -> int:
    """Encode (H, W, 3) uint8 BGR frames of even size to PATH, and write PATH's stem + .coco.json and .mot.txt; how many frames it was.

    megabytes: what the file is to take at most, about; the bit rate never exceeds 2 Mbit/s.
    Raises av.FFmpegError where PATH cannot be written.
    """
    truth: list[list[Annotation]] = []
    width = height = 0
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = int(min(2.0e6, megabytes * 8e6 / seconds))
        stream.time_base = Fraction(1, fps)
        stream.options = {"preset": "slow", "profile": "high", "g": str(2 * fps), "bf": "2", "threads": "1"}
        for number, (image, annotations) in enumerate(frames):
            if not number:
                height, width = image.shape[:2]
                stream.width, stream.height = width, height
                stream.codec_context.color_range = 1
                stream.codec_context.colorspace = 6
            picture = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601)
            picture.pts = number
            container.mux(stream.encode(picture))
            truth.append(annotations)
        container.mux(stream.encode())
    write_truth(path.with_suffix(""), path.name, truth, width, height, fps)
    return len(truth)
