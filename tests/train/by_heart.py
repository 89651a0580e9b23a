"""A handful of drawn pictures and persons, and trainings that must learn them by heart: for the tests and benchmarks/training_seeds.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.train.augment import AugmentConfig
from skipvid.train.detector import Recipe, train_detector
from skipvid.train.loop import Schedule
from skipvid.train.measure import exams_of_samples
from skipvid.train.people import JOINTS, PRESENT, Person, cut_out
from skipvid.train.pose import PoseRecipe, train_pose
from skipvid.train.pose_augment import PoseAugment
from skipvid.train.samples import Sample, Targets
from skipvid.train.ship import Trained

UNDISTORTED = AugmentConfig(p_colour=0, p_grey=0, p_blur=0, p_noise=0, p_jpeg=0, p_coarse=0)
CALM = AugmentConfig(
    longest=(120, 136), aspect=0.0, p_mosaic=0, p_colour=0, p_grey=0, p_blur=0, p_noise=0, p_jpeg=0, p_coarse=0, p_mirror=0.0
)
STEPS = {"detector": 90, "pose": 120}
"""After which a training knows its few pictures."""


def picture(index: int, objects: int = 2) -> tuple[NDArray[np.uint8], Targets]:
    """White upright rectangles are persons (class 0), red flat ones cars (class 2), on grey noise."""
    rng = np.random.default_rng(index)
    image = rng.integers(90, 110, (128, 128, 3), np.uint8)
    boxes, classes = [], []
    for k in range(objects):
        car = (index + k) % 2 == 1
        w, h = (44, 24) if car else (20, 48)
        x, y = int(rng.integers(4, 60 - w // 2)) + 60 * k, int(rng.integers(10, 110 - h))
        x = min(x, 124 - w)
        image[y : y + h, x : x + w] = (30, 30, 230) if car else (250, 250, 250)
        boxes.append((x, y, x + w, y + h))
        classes.append(2 if car else 0)
    return image, Targets.of(boxes, classes)


def samples(count: int) -> list[Sample]:
    return [Sample(*picture(i), "drawn") for i in range(count)]


def detector_recipe(steps: int, **changes: Any) -> Recipe:
    options = {"steps": steps, "batch": 16, "warmup": 5, "rate": 4e-3, "average": 0.9, "evaluate_every": steps, **changes}
    return Recipe(Schedule(**options), crops=(128,), longest=128, augment=CALM, settle_batches=3)


def coloured(seed: int = 0) -> tuple[Person, NDArray[np.int64]]:
    """A person whose joints are dots, each of its own colour; and the colours."""
    rng = np.random.default_rng(seed)
    image = np.zeros((320, 240, 3), np.uint8)
    colours = np.stack([np.arange(JOINTS) * 14 + 30, 255 - np.arange(JOINTS) * 14, (np.arange(JOINTS) * 97) % 200 + 40], 1)
    cells = rng.permutation(20)[:JOINTS]
    joints = np.stack([90 + 20 * (cells % 4), 80 + 34 * (cells // 4)], 1).astype(np.float32)
    for (x, y), colour in zip(joints.astype(int), colours, strict=True):
        cv2.circle(image, (int(x), int(y)), 6, colour.tolist(), -1)
    return Person(image, np.array([70, 60, 170, 250], np.float32), joints, np.full(JOINTS, PRESENT, np.int8), 9000.0, "dots"), colours


def people(count: int) -> list[Person]:
    return [cut_out(coloured(seed)[0], 128) for seed in range(count)]


def pose_recipe(steps: int, half_precision: bool | None = None, **changes: Any) -> PoseRecipe:
    options = {"steps": steps, "batch": 16, "warmup": 5, "rate": 3e-3, "average": 0.8, "evaluate_every": steps, **changes}
    calm = PoseAugment(scale=0.05, stretch=0, p_turn=0, shift=0.02, p_mirror=0, p_half=0, p_hidden=0, p_far=0, distortion=UNDISTORTED)
    return PoseRecipe(Schedule(**options), input_size=(128, 96), half_precision=half_precision, augment=calm)


def learn_pictures(folder: Path, **changes: Any) -> Trained:
    """A detector that is graded on the six pictures it learned from."""
    pictures = samples(6)
    return train_detector(detector_recipe(STEPS["detector"], **changes), pictures, exams_of_samples(pictures), folder, quiet=True)


def learn_people(folder: Path, half_precision: bool | None = None, **changes: Any) -> Trained:
    """A pose network that is graded on the four persons it learned from."""
    learned = people(4)
    return train_pose(pose_recipe(STEPS["pose"], half_precision, **changes), learned, learned, folder, quiet=True)
