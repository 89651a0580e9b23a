"""JHMDB (Jhuang et al., ICCV 2013) in its published layout, and the same as one JSON file.

joint_positions/CLASS/CLIP/joint_positions.mat      pos_img (2, 15, frames), 1-based pixels
Rename_Images/CLASS/CLIP/00001.png …                or ReCompress_Videos/CLASS/CLIP.avi
splits/CLASS_test_split1.txt                        lines "CLIP.avi 2": 1 = train, 2 = test
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError, UsageError
from skipvid.evaluate.truth import FrameTruth, LabelledClip

JOINTS = (
    *("neck", "belly", "face", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow", "left_elbow"),
    *("right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle"),
)
"""The dataset's order. Neck and belly have no counterpart among COCO's joints and are not measured; face is compared with the nose."""

COCO_NAME = {"face": "nose"}
SHORT = {"r": "right_", "l": "left_"}
PERSON = 1
MARGIN = 0.1
"""How far a person reaches beyond the joints, as a share of the longer side of their extent."""


def truth_of(points: NDArray[np.float32], size: tuple[int, int]) -> FrameTruth:
    """One person. points: (15, 2) float32, 0-based pixels. size: (height, width). Joints outside the picture, or NaN, are not labelled."""
    points = np.where(np.isfinite(points), points, -1).astype(np.float32)
    inside = ((points >= 0) & (points < np.array(size[::-1], np.float32))).all(axis=1)
    keypoints = np.concatenate([points, np.where(inside, 2, 0)[:, None]], axis=1)[None].astype(np.float32)
    if not inside.any():
        return FrameTruth.of([])
    low, high = points[inside].min(axis=0), points[inside].max(axis=0)
    margin = MARGIN * float((high - low).max())
    limit = np.array(size[::-1], np.float32)
    box = np.concatenate([np.clip(low - margin, 0, limit), np.clip(high + margin, 0, limit)])[None].astype(np.float32)
    extent = np.array([max(float(np.prod(high - low)), 1.0)], np.float32)
    return FrameTruth(box, np.array([PERSON], np.int64), np.zeros(1, np.bool_), keypoints, extent)


def read_joint_positions(path: Path) -> NDArray[np.float32]:
    """(frames, 15, 2) float32, 0-based pixels, of a joint_positions.mat. Raises SourceError, and UsageError without scipy."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UsageError("JHMDB's .mat files need scipy", "pip install 'skipvid[eval]'") from error
    try:
        positions = np.asarray(loadmat(path)["pos_img"], np.float32)
        if positions.ndim == 2:  # MATLAB drops a last dimension of one frame
            positions = positions[..., None]
        if positions.ndim != 3 or positions.shape[:2] != (2, len(JOINTS)):
            raise ValueError(f"pos_img is {positions.shape}, not (2, 15, frames)")
    except NotImplementedError as error:
        raise SourceError(f"{path}: a file of MATLAB 7.3, which cannot be read", "write it anew with save('-v7', …)") from error
    except Exception as error:  # scipy raises what it meets in a damaged file: of struct, zlib and its own
        raise SourceError(f"{path}: not a joint_positions.mat of JHMDB: {error}") from error
    return positions.transpose(2, 1, 0) - 1  # MATLAB counts pixels from 1


def read_jhmdb(folder: Path, split: int | None = 1, size: tuple[int, int] = (240, 320)) -> list[LabelledClip]:
    """The test clips of a split (1, 2 or 3), or all clips with None. size: (height, width). Raises SourceError where there are none."""
    wanted = None if split is None else _test_clips(folder / "splits", split)
    clips = []
    for mat in sorted((folder / "joint_positions").rglob("joint_positions.mat")):
        kind, name = mat.parent.parent.name, mat.parent.name
        if wanted is not None and name not in wanted:
            continue
        pictures, video = folder / "Rename_Images" / kind / name, folder / "ReCompress_Videos" / kind / f"{name}.avi"
        source = pictures if pictures.is_dir() else video
        if not source.exists():
            raise SourceError(f"{folder}: neither {pictures} nor {video} is there")
        frames = {number: truth_of(points, size) for number, points in enumerate(read_joint_positions(mat))}
        clips.append(LabelledClip(name, str(source), frames, first_picture=1, keypoint_names=JOINTS, group=name))
    if not clips and wanted is not None and any((folder / "joint_positions").rglob("joint_positions.mat")):
        raise SourceError(f"{folder}: none of its clips is a test clip of split {split}", "choose another --split, or all")
    if not clips:
        raise SourceError(f"{folder}: no labelled clip of JHMDB in it", "it needs joint_positions/CLASS/CLIP/joint_positions.mat")
    return clips


def read_joints_json(path: Path) -> list[LabelledClip]:
    """A file with "joint_names", "width", "height" and "clips": {file beside it: {"joints": frames x joints x 2}}. Raises SourceError."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
        names = tuple(_long_name(name) for name in data["joint_names"])
        order = [names.index(name) for name in JOINTS]
        size = (int(data["height"]), int(data["width"]))
        clips = []
        for file, about in data["clips"].items():
            points = np.asarray(about["joints"], np.float32)[:, order]
            frames = {number: truth_of(each, size) for number, each in enumerate(points)}
            clips.append(LabelledClip(Path(file).stem, str(path.parent / file), frames, keypoint_names=JOINTS, group=Path(file).stem))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SourceError(f"{path}: not a file of joints ({error})", 'it needs "joint_names", "width", "height" and "clips"') from error
    return clips


def coco_columns(names: Sequence[str], found: Sequence[str]) -> tuple[list[int], list[int]]:
    """Joints that truth and network share: their places among the truth's `names`, and among those that the network finds."""
    places = [(own, list(found).index(COCO_NAME.get(name, name))) for own, name in enumerate(names) if COCO_NAME.get(name, name) in found]
    return [own for own, _ in places], [other for _, other in places]


def _long_name(name: str) -> str:
    return SHORT[name[0]] + name[1:] if name[0] in SHORT and name[1:] in {joint.split("_")[-1] for joint in JOINTS} else name


def _test_clips(folder: Path, split: int) -> frozenset[str]:
    files = sorted(folder.glob(f"*_test_split{split}.txt"))
    if not files:
        raise SourceError(f"{folder}: no *_test_split{split}.txt in it", "take all clips with --split all")
    lines = [line.split() for file in files for line in file.read_text(encoding="utf-8-sig").splitlines()]
    return frozenset(words[0].removesuffix(".avi") for words in lines if len(words) == 2 and words[1] == "2")
