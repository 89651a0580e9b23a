"""Live sources, with a stand-in device that delivers at its own pace, stalls, fails and disappears."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.webcam import Camera, LiveSource


class StandIn:
    """Delivers a picture per entry of `pauses`, each after so many seconds; then it is gone, or hangs until released by the test."""

    codec = "mjpg"

    def __init__(self, pauses: list[float], *, fps: float = 30.0, hang: bool = False, error: Exception | None = None) -> None:
        self.fps = fps
        self.released = threading.Event()
        self.wake = threading.Event()
        self._pauses = iter(pauses)
        self._hang, self._error = hang, error
        self._number = 0

    def read(self) -> NDArray[np.uint8] | None:
        pause = next(self._pauses, None)
        if pause is None:
            if self._error is not None:
                raise self._error
            if self._hang:
                self.wake.wait(20)
            return None
        time.sleep(pause)
        image = np.full((24, 32, 3), self._number, np.uint8)
        self._number += 1
        return image

    def release(self) -> None:
        self.released.set()


def test_a_reader_that_keeps_up_gets_every_frame_with_the_times_of_the_wall_clock() -> None:
    device = StandIn([0.02, *[0.1] * 9])
    source = LiveSource(device, "webcam 0")
    assert source.info.live and (source.info.width, source.info.height, source.info.fps) == (32, 24, 30.0)
    begin = time.monotonic()
    frames = list(source)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(10))
    assert [frame.index for frame in frames] == list(range(10))
    assert source.dropped == 0
    assert frames[0].time == 0 and frames[-1].time == pytest.approx(time.monotonic() - begin, abs=0.1)
    assert device.released.wait(2)


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() -> None:
    source = LiveSource(StandIn([0.01] * 40), "webcam 0")
    seen = []
    for frame in source:
        seen.append(frame)
        time.sleep(0.05)
    assert seen[0].index == 0 and seen[-1].index + 1 == len(seen) + source.dropped
    assert source.dropped > len(seen)
    assert all(later.index > earlier.index and later.time > earlier.time for earlier, later in zip(seen, seen[1:], strict=False))
    assert int(seen[-1].image[0, 0, 0]) == 39


def test_what_came_before_the_first_frame_was_asked_for_is_not_missed() -> None:
    source = LiveSource(StandIn([0.0, *[0.02] * 30]), "webcam 0", ReadOptions(max_frames=2))
    time.sleep(0.3)
    first, _ = list(source)
    assert (first.index, first.time) == (0, 0.0)
    assert int(first.image[0, 0, 0]) > 3
    assert source.dropped <= 2


def test_a_stall_is_waited_for_and_reported() -> None:
    source = LiveSource(StandIn([0.0, 0.05, 1.0, 0.05]), "webcam 0", stall=0.7)
    frames = list(source)
    gaps = [later.time - earlier.time for earlier, later in zip(frames, frames[1:], strict=False)]
    assert max(gaps) >= 1.0
    assert source.problem is not None and source.problem.startswith("stalled 1 time, ")


def test_a_device_that_falls_silent_ends_the_stream_after_the_timeout() -> None:
    device = StandIn([0.0, 0.01], hang=True)
    source = LiveSource(device, "webcam 0", ReadOptions(timeout=0.4), stall=0.2)
    assert list(source)
    assert source.problem == "delivered nothing for 0.4 s after 2 frames"
    device.wake.set()


@pytest.mark.parametrize(
    ("error", "expected"), [(None, "disappeared after 3 frames"), (OSError("unplugged"), "disappeared after 3 frames (unplugged)")]
)
def test_a_device_that_disappears_is_reported_with_what_was_seen(error: Exception | None, expected: str) -> None:
    source = LiveSource(StandIn([0.01, 0.03, 0.03], error=error), "webcam 0")
    assert list(source)
    assert source.problem == expected


def test_duration_ends_the_stream_without_a_problem() -> None:
    device = StandIn([0.02] * 500)
    source = LiveSource(device, "webcam 0", ReadOptions(end=0.3))
    frames = list(source)
    assert 0.1 < frames[-1].time < 0.3
    assert source.problem is None
    assert device.released.wait(2)


def test_closing_from_another_thread_ends_the_iteration_at_once() -> None:
    device = StandIn([0.0, 0.01], hang=True)
    source = LiveSource(device, "webcam 0")
    threading.Timer(0.2, source.close).start()
    begin = time.monotonic()
    list(source)
    assert time.monotonic() - begin < 5
    assert source.problem is None
    device.wake.set()
    assert device.released.wait(2)


@pytest.mark.parametrize(
    ("device", "timeout", "words"),
    [
        (StandIn([]), 5.0, "webcam 0 delivers no picture; close other programs"),
        (StandIn([], error=OSError("device busy")), 5.0, "delivers no picture: device busy"),
        (StandIn([], hang=True), 0.2, "delivered nothing for 0.2 s"),
    ],
)
def test_a_device_without_a_single_frame_is_refused(device: StandIn, timeout: float, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        LiveSource(device, "webcam 0", ReadOptions(timeout=timeout))
    assert words in str(caught.value)
    device.wake.set()
    assert device.released.wait(2)


def test_a_number_without_a_camera_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="there is no camera 97; plug one in"):
        Camera(97)
    assert capfd.readouterr().err == ""
