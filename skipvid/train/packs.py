"""Packs: pictures and arrays about them in one file, a NumPy .npz with JPEG bytes back to back.

Thousands of pictures load in seconds and travel as one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import OutputError, SourceError

QUALITY = 92
"""Of the JPEGs, 0 to 100."""


def write_pack(path: Path, images: Sequence[NDArray[np.uint8]], arrays: Mapping[str, NDArray[Any]]) -> None:
    """images: (H, W, 3) uint8 BGR each. The file appears whole or not at all. Raises OutputError."""
    jpegs = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].ravel() for image in images]
    stored: dict[str, Any] = {
        "jpegs": np.concatenate(jpegs) if jpegs else np.zeros(0, np.uint8),
        "jpeg_sizes": np.array([len(jpeg) for jpeg in jpegs], np.int64),
        **arrays,
    }
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez(file, **stored)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the pack {path}: {error.strerror}", "choose a folder that exists and can be written") from error


def read_pack(path: Path, names: Sequence[str]) -> tuple[list[NDArray[np.uint8]], dict[str, NDArray[Any]]]:
    """A pack whole, pictures decoded. names: the arrays that it must have.

    Raises SourceError where it is missing, damaged or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as pack:
            arrays = {name: pack[name] for name in (*names, "jpegs", "jpeg_sizes")}
        ends = np.cumsum(arrays["jpeg_sizes"])
        images = []
        for i, (size, end) in enumerate(zip(arrays.pop("jpeg_sizes"), ends, strict=True)):
            image = cv2.imdecode(arrays["jpegs"][end - size : end], cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f"picture {i} is damaged")
            images.append(np.asarray(image, np.uint8))
    except (OSError, ValueError, KeyError, cv2.error) as error:
        raise SourceError(f"cannot read the pack {path}: {error}", "delete it, and it is made anew") from error
    return images, arrays
