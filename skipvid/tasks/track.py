"""Tracking: gives the boxes of successive frames identities, by overlap with where each object is expected.

A track that no box continues is lost, not gone: for some seconds it is extrapolated, and a box near the expected place finds it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WEAK = 0.5
"""Boxes with this share of the score that begins a track may still continue one: the detector should deliver them."""

WEAK_SECONDS = 0.5
"""For so long weak boxes alone may continue a track: what never looks like an object for longer is none, or another one."""

CONFIRMING = 1.25
"""Times the score that begins a track, by which a box confirms it: what never looks more like an object than that is mostly none. Where
that is nearer to 1 than half way, the score half way confirms it."""

SEEN_IOU = 0.25
"""Least overlap of a box with the expected one of its track."""

WEAK_IOU = 0.4
"""The same for a weak box."""

FOUND_DISTANCE = 0.75
"""Farthest centre of a box that finds a lost track again, in sides of the expected box; a box of the same category, as always."""

FOUND_RATIO = 1.6
"""Most that a lost track's height may have changed when it is found again."""

SMOOTHING = 0.2
"""Weight of the newest displacement in a track's speed."""

COASTING = 1.0
"""Seconds for which a lost track is thought to go on at its speed; then to stand still."""


@dataclass(slots=True, eq=False)
class Track:
    """One object. box: (4,) float32 xyxy, pixels of the frame, where last seen. speed: (2,) pixels per second. seen: seconds.
    category: its number, by which it is told from others. sure: when it was last seen with a score that begins a track.
    confirmed: whether it counts as an object.
    """

    id: int
    box: NDArray[np.float32]
    score: float
    seen: float
    category: int = 0
    sure: float = 0.0
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    lost: bool = False
    confirmed: bool = False

    def expected(self, time: float) -> NDArray[np.float32]:
        """Where its box should be at `time`."""
        shift = self.speed * min(max(time - self.seen, 0.0), COASTING)
        return (self.box + np.tile(shift, 2)).astype(np.float32)

    def follow(self, box: NDArray[np.float32], score: float, time: float) -> None:
        """Take the box that continues it."""
        elapsed = time - self.seen
        if elapsed > 0:
            shift = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2
            # After a gap the straight way says more than the old speed.
            weight = 1.0 if self.lost else SMOOTHING
            self.speed = (1 - weight) * self.speed + weight * shift / elapsed
        self.box, self.score, self.seen, self.lost = box, score, time, False

    def shift(self, by: NDArray[np.float32], time: float) -> None:
        """Move the box where its person was seen to move. by: (2,) pixels."""
        self.follow((self.box + np.tile(by, 2)).astype(np.float32), self.score, time)


