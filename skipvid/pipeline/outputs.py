"""The end of the pipeline: pictures are drawn in one thread and encoded in another, so that neither waits for the other's work."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from skipvid.core.results import FrameResult, RunSummary
from skipvid.pipeline.threads import Channel, Worker
from skipvid.video.sinks.base import Sink

DRAWN_DEPTH = 2
"""Results whose pictures are drawn and wait for the encoder: a picture of 4K takes 12 MB."""


class Summariser(Protocol):
    """What adds up a run's results; skipvid.report.SummaryBuilder is one."""

    def add(self, result: FrameResult, extra_ms: Mapping[str, float] | None = None) -> None:
        """Count one frame."""

    def build(self, *, wall_seconds: float, dropped: int = 0, problems: Sequence[str] = (), interrupted: bool = False) -> RunSummary:
        """The totals so far."""


class Outputs:
    """Hands results to all sinks, in threads of its own: one that draws, where a sink draws, and one that writes. The first of them
    completes the results.

    depth: results that wait for them.
    """

    def __init__(self, sinks: Sequence[Sink], summariser: Summariser, depth: int) -> None:
        self._sinks, self._summariser = sinks, summariser
        self._results: Channel[FrameResult | Callable[[], FrameResult]] = Channel(depth)
        self._completed: deque[FrameResult] = deque()
        self._drawn: Channel[tuple[FrameResult, float | None]] = Channel(min(depth, DRAWN_DEPTH))
        self._writer = Worker("skipvid-writer", self._write)
        self._workers = [self._writer]
        self._drawing = any(sink.draws for sink in sinks)
        if self._drawing:
            self._workers.append(Worker("skipvid-drawer", self._draw))

    def start(self) -> None:
        """Begin to wait for results."""
        for worker in self._workers:
            worker.start()

    def put(self, result: FrameResult | Callable[[], FrameResult]) -> bool:
        """Wait for room and hand over a result, or what completes it. False where an output failed."""
        return self._results.put(result)

    def completed(self) -> Iterator[FrameResult]:
        """Results that were completed here since this was asked for last."""
        while self._completed:
            yield self._completed.popleft()

    def end(self) -> None:
        """Let nothing more in, and wait until what is in is written."""
        self._results.close()
        for worker in self._workers:
            worker.join()

    @property
    def failure(self) -> BaseException | None:
        """What ended a thread, None where nothing did."""
        return next((worker.failure for worker in self._workers if worker.failure is not None), None)

    @property
    def full_seconds(self) -> float:
        """How long `put` has waited for room."""
        return self._results.full_seconds

    def waited(self) -> dict[str, float]:
        """Seconds in which "draw", if there is such a stage, and "output" waited for others."""
        if not self._drawing:
            return {"output": self._results.empty_seconds}
        return {"draw": self._results.empty_seconds + self._drawn.full_seconds, "output": self._drawn.empty_seconds}

    def _draw(self) -> None:
        try:
            for result in self._complete():
                begin = time.perf_counter()
                for sink in self._sinks:
                    sink.draw(result)
                if not self._drawn.put((result, (time.perf_counter() - begin) * 1e3)):
                    break
        finally:
            self._results.close(discard=True)
            self._drawn.close()

    def _write(self) -> None:
        try:
            for result, drawing in self._ready():
                begin = time.perf_counter()
                for sink in self._sinks:
                    sink.write(result)
                drawn = {} if drawing is None else {"draw": drawing}
                self._summariser.add(result, {**drawn, "write": (time.perf_counter() - begin) * 1e3})
        finally:
            for channel in (self._drawn, self._results):
                channel.close(discard=True)

    def _ready(self) -> Iterator[tuple[FrameResult, float | None]]:
        """Results that can be written, and the milliseconds for which they were drawn."""
        if self._drawing:
            yield from self._drawn
        else:
            yield from ((result, None) for result in self._complete())

    def _complete(self) -> Iterator[FrameResult]:
        for item in self._results:
            if isinstance(item, FrameResult):
                yield item
                continue
            result = item()
            self._completed.append(result)
            yield result


def finish(sinks: Sequence[Sink], summary: RunSummary) -> None:
    """Complete every output that can be completed; then raise what kept the first of the others from it."""
    failures = []
    for sink in sinks:
        try:
            sink.finish(summary)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
