"""The course of a frame, which is the same for the streams of all engines."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.skip.picture import Picture
from skipvid.skip.ratio_choice import ratios_note
from skipvid.skip.session import Session
from skipvid.tasks.engine import Engine
from skipvid.tasks.scene import SceneCutDetector

ACTIVITY_STRIDE = 8
"""Side of an activity cell, in pixels of the network's input."""

MOST = 5
"""How much longer the way from one measurement of the dense network to the next gets, which doubles: each takes as long as several gated
frames."""


class EngineStream(ABC):
    """Scene cuts, keyframes, times, the dense network now and then, costs; a task adds what is in a frame.

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
