"""What flows through the program: a Source yields Frames, an Engine turns each into a FrameResult, Sinks consume those.

All of it is plain, immutable data with shapes checked where it is made; nothing here knows torch or cv2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skipvid.core.class_maps import ClassMap
from skipvid.core.costs import FrameCost
from skipvid.core.planes import Planes, StoredPlanes

SCHEMA_VERSION = 1
"""Version of the JSONL, JSON and CSV layouts. It changes when a field changes its meaning or goes away."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first frame is decoded; every number but the size may be wrong.

    name: shown to the user and written into results. path: the file, or None. width, height: pixels of the upright frame.
    fps: nominal frames per second, 0 where unknown. frames: the container's own count, None where it gives none (never rely on it).
    duration: seconds or None. rotation: degrees clockwise that were applied to make frames upright. live: frames arrive at their own pace.
    images: frames are image files, and name them (Frame.file).
    """

    name: str
    width: int
    height: int
    fps: float = 0.0
    frames: int | None = None
    duration: float | None = None
    has_audio: bool = False
    rotation: int = 0
    live: bool = False
    path: Path | None = None
    codec: str = ""
    images: bool = False


class StoredPicture(Protocol):
    """A picture as its decoder left it, which makes what is wanted of it. It may be used from several threads.

    height, width: pixels of the upright picture. What it returns is upright, in standard colours, and must not be written to.
    """

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def bgr(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, BGR; made once."""

    def scaled(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, BGR: area averages where it shrinks, linear interpolation where it grows. Kept until another size."""

    def sampled(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, BGR: single pixels on a grid, which costs least."""

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """The pixels of `bgr` within these bounds, which lie in the picture, right and bottom exclusive; a small part costs little."""

    def planes(self) -> Planes:
        """The picture as an encoder takes it."""

    def own_planes(self) -> StoredPlanes | None:
        """The memory that `scaled` is made of, where it is upright planes of 4:2:0 in 8 bits and standard colours; None elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture.

    picture: (H, W, 3) uint8, BGR, upright; or the picture as it was decoded. index: 0-based number of the frame in its source.
    time: presentation time in seconds. file: of images, the file that the picture came from, relative to the folder that is the source;
    "" for frames of a video. resumed: the first frame after a live source was lost and came back; it becomes a keyframe.
    arrived: seconds on time.monotonic() at which a frame of a live source was there; None for others. ahead_ms: what was spent on preparing
    it before its turn.
    """

    picture: NDArray[np.uint8] | StoredPicture
    index: int
    time: float
    source: str
    decode_ms: float = 0.0
    file: str = ""
    resumed: bool = False
    arrived: float | None = None
    ahead_ms: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.picture, np.ndarray):
            _check(self.picture.ndim == 3 and self.picture.shape[2] == 3, f"picture must be (H, W, 3), got {self.picture.shape}")
            _check(self.picture.dtype == np.uint8, f"picture must be uint8, got {self.picture.dtype}")

    @property
    def image(self) -> NDArray[np.uint8]:
        """The picture as (H, W, 3) uint8, BGR, upright. Of a stored picture it is made when it is first wanted, at a cost."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.bgr()

    @property
    def name(self) -> str:
        """What leads back to the picture: its file, or "clip.mp4#17"."""
        return self.file or f"{self.source}#{self.index}"

    @property
    def height(self) -> int:
        return int(self.picture.shape[0]) if isinstance(self.picture, np.ndarray) else self.picture.height

    @property
    def width(self) -> int:
        return int(self.picture.shape[1]) if isinstance(self.picture, np.ndarray) else self.picture.width


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects of one frame, best score first; zero rows mean that nothing was found.

    boxes: (K, 4) float32, xyxy, pixels of the upright original frame. scores: (K,) float32 in [0, 1].
    category_ids: (K,) int64, COCO's numbers. labels: K names. ids: (K,) int64 track identities, or None.
    keypoints: (K, J, 3) float32, x and y in pixels of the upright original frame and score, or None.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    category_ids: NDArray[np.int64]
    labels: tuple[str, ...]
    ids: NDArray[np.int64] | None = None
    keypoints: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        k = len(self.labels)
        _check(self.boxes.shape == (k, 4), f"boxes must be ({k}, 4) to match the labels, got {self.boxes.shape}")
        _check(self.scores.shape == (k,), f"scores must be ({k},), got {self.scores.shape}")
        _check(self.category_ids.shape == (k,), f"category_ids must be ({k},), got {self.category_ids.shape}")
        _check(self.ids is None or self.ids.shape == (k,), f"ids must be ({k},)")
        _check(
            self.keypoints is None or (self.keypoints.ndim == 3 and self.keypoints.shape[::2] == (k, 3)),
            f"keypoints must be ({k}, J, 3)",
        )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())


@dataclass(frozen=True, slots=True)
class CountEvent:
    """An object passed a line or the edge of a zone. count: its name. kind: "right", "left", "enter" or "leave". id: the object's."""

    count: str
    kind: str
    label: str
    id: int


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """How a line or zone stands after a frame. points: (N, 2) int32, pixels; two are a line. totals: events so far, by kind.
    inside: objects in the zone; None for a line."""

    name: str
    points: NDArray[np.int32]
    totals: Mapping[str, int]
    inside: int | None = None


