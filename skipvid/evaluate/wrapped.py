"""What streams have in common that look at what another one does."""

from __future__ import annotations

from skipvid.core.results import Frame, FrameResult
from skipvid.tasks.engine import Stream


class WrappedStream:
    """A stream that does as the inner one; subclasses say what is otherwise. inner: the wrapped one."""

    def __init__(self, inner: Stream) -> None:
        self._inner = inner

    @property
    def notes(self) -> tuple[str, ...]:
        """What the inner stream says of itself."""
        return self._inner.notes

    @property
    def problems(self) -> tuple[str, ...]:
        """What the inner stream's results lack."""
        return self._inner.problems

    def look_ahead(self, frame: Frame) -> None:
        """Let the inner stream do what can be done for a frame before its turn."""
        self._inner.look_ahead(frame)

    def process(self, frame: Frame) -> FrameResult:
        """Let the inner stream analyse the next frame."""
        return self._inner.process(frame)
