"""What is measured on: a patch that moves over a still picture, and real clips; both as inputs of the network."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.crops import whole_frame
from skipvid.tasks.detect import finds_people
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

SPEED = 6
"""Pixels that the patch goes from frame to frame, down and to the right, or back."""

DRIFT = (10, 14)
"""Pixels that the texture goes inside the patch: never what makes up for the patch's own way."""


def patch_frames(preset: Preset, size: tuple[int, int], share: float, count: int, seed: int = 0) -> Iterator[Picture]:
    """`count` inputs for (height, width) `size`: a textured patch that covers `share` of a still picture moves about.

    Its texture runs along with it, so that all of the patch changes in every frame, and the strip that it uncovers. share: 0..1.
    """
    preprocess = Preprocessor(preset.channels, preset.mean, preset.std)
    random = np.random.default_rng(seed)
    still, texture = _texture(size, random), _texture(size, random)
    height, width = (round(extent * share**0.5) for extent in size)
    for number in range(count):
        picture = still.copy()
        top, left = (_back_and_forth(number * SPEED, free) for free in (size[0] - height, size[1] - width))
        moved = np.roll(texture, (number * DRIFT[0], number * DRIFT[1]), (0, 1))
        picture[top : top + height, left : left + width] = moved[:height, :width]
        yield preprocess(picture, Letterbox(size, size, size))


def _texture(size: tuple[int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of all scales, as pictures of real scenes have: (h, w, 3)."""
    height, width = size
    total = np.zeros((height, width, 3), np.float32)
    cells = 2
    while cells < min(size):
        coarse = random.standard_normal((max(2, cells * height // width), cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
        cells *= 2
    return np.clip(128 + 40 * total, 0, 255).astype(np.uint8)


def _back_and_forth(distance: int, free: int) -> int:
    """Where something is that went `distance` pixels to and fro over `free` pixels."""
    if free == 0:
        return 0
    along = distance % (2 * free)
    return min(along, 2 * free - along)


def clip_size(spec: str, preset: Preset) -> tuple[int, int]:
    """(height, width) of the network's input for a clip. Raises SourceError where it cannot be opened."""
    with open_source(spec, ReadOptions(max_frames=1)) as source:
        frame_size = (source.info.height, source.info.width)
    size = preset.input_size(*frame_size)
    return whole_frame(frame_size, size).input_size if preset.task == "pose" and not finds_people(preset) else size


def clip_frames(spec: str, preset: Preset, size: tuple[int, int], count: int) -> Iterator[Picture]:
    """The first `count` frames of a clip as inputs of (height, width) `size`: letterboxed for a detector, whole for a pose network.

    Raises SourceError where the clip cannot be opened or decoded.
    """
    preprocess = Preprocessor(preset.channels, preset.mean, preset.std)
    with open_source(spec, ReadOptions(max_frames=count)) as source:
        for frame in source:
            frame_size = (frame.height, frame.width)
            if preset.task == "pose" and not finds_people(preset):
                picture = whole_frame(frame_size, preset.input_size(*frame_size)).cut(frame.image)
                yield preprocess(picture, Letterbox(size, size, size))
            else:
                yield preprocess(frame.picture, Letterbox.fit(frame_size, size))
