"""The engine: a network, its gates and a compiled program turn each Frame into a FrameResult. What all tasks share is here."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self, TypeVar, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.errors import PresetError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import ModelSpec, find_spec
from skipvid.presets.preset import FILE, Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.backend import Program
from skipvid.skip.config import SkipConfig
from skipvid.skip.kept import KeptPrograms
from skipvid.skip.picture import Picture
from skipvid.skip.ratio_choice import ratios_note
from skipvid.skip.session import Session
from skipvid.skip.source import Source
from skipvid.tasks.areas import Areas
from skipvid.tasks.scene import SceneCutDetector

ACTIVITY_STRIDE = 8
"""Side of an activity cell, in pixels of the network's input."""

MOST = 5
"""How much longer the way from one measurement of the dense network to the next gets, which doubles: each takes as long as several gated
frames."""

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
        same frame; later on for up to MOST times as many.
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


class EngineStream(ABC):
    """The course of a frame, which is the same for all tasks: scene cuts, keyframes, times, the dense network now and then, costs.

    scene_cuts: begin anew where the picture changes as a whole. dense: run without gates. dense_every: as in Engine.stream.
    """

    def __init__(self, engine: Engine, scene_cuts: bool, dense: bool, dense_every: int) -> None:
        self._model = model = engine.model
        self._shows_activity = engine.shows_activity
        self._dense = dense
        self._cuts = SceneCutDetector() if scene_cuts else None
        self._dense_every = dense_every if model.config.gate != "none" else 0  # it would be timed beside itself
        self._timed, self._untimed = 0, 0  # how often the dense network was timed (MOST: so often or more), and frames since
        self._dense_ms: float | None = None
        self._frame_size: tuple[int, int] | None = None
        self._ratios: Counter[float] = Counter()  # runs of the network, by the ratio of its channels

    @property
    def problems(self) -> tuple[str, ...]:
        """What the results lack."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know beside the numbers; here, at which ratios the network ran."""
        note = ratios_note(self._ratios)
        return () if note is None else (note,)

    def look_ahead(self, frame: Frame) -> None:
        """As Stream.look_ahead: scene cuts are looked for here. A task adds what its networks look at."""
        if self._cuts is not None:
            self._cuts.look_ahead(frame.picture)

    @final  # a pipeline may call begin() alone
    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame. After a scene cut, a change of size or a lost connection nothing of the frames before is used."""
        return self.begin(frame)()

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        """As TwoStepStream.begin."""
        clock = Clock()
        size = (frame.height, frame.width)
        cut = self._cuts is not None and self._cuts.is_cut(frame.picture)
        if cut or size != self._frame_size:
            self._begin_anew(size)
            self._frame_size = size
        elif frame.resumed:
            self._resume(size)
        self._dense_ms = 0.0 if self._is_timed else None
        found = self._analyse(frame, clock)
        if self._dense_ms:
            clock.ms["dense_model"] = self._dense_ms
            self._timed, self._untimed = min(self._timed + 1, MOST), 0
        self._untimed += 1
        counted = not self._dense and (self._model.config.gate != "none" or self._model.adaptive)
        account = self._account(size) if counted else None
        activity = self._later_activity(size) if counted and self._shows_activity else None
        keyframe = self._dense or self._keyframe

        def complete() -> FrameResult:
            detections = found
            if not isinstance(detections, Detections):
                begin = time.perf_counter()
                detections = detections()
                clock.ms["postprocess"] += (time.perf_counter() - begin) * 1e3
            cost = None if account is None else account()
            grid = None if activity is None else activity()
            return FrameResult(frame, detections, keyframe, {"decode": frame.decode_ms, **clock.ms}, cost, grid)

        return complete

    @abstractmethod
    def _begin_anew(self, size: tuple[int, int]) -> None:
        """Forget the frames so far; those to come are of (height, width)."""

    def _resume(self, size: tuple[int, int]) -> None:
        """The source was lost for a time: the next frame is a keyframe. What may outlast the gap is kept."""
        self._begin_anew(size)

    @abstractmethod
    def _analyse(self, frame: Frame, clock: Clock) -> Detections | Callable[[], Detections]:
        """What is in the frame, or what finds that out beside the next frame; the clock is told of every phase."""

    @property
    def _is_timed(self) -> bool:
        """Whether the dense network runs, too, in the frame that comes."""
        longer = min(1 << max(0, self._timed - 1), MOST)
        return 0 < self._dense_every * longer <= self._untimed

    def _time_dense(self, prepared: Picture, session: Session, clock: Clock) -> None:
        """Time the dense network in some frames, before the gated one: what draws and encodes the last frame works beside it, as always.

        session: that computes the gated one.
        """
        if self._dense_ms is not None:
            # As long as it would take if it had to wait for cores as gated frames do: a few runs of its own do not tell.
            self._dense_ms += self._model.dense_ms(prepared) * session.held_up
            clock.leave_out()

    def _ran_densely(self, session: Session) -> None:
        """Take the time of a frame that its only network computed as without gates for that of the dense network."""
        if self._dense_every and self._dense_ms is None:
            self._dense_ms = session.dense_ms

    @property
    @abstractmethod
    def _keyframe(self) -> bool:
        """Whether the frame just analysed was computed densely."""

    def _account(self, size: tuple[int, int]) -> Callable[[], FrameCost]:
        """What adds up the cost of the frame just analysed, of (height, width), when others may have followed."""
        cost = self._cost(size)
        return lambda: cost

    @abstractmethod
    def _cost(self, size: tuple[int, int]) -> FrameCost:
        """Of the frame just analysed, of (height, width)."""

    def _later_activity(self, size: tuple[int, int]) -> Callable[[], NDArray[np.float32]]:
        """What makes `_activity` of the frame just analysed, of (height, width), when others may have followed."""
        grid = self._activity(size)
        return lambda: grid

    @abstractmethod
    def _activity(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Of the frame just analysed, of (height, width), as in FrameResult."""


class Clock:
    """Milliseconds by phase."""

    def __init__(self) -> None:
        self.ms = {"preprocess": 0.0, "model": 0.0, "postprocess": 0.0}
        self._last = time.perf_counter()

    def leave_out(self) -> None:
        """What was done since the last phase belongs to none."""
        self._last = time.perf_counter()

    def take_over(self, ms: Mapping[str, float]) -> None:
        """Begin with another's account of the time so far."""
        self.ms = {phase: ms.get(phase, 0.0) for phase in self.ms}
        self._last = time.perf_counter()

    def lap(self, phase: str, before: float = 0.0) -> None:
        """Add the time since the last lap to a phase. before: milliseconds that it took besides, before the frame's turn."""
        now = time.perf_counter()
        self.ms[phase] += (now - self._last) * 1e3 + before
        self._last = now
