"""The engine: a network, its gates and a compiled program turn each Frame into a FrameResult. What all tasks share is here."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

from skipvid.core.errors import PresetError
from skipvid.core.results import Frame, FrameResult
from skipvid.models import ModelSpec, find_spec
from skipvid.presets.preset import FILE, Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.backend import Program
from skipvid.skip.config import SkipConfig
from skipvid.skip.kept import KeptPrograms
from skipvid.skip.source import Source
from skipvid.tasks.areas import Areas

S = TypeVar("S", bound=ModelSpec)


class Stream(Protocol):
    """The analysis of one stream of frames."""

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each thing that was done otherwise than usual, and that was counted, known after the last frame."""

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each thing that the results lack, known after the last frame."""

    def look_ahead(self, frame: Frame) -> None:
        """Do what can be done for a frame before its turn. From another thread than `process`, in the order of the frames."""

    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame."""


@runtime_checkable
class TwoStepStream(Stream, Protocol):
    """A stream whose results can be completed beside the next frame."""

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        """Analyse the next frame as far as later ones depend on it. What is returned completes the result, once, in any thread."""


class Engine(ABC):
    """A loaded network that analyses any number of streams; a task adds what stands before and behind the network.

    preset: what was asked for. weights_sha256: of the loaded file. categories: names of what it finds, by number. model: the gated network.
    """

    preset: Preset
    weights_sha256: str
    categories: Mapping[int, str]
    model: SkipModel
    areas: Areas | None = None
    """What streams that begin look at; None: all of the picture."""
    shows_activity: bool = True
    motion: str = "none"
    denoise: str = "none"

    def __init__(
        self, spec: ModelSpec, preset: Preset, config: SkipConfig, weights: Path, weights_sha256: str, programs: Path | None = None
    ) -> None:
        """weights: the file to load. weights_sha256: its hash, for the record. Raises WeightsError where the file does not fit.

        programs: a folder where compiled programs are kept from run to run; what is found there runs without the file being loaded.
        """
        self.preset = preset
        self.weights_sha256 = weights_sha256
        outputs = preset.label_set.num_outputs
        source = Source(lambda: spec.load(weights, outputs))
        kept = None
        if programs is not None and weights_sha256 and preset.model != FILE:  # which head a file has is only known when it is read
            kept = KeptPrograms(programs, {"weights": weights_sha256, "network": spec.name, "outputs": str(outputs)})
        if kept is None or not kept.any:
            source.load()  # whether the weights fit is told at once
        self.model = SkipModel(source, config, kept=kept)

    @property
    def backend(self) -> str:
        """Name of what the network runs on."""
        return self.model.backend.name

    def prepare(self, height: int, width: int) -> tuple[Program, ...]:
        """Build the programs for frames of this size, so that the first frame need not wait for them. They are kept for as long as the
        caller keeps them, however many other sizes there are."""
        return tuple(model.program(((1, 3, *size),)) for _, model, size in self.networks(height, width))

    @abstractmethod
    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        """What runs for frames of this size: preset, network, and the (height, width) of its input; the task's own network is the last."""

    def dense_macs(self, height: int, width: int) -> int:
        """MACs of all networks without gates for a frame of this size; of a pose network for one person."""
        return sum(model.program(((1, 3, *size),)).costs.dense_macs for _, model, size in self.networks(height, width))

    def use_motion(self, motion: str | None) -> None:
        """Say what streams with gates do where the camera moves, of skipvid.core.motions; None: what the detector's preset says."""
        self.motion = motion or self.preset.motion

    def show_activity(self, shown: bool) -> None:
        """Say whether the results of streams that begin name where the work was done, as at first; nobody but who draws them asks."""
        self.shows_activity = shown

    @property
    def warps(self) -> bool:
        """Whether streams with gates use activation motion compensation in their place, which has no bound."""
        return False

    def use_denoising(self, denoise: str | None) -> None:
        """Say what streams with gates do about noise, of skipvid.core.denoising; None: what the detector's preset says."""
        self.denoise = denoise or self.preset.denoise

    def regated(self, config: SkipConfig, keep: bool = False) -> Self:
        """The same network with other gates; what was loaded and exported is shared. keep: as in SkipModel.regated."""
        other = copy.copy(self)
        other.model = self.model.regated(config, keep)
        return other

    @abstractmethod
    def stream(self, dense_every: int = 0) -> Stream:
        """Begin a stream with gates (or, with gate "none", without).

        dense_every: measure the dense network, too, where it has not been for so many frames (0 = never), beside the gated run of the
        same frame; later on more seldom.
        """

    @abstractmethod
    def dense_stream(self) -> Stream:
        """Begin a stream on the same back end without gates: the yardstick."""


def spec_with(preset: Preset, kind: type[S], weights: Path) -> S:
    """As spec_for; where the preset says that its weights are a network of their own, what stands for that file."""
    if preset.model != FILE:
        return spec_for(preset, kind)
    from skipvid.tasks.network_files import open_spec

    _check_task(preset, kind)
    return open_spec(preset, kind, weights)


def _check_task(preset: Preset, kind: type[ModelSpec]) -> None:
    if preset.task != kind.task:
        raise PresetError(
            f"preset {preset.name} is for the task '{preset.task}'", f"choose a preset of the task '{kind.task}': skipvid presets list"
        )


def spec_for(preset: Preset, kind: type[S]) -> S:
    """The network of a preset, of this kind. Raises PresetError for another task, an unknown network, or sizes that it cannot take."""
    _check_task(preset, kind)
    if preset.model == FILE:
        raise PresetError(
            f"preset {preset.name} is a network from a file, which can be run but not trained or taught with",
            "choose a preset of a network that comes with skipvid: skipvid presets list",
        )
    spec = find_spec(preset.model)
    if not isinstance(spec, kind):
        raise PresetError(f"preset {preset.name}: the network {spec.name} is for the task '{spec.task}', not '{preset.task}'")
    if preset.size_multiple % spec.size_multiple:
        raise PresetError(
            f"preset {preset.name}: 'size_multiple' must be a multiple of {spec.size_multiple} for the network {spec.name}, "
            f"got {preset.size_multiple}"
        )
    return spec
