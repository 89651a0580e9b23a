"""Turns: never more at a time than there are places, first come, first served."""

from __future__ import annotations

import threading
import time

import pytest

from skipvid.pipeline.turns import Budget, Turns


@pytest.mark.parametrize(("threads", "streams", "places", "pool"), [(2, 4, 2, 1), (16, 4, 4, 13), (1, 5, 1, 1), (8, 1, 1, 8), (4, 4, 4, 1)])
def test_a_budget_of_threads_is_used_and_never_exceeded(threads: int, streams: int, places: int, pool: int) -> None:
    """One frame has the pool's threads, each of the others one."""
    assert Budget.of(threads, streams) == Budget(places, pool)
    assert pool + places - 1 <= threads


@pytest.mark.parametrize("places", [1, 2, 3])
def test_all_streams_get_as_many_turns_and_no_more_than_the_places_at_a_time(places: int) -> None:
    turns = Turns(places)
    counts = [0] * 5
    here: set[int] = set()
    most = 0
    end = threading.Event()
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal most
        turn = turns.turn()
        while not end.is_set():
            turn.take()
            with lock:
                here.add(number)
                most = max(most, len(here))
            time.sleep(0.002)
            with lock:
                here.discard(number)
                counts[number] += 1
            turn.give()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while max(counts) < 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    end.set()
    for thread in threads:
        thread.join(60)
    assert most == places
    assert min(counts) >= max(0.5 * max(counts), 50)  # a thread that is not woken for a while asks for fewer


def test_a_turn_is_taken_once_however_often_it_is_asked_for_and_given_back_once() -> None:
    turns = Turns(1)
    first, second = turns.turn(), turns.turn()
    first.take()
    first.take()
    first.give()
    first.give()
    second.take()
    waiting = threading.Thread(target=first.take, daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive(), "two had the only place"
    second.give()
    waiting.join(5)
    assert not waiting.is_alive()