class Tracker:
    """Follows the objects of one stream.

    start_score: a box with less is weak: for a short time it may continue a track that the last frame saw and that no better box
    continues, but it begins none and finds no lost one again (Zhang et al., "ByteTrack", ECCV 2022).
    patience: seconds after which a lost track is forgotten. most: tracks at a time; the weakest new ones are turned away, and lost
    tracks make room for new ones, those longest unseen first (None: no limit). confirm: a track is followed from its first box on, and
    visible from its first box on that confirms it; without, it is visible at once.
    turned_away: boxes of the last frame that would have begun a track.
    """

    def __init__(self, start_score: float, patience: float = 3.0, most: int | None = 16, confirm: bool = False) -> None:
        self.tracks: list[Track] = []
        self.turned_away = 0
        self._start_score = start_score
        self._confirming = min(CONFIRMING * start_score, (1 + start_score) / 2) if confirm else start_score
        self._patience = patience
        self._most = most
        self._next_id = 1

    @property
    def visible(self) -> list[Track]:
        """Confirmed tracks that the last frame continued or began."""
        return [track for track in self.tracks if track.confirmed and not track.lost]

    def update(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], time: float, categories: NDArray[np.int64] | None = None
    ) -> list[Track]:
        """boxes: (K, 4) xyxy. scores: (K,). time: seconds. categories: (K,), None: all are of one.

        Returns the visible tracks.
        """
        kinds = np.zeros(len(boxes), np.int64) if categories is None else categories
        expected = {track.id: track.expected(time) for track in self.tracks}
        strong, weak = (np.flatnonzero(rows).tolist() for rows in (scores >= self._start_score, scores < self._start_score))
        taken: dict[int, int] = {}
        for columns, known, least in ((strong, self.tracks, SEEN_IOU), (weak, self._sure_of(time), WEAK_IOU)):
            known = [track for track in known if track.id not in taken]
            overlaps = iou_matrix(_boxes(known, expected), boxes[columns])
            allowed = (overlaps > least) & _alike(known, kinds[columns])
            taken |= {known[row].id: columns[place] for row, place in _pair(overlaps, allowed)}
        used = set(taken.values())
        rest = [column for column in strong if column not in used]
        lost = [track for track in self.tracks if track.id not in taken]
        near = _nearness(_boxes(lost, expected), boxes[rest])
        taken |= {lost[row].id: rest[place] for row, place in _pair(near, (near > 0) & _alike(lost, kinds[rest]))}
        for track in self.tracks:
            if track.id in taken:
                track.follow(boxes[taken[track.id]], float(scores[taken[track.id]]), time)
                track.sure = time if track.score >= self._start_score else track.sure
            else:
                track.lost = True
        self.tracks = [track for track in self.tracks if time - track.seen <= self._patience]
        self.turned_away = 0
        used = set(taken.values())
        for column in sorted((column for column in strong if column not in used), key=lambda column: -float(scores[column])):
            if self._make_room():
                self.tracks.append(Track(self._next_id, boxes[column], float(scores[column]), time, int(kinds[column]), time))
                self._next_id += 1
            else:
                self.turned_away += 1
        for track in self.tracks:
            track.confirmed |= track.score >= self._confirming
        return self.visible

    def clear(self) -> None:
        """Forget all tracks; identities go on counting."""
        self.tracks.clear()

    def _sure_of(self, time: float) -> list[Track]:
        """Tracks that weak boxes may continue."""
        return [track for track in self.tracks if not track.lost and time - track.sure <= WEAK_SECONDS]

    def _make_room(self) -> bool:
        if self._most is None or len(self.tracks) < self._most:
            return True
        lost = [track for track in self.tracks if track.lost]
        if not lost:
            return False
        self.tracks.remove(min(lost, key=lambda track: track.seen))
        return True


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4) and (K, 4) xyxy -> (N, K) intersection over union."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    extent = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0, None)
    common = extent.prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - common
    result: NDArray[np.float32] = (common / np.maximum(union, 1e-9)).astype(np.float32)
    return result


def _boxes(tracks: Sequence[Track], expected: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.array([expected[track.id] for track in tracks], np.float32).reshape(-1, 4)


def _alike(tracks: Sequence[Track], categories: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) tracks and (K,) categories -> (N, K)."""
    result: NDArray[np.bool_] = np.array([track.category for track in tracks], np.int64)[:, None] == categories[None]
    return result


def _nearness(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well boxes fit lost tracks: 1 at the expected place, 0 where it cannot be the same object. (N, 4), (K, 4) xyxy -> (N, K)."""
    size = np.maximum(expected[:, 2:] - expected[:, :2], 1e-6)
    heights = np.maximum(found[:, 3] - found[:, 1], 1e-6)
    change = np.maximum(size[:, None, 1], heights) / np.minimum(size[:, None, 1], heights)
    shift = found[None, :, :2] + found[None, :, 2:] - expected[:, None, :2] - expected[:, None, 2:]
    apart = (np.abs(shift) / 2 / size[:, None]).max(2, initial=0.0)
    result: NDArray[np.float32] = np.where(change > FOUND_RATIO, 0.0, np.maximum(0.0, 1 - apart / FOUND_DISTANCE)).astype(np.float32)
    return result


def _pair(values: NDArray[np.float32], allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs of rows and columns, best value first, each row and column once."""
    pairs: list[tuple[int, int]] = []
    rows: set[int] = set()
    columns: set[int] = set()
    places = np.flatnonzero(allowed)
    for index in places[np.argsort(-values.ravel()[places], kind="stable")].tolist():
        row, column = divmod(index, values.shape[1])
        if row not in rows and column not in columns:
            pairs.append((row, column))
            rows.add(row)
            columns.add(column)
    return pairs
