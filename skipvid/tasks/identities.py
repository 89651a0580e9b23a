"""Identities of detections: boxes are followed from frame to frame, and expected where the detector does not look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections
from skipvid.tasks.track import Track, Tracker


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How detections are followed.

    detect_every: frames from one run of the detector to the next; in between, tracks go on as they went. confirm: as in Tracker.
    """

    detect_every: int = 1
    confirm: bool = True


class Identities:
    """Follows the detections of one stream, category by category.

    start_score: of a box that begins a track; weaker ones may only continue one. names: of the categories. confirm: report what has an
    identity from its first box on that confirms it, as in Tracker.
    """

    def __init__(self, start_score: float, names: Mapping[int, str], confirm: bool = True) -> None:
        self._tracker = Tracker(start_score, most=None, confirm=confirm)
        self._names = names

    def clear(self) -> None:
        """Forget all objects; identities go on counting."""
        self._tracker.clear()

    def found(self, detections: Detections, time: float) -> Detections:
        """What was detected at `time` seconds, with identities; what belongs to no confirmed track is left out."""
        followed = self._of(self._tracker.update(detections.boxes, detections.scores, time, detections.category_ids))
        if detections.keypoints is None:
            return followed
        rows = {box.tobytes(): row for row, box in enumerate(detections.boxes)}
        return replace(followed, keypoints=detections.keypoints[[rows[box.tobytes()] for box in followed.boxes]])

    def expected(self, time: float, frame_size: tuple[int, int]) -> Detections:
        """Where the objects of the last detection should be at `time`, with their scores; without those that have left the frame.

        frame_size: (height, width).
        """
        height, width = frame_size
        tracks = self._tracker.visible
        places = np.array([track.expected(time) for track in tracks], np.float32).reshape(-1, 4)
        boxes = np.clip(places, 0, np.array([width, height, width, height], np.float32))
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return self._of([track for track, there in zip(tracks, inside, strict=True) if there], boxes[inside])

    def _of(self, tracks: Sequence[Track], boxes: NDArray[np.float32] | None = None) -> Detections:
        places = np.array([track.box for track in tracks], np.float32).reshape(-1, 4) if boxes is None else boxes
        order = sorted(range(len(tracks)), key=lambda row: -tracks[row].score)
        ranked = [tracks[row] for row in order]
        return Detections(
            places[order],
            np.array([track.score for track in ranked], np.float32),
            np.array([track.category for track in ranked], np.int64),
            tuple(self._names.get(track.category, str(track.category)) for track in ranked),
            np.array([track.id for track in ranked], np.int64),
        )
