"""A deterministic software renderer of street and indoor scenes with exact ground truth, for skipvid's samples, tests and training data.

    for image, annotations in render_scene("plaza", seed=7, size=(640, 360), frames=50):
        ...

Everything is drawn from the seed: layout, camera, light, weather, people, clothes, vehicles, noise. numpy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .truth import CATEGORIES, Annotation

__all__ = ["CATEGORIES", "SCENES", "Annotation", "render_scene"]

SCENES = ("plaza", "street", "exercise")


def render_scene(
    scene: str, seed: int, size: tuple[int, int] = (640, 360), frames: int = 50, fps: float = 25.0, quality: str = "fast"
) -> Iterator[tuple[NDArray[np.uint8], list[Annotation]]]:
    """Render a clip frame by frame: (H, W, 3) uint8 BGR images and the annotations of what is in each.

    size: width and height in pixels. quality: "fast" (one moment a frame, light antialiasing) or "full" (motion blur, as in the samples).
    The same arguments give the same frames. Raises ValueError for an unknown scene or quality.
    """
    from . import exercise, plaza, street
    from .scene import QUALITIES

    builders = {"plaza": plaza.build, "street": street.build, "exercise": exercise.build}
    if scene not in builders:
        raise ValueError(f"unknown scene {scene!r}; there are {', '.join(SCENES)}")
    if quality not in QUALITIES:
        raise ValueError(f"unknown quality {quality!r}; there are {', '.join(QUALITIES)}")
    width, height = size
    built = builders[scene](seed, width, height, frames / fps)
    return built.frames(frames, fps, QUALITIES[quality])
