"""The pipeline with stand-ins for its parts: order, back-pressure, failures in each thread, Ctrl-C."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from skipvid.core import interrupts
from skipvid.core.errors import OutputError, SourceError
from skipvid.core.results import Detections, Frame, FrameResult, RunHeader, RunSummary, SourceInfo
from skipvid.pipeline.run import run
from skipvid.pipeline.threads import Channel
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.base import Source

INFO = SourceInfo("test", 8, 6)
HEADER = RunHeader("detect", INFO, "p", "norm", 0.0, 1, "reference", "", "0")


class CountingSource(Source):
    def __init__(self, frames: int, fail_at: int | None = None) -> None:
        self.info = INFO
        self.delivered = 0
        self._frames, self._fail_at = frames, fail_at

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            if index == self._fail_at:
                raise SourceError("broken in the middle")
            self.delivered += 1
            yield Frame(np.zeros((6, 8, 3), np.uint8), index, index / 25, "test")
        self.problem = "read 3 of about 5 frames"


class Echo:
    notes = ("count door: 2 in",)
    problems = ("3 persons left out",)

    def __init__(self, fail_at: int | None = None, error: type[BaseException] = ValueError) -> None:
        self._fail_at, self._error = fail_at, error
        self.ahead: list[int] = []

    def look_ahead(self, frame: Frame) -> None:
        self.ahead.append(frame.index)

    def process(self, frame: Frame) -> FrameResult:
        if frame.index == self._fail_at:
            raise self._error("engine")
        return FrameResult(frame, Detections.empty(), frame.index == 0, {"model": 1.0})


class Recorder(Sink):
    def __init__(self, fail_at: int | None = None) -> None:
        self.indices: list[int] = []
        self.summary: RunSummary | None = None
        self._fail_at = fail_at

    def write(self, result: FrameResult) -> None:
        if result.frame.index == self._fail_at:
            raise OutputError("disk full")
        self.indices.append(result.frame.index)

    def finish(self, summary: RunSummary) -> None:
        self.summary = summary

    def close(self) -> None:
        pass


class Artist(Recorder):
    """Notes what it drew and when: the number of the frame that was written last before."""

    draws = True

    def __init__(self, fail_drawing_at: int | None = None, fail_at: int | None = None) -> None:
        super().__init__(fail_at)
        self.drawn: list[int] = []
        self.ahead: list[int] = []
        self._fail_drawing_at = fail_drawing_at

    def draw(self, result: FrameResult) -> None:
        if result.frame.index == self._fail_drawing_at:
            raise OutputError("no such font")
        self.drawn.append(result.frame.index)
        self.ahead.append(result.frame.index - len(self.indices))

    def write(self, result: FrameResult) -> None:
        assert result.frame.index in self.drawn
        super().write(result)


class Counter:
    def __init__(self) -> None:
        self.frames = 0

    def add(self, result: FrameResult, extra_ms: Mapping[str, float] | None = None) -> None:
        assert extra_ms is not None and extra_ms["write"] >= 0
        self.frames += 1

    def build(self, *, wall_seconds: float, dropped: int = 0, problems: Sequence[str] = (), interrupted: bool = False) -> RunSummary:
        return RunSummary(HEADER, self.frames, 1, 0, wall_seconds, {}, None, dropped, tuple(problems), interrupted)


def test_every_frame_reaches_every_sink_in_order_and_the_summary_counts_them() -> None:
    sinks = [Recorder(), Recorder()]
    seen: list[int] = []
    stream = Echo()
    summary = run(CountingSource(50), stream, sinks, Counter(), lambda result: seen.append(result.frame.index))
    assert stream.ahead == list(range(50))
    assert [sink.indices for sink in sinks] == [list(range(50))] * 2 and seen == list(range(50))
    assert summary.frames == 50 and not summary.interrupted and summary.problems == ("3 persons left out", "read 3 of about 5 frames")
    assert summary.notes == ("count door: 2 in",)
    assert all(sink.summary is summary for sink in sinks)


class TwoSteps(Echo):
    """Notes which thread completes results."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.threads: set[int] = set()
        self._fails = fail_at

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        self.begun.append(frame.index)

        def complete() -> FrameResult:
            if frame.index == self._fails:
                raise ValueError("completing")
            self.threads.add(threading.get_ident())
            return self.process(frame)

        return complete


