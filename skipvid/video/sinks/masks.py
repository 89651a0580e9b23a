"""Class maps as pictures: a PNG a frame, in which each pixel is the number of its class."""

from __future__ import annotations

from pathlib import Path

import cv2

from skipvid.core.errors import OutputError
from skipvid.core.files import no_folder, output_errors, write_bytes
from skipvid.core.results import FrameResult, RunSummary
from skipvid.video.sinks.base import Sink


class MaskSink(Sink):
    """Writes FOLDER/000017.png for frame 17, of the frame's size, 8 bits of grey, or 16 where there are more than 256 classes.

    Each is whole when it has its name; those that are written stay, however the run ends. Of frames that are images of their own the file
    has the image's name. overwrite: the folder may hold something already. Raises OutputError.
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        check_folder(folder, overwrite)
        self.path: Path = folder
        with output_errors(str(folder)):
            folder.mkdir(exist_ok=True)

    def write(self, result: FrameResult) -> None:
        if result.class_map is None:
            return
        frame = result.frame
        path = self.path / (f"{frame.index:06d}.png" if not frame.file else f"{Path(frame.file).stem}.png")
        _, data = cv2.imencode(".png", result.class_map.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        write_bytes(path, data.tobytes())

    def finish(self, summary: RunSummary) -> None:
        """Every file is whole."""

    def close(self) -> None:
        """Nothing is open."""


def check_folder(folder: Path, overwrite: bool) -> None:
    """Find out before any work starts that masks cannot be written there. Raises OutputError."""
    with output_errors(str(folder)):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is no folder", "give --masks a folder")
        if not folder.exists() and not folder.parent.is_dir():
            raise no_folder(folder, folder.parent)
        if not overwrite and folder.is_dir() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty", "give --overwrite, or choose another folder")
