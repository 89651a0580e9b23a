"""Live sources, with a stand-in device that delivers at its own pace, stalls, fails, disappears and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.video.sources.live import STALL, Feed, LiveClock, LiveSource
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.reconnect import Reconnecting
from skipvid.video.sources.webcam import Camera, DeviceFeed


class StandIn:
    """Delivers a picture per entry of `pauses`, each after so many seconds; then it is gone, or hangs until released by the test.

    for_whom: called before each picture but the first, and waited for: a machine that is busy otherwise loses no frame then.
    """

    codec = "mjpg"

    def __init__(self, pauses: list[float], *, fps: float = 30.0, hang: bool = False, error: Exception | None = None) -> None:
        self.fps = fps
        self.released = threading.Event()
        self.wake = threading.Event()
        self.for_whom: Callable[[], object] = lambda: None
        self._pauses = iter(pauses)
        self._hang, self._error = hang, error
        self._number = 0

    def read(self) -> NDArray[np.uint8] | None:
        pause = next(self._pauses, None)
        if self._number:
            self.for_whom()
        if pause is None:
            if self._error is not None:
                raise self._error
            if self._hang:
                self.wake.wait(60)
            return None
        time.sleep(pause)
        image = np.full((24, 32, 3), self._number, np.uint8)
        self._number += 1
        return image

    def release(self) -> None:
        self.released.set()


class Opened:
    """A live source of devices that wait, before each picture but their first, until the one before was taken."""

    def __init__(self, feed: Feed, devices: list[StandIn], options: ReadOptions | None = None, stall: float = STALL) -> None:
        self._source: LiveSource | None = None
        for device in devices:
            device.for_whom = self._taken
        self._source = self.source = LiveSource(feed, "webcam 0", options, stall)

    def _taken(self) -> None:
        until(lambda: self._source is not None and (self._source._newest is None or self._source._closing))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_reader_that_keeps_up_gets_every_frame_with_the_times_of_the_wall_clock() -> None:
    device = StandIn([0.02] * 10)
    begin = time.monotonic()
    source = Opened(DeviceFeed(device), [device]).source
    assert source.info.live and (source.info.width, source.info.height, source.info.fps) == (32, 24, 30.0)
    frames, taken = [], []
    for frame in source:
        frames.append(frame)
        taken.append(time.monotonic())
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(10))
    assert [frame.index for frame in frames] == list(range(10))
    assert source.dropped == 0
    arrived = [frame.arrived or 0.0 for frame in frames]
    assert all(earlier + 0.02 <= later for earlier, later in zip([begin, *arrived], arrived, strict=False)), "each came after its pause"
    assert all(came <= took for came, took in zip(arrived, taken, strict=True))
    assert [frame.time for frame in frames] == pytest.approx([came - arrived[0] for came in arrived], abs=1e-6)
    assert device.released.wait(30)


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() -> None:
    source = LiveSource(DeviceFeed(StandIn([0.01] * 40)), "webcam 0")
    seen = []
    for frame in source:
        seen.append(frame)
        come = source._arrived
        until(lambda come=come: source._gone or source._arrived >= come + 4)  # type: ignore[misc]
    assert seen[0].index == 0 and seen[-1].index + 1 == len(seen) + source.dropped
    assert source.dropped > len(seen)
    assert all(later.index > earlier.index and later.time > earlier.time for earlier, later in zip(seen, seen[1:], strict=False))
    assert int(seen[-1].image[0, 0, 0]) == 39


def test_what_came_before_the_first_frame_was_asked_for_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.video.sources.live.FRESH", 60.0)
    device = StandIn([0.0] * 7)
    five = threading.Semaphore(5)
    device.for_whom = five.acquire
    source = LiveSource(DeviceFeed(device), "webcam 0", ReadOptions(max_frames=2))
    until(lambda: source._arrived == 6)
    frames = iter(source)
    first = next(frames)
    five.release()
    assert (first.index, first.time) == (0, 0.0) and int(first.image[0, 0, 0]) == 5
    assert next(frames).index == 1 and source.dropped == 0


def test_a_stall_is_waited_for_and_reported() -> None:
    device = StandIn([0.0, 0.0, 1.0, 0.0])
    source = Opened(DeviceFeed(device), [device], stall=0.8).source
    frames = list(source)
    gaps = [later.time - earlier.time for earlier, later in zip(frames, frames[1:], strict=False)]
    assert max(gaps) >= 1.0
    assert source.problem is not None and source.problem.startswith("stalled 1 time, ")


def test_a_device_that_falls_silent_ends_the_stream_after_the_timeout() -> None:
    device = StandIn([0.0, 0.01], hang=True)
    source = LiveSource(DeviceFeed(device), "webcam 0", ReadOptions(timeout=0.8), stall=0.2)
    assert list(source)
    assert source.problem == "delivered nothing for 0.8 s after 2 frames"
    device.wake.set()


@pytest.mark.parametrize(
    ("error", "expected"), [(None, "disappeared after 3 frames"), (OSError("unplugged"), "disappeared after 3 frames (unplugged)")]
)
def test_a_device_that_disappears_is_reported_with_what_was_seen(error: Exception | None, expected: str) -> None:
    source = LiveSource(DeviceFeed(StandIn([0.01, 0.03, 0.03], error=error)), "webcam 0")
    assert list(source)
    assert source.problem == expected


def test_duration_ends_the_stream_without_a_problem() -> None:
    device = StandIn([0.02] * 500)
    source = LiveSource(DeviceFeed(device), "webcam 0", ReadOptions(end=0.3))
    frames = list(source)
    ended = time.monotonic()
    assert frames[-1].time < 0.3 <= ended - (frames[0].arrived or 0.0)
    assert source.problem is None
    assert device.released.wait(30)


def test_closing_from_another_thread_ends_the_iteration_at_once() -> None:
    device = StandIn([0.0, 0.01], hang=True)
    source = LiveSource(DeviceFeed(device), "webcam 0")
    threading.Timer(0.2, source.close).start()
    begin = time.monotonic()
    list(source)
    assert time.monotonic() - begin < 9, "the timeout is 10 s"
    assert source.problem is None
    device.wake.set()
    assert device.released.wait(30)


@pytest.mark.parametrize(
    ("device", "timeout", "words"),
    [
        (StandIn([]), 5.0, "webcam 0 delivers no picture; check the cable"),
        (StandIn([], error=OSError("device busy")), 5.0, "delivers no picture: device busy"),
        (StandIn([], hang=True), 0.2, "delivered nothing for 0.2 s"),
    ],
)
def test_a_device_without_a_single_frame_is_refused(device: StandIn, timeout: float, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        LiveSource(DeviceFeed(device), "webcam 0", ReadOptions(timeout=timeout))
    assert words in str(caught.value)
    device.wake.set()
    assert device.released.wait(30)


def test_a_number_without_a_camera_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="there is no camera 97; plug one in"):
        Camera(97)
    assert capfd.readouterr().err == ""


def lasting(feeds: Sequence[StandIn | SourceError]) -> Reconnecting:
    """Feeds of these devices, one after the other, with short delays; an error: nothing answers at that time."""
    left = iter(feeds)

    def connect() -> DeviceFeed:
        feed = next(left, SourceError("gone for good"))
        if isinstance(feed, SourceError):
            raise feed
        return DeviceFeed(feed)

    return Reconnecting(connect(), connect, first_delay=0.1, longest_delay=0.2)


def test_a_device_that_comes_back_goes_on_with_a_frame_that_is_marked() -> None:
    devices = [StandIn([0.0] * 10), StandIn([0.0] * 10, error=OSError("unplugged"))]
    feed = lasting([devices[0], SourceError("still gone"), devices[1]])
    lines: list[str] = []
    feed.tell = lines.append
    source = Opened(feed, devices).source
    taking = iter(source)
    frames = [next(taking) for _ in range(20)]
    until(lambda: len(lines) == 3)
    source.close()
    assert not list(taking)
    assert [frame.index for frame in frames] == list(range(20)) and [frame.index for frame in frames if frame.resumed] == [10]
    assert source.dropped == 0
    gap = frames[10].time - frames[9].time
    assert gap >= 0.3, "0.1 s and 0.2 s of waiting"
    assert gap == pytest.approx((frames[10].arrived or 0.0) - (frames[9].arrived or 0.0), abs=0.01), "no time is left out of the recording"
    assert source.problem is not None and source.problem.startswith("connection lost 2 times, ")
    assert [line.split(" after")[0] for line in lines] == [
        "connection lost (it ended); trying again",
        "back",
        "connection lost (unplugged); trying again",
    ]


def test_the_mark_is_kept_where_a_newer_frame_takes_the_place_of_the_marked_one() -> None:
    second = StandIn([0.0] * 9, hang=True)
    source = LiveSource(lasting([StandIn([0.0]), second]), "webcam 0", ReadOptions(max_frames=2))
    frames = iter(source)
    assert not next(frames).resumed
    until(lambda: source._arrived > 4)
    later = next(frames)
    assert later.resumed and later.index > 1
    source.close()
    second.wake.set()


def test_the_mark_is_kept_where_the_marked_frame_is_left_out() -> None:
    """By --stride, say: the next one that is taken has it."""
    devices = [StandIn([0.0]), StandIn([0.0] * 9)]
    source = Opened(lasting(devices), devices, ReadOptions(max_frames=3, stride=2)).source
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 2, 4] and [frame.index for frame in frames if frame.resumed] == [2]


def test_the_duration_ends_a_stream_that_is_lost_and_does_not_come_back() -> None:
    device = StandIn([0.0, 0.0])
    source = Opened(lasting([device]), [device], ReadOptions(end=1.0)).source
    begin = time.monotonic()
    assert len(list(source)) == 2
    assert 1.0 <= time.monotonic() - begin < 9
    assert source.problem is not None and source.problem.startswith("connection lost 1 time, ")


def test_a_device_that_never_delivered_is_not_waited_for() -> None:
    with pytest.raises(SourceError, match="webcam 0 delivers no picture"):
        LiveSource(lasting([StandIn([]), StandIn([0.0])]), "webcam 0")


def test_delays_grow_until_a_connection_has_lasted() -> None:
    waits: list[float] = []
    feed = Reconnecting(DeviceFeed(StandIn([0.0])), lambda: DeviceFeed(StandIn([0.0])))
    stopped = threading.Event()
    stopped.wait = lambda timeout=None: waits.append(timeout) or len(waits) > 7  # type: ignore[method-assign,assignment,func-returns-value]
    feed._stopped = stopped
    for _ in range(8):
        feed.read()
    assert waits == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("stamps", "arrivals", "expected", "jumps"),
    [
        ([5.0, 5.1, 5.2], [0.0, 0.13, 0.19], [0.0, 0.1, 0.2], 0),  # jitter of the network
        ([None, None, None], [0.0, 0.13, 0.19], [0.0, 0.13, 0.19], 0),
        ([5.0, 5.1, 905.2, 905.3], [0.0, 0.1, 0.21, 0.3], [0.0, 0.1, 0.21, 0.31], 1),  # a camera sets its clock
        ([5.0, 5.1, 0.0, 0.1], [0.0, 0.1, 0.2, 0.33], [0.0, 0.1, 0.2, 0.3], 1),
        ([5.0, 5.1, 5.05, 5.2], [0.0, 0.1, 0.11, 0.2], [0.0, 0.1, 0.101, 0.2], 0),  # times always rise
    ],
)
def test_times_are_the_streams_own_where_they_agree_with_the_arrival(
    stamps: list[float | None], arrivals: list[float], expected: list[float], jumps: int
) -> None:
    clock = LiveClock()
    times = [clock.stamp(stamp, 100 + arrival) for stamp, arrival in zip(stamps, arrivals, strict=True)]
    assert times == pytest.approx(expected, abs=2e-3) and clock.jumps == jumps


def test_another_connection_has_another_clock_and_that_is_no_jump() -> None:
    """Its first picture may have no stamp."""
    clock = LiveClock()
    times = [clock.stamp(5.0, 100.0), clock.stamp(5.1, 100.1), clock.stamp(None, 103.0, resumed=True), clock.stamp(77.0, 103.1)]
    assert times == pytest.approx([0.0, 0.1, 3.0, 3.1], abs=2e-3) and clock.jumps == 0


def test_a_camera_whose_clock_runs_fast_never_jumps() -> None:
    clock = LiveClock()
    times = [clock.stamp(step / 25 * 1.001, step / 25) for step in range(25 * 3600)]
    assert clock.jumps == 0 and abs(times[-1] - 3600) < 0.5
    assert all(later > earlier for earlier, later in zip(times, times[1:], strict=False))
