"""The people of one stream: who is in view, who of them is looked at, and through which window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.session import Session
from skipvid.tasks.crops import StickyRule, whole_frame
from skipvid.tasks.pose import extent, movement
from skipvid.tasks.similarity import STANDSTILL, Similarity
from skipvid.tasks.track import Track, Tracker
from skipvid.tasks.viewers import Viewer, ViewerPool

MOST_PERSONS = 12


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """How persons are found and followed.

    score_threshold: of a box that begins a track. detect_every: frames from one run of the detector to the next. max_persons: that are
    looked at in one frame. scene_cuts: begin anew where the picture changes as a whole. rule: when a person's window stays.
    """

    score_threshold: float = 0.3
    detect_every: int = 1
    max_persons: int = MOST_PERSONS
    scene_cuts: bool = True
    rule: StickyRule = StickyRule()


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody who is looked at in this frame."""

    track: Track
    viewer: Viewer


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A person of the result. box: (4,) xyxy, pixels of the frame. keypoints: (J, 3)."""

    id: int
    box: NDArray[np.float32]
    score: float
    keypoints: NDArray[np.float32]


class DetectedPeople:
    """People found by a detector and followed by a tracker. make_session: of the pose network; called max_persons times at most."""

    def __init__(self, make_session: Callable[[], Session], input_size: tuple[int, int], options: PoseOptions) -> None:
        self._input_size = input_size
        self._options = options
        self._tracker = Tracker(options.score_threshold, most=2 * options.max_persons)
        self._viewers = ViewerPool(make_session, options.max_persons)
        self._crowded = self._most_left_out = 0

    @property
    def problem(self) -> str | None:
        """One line where there were more persons than may be looked at."""
        if not self._crowded:
            return None
        frames = f"{self._crowded} frame{'s' if self._crowded > 1 else ''}"
        return f"more than {self._options.max_persons} persons in {frames}: up to {self._most_left_out} left out; raise --max-persons"

    @property
    def memory_bytes(self) -> int:
        """Bytes that the sessions of all persons hold."""
        return self._viewers.memory_bytes

    def clear(self) -> None:
        """Forget everybody."""
        self._tracker.clear()
        self._viewers.keep(())

    def anchored(self) -> None:
        """Windows lie in the coordinates of another anchor from now on."""
        self._viewers.look_away()

    def found(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], time: float) -> None:
        """Take over the persons that the detector found. boxes: (K, 4) xyxy, pixels of the frame. scores: (K,). time: seconds."""
        self._tracker.update(boxes, scores, time)
        self._viewers.keep(self._tracker.tracks)

    def in_view(self, frame_size: tuple[int, int], motion: Similarity = STANDSTILL) -> list[Person]:
        """Who is looked at in this frame of (height, width), each through a window that serves. motion: from windows to the frame."""
        # Those already looked at come first, so that nobody is dropped and taken up again from frame to frame.
        tracks = sorted(self._tracker.visible, key=lambda track: (track not in self._viewers, -track.score))
        left_out = max(0, len(tracks) - self._options.max_persons) + self._tracker.turned_away
        self._crowded += left_out > 0
        self._most_left_out = max(self._most_left_out, left_out)
        people = []
        back = motion.inverse()
        for track in tracks[: self._options.max_persons]:
            viewer = self._viewers.take(track, self._tracker.tracks)
            rule = self._options.rule
            box = track.box if motion is STANDSTILL else back.boxes(track.box[None])[0].astype(np.float32)
            if viewer.window is None or not rule.holds(viewer.window, box, frame_size):
                viewer.look_at(rule.place(box, self._input_size))
            people.append(Person(track, viewer))
        return people

    def carry(self, person: Person, keypoints: NDArray[np.float32], time: float) -> None:
        """Without a detection in this frame, a person's box goes where the keypoints go."""
        before = person.viewer.keypoints
        person.track.shift(movement(before, keypoints) if before is not None else np.zeros(2, np.float32), time)

    def pose(self, person: Person, keypoints: NDArray[np.float32], frame_size: tuple[int, int]) -> Pose | None:
        """What is reported of a person."""
        track = person.track
        box = np.clip(track.box, 0, np.array([frame_size[1], frame_size[0]] * 2, np.float32))
        return Pose(track.id, box, track.score, keypoints)


class PersonInFrame:
    """One person, looked at through a window on the whole frame. Box and score come from the keypoints; nobody may be there."""

    def __init__(self, make_session: Callable[[], Session], input_size: tuple[int, int], options: PoseOptions) -> None:
        self._input_size = input_size
        self._score_threshold = options.score_threshold
        self._viewer = Viewer(make_session())
        self.problem: str | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes that the session holds."""
        return self._viewer.session.memory_bytes

    def clear(self) -> None:
        """Forget the frames so far."""
        self._viewer.look_at(None)

    def anchored(self) -> None:
        """As of DetectedPeople."""
        self._viewer.look_at(None)

    def in_view(self, frame_size: tuple[int, int], motion: Similarity = STANDSTILL) -> list[Person]:
        """The one window."""
        if self._viewer.window is None:
            self._viewer.look_at(whole_frame(frame_size, self._input_size))
        whole = np.array([0, 0, frame_size[1], frame_size[0]], np.float32)
        return [Person(Track(1, whole, 1.0, 0.0), self._viewer)]

    def pose(self, person: Person, keypoints: NDArray[np.float32], frame_size: tuple[int, int]) -> Pose | None:
        """What is reported; None where too little of a person is seen."""
        around, score = extent(keypoints, frame_size), float(keypoints[:, 2].mean())
        return Pose(person.track.id, around, score, keypoints) if around is not None and score >= self._score_threshold else None
