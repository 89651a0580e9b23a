"""Networks that label pictures for training: ONNX or OpenVINO files, looked at through several views and fused into one opinion.

A view is the whole picture, its mirror image, or one of four overlapping tiles (a teacher with a small input sees small objects only
there). The boxes of all views of all teachers are joined by weighted box fusion (Solovyev et al. 2021), where a box that few of
the views confirm loses score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError, WeightsError
from skipvid.tasks.track import iou_matrix
from skipvid.train.imagenet import normalise
from skipvid.train.samples import CATEGORY_IDS, CLASS_COUNT

Floats = NDArray[np.float32]
Runner = Callable[[Floats], list[Floats]]

COCO80_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""COCO's category number of each of the 80 contiguous classes that most detectors put out."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a teacher sees. boxes: (K, 4) float32, xyxy, pixels. scores: (K,) float32. classes: (K,) int64, index into CATEGORY_IDS."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)


class Teacher(Protocol):
    """Labels one picture. known: (CLASS_COUNT,) bool, the classes that it can see at all."""

    @property
    def known(self) -> NDArray[np.bool_]: ...

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """image: (H, W, 3) uint8, BGR."""


def open_runner(path: Path, *, threads: int = 1) -> tuple[Runner, tuple[int, int]]:
    """A network file as a function from (1, 3, h, w) float32 to its outputs, and its input size (h, w).

    .onnx needs onnxruntime, .xml (OpenVINO IR) needs openvino; both come with the extra `skipvid[train]`.
    Raises WeightsError where the file is missing or unreadable, UsageError where the library is not installed or the kind is unknown.
    """
    if path.suffix not in (".onnx", ".xml"):
        raise UsageError(f"{path}: a teacher file must end in .onnx or .xml", "export the network to ONNX")
    if not path.is_file():
        raise WeightsError(f"{path}: no such teacher file", "check the path")
    try:
        return _open_onnx(path, threads) if path.suffix == ".onnx" else _open_openvino(path, threads)
    except ImportError as error:
        raise UsageError(f"{path}: needs the package {error.name}", "pip install 'skipvid[train]'") from error
    except RuntimeError as error:
        raise WeightsError(f"{path}: not a readable network: {str(error).splitlines()[0]}", "export it again") from error


def _open_onnx(path: Path, threads: int) -> tuple[Runner, tuple[int, int]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise RuntimeError(str(error)) from error
    entry = session.get_inputs()[0]

    def run(x: Floats) -> list[Floats]:
        return [np.asarray(output, np.float32) for output in session.run(None, {entry.name: x})]

    return run, (int(entry.shape[2]), int(entry.shape[3]))


def _open_openvino(path: Path, threads: int) -> tuple[Runner, tuple[int, int]]:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    compiled: Any = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})

    def run(x: Floats) -> list[Floats]:
        outputs = compiled([x])
        return [np.array(outputs[port], np.float32) for port in compiled.outputs]

    _, _, height, width = model.inputs[0].shape
    return run, (int(height), int(width))


class PicoDetTeacher:
    """A PicoDet file that puts out decoded boxes (1, N, 4) in input pixels and scores (1, C, N), input squashed, RGB, ImageNet norm.

    category_ids: COCO's number of each of its C classes.
    """

    def __init__(self, path: Path, category_ids: Sequence[int] = (1,), *, floor: float = 0.05, threads: int = 1) -> None:
        self._run, self._size = open_runner(path, threads=threads)
        self._channels, self.known = _channels(category_ids)
        self._floor = floor

    def detect(self, image: NDArray[np.uint8]) -> Found:
        height, width = image.shape[:2]
        rows, columns = self._size
        small = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR), np.uint8)
        boxes, scores = self._run(np.ascontiguousarray(normalise(small[None]).numpy()))
        scale = np.array([width / columns, height / rows] * 2, np.float32)
        return _select(boxes[0] * scale, scores[0].T, self._channels, self._floor, (height, width))


class YoloxTeacher:
    """A YOLOX file with the raw output (1, N, 5 + C) over strides 8, 16, 32; letterboxed to the top left, BGR, 0 to 255."""

    STRIDES = (8, 16, 32)

    def __init__(self, path: Path, category_ids: Sequence[int] = COCO80_IDS, *, floor: float = 0.05, threads: int = 1) -> None:
        self._run, self._size = open_runner(path, threads=threads)
        self._channels, self.known = _channels(category_ids)
        self._floor = floor
        rows, columns = self._size
        grids, steps = [], []
        for stride in self.STRIDES:
            y, x = np.mgrid[0 : rows // stride, 0 : columns // stride]
            grids.append(np.stack([x, y], -1).reshape(-1, 2))
            steps.append(np.full((len(grids[-1]), 1), stride))
        self._grid = np.concatenate(grids).astype(np.float32)
        self._stride = np.concatenate(steps).astype(np.float32)

    def detect(self, image: NDArray[np.uint8]) -> Found:
        height, width = image.shape[:2]
        rows, columns = self._size
        scale = min(rows / height, columns / width)
        small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((rows, columns, 3), 114, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        out = self._run(np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32))[0][0]
        centre = (out[:, :2] + self._grid) * self._stride
        half = np.exp(np.minimum(out[:, 2:4], 10)) * self._stride / 2
        boxes = np.concatenate([centre - half, centre + half], 1) / scale
        return _select(boxes, out[:, 4:5] * out[:, 5:], self._channels, self._floor, (height, width))


TEACHER_LAYOUTS: dict[str, type[PicoDetTeacher] | type[YoloxTeacher]] = {"picodet": PicoDetTeacher, "yolox": YoloxTeacher}
"""The output layouts that a teacher file may have."""


def _channels(category_ids: Sequence[int]) -> tuple[list[int], NDArray[np.bool_]]:
    """For each of our classes the teacher's channel or -1, and a mask of those that it has."""
    channels = [list(category_ids).index(category) if category in category_ids else -1 for category in CATEGORY_IDS]
    return channels, np.array([channel >= 0 for channel in channels], np.bool_)


