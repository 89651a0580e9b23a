"""The pipeline: reader thread -> engine -> outputs, with bounded channels between them. A live source has a thread of its own that
keeps the newest frame, which is taken when the engine is free: a frame that waited in a channel would be an old one.

An exception in any thread ends all of them and comes out of `run`. Ctrl-C, SIGTERM and SIGHUP end the reading; what is under way is
written and every output is finished, so that files are whole and valid.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from skipvid.core import interrupts
from skipvid.core.results import Frame, FrameResult, RunSummary
from skipvid.pipeline.outputs import Outputs, Summariser, finish
from skipvid.pipeline.threads import Channel, Worker
from skipvid.pipeline.turns import Turn
from skipvid.tasks.engine import Stream, TwoStepStream
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.base import Source

DEPTH = 4
"""Frames that wait between two threads: enough to smooth out a slow frame, few enough to keep memory small."""

LIVE_DEPTH = 1
"""Results that wait for the outputs of a live source, where what waits comes late."""


def run(
    source: Source,
    stream: Stream,
    sinks: Sequence[Sink],
    summariser: Summariser,
    on_frame: Callable[[FrameResult], None] | None = None,
    turn: Turn | None = None,
    stopped: threading.Event | None = None,
    at_once: bool = False,
) -> RunSummary:
    """Analyse a whole source, finish all sinks, and return the summary. A KeyboardInterrupt ends it early: summary.interrupted.

    on_frame: called in the calling thread after each frame, for a progress bar; some frames later where results are completed beside the
    next ones. at_once: they shall not be; nor are they where frames come at their own pace. turn: taken for each frame, where other runs go
    on beside this one; then nothing is said of how busy stages were, as they wait for the others. stopped: set by who closes the source to
    end the run early from another thread.
    Raises whatever the source, the engine, a sink or on_frame raises; the sinks are then left for their context managers to clean up.
    """
    told = _ignore if on_frame is None else on_frame
    incoming = _Waited(source) if source.info.live else _Read(source, stream)
    outputs = Outputs(sinks, summariser, LIVE_DEPTH if source.info.live else DEPTH)
    if turn is not None and source.info.live:
        source.turn = turn
    begin, cpu_begin = time.perf_counter(), time.process_time()
    interrupted = False
    with interrupts.deferred():  # the locks are the other threads', too
        outputs.start()
        try:
            _analyse(incoming, _begin(stream, at_once or source.info.live), outputs, told, turn, stopped)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            with interrupts.shielded():
                interrupted = interrupted or (stopped is not None and stopped.is_set())
                if turn is not None:
                    turn.give()
                if interrupted:
                    source.close()  # a reader may wait for a frame that does not come
                outputs.end()
                incoming.end(interrupted)
    with interrupts.shielded():
        for failure in (incoming.failure, outputs.failure):
            if failure is not None:
                raise failure
        for result in outputs.completed():
            told(result)
        problems = [*source.notes, *stream.problems, *([source.problem] if source.problem else [])]
        seconds = time.perf_counter() - begin
        waited = {
            "decode": incoming.full_seconds,
            "network": incoming.empty_seconds + outputs.full_seconds,
            **outputs.waited(),
        }
        busy = {stage: max(0.0, 1.0 - idle / max(seconds, 1e-9)) for stage, idle in waited.items()} if turn is None else {}
        summary = summariser.build(wall_seconds=seconds, dropped=source.dropped, problems=problems, interrupted=interrupted)
        cpu = time.process_time() - cpu_begin if turn is None else 0.0
        summary = replace(summary, complete=source.problem is None, busy=busy, cpu_seconds=cpu, notes=tuple(stream.notes))
        finish(sinks, summary)
    return summary


def _analyse(
    incoming: _Read | _Waited,
    begin: Callable[[Frame], FrameResult | Callable[[], FrameResult]],
    outputs: Outputs,
    told: Callable[[FrameResult], None],
    turn: Turn | None,
    stopped: threading.Event | None,
) -> None:
    """Until there are no more frames, nobody takes results, or it was stopped. Raises KeyboardInterrupt where a signal came."""
    for frame in incoming:
        interrupts.check()
        if stopped is not None and stopped.is_set():
            return
        if turn is not None:
            turn.take()
        result = begin(frame)
        if turn is not None:
            turn.give()
        if not outputs.put(result):
            return  # one of them failed
        for complete in (result,) if isinstance(result, FrameResult) else outputs.completed():
            told(complete)


def _ignore(result: FrameResult) -> None:
    """Results that were completed are taken all the same: else they, and their pictures, would be kept to the end."""


def _begin(stream: Stream, at_once: bool) -> Callable[[Frame], FrameResult | Callable[[], FrameResult]]:
    """What analyses the next frame: wholly, or so far that what is returned completes the result."""
    return stream.begin if isinstance(stream, TwoStepStream) and not at_once else stream.process


class _Read:
    """The frames of a recording, which a thread reads ahead, and prepares for the stream that will take them."""

    def __init__(self, source: Source, stream: Stream) -> None:
        self._frames: Channel[Frame] = Channel(DEPTH)
        self._reader = Worker("skipvid-reader", lambda: _read(source, stream, self._frames))

    def __iter__(self) -> Iterator[Frame]:
        self._reader.start()
        yield from self._frames

    def end(self, interrupted: bool) -> None:
        """Let nothing more be read."""
        self._frames.close(discard=True)
        if self._reader.ident is not None:
            # A source that hangs in a driver must not keep the outputs from being finished: its thread is left behind.
            self._reader.join(timeout=5 if interrupted else None)

    @property
    def failure(self) -> BaseException | None:
        return self._reader.failure

    @property
    def full_seconds(self) -> float:
        """How long reading has waited for the engine."""
        return self._frames.full_seconds

    @property
    def empty_seconds(self) -> float:
        """How long the engine has waited for a frame."""
        return self._frames.empty_seconds


class _Waited:
    """The frames of a live source, each the newest when it is asked for."""

    failure: BaseException | None = None

    def __init__(self, source: Source) -> None:
        self._source = source
        self.full_seconds = self.empty_seconds = 0.0

    def __iter__(self) -> Iterator[Frame]:
        frames = iter(self._source)
        done = time.perf_counter()
        while True:
            asked = time.perf_counter()
            self.full_seconds += asked - done
            frame = next(frames, None)
            done = time.perf_counter()
            self.empty_seconds += done - asked
            if frame is None:
                return
            yield frame

    def end(self, interrupted: bool) -> None:
        """Nothing is read ahead."""


def _read(source: Source, stream: Stream, frames: Channel[Frame]) -> None:
    try:
        for frame in source:
            begin = time.perf_counter()
            stream.look_ahead(frame)
            if not frames.put(replace(frame, ahead_ms=(time.perf_counter() - begin) * 1e3)):
                break
    finally:
        frames.close()
