"""From samples to training batches: random scale and crop, mirror, mosaic, colour, blur, noise, compression.

Every batch is a function of (seed, step) alone, so that a run which was interrupted goes on with the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.train.draws import Draws
from skipvid.train.samples import Sample, Targets

Image = NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How pictures are varied; p_ = probability.

    longest: range of the longer side after scaling, pixels, drawn evenly in its logarithm: the sizes at which objects will be met.
    visible: a box of which less than this fraction is left by the crop is ignored; below a quarter of that it is background.
    """

    longest: tuple[float, float] = (300.0, 720.0)
    aspect: float = 0.12
    visible: float = 0.4
    smallest: float = 4.0  # pixels; boxes with a shorter side are ignored
    p_mirror: float = 0.5
    p_mosaic: float = 0.35
    p_colour: float = 0.7
    p_grey: float = 0.05
    p_blur: float = 0.12
    p_noise: float = 0.2
    p_jpeg: float = 0.15
    p_coarse: float = 0.1  # down and up again, as in an upscaled stream


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """images: (N, S, S, 3) uint8, BGR. targets: one per image. known: (N, CLASS_COUNT) bool."""

    images: Image
    targets: tuple[Targets, ...]
    known: NDArray[np.bool_]


class BatchMaker:
    """Makes batches of samples, each source as often as its share says. Raises UsageError where there is nothing to draw from."""

    def __init__(self, samples: Sequence[Sample], config: AugmentConfig | None = None, shares: Mapping[str, float] | None = None) -> None:
        self._config = config or AugmentConfig()
        self._samples = Draws(samples, shares)

    def batch(self, count: int, size: int, *, seed: int, step: int) -> Batch:
        """`count` pictures of `size` pixels squared."""
        rng = np.random.default_rng([seed, step])
        images = np.empty((count, size, size, 3), np.uint8)
        targets, known = [], []
        for i in range(count):
            images[i], target, mask = self._one(size, rng)
            targets.append(target)
            known.append(mask)
        return Batch(images, tuple(targets), np.stack(known))

    def pictures(self, count: int, *, seed: int, step: int) -> list[Image]:
        """`count` pictures as they are, drawn like those of a batch."""
        rng = np.random.default_rng([seed, step])
        return [self._samples.draw(rng).image for _ in range(count)]

    def _one(self, size: int, rng: Rng) -> tuple[Image, Targets, NDArray[np.bool_]]:
        config = self._config
        canvas = np.full((size, size, 3), 114, np.uint8)
        if rng.random() >= config.p_mosaic:
            sample = self._samples.draw(rng)
            targets = place(sample, canvas, (0, 0, size, size), 1.0, rng, config)
            return distort(canvas, rng, config), targets, sample.known
        x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
        targets, known = Targets.empty(), np.ones(0, np.bool_)
        for window in ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)):
            sample = self._samples.draw(rng)
            targets = targets + place(sample, canvas, window, 0.7, rng, config)
            known = sample.known if not len(known) else known & sample.known
        return distort(canvas, rng, config), targets, known


