"""Polite stops: Ctrl-C, SIGTERM (docker stop, systemd, kill) and SIGHUP (logout, a closed terminal) end a run with whole files.

The first of these signals raises Interrupted, a KeyboardInterrupt, in the main thread; while outputs are being completed (`shielded`) it
waits. The second ends the program at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = tuple(number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None)
TOGETHER = 0.2
"""Seconds within which two signals of a kind are one: `timeout` sends it to the process and to its group, terminals to whole pipelines."""


class Interrupted(KeyboardInterrupt):
    """The run shall end; what is done is to be kept."""


class _State:
    """Of the process, as signals are."""

    def __init__(self, ours: tuple[int, ...] = ()) -> None:
        self.ours = ours  # signals that are handled
        self.first: int | None = None
        self.at = 0.0
        self.told = False  # the main thread knows, or will know from `check`
        self.pending = False
        self.shields = 0


_state = _State()


def received() -> int | None:
    """The signal that asked the run to end, None where none did."""
    return _state.first


def reader_gone() -> bool:
    """Whether the run ends because nobody reads its stdout any more."""
    return _state.first is not None and _state.first == getattr(signal, "SIGPIPE", None)


def reason() -> str:
    """Why the run ended, in words."""
    number = _state.first
    if number is None or number == signal.SIGINT:
        return "interrupted"
    return "stdout's reader has ended" if reader_gone() else f"stopped by {signal.Signals(number).name}"


def exit_code(number: int) -> int:
    """As a shell tells it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 141 for a reader of stdout that has gone."""
    return 128 + number


@contextmanager
def handled() -> Iterator[None]:
    """Stops are polite while this lasts. Signals that are ignored from outside (nohup, a shell's background jobs) stay ignored.

    Does nothing where it is not called from the main thread, as Python allows no more.
    """
    global _state
    if threading.current_thread() is not threading.main_thread() or _state.ours:
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    _state = _State(tuple(number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)))
    try:
        for number in _state.ours:
            signal.signal(number, _on_signal)
        yield
    finally:
        for number in _state.ours:
            signal.signal(number, before[number])
        _state.ours = ()


@contextmanager
def shielded() -> Iterator[None]:
    """Let a stop wait for `check` while outputs are being completed; the second one still ends the program.

    Outside of the main thread, where no signal arrives, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _state.ours:  # used as a library: only Ctrl-C is known to come, and is ignored
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
        return
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1


def check() -> None:
    """Raises Interrupted where a stop came while outputs were being completed."""
    if _state.pending and not _state.shields:
        _state.pending = False
        raise Interrupted


def send(number: int) -> bool:
    """Ask the run to end, from any thread, as if the signal had come. False where stops are not handled."""
    if not _state.ours:
        return False
    if _state.first is None:
        _state.first, _state.at = number, time.monotonic()
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(main, _state.ours[-1])  # a real signal: it wakes a thread that waits
        else:
            signal.raise_signal(_state.ours[-1])
    return True


def _on_signal(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _state.told:
        if now - _state.at > TOGETHER:
            os._exit(exit_code(_state.first or number))
        return
    _state.told = True
    if _state.first is None:
        _state.first, _state.at = number, now
    if _state.shields:
        _state.pending = True
    else:
        raise Interrupted