@dataclass(frozen=True, slots=True)
class AreaCost:
    """What the network spent on some frames with areas left out, and on all of the picture in the same frames, which were run both ways.

    frames: how many. macs, whole_macs: executed, gates included, summed over the frames. ms, whole_ms: of the network, medians.
    """

    macs: int
    whole_macs: int
    ms: float
    whole_ms: float
    frames: int = 1

    @property
    def saving(self) -> float:
        """The fraction of the MACs that leaving out saved; below 0 where it cost more."""
        return 1.0 - self.macs / self.whole_macs if self.whole_macs else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """One frame, analysed.

    activity: (h, w) float32 in [0, 1] on a coarse grid that covers the whole frame: the fraction of the dense MACs that was executed
    for that cell (0 = reused from earlier frames, 1 = computed in every layer), or None where nothing was gated.
    ms: milliseconds by phase ("decode", "preprocess", "model", "postprocess", and "dense_model" where the dense net ran too).
    keyframe: the whole frame was computed densely. cost: None where the network ran without gates.
    events: what was counted in this frame. counts: how lines and zones stand after it. areas: where the frame was run without areas, too.
    class_map: the class of each pixel, for a task that finds that; it finds no detections.
    """

    frame: Frame
    detections: Detections
    keyframe: bool
    ms: Mapping[str, float]
    cost: FrameCost | None = None
    activity: NDArray[np.float32] | None = None
    events: tuple[CountEvent, ...] = ()
    counts: tuple[Count, ...] = ()
    areas: AreaCost | None = None
    class_map: ClassMap | None = None

    def __post_init__(self) -> None:
        _check(self.activity is None or self.activity.ndim == 2, "activity must be (h, w)")


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run is, known before its first frame; written as the first record of JSONL and into JSON and COCO files.

    categories: COCO category number -> name; of class maps the network's own number. weights_sha256: of the weights file, "" where the
    weights are random.
    gate: a kind of gate, "none", or skipvid.core.motions.WARP, which has no threshold and no bound.
    keypoints: names of the joints in the order of Detections.keypoints, () for a task that finds none. precision: "f32" or "bf16".
    """

    command: str
    source: SourceInfo
    preset: str
    gate: str
    threshold: float
    block: int
    backend: str
    weights_sha256: str
    version: str
    categories: Mapping[int, str] = field(default_factory=dict)
    keypoints: tuple[str, ...] = ()
    precision: str = "f32"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A whole run over one source.

    cost: summed over all frames, keyframes included; None without gates. median_ms: by phase, like FrameResult.ms, plus "draw" and "write".
    wall_seconds: from the first frame asked for to the last one written. dropped: frames of a live source that were not analysed.
    problems: one line each: truncated input, dropped frames, mapped colours, ... notes: one line each: what was counted, what
    areas saved, at which widths the network ran, ... interrupted: ended by Ctrl-C.
    complete: nothing of the source is missing before the point at which the run ended. busy: by stage that runs beside the others
    ("decode", "network", "draw" where a video is drawn, "output") the share of wall_seconds in which it did not wait for another; {} where
    they were not told apart.
    cpu_seconds: of all threads of the process, meanwhile; 0 where that was not measured.
    areas: what leaving areas out saved, in the frames in which it was measured; None where it was in none.
    counts: by name of a line or zone, the events by kind and label; {} where nothing is counted.
    """

    header: RunHeader
    frames: int
    keyframes: int
    detections: int
    wall_seconds: float
    median_ms: Mapping[str, float]
    cost: FrameCost | None = None
    dropped: int = 0
    problems: tuple[str, ...] = ()
    interrupted: bool = False
    complete: bool = True
    busy: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    areas: AreaCost | None = None
    counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Frames per second of the whole pipeline, as measured."""
        return self.frames / self.wall_seconds if self.wall_seconds > 0 else 0.0
