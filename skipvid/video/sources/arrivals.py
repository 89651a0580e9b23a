"""Streams without time stamps that come at their own pace: when each packet arrived is all that tells its time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Generic, Protocol, TypeVar

from skipvid.core import interrupts

STAMPLESS = frozenset({"mjpeg", "mpjpeg", "jpeg_pipe", "image2pipe", "h264", "hevc", "vvc", "m4v", "mpegvideo", "vc1", "obu"})
"""libav's formats whose time stamps, where there are any, are made up from a nominal rate."""

PUSHED = frozenset({"mpjpeg"})
"""Those that only a server sends that has no end in mind (multipart/x-mixed-replace)."""

_WATCHED = 5
"""Packets after which the pace is known."""

_MOST = 512
_MOST_BYTES = 64 << 20


class _Sized(Protocol):
    size: int


T = TypeVar("T", bound=_Sized)


class Arrivals(Generic[T]):
    """Empties a source of packets in a thread of its own, so that each gets the time at which it came, not that at which it was asked for.

    arrival: when the packet that was yielded last came, in seconds on a steady clock. Where the analysis does not keep up, 64 MB or 512
    packets wait at most; then the sender is made to wait.
    """

    def __init__(self, packets: Iterable[T]) -> None:
        self._packets = packets
        self._waiting: deque[tuple[T, float]] = deque()
        self._bytes = 0
        self._times: list[float] = []
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self.arrival = 0.0
        self._thread = threading.Thread(target=self._empty, name="skipvid-arrivals", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                interrupts.wait_for(self._changed, lambda: self._waiting or self._ended or self._stopped)
                if self._stopped or not self._waiting:
                    break
                packet, self.arrival = self._waiting.popleft()
                self._bytes -= packet.size
                self._changed.notify_all()
            yield packet
        if self._error is not None:
            raise self._error

    def paced(self, step: float) -> bool:
        """Whether packets come as slowly as a camera sends them, about `step` seconds apart or slower: a disk's come at once.

        Waits for the first packets.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._times) >= _WATCHED or self._ended or self._stopped)
            times = self._times
        gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
        return bool(gaps) and median(gaps) >= step / 2

    def stop(self, release: Callable[[], None]) -> None:
        """End the thread and release what it reads from; a thread that hangs in a system call is left behind, and so is its source."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout=1)
        if not self._thread.is_alive():
            release()

    def _empty(self) -> None:
        try:
            for packet in self._packets:
                now = time.monotonic()
                with self._changed:
                    if len(self._times) < _WATCHED:
                        self._times.append(now)
                    self._waiting.append((packet, now))
                    self._bytes += packet.size
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopped or (len(self._waiting) < _MOST and self._bytes < _MOST_BYTES))
                    if self._stopped:
                        return
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
