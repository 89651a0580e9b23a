"""Short pieces of clips to learn gates from: frames in a file on disk, with the labels of each where there are any."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import OutputError, SourceError, UsageError
from skipvid.train.readers import read_frames, read_mot
from skipvid.train.samples import CATEGORIES, CATEGORY_IDS, Targets

GAPS = (1, 2, 4, 8)
"""Distances between the frames of a training clip: large ones stand for changes that a long stream has saved up."""

LEAST_VISIBLE = 0.3
"""Share of a box that must lie in the crop for it to be a label."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Successive frames of one clip. frames: (L, H, W, 3) uint8, BGR. targets: one for each frame, or None without labels."""

    source: str
    frames: NDArray[np.uint8]
    targets: tuple[Targets, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What a training step sees of a piece: the same window of T frames. images: (T, h, w, 3) uint8, BGR. targets: for each, or None.
    joints: (T, 17, 3), as in Targets, of the person that the window is about, or None."""

    images: NDArray[np.uint8]
    targets: tuple[Targets, ...] | None
    joints: NDArray[np.float32] | None = None


def read_labels(path: Path) -> dict[int, Targets]:
    """Boxes by 0-based frame from a MOT text file (persons, frames from 1) or a COCO file whose image ids are frames; with keypoints, where
    a COCO file has any. Raises SourceError where it is neither.
    """
    if path.suffix == ".txt":
        return {
            frame - 1: Targets(truth.boxes, np.full(len(truth.boxes), CATEGORY_IDS.index(1), np.int64), truth.ignore)
            for frame, truth in read_mot(path).items()
        }
    ours = {name: CATEGORY_IDS.index(number) for number, name in CATEGORIES.items()}
    rows: defaultdict[int, list[tuple[list[float], int, bool]]] = defaultdict(list)
    joints: defaultdict[int, list[NDArray[np.float32]]] = defaultdict(list)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {entry["id"]: str(entry["name"]).lower() for entry in data["categories"]}
        frames = {entry["id"] for entry in data["images"]}
        for note in data["annotations"]:
            name = names.get(note["category_id"], "")
            if name in ours:
                x, y, w, h = (float(number) for number in note["bbox"])
                rows[note["image_id"]].append(([x, y, x + w, y + h], ours[name], bool(note.get("iscrowd", 0))))
                joints[note["image_id"]].append(_joints(note.get("keypoints") or [0] * 51))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: neither MOT text nor a COCO detection file: {error}", "see docs/gates.md") from error
    found = {frame: Targets.of(*([row[i] for row in rows[frame]] for i in range(3))) for frame in frames}  # type: ignore[arg-type]
    if not any(each[:, 2].any() for persons in joints.values() for each in persons):
        return found
    return {
        frame: replace(targets, joints=np.array(joints[frame], np.float32).reshape(len(targets), 17, 3)) for frame, targets in found.items()
    }


def _joints(numbers: Sequence[float]) -> NDArray[np.float32]:
    """COCO's x, y, v -> (17, 3) as in Targets. Raises ValueError for other than 17 keypoints."""
    points: NDArray[np.float32] = np.asarray(numbers, np.float32).reshape(17, 3)
    return np.concatenate([points[:, :2], points[:, 2:] > 0], 1).astype(np.float32)


def cut_pieces(
    clips: Sequence[Path], labels: Sequence[Path | None], folder: Path, *, longest: int, length: int, most_frames: int
) -> list[Piece]:
    """Pieces of `length` frames, evenly spread over the clips, about `most_frames` frames in all, kept as files in `folder`.

    longest: longer side of the frames, pixels. labels: one file, or None, for each clip; labels of frames that a file does not list are
    taken to be missing, and such pieces are learned from without them. Raises UsageError where no clip is long enough.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}", "choose another one") from error
    pieces: list[Piece] = []
    for number, (clip, file) in enumerate(zip(clips, labels, strict=True)):
        known = read_labels(file) if file is not None else {}
        stored = folder / f"{number:02d}-{clip.stem}.npy"
        starts, scale = _store(clip, stored, longest, length, max(1, most_frames // len(clips) // length))
        if not starts:
            continue
        frames = np.load(stored, mmap_mode="r")
        for index, start in enumerate(starts):
            part = frames[index * length : (index + 1) * length]
            truths = [known.get(frame) for frame in range(start, start + length)]
            whole = [_scaled(truth, scale) for truth in truths if truth is not None]
            pieces.append(Piece(clip.name, part, tuple(whole) if len(whole) == length else None))
    if not pieces:
        raise UsageError(f"no clip has {length} frames", "give longer clips, or fewer frames with --frames")
    return pieces


def _store(clip: Path, path: Path, longest: int, length: int, count: int) -> tuple[list[int], float]:
    """Write `count` pieces of a clip, unless they are there; returns their first frames, and the factor on the picture's size."""
    about = path.with_suffix(".json")
    key = {"clip": str(clip), "longest": longest, "length": length, "count": count}
    if path.exists() and about.exists():
        earlier = json.loads(about.read_text())
        if earlier["key"] == key:
            return earlier["starts"], earlier["scale"]
    total = sum(1 for _ in _frames(clip))
    blocks = total // length
    chosen = sorted({(2 * index + 1) * blocks // (2 * count) for index in range(count)}) if blocks else []
    starts = [block * length for block in chosen]
    wanted = {start + offset for start in starts for offset in range(length)}
    stored: NDArray[np.uint8] | None = None
    scale, row = 1.0, 0
    for index, image in _frames(clip):
        if index not in wanted:
            continue
        scale = longest / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        if stored is None:
            stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(wanted), *small.shape))
        stored[row] = small
        row += 1
    if stored is not None:
        stored.flush()  # type: ignore[attr-defined]
    about.write_text(json.dumps({"key": key, "starts": starts, "scale": scale}))
    return starts, scale


def _frames(clip: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    return read_frames(clip)


def _scaled(targets: Targets, scale: float) -> Targets:
    joints = targets.joints
    if joints is not None:
        joints = np.concatenate([(joints[..., :2] + 0.5) * scale - 0.5, joints[..., 2:]], 2).astype(np.float32)
    return replace(targets, boxes=(targets.boxes * scale).astype(np.float32), joints=joints)


def draw_frames(piece: Piece, frames: int, rng: np.random.Generator) -> slice:
    """Which frames of a piece a clip takes: `frames` of them, at one of the GAPS."""
    length = len(piece.frames)
    gap = int(rng.choice([gap for gap in GAPS if (frames - 1) * gap < length]))
    first = int(rng.integers(length - (frames - 1) * gap))
    return slice(first, first + (frames - 1) * gap + 1, gap)


def relight(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brighter or darker, all frames alike."""
    lit = images.astype(np.float32) * rng.uniform(0.8, 1.2) + rng.uniform(-12, 12)
    return lit.round().clip(0, 255).astype(np.uint8)


def draw_clip(pieces: Sequence[Piece], frames: int, size: int, rng: np.random.Generator) -> Clip:
    """A random window of `size` x `size` pixels over `frames` frames of a random piece, perhaps mirrored, brighter or darker: all alike."""
    piece = pieces[int(rng.integers(len(pieces)))]
    rows = draw_frames(piece, frames, rng)
    height, width = piece.frames.shape[1:3]
    top, left = (int(rng.integers(max(extent - size, 0) + 1)) for extent in (height, width))
    part = relight(piece.frames[rows, top : top + size, left : left + size], rng)
    images = np.full((len(part), size, size, 3), 114, np.uint8)
    images[:, : part.shape[1], : part.shape[2]] = part
    mirrored = bool(rng.integers(2))
    if mirrored:
        images = images[:, :, ::-1]
    targets = None
    if piece.targets is not None:
        targets = tuple(_cropped(each, top, left, size, mirrored) for each in piece.targets[rows])
    return Clip(np.ascontiguousarray(images), targets)


def whole_clip(piece: Piece, frames: int, multiple: int = 32) -> NDArray[np.uint8]:
    """The first `frames` frames of a piece, whole, padded right and below: (T, h, w, 3) uint8, BGR."""
    part = piece.frames[:frames]
    height, width = (-(-extent // multiple) * multiple for extent in part.shape[1:3])
    images = np.full((len(part), height, width, 3), 114, np.uint8)
    images[:, : part.shape[1], : part.shape[2]] = part
    return images


def _cropped(targets: Targets, top: int, left: int, size: int, mirrored: bool) -> Targets:
    boxes = targets.boxes - np.array([left, top, left, top], np.float32)
    inside = boxes.clip(0, size)
    area, seen = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, inside))
    if mirrored:
        inside = np.stack([size - inside[:, 2], inside[:, 1], size - inside[:, 0], inside[:, 3]], 1)
    visible = seen > 0
    hardly = seen < LEAST_VISIBLE * np.maximum(area, 1e-6)
    return Targets(inside.astype(np.float32), targets.classes, targets.ignore | hardly).take(visible)


def split_pieces(pieces: Sequence[Piece], held_out: float) -> tuple[list[Piece], list[Piece]]:
    """Pieces to learn from, and the last share of each clip's to measure on; a clip of a single piece is learned from."""
    by_source: Mapping[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_source[piece.source].append(piece)
    learned: list[Piece] = []
    kept: list[Piece] = []
    for own in by_source.values():
        cut = len(own) - int(len(own) * held_out)
        learned, kept = learned + own[:cut], kept + own[cut:]
    return learned, kept
