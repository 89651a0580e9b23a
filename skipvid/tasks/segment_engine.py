"""The engine for class maps: each frame goes through the network as a whole, letterboxed, and each of its pixels gets a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.class_maps import ClassMap
from skipvid.core.costs import FrameCost
from skipvid.core.errors import UsageError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import SegmentSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.engine import Engine, spec_with
from skipvid.tasks.engine_stream import ACTIVITY_STRIDE, Clock, EngineStream
from skipvid.tasks.letterbox import Letterbox
from skipvid.tasks.picture_task import PictureTask


class SegmentEngine(Engine):
    """A network with gates that tells the class of each pixel.

    preset: of the task "segment". Else as DetectEngine; where the camera moves, nothing is registered.
    Raises PresetError for a preset of another task, WeightsError where the weights do not fit.
    """

    def __init__(
        self,
        preset: Preset,
        config: SkipConfig,
        weights: Path,
        weights_sha256: str = "",
        scene_cuts: bool = True,
        programs: Path | None = None,
    ) -> None:
        self.spec = spec_with(preset, SegmentSpec, weights)
        super().__init__(self.spec, preset, config, weights, weights_sha256, programs)
        assert not isinstance(preset.labels, str)
        self.names = preset.labels
        self.categories = dict(enumerate(self.names))
        self.scene_cuts = scene_cuts

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        return [(self.preset, self.model, self.preset.input_size(height, width))]

    def use_motion(self, motion: str | None) -> None:
        """As Engine.use_motion. Raises UsageError where anything is to be registered: class maps are not."""
        self._refuse("motion", motion, self.preset.motion)

    def use_denoising(self, denoise: str | None) -> None:
        """As Engine.use_denoising. Raises UsageError for "auto"."""
        self._refuse("denoise", denoise, self.preset.denoise)

    def _refuse(self, name: str, asked: str | None, preset: str) -> None:
        if asked not in (None, "none"):
            raise UsageError(f"--{name} {asked} is for detectors", "leave it out")
        if asked is None and preset != "none":
            raise UsageError(f"the preset {self.preset.name} says '{name}: {preset}', which is for detectors", "take that line out of it")

    def stream(self, dense_every: int = 0) -> SegmentStream:
        return SegmentStream(self, dense=False, dense_every=dense_every)

    def measured_stream(self) -> SegmentStream:
        """As `stream`: there are no areas whose saving could be measured."""
        return self.stream()

    def dense_stream(self) -> SegmentStream:
        return SegmentStream(self, dense=True)


class SegmentStream(EngineStream):
    """One stream of frames through one session."""

    def __init__(self, engine: SegmentEngine, dense: bool, dense_every: int = 0) -> None:
        # Without gates nothing is kept from frame to frame that a scene cut could spoil.
        super().__init__(engine, engine.scene_cuts and not dense, dense, dense_every)
        self._task = PictureTask(engine.preset, engine.spec.fill)
        self._head = engine.spec.head(len(engine.names))
        self._names = engine.names
        self._session = engine.model.session()
        self._class_map: ClassMap | None = None

    def _begin_anew(self, size: tuple[int, int]) -> None:
        self._session.reset()
        self._task.letterbox(size)
        self._class_map = None

    def look_ahead(self, frame: Frame) -> None:
        super().look_ahead(frame)
        self._task.look_ahead(frame.picture)

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        """As EngineStream.begin, with the class map."""
        complete, class_map = super().begin(frame), self._class_map
        return lambda: replace(complete(), class_map=class_map)

    def _analyse(self, frame: Frame, clock: Clock) -> Detections:
        prepared = self._task.prepare(frame.picture)
        clock.lap("preprocess", frame.ahead_ms)
        self._time_dense(prepared, self._session, clock)
        maps = self._model.dense_maps(prepared) if self._dense else self._session.maps(prepared)
        clock.lap("model")
        self._ran_densely(self._session)
        self._ratios[self._session.ratio] += 1
        if self._class_map is None or self._dense or any(self._session.changed):
            self._class_map = self._read(maps, self._task.letterbox((frame.height, frame.width)))
        clock.lap("postprocess")
        return Detections.empty()

    def _read(self, maps: Sequence[NDArray[np.float32]], letterbox: Letterbox) -> ClassMap:
        """maps: all that the network returns for one frame -> the class of each of its pixels."""
        numbers = self._head.numbers(maps)
        places = zip(letterbox.frame_size, letterbox.content_size, letterbox.input_size, numbers.shape, strict=True)
        rows, columns = (_cells_of_pixels(*place) for place in places)
        return ClassMap(numbers[: rows[-1] + 1, : columns[-1] + 1], rows, columns, self._names)

    @property
    def _keyframe(self) -> bool:
        return self._session.keyframe

    def _cost(self, size: tuple[int, int]) -> FrameCost:
        return self._session.cost

    def _activity(self, size: tuple[int, int]) -> NDArray[np.float32]:
        return self._task.letterbox(size).crop_grid(self._session.activity(ACTIVITY_STRIDE), ACTIVITY_STRIDE)

    def computed(self, frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """As DetectStream.computed."""
        return self._task.over_frame(self._session.computed, frame_size)


def _cells_of_pixels(pixels: int, content: int, whole: int, cells: int) -> NDArray[np.intp]:
    """(pixels,) the cell in which the middle of each pixel lies, along one side.

    pixels: of the frame; they lie in the first `content` of `whole` pixels of the input, which is covered by `cells`.
    """
    places = (np.arange(pixels) + 0.5) * (content / pixels) * (cells / whole)
    return np.minimum(places.astype(np.intp), cells - 1)
