"""Clips that a detector's weights are trained on in stale_weights.py: windows of videos, and pictures with parts of others that move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from measured_clips import every_video
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.train.clips import GAPS, Piece, cut_pieces, draw_frames
from skipvid.train.readers import read_coco
from skipvid.train.samples import Sample

HELD = ("fixed/Alley.mp4", "intel/car-detection.mp4", "intel/sister.mkv")
LENGTH, SHORT = 41, 33
"""Frames of a piece: five of the largest gaps, and four, of JHMDB's clips."""


def video_clip(pieces: Sequence[Piece], frames: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A window of a random clip, enlarged or shrunk: (T, size, size, 3) uint8, BGR."""
    sources = sorted({piece.source for piece in pieces})
    source = sources[int(rng.integers(len(sources)))]
    own = [piece for piece in pieces if piece.source == source]
    piece = own[int(rng.integers(len(own)))]
    height, width = piece.frames.shape[1:3]
    side = min(round(size * rng.uniform(0.7, 1.5)), height, width)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    part = piece.frames[draw_frames(piece, frames, rng), top : top + side, left : left + side]
    return np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in part])


def pasted_clip(samples: Sequence[Sample], frames: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture at rest with objects of others that move across it, their edges blurred: (T, size, size, 3) uint8, BGR."""
    still = samples[int(rng.integers(len(samples)))].image
    side = min(round(size * rng.uniform(0.7, 1.3)), *still.shape[:2])
    top, left = (int(rng.integers(extent - side + 1)) for extent in still.shape[:2])
    still = cv2.resize(still[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    pictures = np.repeat(still[None].astype(np.float32), frames, 0)
    gap = int(rng.choice(GAPS))
    for _ in range(int(rng.integers(1, 6))):
        sample = samples[int(rng.integers(len(samples)))]
        boxes = sample.targets.boxes[~sample.targets.ignore]
        if not len(boxes):
            continue
        x1, y1, x2, y2 = boxes[int(rng.integers(len(boxes)))].round().astype(int).clip(0)
        part = sample.image[y1:y2, x1:x2]
        if min(part.shape[:2]) < 8:
            continue
        tall = rng.uniform(0.1, 0.6) * size
        wide = min(tall * part.shape[1] / part.shape[0], size)
        part = cv2.resize(part, (max(4, round(wide)), max(4, round(tall))), interpolation=cv2.INTER_AREA).astype(np.float32)
        opaque = np.zeros(part.shape[:2], np.float32)
        cv2.ellipse(opaque, (part.shape[1] // 2, part.shape[0] // 2), (part.shape[1] * 9 // 20, part.shape[0] * 9 // 20), 0, 0, 360, 1, -1)
        opaque = cv2.GaussianBlur(opaque, (0, 0), max(1.0, 0.04 * tall))
        place = rng.uniform(-0.2, 0.9, 2) * size
        step = rng.normal(0, 0.008, 2) * size * gap * (rng.random() < 0.8)
        for number in range(frames):
            move = np.float32([[1, 0, place[0] + number * step[0]], [0, 1, place[1] + number * step[1]]])
            moved = cv2.warpAffine(part, move, (size, size))
            covers = cv2.warpAffine(opaque, move, (size, size))[..., None]
            pictures[number] += covers * (moved - pictures[number])
    return pictures.round().clip(0, 255).astype(np.uint8)


def material_of(data: Path, folder: Path) -> tuple[list[Piece], list[Sample]]:
    """Pieces of the videos without truth but HELD, stored in `folder`, and labelled pictures. data: as of the benchmarks."""
    videos = [Path(spec) for spec in every_video(data)]
    folders = ("fixed", "moving", "intel", "sample_videos", "jhmdb")
    chosen = [each for each in videos if each.parent.name in folders and "/".join(each.parts[-2:]) not in HELD]
    pieces: list[Piece] = []
    for video in chosen:  # one by one: each as many frames, and short ones at what length they have
        own = SHORT if video.parent.name == "jhmdb" else LENGTH
        try:
            pieces += cut_pieces(
                [video], [None], folder / "frames" / video.parent.name / video.stem, longest=640, length=own, most_frames=4 * own
            )
        except UsageError as error:  # too short a clip
            print(f"{video.name}: {error}")
    images = data / "images"
    samples = [
        *read_coco(images / "coco_person_kp/person_keypoints_train.json", images / "coco_person_kp/train", "coco"),
        *read_coco(images / "traffic_atl/instances_train.json", images / "traffic_atl/train", "traffic"),
    ]
    print(f"{len(pieces)} pieces of {len({piece.source for piece in pieces})} clips, {len(samples)} pictures", flush=True)
    return pieces, samples
