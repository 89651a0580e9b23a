"""Pose networks that label persons for training: a preset of skipvid, or an ONNX or OpenVINO file that puts out heat maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skipvid.core.errors import UsageError
from skipvid.models import PoseSpec
from skipvid.models.heatmaps import COCO_TOLERANCES, STRIDE, decode_heatmaps
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.tasks.crops import CropWindow
from skipvid.tasks.engine import spec_for
from skipvid.train.imagenet import normalise
from skipvid.train.people import ABSENT, JOINTS, MIRRORED, PRESENT, UNKNOWN, Person
from skipvid.train.teachers import open_runner

Heat = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(N, 3, h, w) float32, normalised RGB -> (N, 17, h / 4, w / 4) float32."""

SURE, NOWHERE = 0.5, 0.12
"""A teacher's joint is believed from SURE on; below NOWHERE it is believed not to be seen."""

FEWEST = 8
"""Joints that a teacher must be sure of for a person without any label to become a sample."""


class PoseTeacher:
    """Finds the joints of persons, taking the mean of the heat maps of a window and of its mirror image."""

    def __init__(self, heat: Heat, input_size: tuple[int, int]) -> None:
        self.heat, self.input_size = heat, input_size

    def joints(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float32]:
        """image: (H, W, 3) uint8 BGR. box: (4,) xyxy -> (17, 3) float32: x, y in pixels of the picture, and score."""
        window = CropWindow.around(box, self.input_size)
        cut = window.cut(image)
        both = self.heat(network_input(np.stack([cut, cut[:, ::-1]])))
        heat = (both[0] + both[1][list(MIRRORED)][:, :, ::-1]) / 2
        found = decode_heatmaps(np.ascontiguousarray(heat), tolerances=COCO_TOLERANCES)
        found[:, :2] = window.to_frame(found[:, :2] * STRIDE)
        return found

    def complete(self, person: Person) -> Person | None:
        """The person with the teacher's opinion on joints without a label; None where it knows too little of one without any."""
        unknown = person.states == UNKNOWN
        if not unknown.any():
            return person
        found = self.joints(person.image, person.box)
        sure, nowhere = unknown & (found[:, 2] >= SURE), unknown & (found[:, 2] < NOWHERE)
        if unknown.all() and sure.sum() < FEWEST:
            return None
        states = np.where(sure, PRESENT, np.where(nowhere, ABSENT, person.states)).astype(np.int8)
        return replace(person, joints=np.where(sure[:, None], found[:, :2], person.joints).astype(np.float32), states=states)


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, h, w, 3) uint8 BGR -> (N, 3, h, w) float32, RGB, normalised as our pose presets are."""
    return np.ascontiguousarray(normalise(images).numpy())


def heat_of(net: nn.Module) -> Heat:
    """A network in eval mode as a function on arrays."""

    def heat(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(net(torch.from_numpy(x)).numpy(), np.float32)

    return heat


def open_pose_teacher(name_or_path: str, weights: Path | None = None, *, threads: int = 1) -> PoseTeacher:
    """A preset of the task "pose" (weights: its file, where the preset cannot fetch one), or the path of an .onnx or .xml file.

    Raises UsageError for what is no pose network, WeightsError and PresetError for unfit files.
    """
    path = Path(name_or_path)
    if path.suffix in (".onnx", ".xml"):
        run, size = open_runner(path, threads=threads)
        return PoseTeacher(lambda x: np.concatenate([_heat_maps(run(one[None]), path) for one in x]), size)
    preset = load_preset(name_or_path)
    if preset.task != "pose" or isinstance(preset.image_size, int):
        raise UsageError(f"preset {preset.name} is for the task '{preset.task}'", "a pose teacher is needed: skipvid presets list")
    spec = spec_for(preset, PoseSpec)
    return PoseTeacher(heat_of(spec.load(resolve_weights(preset, weights).path)), preset.image_size)


def _heat_maps(outputs: list[NDArray[np.float32]], path: Path) -> NDArray[np.float32]:
    """The heat maps among a network's outputs."""
    for output in outputs:
        if output.ndim == 4 and output.shape[1] == JOINTS:
            return output
    raise UsageError(f"{path} puts out no heat maps of {JOINTS} joints", "export the network without its decoding")
