"""A scene ready to be filmed: a camera, fixed scenery, things that move, and the loop that turns them into frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .canvas import Canvas
from .scenery import Scenery
from .sensor import draw_sensor
from .truth import Annotation

Array = NDArray[Any]


class Actor(Protocol):
    """Something with an annotation."""

    track: int

    def update(self, time: float) -> None: ...
    def cast(self, canvas: Canvas) -> None: ...
    def draw(self, canvas: Canvas) -> None: ...
    def annotation(self, canvas: Canvas, seen: int, supersampling: float) -> Annotation | None: ...


class Plant(Protocol):
    """Something that the wind moves; it hides actors but has no annotation."""

    base: Array

    def cast_trunk(self, canvas: Canvas) -> None: ...
    def plant(self, canvas: Canvas) -> None: ...
    def update(self, time: float) -> None: ...
    def cast(self, canvas: Canvas) -> None: ...
    def draw(self, canvas: Canvas) -> None: ...


@dataclass(frozen=True)
class Quality:
    """supersampling: canvas pixels a side of an output pixel. instants: moments averaged while the shutter is open."""

    supersampling: float
    instants: int


QUALITIES = {"fast": Quality(1.5, 1), "full": Quality(2.0, 3)}
SHUTTER = 0.016
"""Seconds of exposure; 1/60 s smears a walking leg by a few centimetres, as a camera in daylight does."""


@dataclass
class Scene:
    camera: Camera
    scenery: Scenery
    actors: Sequence[Actor]
    plants: Sequence[Plant]
    seed: int
    indoors: bool
    fixed: Sequence[Actor] = ()
    """Actors that never move: drawn once, annotated in every frame (parked cars)."""

    def frames(self, count: int, fps: float, quality: Quality) -> Iterator[tuple[NDArray[np.uint8], list[Annotation]]]:
        """The clip: (H, W, 3) uint8 BGR and what is in it, one frame after the other."""
        width, height = self.camera.width, self.camera.height
        camera = self.camera.scaled(quality.supersampling)
        canvas = self._stage(camera)
        sensor = draw_sensor(np.random.default_rng([self.seed, 2]), width, height, self.seed, canvas.colour, self.indoors)
        for frame in range(count):
            radiance = np.zeros((height, width, 3), np.float32)
            annotations: list[Annotation] = []
            for instant in range(quality.instants):
                share = (instant + 0.5) / quality.instants
                self._draw(canvas, frame / fps + (share - 0.5) * SHUTTER)
                radiance += cv2.resize(canvas.colour, (width, height), interpolation=cv2.INTER_AREA) / quality.instants
                if instant == quality.instants // 2:
                    annotations = self._annotate(canvas, quality.supersampling)
            yield sensor.expose(radiance, frame, frame / fps), annotations

    def _stage(self, camera: Camera) -> Canvas:
        """Bake the backdrop, the trunks of the trees in it."""
        backdrop = self.scenery.bake(camera)
        canvas = Canvas(camera, self.scenery.light, backdrop)
        canvas.begin()
        for plant in self.plants:
            plant.cast_trunk(canvas)
        for actor in self.fixed:
            actor.update(0.0)
            actor.cast(canvas)
        canvas.light_ground()
        for plant in self.plants:
            plant.plant(canvas)
        for actor in self.fixed:
            actor.draw(canvas)
        canvas.freeze()
        return canvas

    def _draw(self, canvas: Canvas, time: float) -> None:
        canvas.begin()
        for actor in self.actors:
            actor.update(time)
            actor.cast(canvas)
        for plant in self.plants:
            plant.update(time)
            plant.cast(canvas)
        canvas.light_ground()
        for actor in self.actors:
            actor.draw(canvas)
        distance = [float(np.hypot(*(plant.base[:2] - np.array(self.camera.position[:2])))) for plant in self.plants]
        for number in np.argsort(distance)[::-1]:
            self.plants[number].draw(canvas)

    def _annotate(self, canvas: Canvas, supersampling: float) -> list[Annotation]:
        actors = [*self.actors, *self.fixed]
        seen = np.bincount(canvas.owner.ravel(), minlength=max((actor.track for actor in actors), default=0) + 1)
        found = (actor.annotation(canvas, int(seen[actor.track]), supersampling) for actor in actors)
        return [annotation for annotation in found if annotation is not None]