@pytest.mark.parametrize("sink", [Recorder, Artist])
def test_results_are_completed_beside_the_next_frames_and_told_in_order_where_the_run_was_called(sink: type[Recorder]) -> None:
    stream, output = TwoSteps(), sink()
    told: list[tuple[int, int]] = []
    here = threading.get_ident()
    summary = run(CountingSource(60), stream, [output], Counter(), lambda result: told.append((result.frame.index, threading.get_ident())))
    assert summary.frames == 60 and output.indices == list(range(60))
    assert told == [(index, here) for index in range(60)]
    assert len(stream.threads) == 1 and here not in stream.threads


class Holding(TwoSteps):
    """Counts the pictures of earlier frames that somebody still holds."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[weakref.ref[np.ndarray]] = []
        self.held: list[int] = []

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        self.held.append(sum(picture() is not None for picture in self.pictures))
        self.pictures.append(weakref.ref(frame.picture))
        return super().begin(frame)


@pytest.mark.parametrize("sink", [Recorder, Artist])
def test_no_result_is_kept_that_nobody_is_told_of(sink: type[Recorder]) -> None:
    stream = Holding()
    run(CountingSource(200), stream, [sink()], Counter())
    assert len(stream.held) == 200 and max(stream.held) < 20


@pytest.mark.parametrize("live", [False, True])
def test_results_are_complete_before_the_next_frame_where_that_is_asked_for_or_frames_come_at_their_own_pace(live: bool) -> None:
    source, stream = CountingSource(20), TwoSteps()
    told: list[int] = []
    source.info = replace(INFO, live=live)
    run(source, stream, [Recorder()], Counter(), lambda result: told.append(result.frame.index), at_once=not live)
    assert not stream.begun and told == list(range(20))


def test_a_result_that_cannot_be_completed_ends_the_run_and_comes_out() -> None:
    output = Recorder()
    with pytest.raises(ValueError, match="completing"):
        run(CountingSource(60), TwoSteps(fail_at=7), [output], Counter())
    assert output.indices == list(range(7)) and output.summary is None


def test_pictures_are_drawn_beside_the_writing_in_order_and_not_far_ahead_of_it() -> None:
    artist, recorder = Artist(), Recorder()
    summary = run(CountingSource(200), Echo(), [recorder, artist], Counter())
    assert artist.drawn == artist.indices == recorder.indices == list(range(200)) and summary.frames == 200
    assert 0 <= min(artist.ahead) and max(artist.ahead) <= 4  # two that wait, one in each thread's hands


class SlowArtist(Artist):
    def draw(self, result: FrameResult) -> None:
        time.sleep(0.01)
        super().draw(result)


class Slow(Echo, Recorder):
    """Sleeps wherever it stands."""

    def __init__(self) -> None:
        Echo.__init__(self)
        Recorder.__init__(self)

    def process(self, frame: Frame) -> FrameResult:
        time.sleep(0.01)
        return super().process(frame)

    def write(self, result: FrameResult) -> None:
        time.sleep(0.01)


class SlowSource(CountingSource):
    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            time.sleep(0.01)
            yield frame


@pytest.mark.parametrize(
    ("source", "stream", "sink", "busiest"),
    [
        (SlowSource(40), Echo(), Recorder(), "decode"),
        (CountingSource(40), Slow(), Recorder(), "network"),
        (CountingSource(40), Echo(), Slow(), "output"),
        (CountingSource(40), Echo(), SlowArtist(), "draw"),
    ],
)
def test_the_stage_that_takes_longest_is_the_busiest(source: CountingSource, stream: Echo, sink: Recorder, busiest: str) -> None:
    summary = run(source, stream, [sink], Counter())
    assert summary.busy.keys() == {"decode", "network", "output"} | ({"draw"} if sink.draws else set()) and summary.cpu_seconds > 0
    others = [share for stage, share in summary.busy.items() if stage != busiest]
    assert summary.busy[busiest] > 0.8 and max(others) < 0.6


@pytest.mark.parametrize(
    ("source", "stream", "sink", "error"),
    [
        (CountingSource(50, fail_at=7), Echo(), Recorder(), SourceError),
        (CountingSource(50), Echo(fail_at=7), Recorder(), ValueError),
        (CountingSource(50), Echo(), Recorder(fail_at=7), OutputError),
        (CountingSource(50), Echo(), Artist(fail_at=7), OutputError),
        (CountingSource(50), Echo(), Artist(fail_drawing_at=7), OutputError),
        (CountingSource(50, fail_at=7), Echo(), Artist(), SourceError),
    ],
    ids=["source", "engine", "sink", "sink that draws", "drawing", "source of a sink that draws"],
)
def test_a_failure_in_any_thread_ends_all_and_comes_out(
    source: CountingSource, stream: Echo, sink: Recorder, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(source, stream, [sink], Counter())
    assert sink.summary is None
    assert source.delivered < 50
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skipvid-")]


def test_a_failing_progress_callback_does_not_hang() -> None:
    def fail(result: FrameResult) -> None:
        raise RuntimeError("callback")

    with pytest.raises(RuntimeError, match="callback"):
        run(CountingSource(50), Echo(), [Recorder()], Counter(), fail)


@pytest.mark.parametrize("sink", [Recorder(), Artist()], ids=["written", "drawn"])
def test_ctrl_c_writes_what_is_done_and_finishes_the_sinks(sink: Recorder) -> None:
    summary = run(CountingSource(50), Echo(fail_at=9, error=KeyboardInterrupt), [sink], Counter())
    assert summary.interrupted and sink.summary is summary
    assert sink.indices == list(range(9))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs the signals of POSIX")
def test_a_stop_at_any_moment_ends_the_run_with_what_was_done() -> None:
    """Hundreds of moments: an exception in the middle of taking a lock would leave the writer waiting for ever."""
    draw = random.Random(7)

    def stop() -> None:
        time.sleep(draw.uniform(0.0, 0.004))
        os.kill(os.getpid(), signal.SIGTERM)

    whole = 0
    for _ in range(300):
        sink = Artist() if draw.random() < 0.5 else Recorder()
        killer = threading.Thread(target=stop, daemon=True)
        with interrupts.handled():
            try:
                killer.start()
                summary = run(CountingSource(10**9), Echo(), [sink], Counter())
            except interrupts.Interrupted:
                continue  # it came before the run
            finally:
                killer.join(60)  # while its signal is handled
        assert summary.interrupted and sink.summary is summary and sink.indices == list(range(summary.frames))
        whole += 1
    assert whole > 30


def test_the_reader_is_never_far_ahead_of_a_slow_engine() -> None:
    source = CountingSource(50)
    ahead: list[int] = []
    run(source, Echo(), [Recorder()], Counter(), lambda result: ahead.append(source.delivered - result.frame.index))
    assert max(ahead) <= 7  # those that wait, one in each thread's hands


def test_a_closed_channel_gives_what_it_holds_and_takes_no_more() -> None:
    channel: Channel[int] = Channel(3)
    assert channel.put(1) and channel.put(2)
    channel.close()
    assert not channel.put(3)
    assert list(channel) == [1, 2]


def test_closing_a_channel_wakes_a_writer_that_waits_for_room() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    results: list[bool] = []
    writer = threading.Thread(target=lambda: results.append(channel.put(2)), daemon=True)
    writer.start()
    channel.close(discard=True)
    writer.join(timeout=5)
    assert results == [False] and list(channel) == []