def _select(boxes: Floats, scores: Floats, channels: Sequence[int], floor: float, size: tuple[int, int]) -> Found:
    """Boxes (N, 4) and scores (N, C) of a net -> those of our classes with a score of at least `floor`, after class-wise NMS."""
    height, width = size
    kept_boxes, kept_scores, kept_classes = [], [], []
    for index, channel in enumerate(channels):
        if channel < 0:
            continue
        rows = np.flatnonzero(scores[:, channel] >= floor)
        rows = rows[np.argsort(-scores[rows, channel], kind="stable")]
        picked = nms(boxes[rows], 0.6)
        kept_boxes.append(boxes[rows[picked]])
        kept_scores.append(scores[rows[picked], channel])
        kept_classes.append(np.full(len(picked), index, np.int64))
    joined = np.concatenate(kept_boxes) if kept_boxes else np.zeros((0, 4), np.float32)
    joined = np.clip(joined, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
    return Found(joined, np.concatenate(kept_scores).astype(np.float32), np.concatenate(kept_classes))


def nms(boxes: Floats, threshold: float) -> NDArray[np.int64]:
    """Greedy suppression of boxes (N, 4) that come best first; the indices that stay."""
    overlap = iou_matrix(boxes, boxes) > threshold
    alive = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~overlap[i, i + 1 :]
    return np.flatnonzero(alive)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One look at a picture: a window (x1, y1, x2, y2) in its pixels, mirrored or not."""

    window: tuple[int, int, int, int]
    mirrored: bool

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = self.window
        part = image[y1:y2, x1:x2]
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)

    def back(self, boxes: Floats) -> Floats:
        """Boxes (K, 4) in the view's pixels -> the picture's pixels."""
        x1, y1, x2, _ = self.window
        if self.mirrored:
            boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array([x2 - x1, 0, x2 - x1, 0], np.float32)
        return (boxes + np.array([x1, y1, x1, y1], np.float32)).astype(np.float32)

    def covers(self, boxes: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which of the boxes (K, 4) this view shows whole: those that no border of the window cuts which lies inside the picture.

        size: (height, width) of the picture.
        """
        x1, y1, x2, y2 = self.window
        height, width = size
        slack = 0.01 * max(height, width)
        low = np.array([x1 + slack if x1 > 0 else -np.inf, y1 + slack if y1 > 0 else -np.inf])
        high = np.array([x2 - slack if x2 < width else np.inf, y2 - slack if y2 < height else np.inf])
        return np.asarray((boxes[:, :2] >= low).all(1) & (boxes[:, 2:] <= high).all(1))


def make_views(height: int, width: int, *, mirror: bool = True, tiles: bool = False, tile: float = 0.6) -> Iterator[View]:
    """The whole picture, its mirror image, and four overlapping corner tiles that are `tile` of it wide and high."""
    whole = (0, 0, width, height)
    yield View(whole, False)
    if mirror:
        yield View(whole, True)
    if tiles:
        w, h = round(width * tile), round(height * tile)
        for x in (0, width - w):
            for y in (0, height - h):
                yield View((x, y, x + w, y + h), False)


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Several teachers, each looking through several views, as one teacher.

    weights: how much each teacher's score counts. tiles: look at four corner tiles as well. iou: boxes of one class that overlap more are
    one.
    """

    teachers: Sequence[Teacher]
    weights: Sequence[float]
    tiles: bool = False
    iou: float = 0.55

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.asarray(np.any([teacher.known for teacher in self.teachers], axis=0), np.bool_)

    def detect(self, image: NDArray[np.uint8]) -> Found:
        size = image.shape[:2]
        boxes, scores, classes, weights = [], [], [], []
        views = list(make_views(*size, tiles=self.tiles))
        for teacher, weight in zip(self.teachers, self.weights, strict=True):
            for view in views:
                found = teacher.detect(view.cut(image))
                back = view.back(found.boxes)
                whole = view.covers(back, size)
                boxes.append(back[whole])
                scores.append(found.scores[whole])
                classes.append(found.classes[whole])
                weights.append(np.full(int(whole.sum()), weight, np.float32))
        joined = Found(np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes))
        return fuse(joined, np.concatenate(weights), self._votes(views, size), iou=self.iou)

    def _votes(self, views: Sequence[View], size: tuple[int, int]) -> Callable[[Floats, int], Floats]:
        def votes(boxes: Floats, index: int) -> Floats:
            """The weight of all looks that could have seen boxes (K, 4) of class `index`: (K,)."""
            looks = np.sum([view.covers(boxes, size) for view in views], axis=0)
            able = sum(weight for teacher, weight in zip(self.teachers, self.weights, strict=True) if teacher.known[index])
            return np.asarray(looks * able, np.float32)

        return votes


def fuse(found: Found, weights: Floats, votes: Callable[[Floats, int], Floats], *, iou: float) -> Found:
    """Weighted box fusion: each cluster becomes its score-weighted mean box, with the score averaged over everyone who could have voted.

    weights: (K,) of the boxes. votes: boxes (M, 4), class index -> (M,) the sum of weights of all looks at such boxes.
    A cluster's score may exceed the mean where one look contributes two boxes; it is clipped to the cluster's best score.
    """
    all_boxes, all_scores, all_classes = [], [], []
    for index in range(CLASS_COUNT):
        rows = np.flatnonzero(found.classes == index)
        if not len(rows):
            continue
        rows = rows[np.argsort(-(found.scores[rows] * weights[rows]), kind="stable")]
        overlap = iou_matrix(found.boxes[rows], found.boxes[rows])
        free = np.ones(len(rows), np.bool_)
        boxes, scores, best = [], [], []
        for i in range(len(rows)):
            if not free[i]:
                continue
            members = np.flatnonzero(free & (overlap[i] > iou))
            free[members] = False
            share = found.scores[rows[members]] * weights[rows[members]]
            boxes.append((found.boxes[rows[members]] * share[:, None]).sum(0) / share.sum())
            scores.append(share.sum())
            best.append(found.scores[rows[members]].max())
        stacked = np.asarray(boxes, np.float32)
        mean = np.asarray(scores, np.float32) / np.maximum(votes(stacked, index), 1e-9)
        all_boxes.append(stacked)
        all_scores.append(np.minimum(mean, np.asarray(best, np.float32)))
        all_classes.append(np.full(len(stacked), index, np.int64))
    if not all_boxes:
        return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    boxes_, scores_, classes_ = np.concatenate(all_boxes), np.concatenate(all_scores), np.concatenate(all_classes)
    order = np.argsort(-scores_, kind="stable")
    return Found(boxes_[order], scores_[order].astype(np.float32), classes_[order])
