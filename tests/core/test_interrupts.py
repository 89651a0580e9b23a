from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from skipvid.core import interrupts

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs the signals of POSIX")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_first_signal_interrupts_and_is_known(name: str, code: int) -> None:
    number = getattr(signal, name)
    # Background jobs inherit an ignored SIGINT, and what runs under nohup an ignored SIGHUP.
    before = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)}
    try:
        with interrupts.handled():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            assert interrupts.received() == number and interrupts.exit_code(number) == code
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signal_waits_while_outputs_are_completed() -> None:
    done = []
    with interrupts.handled():
        with interrupts.shielded():
            signal.raise_signal(signal.SIGTERM)
            done.append("whole")
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()  # once is enough
    assert done == ["whole"]


def test_deferred_stop_comes_where_it_is_asked_for_and_leaves_no_lock_taken() -> None:
    changed = threading.Condition()
    with interrupts.handled(), interrupts.deferred():
        with changed:
            assert interrupts.wait_for(changed, lambda: True) and not interrupts.wait_for(changed, lambda: False, 0.01)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(interrupts.Interrupted), changed:
            interrupts.wait_for(changed, lambda: False, 60)
        free = []
        other = threading.Thread(target=lambda: free.append(changed.acquire(timeout=60)), daemon=True)
        other.start()
        other.join(60)
    assert free == [True]


def test_deferred_stop_raises_at_the_next_check_and_shields_hold_it_longer() -> None:
    with interrupts.handled(), interrupts.deferred():
        signal.raise_signal(signal.SIGTERM)
        with interrupts.shielded():
            interrupts.check()
        with pytest.raises(interrupts.Interrupted):
            interrupts.check()
        interrupts.check()


def test_two_signals_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "TOGETHER", 60.0)  # else a machine that is busy in between would end the tests' own process
    with interrupts.handled():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.handled():
            signal.raise_signal(signal.SIGHUP)
        assert interrupts.received() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_run_can_be_asked_to_end_from_another_thread() -> None:
    code = """
import signal, threading, time
from skipvid.core import interrupts
with interrupts.handled():
    try:
        threading.Thread(target=lambda: (time.sleep(0.2), interrupts.send(signal.SIGPIPE)), daemon=True).start()
        threading.Event().wait(120)
    except KeyboardInterrupt:
        print(interrupts.reason(), interrupts.exit_code(interrupts.received()), interrupts.reader_gone())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "stdout's reader has ended 141 True\n", done.stderr


def test_second_signal_ends_the_program_at_once() -> None:
    code = """
import time
from skipvid.core import interrupts
with interrupts.handled(), interrupts.shielded():
    print("ready", flush=True)
    while interrupts.received() is None:
        time.sleep(0.01)
    time.sleep(2 * interrupts.TOGETHER)
    print("first", flush=True)
    time.sleep(120)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "first\n" and process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    process.stdout.close()
