"""What the rest of the program knows of an engine: it turns each Frame into a FrameResult; each stream has state of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from skipvid.core.results import Frame, FrameResult
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig


class Stream(Protocol):
    """The analysis of one stream of frames."""

    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame."""


class Engine(Protocol):
    """A loaded network that analyses any number of streams.

    preset: what was asked for. weights_sha256: of the loaded file. categories: names of what it finds, by number. model: the gated network.
    """

    preset: Preset
    weights_sha256: str
    categories: Mapping[int, str]
    model: SkipModel

    @property
    def backend(self) -> str:
        """Name of what the network runs on."""

    def prepare(self, height: int, width: int) -> None:
        """Build the plan for frames of this size, so that the first frame need not wait for it."""

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        """What runs for frames of this size: preset, network, and the (height, width) of its input; the task's own network is the last."""

    def regated(self, config: SkipConfig) -> Self:
        """The same network with other gates; what was loaded and exported is shared."""

    def stream(self, dense_every: int = 0) -> Stream:
        """Begin a stream. dense_every: measure the dense network, too, in every so many frames; 0 = never."""

    def dense_stream(self) -> Stream:
        """Begin a stream on the same back end without gates: the yardstick."""
