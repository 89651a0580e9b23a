"""A detector in training, applied to whole pictures: what the evaluation measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skipvid.models.anchors import Anchors, decode_detections, make_anchors
from skipvid.train.imagenet import normalise
from skipvid.train.teachers import Found


@lru_cache(maxsize=64)
def cached_anchors(size: tuple[int, int], scale: float) -> Anchors:
    return make_anchors(size, scale)


def padded_size(size: tuple[int, int], longest: int, multiple: int = 32) -> tuple[int, int]:
    """(height, width) of the input for a picture of such a size: its longer side at `longest` pixels, both filled up to a multiple."""
    scale = longest / max(size)
    rows, columns = (-(-max(1, round(side * scale)) // multiple) * multiple for side in size)
    return rows, columns


def fit(image: NDArray[np.uint8], longest: int, multiple: int = 32) -> tuple[NDArray[np.uint8], float]:
    """The picture with its longer side at `longest` pixels, padded right and below to a multiple; and the factor on its size."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    return _placed(image, scale, padded_size((height, width), longest, multiple)), scale


def fit_into(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture, as large as it can be, in an input of a given size (height, width), padded right and below."""
    height, width = image.shape[:2]
    return _placed(image, min(size[0] / height, size[1] / width), size)


def _placed(image: NDArray[np.uint8], scale: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.full((*size, 3), 114, np.uint8)
    canvas[:rows, :columns] = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return canvas


@torch.no_grad()
def predict(
    net: nn.Module, images: Iterable[NDArray[np.uint8]], *, longest: int = 512, anchor_scale: float = 3.0, floor: float = 0.02
) -> Iterator[Found]:
    """Detections of an EfficientDet in eval mode, picture by picture, in the picture's pixels. images: (H, W, 3) uint8 BGR."""
    for image in images:
        padded, scale = fit(image, longest)
        height, width = padded.shape[:2]
        anchors = cached_anchors((height, width), anchor_scale)
        class_levels, box_levels = ([level.float().numpy(force=True) for level in levels] for levels in net(normalise(padded[None])))
        raw = decode_detections(class_levels, box_levels, anchors, floor)[0]
        boxes = np.clip(raw.boxes / scale, 0, np.array([image.shape[1], image.shape[0]] * 2, np.float32)).astype(np.float32)
        yield Found(boxes, raw.scores, raw.classes)
