"""Viewers: one per person, each a session of the pose network and the window it looks through; a bounded number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.session import Session
from skipvid.tasks.crops import CropWindow
from skipvid.tasks.registered_windows import WindowView
from skipvid.tasks.track import Track


@dataclass(slots=True, eq=False)
class Viewer:
    """A session and what it looks at.

    window: in pixels of the frame; where the camera moves, of the anchor. keypoints: (J, 3), pixels of the frame, of the last one in which
    its person was seen; None after a change of window. view: what the window saw last.
    """

    session: Session
    window: CropWindow | None = None
    keypoints: NDArray[np.float32] | None = None
    view: WindowView = field(default_factory=WindowView)

    def look_at(self, window: CropWindow | None) -> None:
        """Take another window, or none: nothing that was computed holds for it."""
        self.session.reset()
        self.view.forget()
        self.window, self.keypoints = window, None


class ViewerPool:
    """Viewers by track. make_session: called at most `most` times; afterwards viewers change hands."""

    def __init__(self, make_session: Callable[[], Session], most: int) -> None:
        self._make_session = make_session
        self._most = most
        self._used: dict[int, Viewer] = {}
        self._idle: list[Viewer] = []

    def __contains__(self, track: Track) -> bool:
        return track.id in self._used

    @property
    def memory_bytes(self) -> int:
        """Bytes that the sessions hold."""
        return sum(viewer.session.memory_bytes for viewer in (*self._used.values(), *self._idle))

    def look_away(self) -> None:
        """No window holds any longer; who is looked at keeps the viewer."""
        for viewer in self._used.values():
            viewer.look_at(None)

    def keep(self, tracks: Iterable[Track]) -> None:
        """Take back the viewers of all other tracks."""
        alive = {track.id for track in tracks}
        for identity in [identity for identity in self._used if identity not in alive]:
            viewer = self._used.pop(identity)
            viewer.look_at(None)
            self._idle.append(viewer)

    def take(self, track: Track, tracks: Sequence[Track]) -> Viewer:
        """The track's own viewer, an idle or a new one, or that of whoever of `tracks` is lost for longest.

        The caller asks for at most `most` visible tracks per frame, those with a viewer first, so that one can always be had.
        """
        if track.id in self._used:
            return self._used[track.id]
        if self._idle:
            viewer = self._idle.pop()
        elif len(self._used) < self._most:
            viewer = Viewer(self._make_session())
        else:
            oldest = min((other for other in tracks if other.lost and other in self), key=lambda other: other.seen)
            viewer = self._used.pop(oldest.id)
            viewer.look_at(None)
        self._used[track.id] = viewer
        return viewer
