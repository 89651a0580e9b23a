"""Clips for training gates, made of labelled pictures: what is labelled moves over its own picture, as a fixed camera would see it.

    python tools/moving_stills.py ANNOTATIONS.json PICTURES FOLDER --count 60

Gates learn from how things change, and few scenes come as video with the variety that labelled pictures have. Each clip keeps one picture
as its background. Some of its objects, cut out with soft edges, cross it on straight lines, growing or shrinking a little; the light
flickers, the sensor is noisy, and the clip is compressed with H.264, so that what stands still changes as it does in real video.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST = 544
"""Longer side of the clips, pixels."""
SMALLEST = 14
"""Shorter side of an object that moves, pixels of the clip."""
MARGIN = 0.08
"""Of the box, around what is cut out."""


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """An object on its way. patch: (h, w, 3) float32 BGR. alpha: (h, w, 1). start, step: of its centre, pixels and pixels a frame.
    growth: factor on its size from frame to frame."""

    patch: NDArray[np.float32]
    alpha: NDArray[np.float32]
    start: tuple[float, float]
    step: tuple[float, float]
    growth: float


def cut_out(picture: NDArray[np.uint8], box: NDArray[np.float64], rng: np.random.Generator) -> Mover | None:
    """An object of the picture as a mover; None where it is too small. box: x, y, w, h in pixels."""
    height, width = picture.shape[:2]
    x, y, w, h = box
    left, top = max(0, round(x - MARGIN * w)), max(0, round(y - MARGIN * h))
    right, bottom = min(width, round(x + (1 + MARGIN) * w)), min(height, round(y + (1 + MARGIN) * h))
    if min(w, h) < SMALLEST or min(right - left, bottom - top) < SMALLEST or max(w / width, h / height) > 0.8:
        return None
    patch = picture[top:bottom, left:right].astype(np.float32)
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1])[:, None] + 1 for n in patch.shape[:2])
    soft = max(2.0, 0.12 * min(patch.shape[:2]))
    alpha = np.minimum(1, rows / soft) * np.minimum(1, columns.T / soft)
    speed = 0.12 * min(w, h) ** 0.5 * rng.uniform(0.3, 4)  # what is near, and large, moves faster
    # Mostly along the picture's rows, as seen from beside a road, but not only.
    angle = rng.choice([0.0, np.pi]) + rng.normal(0, 0.4) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
    middle = (left + right) / 2 + rng.normal(0, 0.15) * width, (top + bottom) / 2 + rng.normal(0, 0.05) * height
    step = (speed * np.cos(angle), speed * np.sin(angle))
    return Mover(patch, alpha[..., None].astype(np.float32), middle, step, 1 + rng.normal(0, 0.003))


def paste(frame: NDArray[np.float32], mover: Mover, index: int) -> None:
    """Draw a mover as it is in frame number `index`, in place; parts outside the frame are lost."""
    scale = mover.growth**index
    x, y = (mover.start[axis] + index * mover.step[axis] for axis in (0, 1))
    h, w = mover.patch.shape[:2]
    place = np.array([[scale, 0, x - scale * w / 2], [0, scale, y - scale * h / 2]], np.float32)
    size = (frame.shape[1], frame.shape[0])
    alpha = cv2.warpAffine(mover.alpha, place, size, flags=cv2.INTER_LINEAR)[..., None]
    frame += alpha * (cv2.warpAffine(mover.patch, place, size, flags=cv2.INTER_LINEAR) - frame)


def render(picture: NDArray[np.uint8], boxes: NDArray[np.float64], frames: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """A clip of a picture, some of whose objects move."""
    chosen = rng.permutation(len(boxes))[: int(rng.integers(1, 7))]
    movers = [mover for number in chosen if (mover := cut_out(picture, boxes[number], rng)) is not None]
    noise, flicker = rng.choice([0.0, 1.0, 2.5]), rng.choice([0.0, 0.4])
    clip = []
    for index in range(frames):
        frame = picture.astype(np.float32)
        for mover in movers:
            paste(frame, mover, index)
        frame += flicker * rng.normal() + noise * rng.normal(size=frame.shape)
        clip.append(frame.round().clip(0, 255).astype(np.uint8))
    return clip


def write(clip: list[NDArray[np.uint8]], path: Path, crf: int) -> None:
    """H.264; crf: how coarse, 18 (fine) to 40."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width = clip[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


def fitted(picture: NDArray[np.uint8], boxes: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Picture and boxes at the clips' size, with even sides, as the codec wants them."""
    scale = LONGEST / max(picture.shape[:2])
    height, width = (round(extent * scale / 2) * 2 for extent in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8), boxes * scale


def boxes_by_picture(path: Path) -> dict[str, NDArray[np.float64]]:
    """COCO annotations: (K, 4) boxes x, y, w, h by file name."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = {entry["id"]: entry["file_name"] for entry in data["images"]}
    found: defaultdict[str, list[list[float]]] = defaultdict(list)
    for note in data["annotations"]:
        if not note.get("iscrowd"):
            found[names[note["image_id"]]].append(note["bbox"])
    return {name: np.array(boxes, np.float64) for name, boxes in sorted(found.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="COCO detection file")
    parser.add_argument("pictures", type=Path, help="folder of its pictures")
    parser.add_argument("folder", type=Path, help="where the clips go")
    parser.add_argument("--count", type=int, default=60, help="clips to make")
    parser.add_argument("--frames", type=int, default=41, help="of each: what a training clip of 6 frames needs at the largest gap")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    found = boxes_by_picture(options.annotations)
    options.folder.mkdir(parents=True, exist_ok=True)
    names = [list(found)[number] for number in rng.permutation(len(found))[: options.count]]
    for number, name in enumerate(names):
        picture = cv2.imread(str(options.pictures / name))
        if picture is None:
            raise SystemExit(f"{options.pictures / name} cannot be read")
        small, boxes = fitted(np.asarray(picture, np.uint8), found[name])
        path = options.folder / f"{options.annotations.stem}-{number:03d}.mp4"
        write(render(small, boxes, options.frames, rng), path, int(rng.integers(20, 36)))


if __name__ == "__main__":
    main()
