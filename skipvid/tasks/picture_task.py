"""What stands before a network that looks at each frame as a whole: letterbox, registration, denoising, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.motions import WARP
from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.areas import Areas, HeldOut
from skipvid.tasks.canvas import Seen, Tally
from skipvid.tasks.denoise import Denoiser
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.look_ahead import Image, LookAhead
from skipvid.tasks.registration import Registration


class PictureTask:
    """Prepares frames for a network.

    Use one per stream. denoiser: what takes noise out of the pictures, where that is wanted. fill: the byte beside the picture; None = the
    mean colour. areas: what is looked at; None: everything. motion, denoise: what is done where the camera moves, or is noisy, as in
    DetectEngine. tally: of what was registered, of frames of all sizes.
    """

    def __init__(self, preset: Preset, fill: int | None, areas: Areas | None = None, motion: str = "none", denoise: str = "none") -> None:
        self._preset = preset
        self._preprocess = Preprocessor(preset.channels, preset.mean, preset.std, fill)
        self._letterbox: Letterbox | None = None
        self._areas = areas
        self._held: HeldOut | None = None
        self._whole: Picture | None = None
        self._motion = motion
        self._ahead = LookAhead(self._look, self._can_look)
        self._registration: Registration | None = None
        self.tally = Tally()
        self.denoiser = Denoiser() if denoise == "auto" else None
        self._boxes: Callable[[], NDArray[np.float32]] | None = None  # says those of the last frame, in pixels of the input

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """The placing of frames of (height, width) pixels in the network's input."""
        if self._letterbox is None or self._letterbox.frame_size != frame_size:
            self._ahead.begin_anew(lambda: self._fit(frame_size))
            if self.denoiser is not None:
                self.denoiser.forget()
            self._boxes = None
        assert self._letterbox is not None
        return self._letterbox

    def _fit(self, frame_size: tuple[int, int]) -> None:
        self._letterbox = Letterbox.fit(frame_size, self._preset.input_size(*frame_size))
        if self._areas is not None:
            self._held = HeldOut(self._areas.left_out(*frame_size), self._letterbox.content_size)
        about = self._preset.dense_above, self.tally
        self._registration = Registration(self._motion, self._letterbox, self._preprocess, self._held, *about)

    def look_ahead(self, picture: Image) -> None:
        """Let a picture be registered and scaled now, as `prepare` will want it. From one other thread, with all pictures in turn."""
        if not isinstance(picture, np.ndarray):
            size = picture.height, picture.width
            height, width = Letterbox.fit(size, self._preset.input_size(*size)).content_size
            moves = self._registration is not None and self._registration.moves
            if self._motion == "none" or (height <= size[0] and not moves):  # else it may be registered first, or sampled
                picture.scaled(height, width)
        if self._motion not in ("none", WARP):
            self._ahead.offer(picture)

    def _can_look(self, picture: Image) -> bool:
        return self._letterbox is not None and self._letterbox.frame_size == size_of(picture)

    def _look(self, picture: Image, boxes: NDArray[np.float32] | None) -> tuple[Picture, Seen]:
        return self.registration.look(picture, boxes)

    def prepare(self, picture: Image) -> Picture:
        """picture: a frame's, (H, W, 3) uint8 BGR where it is an array -> the network's input, of shape (1, 3, h, w)."""
        self.letterbox(size_of(picture))
        prepared, seen = self._ahead.take(picture, self._boxes)
        self.registration.show(seen)
        if self._held is not None and seen.anchored:
            self._held.begin_anew()
        if self.denoiser is not None:
            if seen.shift != (0, 0):
                self.denoiser.forget()  # its means lie on the canvas as it was
            prepared = _with(prepared, self.denoiser(prepared.pixels))
        self._whole = prepared
        return prepared if self._held is None else _with(prepared, self._held.hold(prepared.pixels))

    @property
    def registration(self) -> Registration:
        """What makes the pictures of frames of the last size; there is one from the first call of `letterbox` on."""
        assert self._registration is not None
        return self._registration

    @property
    def whole(self) -> Picture:
        """The picture prepared last, with nothing left out of it. Valid until the next one."""
        assert self._whole is not None
        return self._whole

    def spent(self, share: float, dense_macs: int) -> bool:
        """Be told which share of how many dense MACs the picture prepared last took. Returns whether others are prepared otherwise now."""
        if self._registration is None or not self._registration.spent(share, dense_macs):
            return False
        self._ahead.redo(self._registration.forget)
        return True

    def begin_anew(self) -> None:
        """The next frame has nothing in common with those before."""
        self._boxes = None
        if self._held is not None:
            self._held.begin_anew()
        if self._registration is not None:
            self._ahead.begin_anew(self._registration.forget)
        if self.denoiser is not None:
            self.denoiser.forget()

    @property
    def held(self) -> HeldOut | None:
        """What is left out of frames of the last size."""
        return self._held

    def over_frame(self, masks: Mapping[str, NDArray[np.bool_]], frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """masks: by layer, (h, w) bool over the input -> over a frame of (height, width); the input's filling is cut."""
        box = self.letterbox(frame_size)
        rows, columns = (part / whole for part, whole in zip(box.content_size, box.input_size, strict=True))
        seen = {name: mask[: math.ceil(mask.shape[0] * rows), : math.ceil(mask.shape[1] * columns)] for name, mask in masks.items()}
        cells = {name: (box.input_size[0] / mask.shape[0], box.input_size[1] / mask.shape[1]) for name, mask in masks.items()}
        return {name: self.registration.to_frame(mask, cells[name], self.registration.seen) for name, mask in seen.items()}


def _with(picture: Picture, pixels: NDArray[np.uint8]) -> Picture:
    """The picture with these pixels, which may be written into afterwards if they are others."""
    return picture if pixels is picture.pixels else replace(picture, pixels=pixels, lasts=False)


def size_of(picture: Image) -> tuple[int, int]:
    """(height, width), pixels."""
    return (picture.shape[0], picture.shape[1]) if isinstance(picture, np.ndarray) else (picture.height, picture.width)


def mean_colour(preset: Preset) -> tuple[int, int, int]:
    """Of a preset's training data: (blue, green, red), the bytes whose values in the input are nearest to 0."""
    first, second, third = (round(255 * mean) for mean in preset.mean)
    return (third, second, first) if preset.channels == "rgb" else (first, second, third)
