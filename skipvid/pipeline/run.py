"""The pipeline: reader thread -> engine -> writer thread, with bounded channels between them.

An exception in any of the three ends all of them and comes out of `run`. Ctrl-C, SIGTERM and SIGHUP end the reading; what is under way is
written and every output is finished, so that files are whole and valid.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from skipvid.core import interrupts
from skipvid.core.results import Frame, FrameResult, RunSummary
from skipvid.tasks.engine import Stream
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.base import Source

DEPTH = 4
"""Frames that wait between two threads: enough to smooth out a slow frame, few enough to keep memory small."""

LIVE_DEPTH = 1
"""The same for live sources, where a waiting frame is a late one."""

T = TypeVar("T")


class Channel(Generic[T]):
    """A bounded queue between two threads that either side can close; the reader still gets what was put before."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._closed = False
        self.full_seconds = 0.0
        """How long `put` has waited for room: the reader was the slower side."""
        self.empty_seconds = 0.0
        """How long the reader has waited for an item."""

    def put(self, item: T) -> bool:
        """Wait for room and put an item. False, without waiting, where the channel is closed."""
        with self._changed:
            if len(self._items) >= self._depth and not self._closed:
                begin = time.perf_counter()
                while len(self._items) >= self._depth and not self._closed:
                    self._changed.wait()
                self.full_seconds += time.perf_counter() - begin
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def close(self, discard: bool = False) -> None:
        """Let nothing more in; discard: forget what waits, too. May be called twice."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items as they come, until the channel is closed and empty."""
        while True:
            with self._changed:
                if not self._items and not self._closed:
                    begin = time.perf_counter()
                    while not self._items and not self._closed:
                        self._changed.wait()
                    self.empty_seconds += time.perf_counter() - begin
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Summariser(Protocol):
    """What adds up a run's results; skipvid.report.SummaryBuilder is one."""

    def add(self, result: FrameResult, extra_ms: Mapping[str, float] | None = None) -> None:
        """Count one frame."""

    def build(self, *, wall_seconds: float, dropped: int = 0, problems: Sequence[str] = (), interrupted: bool = False) -> RunSummary:
        """The totals so far."""


class _Worker(threading.Thread):
    """A thread that keeps the exception that ended it."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error


def run(
    source: Source,
    stream: Stream,
    sinks: Sequence[Sink],
    summariser: Summariser,
    on_frame: Callable[[FrameResult], None] | None = None,
) -> RunSummary:
    """Analyse a whole source, finish all sinks, and return the summary. A KeyboardInterrupt ends it early: summary.interrupted.

    on_frame: called in the calling thread after each frame, for a progress bar. Raises whatever the source, the engine, a sink or on_frame
    raises; the sinks are then left for their context managers to clean up.
    """
    depth = LIVE_DEPTH if source.info.live else DEPTH
    frames: Channel[Frame] = Channel(depth)
    results: Channel[FrameResult] = Channel(depth)
    reader = _Worker("skipvid-reader", lambda: _read(source, frames))
    writer = _Worker("skipvid-writer", lambda: _write(results, sinks, summariser))
    begin, cpu_begin = time.perf_counter(), time.process_time()
    reader.start()
    writer.start()
    interrupted = False
    try:
        for frame in frames:
            result = stream.process(frame)
            if not results.put(result):
                break  # the writer failed
            if on_frame is not None:
                on_frame(result)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        with interrupts.shielded():
            frames.close(discard=True)
            results.close()
            if interrupted:
                source.close()  # a reader may wait for a frame that does not come
            writer.join()
            # A source that hangs in a driver must not keep the outputs from being finished: its thread is left behind.
            reader.join(timeout=5 if interrupted else None)
    with interrupts.shielded():
        for worker in (reader, writer):
            if worker.failure is not None:
                raise worker.failure
        problems = [*source.notes, *stream.notes, *([source.problem] if source.problem else [])]
        seconds = time.perf_counter() - begin
        waited = {
            "decode": frames.full_seconds,
            "network": frames.empty_seconds + results.full_seconds,
            "output": results.empty_seconds,
        }
        busy = {stage: max(0.0, 1.0 - idle / max(seconds, 1e-9)) for stage, idle in waited.items()}
        summary = summariser.build(wall_seconds=seconds, dropped=source.dropped, problems=problems, interrupted=interrupted)
        cpu = time.process_time() - cpu_begin
        summary = replace(summary, complete=source.problem is None, busy=busy, cpu_seconds=cpu)
        _finish(sinks, summary)
    return summary


def _finish(sinks: Sequence[Sink], summary: RunSummary) -> None:
    """Complete every output that can be completed; then raise what kept the first of the others from it."""
    failures = []
    for sink in sinks:
        try:
            sink.finish(summary)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _read(source: Source, frames: Channel[Frame]) -> None:
    try:
        for frame in source:
            if not frames.put(frame):
                break
    finally:
        frames.close()


def _write(results: Channel[FrameResult], sinks: Sequence[Sink], summariser: Summariser) -> None:
    try:
        for result in results:
            begin = time.perf_counter()
            for sink in sinks:
                sink.write(result)
            drawing = sum(sink.draw_ms for sink in sinks)
            drawn = {"draw": drawing} if drawing else {}
            summariser.add(result, {**drawn, "write": (time.perf_counter() - begin) * 1e3 - drawing})
    finally:
        results.close(discard=True)
