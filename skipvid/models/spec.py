"""What a network is to the rest of the program: how it is built and loaded, what its input must be, and who reads its output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.models.detections import DetectionHead

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A network that can be had by name: one member of a family.

    config: the family's own frozen dataclass, with `name` and `image_size`, the (height, width) in pixels that it was designed for, among
    its fields. network: "module:class" of what builds the network of a config; imported when one is built, because a network that was
    compiled once runs without PyTorch. outputs: the config's field that says how many classes or joints it finds.
    size_multiple: both sides of an input must be multiples of it, pixels.
    """

    task: ClassVar[str]
    config: Any
    network: str
    outputs: str
    size_multiple: int = 32

    @property
    def name(self) -> str:
        """By which it is found."""
        return str(self.config.name)

    def build(self, num_outputs: int | None = None, image_size: tuple[int, int] | None = None) -> nn.Module:
        """The network in eval mode with random weights.

        num_outputs: classes or joints; None = as published. image_size: (height, width) that it will be fed, pixels; the network takes any
        that fits, and the argument is checked so that a wrong size is found before any work starts. Raises UsageError.
        """
        config = self.config
        if image_size is not None:
            self.check_image_size(image_size)
            config = replace(config, image_size=image_size)
        if num_outputs is not None:
            if num_outputs < 1:
                raise UsageError(f"a network needs at least one class, got {num_outputs}")
            config = replace(config, **{self.outputs: num_outputs})
        module, _, name = self.network.partition(":")
        net: nn.Module = getattr(import_module(module), name)(config)
        return net.eval()

    def load(self, weights: str | Path | Mapping[str, Any], num_outputs: int | None = None) -> nn.Module:
        """The network in eval mode with a checkpoint's weights, nothing of it to be trained. Raises WeightsError where they do not fit."""
        from skipvid.models.checkpoint import load_weights

        net = self.build(num_outputs)
        load_weights(net, weights)
        return net.requires_grad_(False)

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Raises UsageError where (height, width) is not a pair of positive multiples of size_multiple."""
        height, width = image_size
        if any(side < self.size_multiple or side % self.size_multiple for side in (height, width)):
            raise UsageError(f"input size {height}x{width} (height x width) is not a multiple of {self.size_multiple}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec(ModelSpec):
    """A detector.

    head: what reads its output for inputs of (height, width) pixels. fill: the byte beside the picture, as in training; None = the mean
    colour.
    """

    task: ClassVar[str] = "detect"
    head: Callable[[tuple[int, int]], DetectionHead[Any]]
    fill: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePoseSpec(DetectorSpec):
    """A pose network that finds all people in its input, each with a box."""

    task: ClassVar[str] = "pose"


class KeypointHead(ABC):
    """Reads the output of a pose network for one person."""

    @abstractmethod
    def keypoints(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """maps: all that the network returns for one input, float32 -> (J, 3): x, y in pixels of the input, whole numbers being centres,
        and score.
        """


class SegmentHead(ABC):
    """Reads the output of a network that tells the class of each pixel."""

    @abstractmethod
    def numbers(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
        """maps: all that the network returns for one input -> (h, w), the class of each cell of a grid over the input, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSpec(ModelSpec):
    """A network that tells the class of each pixel. head: what reads its output, from its number of classes. fill: as in DetectorSpec."""

    task: ClassVar[str] = "segment"
    head: Callable[[int], SegmentHead]
    fill: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSpec(ModelSpec):
    """A pose network for one person in its input. head: what reads its output, from the names of its joints."""

    task: ClassVar[str] = "pose"
    head: Callable[[tuple[str, ...]], KeypointHead]
