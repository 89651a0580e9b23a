"""From persons to batches for pose training: turned, scaled, shifted, mirrored, halved, hidden in parts, distorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.models.heatmaps import SIGMA_PER_PIXEL, STRIDE
from skipvid.tasks.crops import PADDING
from skipvid.train.augment import AugmentConfig, distort
from skipvid.train.draws import Draws
from skipvid.train.people import ABSENT, JOINTS, MIRRORED, PRESENT, Person

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class PoseAugment:
    """How persons are varied; p_ = probability.

    scale: largest change of size, as a logarithm. turn: standard deviation of the rotation, degrees, where one is made. shift: largest, as
    a fraction of the window. hidden: largest side of a patch laid over the picture, as a fraction of the window.
    """

    scale: float = 0.35
    stretch: float = 0.08
    turn: float = 28.0
    p_turn: float = 0.6
    shift: float = 0.09
    p_mirror: float = 0.5
    p_half: float = 0.15
    p_hidden: float = 0.3
    hidden: float = 0.35
    p_far: float = 0.25  # shrunk a lot and enlarged again: somebody far away
    distortion: AugmentConfig = field(default_factory=lambda: AugmentConfig(p_colour=0.6, p_blur=0.08, p_noise=0.15, p_jpeg=0.1))


LIGHT = PoseAugment(scale=0.22, stretch=0.05, turn=18.0, p_turn=0.3, shift=0.06, p_half=0.05, p_hidden=0.1, p_far=0.1)
"""For short trainings, whose network is far from knowing the persons by heart."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseBatch:
    """images: (N, h, w, 3) uint8 BGR. heat: (N, 17, h / 4, w / 4) float32, what the network is to put out. known: (N, 17) bool."""

    images: NDArray[np.uint8]
    heat: NDArray[np.float32]
    known: NDArray[np.bool_]


class PersonBatches:
    """Draws batches from persons, each source as often as its share says (None: every person alike). A function of (seed, step) alone.

    Raises UsageError where there is nothing to draw from.
    """

    def __init__(self, people: Sequence[Person], config: PoseAugment | None = None, shares: Mapping[str, float] | None = None) -> None:
        self._config = config or PoseAugment()
        self._people = Draws(people, shares)

    def batch(self, count: int, size: tuple[int, int], *, seed: int, step: int) -> PoseBatch:
        """size: (height, width) of the network's input, pixels."""
        rng = np.random.default_rng([seed, step])
        images = np.empty((count, *size, 3), np.uint8)
        joints, states = np.empty((count, JOINTS, 2), np.float32), np.empty((count, JOINTS), np.int8)
        for i in range(count):
            images[i], joints[i], states[i] = vary(self._people.draw(rng), size, rng, self._config)
        return PoseBatch(images, draw_heat(joints, states == PRESENT, size), np.asarray((states == PRESENT) | (states == ABSENT)))


def vary(
    person: Person, size: tuple[int, int], rng: Rng, config: PoseAugment
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int8]]:
    """One view of a person: image (h, w, 3), joints (17, 2) in its pixels, states (17,). A joint that falls outside becomes ABSENT."""
    height, width = size
    box = _half(person, rng) if rng.random() < config.p_half else person.box
    centre, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    window = max(float(extent[1]), float(extent[0]) * height / width, 8.0) * PADDING
    zoom = height / window * float(np.exp(rng.uniform(-config.scale, config.scale)))
    ratio = float(np.exp(rng.uniform(-config.stretch, config.stretch)))
    angle = np.deg2rad(np.clip(rng.normal(0, config.turn), -2.2 * config.turn, 2.2 * config.turn)) if rng.random() < config.p_turn else 0.0
    mirrored = rng.random() < config.p_mirror
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom * np.array([[ratio**0.5], [ratio**-0.5]])
    if mirrored:
        linear[0] *= -1
    goal = np.array([(width - 1) / 2, (height - 1) / 2]) + rng.uniform(-config.shift, config.shift, 2) * (width, height)
    affine = np.column_stack([linear, goal - linear @ centre])
    image = np.asarray(cv2.warpAffine(person.image, affine, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    joints, states = (person.joints @ linear.T + affine[:, 2]).astype(np.float32), person.states.copy()
    if mirrored:
        joints, states = joints[list(MIRRORED)], states[list(MIRRORED)]
    outside = ((joints < -0.5) | (joints > np.array([width, height]) - 0.5)).any(axis=1)
    states[(states == PRESENT) & outside] = ABSENT
    if rng.random() < config.p_far:
        factor = float(np.exp(rng.uniform(np.log(0.2), np.log(0.7))))
        small = cv2.resize(image, (max(int(width * factor), 4), max(int(height * factor), 4)), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < config.p_hidden:
        _hide(image, rng, config.hidden)
    return distort(image, rng, config.distortion), joints, states


def _half(person: Person, rng: Rng) -> NDArray[np.float32]:
    """A box around the upper or the lower body, or the person's own where too few of the joints are known."""
    upper = np.arange(JOINTS) <= 10
    chosen = (upper if rng.random() < 0.6 else ~upper) & (person.states == PRESENT)
    if chosen.sum() < 4:
        return person.box
    points = person.joints[chosen]
    low, high = points.min(0), points.max(0)
    grow = 0.2 * float((high - low).max()) + 2
    return np.concatenate([low - grow, high + grow]).astype(np.float32)


def _hide(image: NDArray[np.uint8], rng: Rng, largest: float) -> None:
    """Lay a patch of one colour over the picture: something that stands before the person."""
    height, width = image.shape[:2]
    sides = (rng.uniform(0.08, largest, 2) * (width, height)).astype(int) + 1
    x, y = (int(v) for v in rng.uniform(0, 1, 2) * (np.array([width, height]) - sides))
    image[y : y + sides[1], x : x + sides[0]] = rng.integers(0, 256, 3)


def draw_heat(joints: NDArray[np.float32], present: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """Gaussians of height 1 at the joints; dark maps where a joint is not present.

    joints: (N, 17, 2) in pixels of the input. present: (N, 17). size: (height, width) of the input -> (N, 17, h / 4, w / 4) float32.
    """
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    spread = 2 * (SIGMA_PER_PIXEL * rows) ** 2
    x, y = joints[..., 0, None] / STRIDE, joints[..., 1, None] / STRIDE
    across = np.exp(-((np.arange(columns, dtype=np.float32) - x) ** 2) / spread)
    down = np.exp(-((np.arange(rows, dtype=np.float32) - y) ** 2) / spread)
    heat: NDArray[np.float32] = (down[..., :, None] * across[..., None, :] * present[..., None, None]).astype(np.float32)
    return heat
