"""The window's keys, with a stand-in for the screen; and its polite refusal where there is none."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.sinks.window import WindowSink, check_display


class Screen:
    """Answers with prepared keys and remembers what it was shown. closed_after: pictures after which the user closes it."""

    def __init__(self, keys: list[str], closed_after: int | None = None) -> None:
        self.keys = iter(keys)
        self.shown: list[tuple[int, bool]] = []  # first pixel of the picture: number of the frame, and whether it had the mask
        self.closed = False
        self._closed_after = closed_after

    def show(self, image: NDArray[np.uint8]) -> None:
        assert not self.closed
        self.shown.append((int(image[0, 0, 0]), bool(image[0, 0, 1])))

    def key(self, milliseconds: int) -> str:
        return next(self.keys, "")

    def is_open(self) -> bool:
        return self._closed_after is None or len(self.shown) < self._closed_after

    def close(self) -> None:
        self.closed = True


def render(result: FrameResult, mask: bool) -> NDArray[np.uint8]:
    image = result.frame.image.copy()
    image[..., 1] = mask
    return image


def results(count: int) -> list[FrameResult]:
    frames = [Frame(np.full((4, 6, 3), index, np.uint8), index, index / 25, "clip") for index in range(count)]
    return [FrameResult(frame, Detections.empty(), False, {}) for frame in frames]


@pytest.mark.parametrize(
    ("keys", "shown", "quits"),
    [
        ([], [(0, True), (1, True), (2, True)], 0),
        (["m", ""], [(0, True), (0, False), (1, False), (2, False)], 0),
        (["m", "m", ""], [(0, True), (0, False), (0, True), (1, True), (2, True)], 0),
        (["", " ", "", "", " "], [(0, True), (1, True), (1, True), (1, True), (1, True), (2, True)], 0),
        (["", " ", "m", " "], [(0, True), (1, True), (1, True), (1, False), (2, False)], 0),
        (["", "q"], [(0, True), (1, True)], 1),
        (["\x1b"], [(0, True)], 1),
        (["", " ", "q"], [(0, True), (1, True), (1, True)], 1),
    ],
    ids=["no key", "mask off", "mask off and on", "halt and go on", "mask while halted", "q", "escape", "q while halted"],
)
def test_keys_do_what_the_help_says(keys: list[str], shown: list[tuple[int, bool]], quits: int) -> None:
    screen, calls = Screen(keys), []
    with WindowSink(screen, render, lambda: calls.append(1)) as sink:
        for result in results(3):
            sink.write(result)
    assert screen.shown == shown
    assert len(calls) == quits
    assert screen.closed


def test_closing_the_window_ends_the_run_like_q() -> None:
    screen, calls = Screen([], closed_after=2), []
    with WindowSink(screen, render, lambda: calls.append(1)) as sink:
        for result in results(4):
            sink.write(result)
    assert len(screen.shown) == 2 and len(calls) == 1


def test_without_a_display_show_is_refused_and_the_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match="needs a display, and there is none; leave --show out"):
        check_display()


def test_a_display_that_cannot_be_reached_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UsageError, match="opens no window"):
        check_display()


def test_a_display_that_works_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(subprocess, "run", lambda command, **settings: subprocess.CompletedProcess(command, 0))
    check_display()
