"""Polite stops: Ctrl-C, SIGTERM (docker stop, systemd, kill) and SIGHUP (logout, a closed terminal) end a run with whole files.

The first of these signals raises Interrupted, a KeyboardInterrupt, in the main thread; while outputs are being completed (`shielded`), and
where the main thread shares locks with others (`deferred`), it waits. The second ends the program at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = tuple(number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None)
TOGETHER = 0.2
"""Seconds within which two signals of a kind are one: `timeout` sends it to the process and to its group, terminals to whole pipelines."""

PATIENCE = 0.05
"""Seconds after which a main thread that waits looks whether a stop has come."""


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
        self.deferrals = 0


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


@contextmanager
def deferred() -> Iterator[None]:
    """Let a stop wait for `check` or `wait_for`, which the caller calls again and again.

    For a main thread that works beside others: an exception out of nowhere, between the taking of a lock and the block that gives it back
    (threading.Condition is written in Python), would leave the lock taken for good. Outside of the main thread, and where stops are not
    handled, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or not _state.ours:
        yield
        return
    state = _state
    state.deferrals += 1
    try:
        yield
    finally:
        state.deferrals -= 1


def wait_for(condition: threading.Condition, predicate: Callable[[], object], timeout: float | None = None) -> bool:
    """Condition.wait_for, which a deferred stop ends. To be called with the condition's lock held; whether the predicate holds.

    timeout: seconds, None: for ever. Raises Interrupted where a stop came.
    """
    if not _state.deferrals or threading.current_thread() is not threading.main_thread():
        return bool(condition.wait_for(predicate, timeout))
    end = None if timeout is None else time.monotonic() + timeout
    while not predicate():
        check()
        left = PATIENCE if end is None else end - time.monotonic()
        if left <= 0:
            return False
        condition.wait(min(left, PATIENCE))
    return True


def check() -> None:
    """Raises Interrupted where a stop came that had to wait, and may be heeded now."""
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
    if _state.shields or _state.deferrals:
        _state.pending = True
    else:
        raise Interrupted