def place(sample: Sample, canvas: Image, window: tuple[int, int, int, int], zoom: float, rng: Rng, config: AugmentConfig) -> Targets:
    """Paint the sample into the canvas' window (x1, y1, x2, y2) at a random scale, cropped or padded; returns its boxes in the canvas.

    zoom: factor on the drawn scale.
    """
    x1, y1, x2, y2 = window
    room = np.array([x2 - x1, y2 - y1])
    height, width = sample.image.shape[:2]
    low, high = np.log(config.longest)
    scale = zoom * float(np.exp(rng.uniform(low, high))) / max(height, width)
    stretch = float(np.exp(rng.uniform(-config.aspect, config.aspect)))
    scales = np.array([scale * stretch**0.5, scale / stretch**0.5])
    full = scales * (width, height)
    slack = room - full
    # A picture larger than the window is cropped anywhere, a smaller one is put anywhere.
    shift = rng.uniform(np.minimum(slack, 0), np.maximum(slack, 0))
    first = np.maximum(np.floor(-shift / scales), 0).astype(int)
    last = np.minimum(np.ceil((room - shift) / scales), (width, height)).astype(int)
    begin = np.clip(np.round(first * scales + shift), 0, room).astype(int)
    end = np.clip(np.round(last * scales + shift), 0, room).astype(int)
    if (end - begin < 2).any() or (last - first < 2).any():
        return Targets.empty()
    mirrored = rng.random() < config.p_mirror
    part = sample.image[first[1] : last[1], first[0] : last[0]]
    way = cv2.INTER_AREA if scale < 0.75 else cv2.INTER_LINEAR
    patch = cv2.resize(part, (int(end[0] - begin[0]), int(end[1] - begin[1])), interpolation=way)
    view = canvas[y1:y2, x1:x2]
    view[begin[1] : end[1], begin[0] : end[0]] = patch
    boxes = sample.targets.boxes * np.tile(scales, 2) + np.tile(shift, 2)
    if mirrored:
        view[:] = view[:, ::-1].copy()
        boxes = boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (room[0], 0, room[0], 0)
    seen = clip_targets(boxes.astype(np.float32), sample.targets, room, config)
    return Targets(seen.boxes + np.array((x1, y1, x1, y1), np.float32), seen.classes, seen.ignore)


def clip_targets(boxes: NDArray[np.float32], targets: Targets, room: NDArray[Any], config: AugmentConfig) -> Targets:
    """boxes: (K, 4), the targets' boxes in a window of room (width, height) -> those that are still seen, clipped to it."""
    clipped = np.clip(boxes, 0, np.tile(room, 2)).astype(np.float32)
    area = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    share = area / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6)
    small = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf) < config.smallest
    seen = (share >= config.visible / 4) & (area > 0)
    ignore = targets.ignore | (share < config.visible) | small
    return Targets(clipped[seen], targets.classes[seen], np.asarray(ignore[seen], np.bool_))


def distort(image: Image, rng: Rng, config: AugmentConfig) -> Image:
    """The picture (H, W, 3) as another camera, at another hour, through another codec, would have given it."""
    if rng.random() < config.p_colour:
        image = _recolour(image, rng)
    if rng.random() < config.p_grey:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    height, width = image.shape[:2]
    if rng.random() < config.p_coarse:
        factor = rng.uniform(0.45, 0.8)
        small = cv2.resize(image, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < config.p_blur:
        image = _blur(image, rng)
    if rng.random() < config.p_noise:
        noise: NDArray[np.int16] = np.empty(image.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, np.zeros(3), np.full(3, rng.uniform(2, 14)))
        image = np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)
    if rng.random() < config.p_jpeg:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def _recolour(image: Image, rng: Rng) -> Image:
    """Gamma, contrast, brightness and white balance through one table per channel; then saturation."""
    ramp = np.linspace(0, 1, 256)
    gamma, contrast = np.exp(rng.uniform(-0.45, 0.45)), np.exp(rng.uniform(-0.4, 0.3))
    brightness = rng.uniform(-0.12, 0.12)
    gains = np.exp(rng.uniform(-0.12, 0.12, 3))
    table = (ramp[:, None] ** gamma * gains - 0.5) * contrast + 0.5 + brightness
    image = np.asarray(cv2.LUT(image, np.clip(table * 255, 0, 255).astype(np.uint8).reshape(256, 1, 3)), np.uint8)
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        amount = float(rng.uniform(0.4, 1.4))
        image = np.asarray(cv2.addWeighted(image, amount, grey, 1 - amount, 0), np.uint8)
    return image


def _blur(image: Image, rng: Rng) -> Image:
    """Out of focus, or moved along a line."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.6))), np.uint8)
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, reach = (length - 1) / 2, (length - 1) / 2
    ends = [(round(middle + sign * reach * np.cos(angle)), round(middle + sign * reach * np.sin(angle))) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
