"""Small clips for tests of the command line."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_clip(path: Path, frames: int = 12, size: tuple[int, int] = (64, 48)) -> Path:
    """A small H.264 clip of a moving square."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        container.start_encoding()  # else a clip without frames would not be written at all
        for index in range(frames):
            image = np.full((size[1], size[0], 3), 90, np.uint8)
            image[10:20, 2 * index : 2 * index + 10] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path
