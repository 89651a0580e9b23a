"""What stands before a network that looks at each frame as a whole: letterbox, what is left out, and where the camera moves, the canvas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import StoredPicture
from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.areas import Areas, HeldOut
from skipvid.tasks.canvas import Canvas, to_picture
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.motion_choice import make_canvas


class PictureTask:
    """Prepares frames for a network. Use one per stream.

    fill: the byte beside the picture; None = the mean colour. areas: what is looked at; None: everything.
    motion: what is done where the camera moves, as in DetectEngine.
    """

    def __init__(self, preset: Preset, fill: int | None, areas: Areas | None = None, motion: str = "none") -> None:
        self._preset = preset
        self._preprocess = Preprocessor(preset.channels, preset.mean, preset.std, fill)
        self._letterbox: Letterbox | None = None
        self._areas = areas
        self._fill = (fill,) * 3 if fill is not None else mean_colour(preset)
        self._held: HeldOut | None = None
        self._motion = motion
        self._canvas: Canvas | None = None
        self._boxes: NDArray[np.float32] | None = None  # of the last frame, in pixels of the input

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """The placing of frames of (height, width) pixels in the network's input."""
        if self._letterbox is None or self._letterbox.frame_size != frame_size:
            self._letterbox = Letterbox.fit(frame_size, self._preset.input_size(*frame_size))
            if self._areas is not None:
                self._held = HeldOut(self._areas.left_out(*frame_size), self._letterbox.content_size, self._fill)
            self._canvas = make_canvas(self._motion, self._letterbox.content_size, self._held)
            self._boxes = None
        return self._letterbox

    def prepare(self, picture: NDArray[np.uint8] | StoredPicture) -> Picture:
        """picture: a frame's, (H, W, 3) uint8 BGR where it is an array -> the network's input, of shape (1, 3, h, w)."""
        size = (picture.shape[0], picture.shape[1]) if isinstance(picture, np.ndarray) else (picture.height, picture.width)
        letterbox = self.letterbox(size)
        prepared = self._preprocess(picture, letterbox)
        if self._canvas is not None:
            prepared = replace(prepared, pixels=self._registered(self._canvas, prepared.pixels, letterbox.content_size))
        return prepared if self._held is None else replace(prepared, pixels=self._held.hold(prepared.pixels))

    def _registered(self, canvas: Canvas, pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """pixels: (h, w, 3) uint8, a picture of `size` at its top left -> the same with the picture on the canvas."""
        content = pixels[: size[0], : size[1]]
        registered = canvas.register(content, self._boxes)
        if registered is content:
            return pixels
        if content.shape == pixels.shape:
            return registered
        whole = pixels.copy()
        whole[: size[0], : size[1]] = registered
        return whole

    @property
    def canvas(self) -> Canvas | None:
        """What registers the pictures, where that is wanted."""
        return self._canvas

    def begin_anew(self) -> None:
        """The next frame has nothing in common with those before."""
        self._boxes = None
        if self._canvas is not None:
            self._canvas.forget()

    @property
    def held(self) -> HeldOut | None:
        """What is left out of frames of the last size."""
        return self._held

    def over_frame(self, masks: Mapping[str, NDArray[np.bool_]], frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """masks: by layer, (h, w) bool over the input -> over a frame of (height, width); the input's filling is cut."""
        box = self.letterbox(frame_size)
        rows, columns = (part / whole for part, whole in zip(box.content_size, box.input_size, strict=True))
        seen = {name: mask[: math.ceil(mask.shape[0] * rows), : math.ceil(mask.shape[1] * columns)] for name, mask in masks.items()}
        canvas = self._canvas
        if canvas is None:
            return seen
        cells = {name: (box.input_size[0] / mask.shape[0], box.input_size[1] / mask.shape[1]) for name, mask in masks.items()}
        return {name: to_picture(mask, canvas.motion, cells[name]) for name, mask in seen.items()}


def mean_colour(preset: Preset) -> tuple[int, int, int]:
    """Of a preset's training data: (blue, green, red), the bytes whose values in the input are nearest to 0."""
    first, second, third = (round(255 * mean) for mean in preset.mean)
    return (third, second, first) if preset.channels == "rgb" else (first, second, third)
