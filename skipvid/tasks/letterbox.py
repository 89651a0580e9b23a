"""From a frame to the network's input and back: an exact, fixed map, so that an unchanged background stays unchanged to the bit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import StoredPicture
from skipvid.skip.picture import Picture
from skipvid.tasks.displaced import source_of


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a frame lies in the network's input: scaled, at the top left, the rest filled with one colour.

    frame_size, content_size, input_size: (height, width) in pixels of the frame, of the scaled frame, and of the whole input.
    """

    frame_size: tuple[int, int]
    content_size: tuple[int, int]
    input_size: tuple[int, int]

    @classmethod
    def fit(cls, frame_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
        """The largest scaling of a frame that fits the input."""
        scale = min(input_size[0] / frame_size[0], input_size[1] / frame_size[1])
        height, width = (max(1, min(limit, round(side * scale))) for side, limit in zip(frame_size, input_size, strict=True))
        return cls(frame_size, (height, width), input_size)

    def boxes_to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(K, 4) xyxy in input pixels -> (K, 4) xyxy in frame pixels, clipped to the frame."""
        height, width = self.frame_size
        return np.clip(self.uncut_to_frame(boxes), 0, np.array([width, height, width, height], np.float32))

    def uncut_to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same, of boxes that may reach beyond the frame."""
        height, width = self.frame_size
        scale_y, scale_x = height / self.content_size[0], width / self.content_size[1]
        return boxes * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)

    def crop_grid(self, grid: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
        """The part of a grid over the input, in cells of stride x stride pixels, that the frame covers."""
        height, width = (-(-side // stride) for side in self.content_size)
        return grid[:height, :width]


class Preprocessor:
    """Turns pictures into network inputs.

    channels: "rgb" or "bgr". mean, std: of values in 0..1, in the order of `channels`. fill: the byte beside the picture; None = the mean
    colour, which is 0 in the input.
    """

    def __init__(self, channels: str, mean: tuple[float, float, float], std: tuple[float, float, float], fill: int | None = None) -> None:
        self._fill = fill
        self._order = (2, 1, 0) if channels == "rgb" else (0, 1, 2)
        # One table per channel instead of arithmetic per pixel: a byte has only 256 values, and the same byte always gives the same bits.
        levels = np.arange(256, dtype=np.float64) / 255
        self._tables = np.array([(levels - m) / s for m, s in zip(mean, std, strict=True)], np.float32)

    def __call__(self, picture: NDArray[np.uint8] | StoredPicture, letterbox: Letterbox) -> Picture:
        """picture: of letterbox.frame_size, (H, W, 3) uint8 BGR where it is an array -> an input of letterbox.input_size.

        An array that is neither scaled nor filled up is not copied: the input is the frame's own memory.
        """
        height, width = letterbox.content_size
        image = _resized(picture, height, width) if isinstance(picture, np.ndarray) else picture.scaled(height, width)
        if self._fill is not None and letterbox.content_size != letterbox.input_size:
            below, beside = letterbox.input_size[0] - height, letterbox.input_size[1] - width
            image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=[self._fill] * 3)  # type: ignore[assignment]
        pixels = np.ascontiguousarray(image)
        lasts = not (isinstance(picture, np.ndarray) and np.may_share_memory(pixels, picture))
        return Picture(pixels, letterbox.input_size, self._tables, self._order, lasts)


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    # Area averaging when shrinking: it also averages sensor noise away, so that less counts as changed.
    source = source_of(image, (height, width))
    if source is not None:  # a tenth of what OpenCV takes
        return source.whole()
    interpolation = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
