"""Work done before its turn: the same results whatever was done when, and by whom."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from shaking_camera import scene, seen

from skipvid.core.results import Frame, FrameResult
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.look_ahead import LAG, Boxes, Image, LookAhead, Once

PICTURES: list[Image] = [np.full((2, 2, 3), number, np.uint8) for number in range(60)]


@pytest.fixture
def engine() -> DetectEngine:
    preset = load_preset("efficientdet-nano")
    weights = resolve_weights(preset)
    return DetectEngine(preset, SkipConfig.of(preset, threads=1), weights.path, weights.sha256)


class Counter:
    """Work whose results depend on all pictures since the last beginning, and on the boxes that it is given."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.threads: set[int] = set()

    def __call__(self, picture: Image, boxes: Boxes) -> tuple[int, int | None]:
        assert isinstance(picture, np.ndarray)
        self.threads.add(threading.get_ident())
        self.done += 1
        self.total = 31 * self.total + int(picture[0, 0, 0])
        return self.total, None if boxes is None else int(boxes[0, 0])

    def reset(self) -> None:
        self.total = 0


def found(number: int) -> Boxes:
    return None if number < 0 else np.full((1, 4), number, np.float32)


def test_who_asks_for_a_result_waits_for_no_later_one() -> None:
    begun, go_on, allowed = threading.Event(), threading.Event(), [False]
    done: list[Image] = []

    def work(picture: Image, boxes: Boxes) -> int:
        done.append(picture)
        begun.set()
        go_on.wait(5)
        return len(done)

    ahead = LookAhead(work, lambda _: allowed[0])
    for picture in PICTURES[:3]:
        ahead.offer(picture)
    allowed[0] = True
    reader = threading.Thread(target=ahead.offer, args=(PICTURES[3],))
    reader.start()
    assert begun.wait(5)
    threading.Timer(0.2, go_on.set).start()
    assert ahead.take(PICTURES[0], None) == 1
    reader.join()
    assert len(done) == 1
    assert [ahead.take(picture, None) for picture in PICTURES[1:4]] == [2, 3, 4]


def run(offered: bool, seed: int = 0) -> tuple[list[tuple[int, int | None]], Counter]:
    """All pictures through two threads; some times everything begins anew, or is done again."""
    work, dice = Counter(), random.Random(seed)
    ahead = LookAhead(work, lambda _: True)
    room, there = threading.Semaphore(LAG - 2), threading.Semaphore(0 if offered else len(PICTURES))

    def read() -> None:
        for picture in PICTURES:
            room.acquire()
            ahead.offer(picture)
            there.release()
            time.sleep(dice.random() / 2000)

    reader = threading.Thread(target=read)
    if offered:
        reader.start()
    results = []
    for number, picture in enumerate(PICTURES):
        there.acquire()
        if number % 17 == 5:
            ahead.redo(work.reset)
        if number == 30:
            ahead.begin_anew(work.reset)
        results.append(ahead.take(picture, found(number - 1)))
        room.release()
        time.sleep(random.Random(seed + number).random() / 2000)
    if offered:
        reader.join()
    return results, work


@pytest.mark.parametrize("seed", range(5))
def test_results_are_those_of_one_thread_whatever_was_done_ahead(seed: int) -> None:
    alone, _ = run(offered=False)
    assert run(offered=True, seed=seed)[0] == alone
    assert [boxes for _, boxes in alone[:LAG]] == [None] * LAG and alone[LAG][1] == 0
    assert [boxes for _, boxes in alone[30 : 30 + LAG]] == [None] * LAG and alone[30 + LAG][1] == 30


def test_what_can_be_done_ahead_is_done_by_who_offers() -> None:
    work = Counter()
    ahead = LookAhead(work, lambda _: True)
    for number in range(LAG + 3):
        ahead.offer(PICTURES[number])
    assert work.done == LAG  # the next ones wait for what is found in the first
    for number in range(LAG + 3):
        ahead.take(PICTURES[number], found(number - 1))
    assert work.done == LAG + 3


def test_pictures_that_cannot_be_looked_at_yet_wait_in_their_order() -> None:
    work, can = Counter(), [False]
    ahead = LookAhead(work, lambda _: can[0])
    ahead.offer(PICTURES[0])
    ahead.offer(PICTURES[1])
    assert work.done == 0
    assert ahead.take(PICTURES[0], None) == (0, None)
    can[0] = True
    ahead.offer(PICTURES[2])
    assert work.done == 3
    assert [ahead.take(PICTURES[number], None)[0] for number in (1, 2)] == [1, 33]


def test_pictures_that_are_left_out_hold_nothing_up() -> None:
    work = Counter()
    ahead = LookAhead(work, lambda _: True)
    for number in range(4):
        ahead.offer(PICTURES[number])
    ahead.take(PICTURES[0], None)
    assert ahead.take(PICTURES[3], None)[0] == ((0 * 31 + 1) * 31 + 2) * 31 + 3
    assert ahead.take(PICTURES[9], None)[1] is None


@pytest.mark.parametrize("motion", ["canvas", "auto", "shift"])
def test_a_stream_finds_the_same_whether_frames_were_looked_at_ahead(engine: DetectEngine, motion: str) -> None:
    """A scene that shakes, with a cut in it, a frame that comes twice, a connection that was lost, and another size, as a live source
    has them, whose frames are not looked at ahead; `auto` begins to register on the way."""
    engine.use_motion(motion)
    whole = scene()
    frames = [Frame(seen(whole, 2 * math.sin(2.1 * n), math.cos(1.3 * n)), n, n / 25, "") for n in range(22)]
    frames += [Frame(255 - seen(whole, math.sin(n), 0.0), n, n / 25, "") for n in range(22, 28)]
    frames += [Frame(frames[-1].image.copy(), 28, 28 / 25, "")]
    frames += [Frame(seen(whole, math.sin(n), 1.0), n, n / 25, "", resumed=n == 40) for n in (40, 41, 47)]
    frames += [Frame(np.ascontiguousarray(seen(whole, math.sin(n), 1.0)[:200, :320]), n, n / 25, "") for n in (50, 52, 53)]

    def results(ahead: int, late: int = 0) -> list[tuple[bool, int, bytes]]:
        """ahead: frames that are looked at before their turn. late: for so many frames each result waits to be completed."""
        stream, offered = engine.stream(), 0
        begun: list[Callable[[], FrameResult]] = []
        found = []
        for number, frame in enumerate(frames):
            while ahead and offered < min(len(frames), number + 1 + ahead):
                stream.look_ahead(frames[offered])
                offered += 1
            begun.append(stream.begin(frame))
            while len(begun) > (late if number + 1 < len(frames) else 0):
                result = begun.pop(0)()
                assert result.cost is not None
                found.append((result.keyframe, result.cost.macs, result.detections.boxes.tobytes()))
        assert any("registered" in note for note in stream.notes)
        return found

    alone = results(0)
    assert alone[22][0] and alone[29][0] and alone[32][0] and not all(keyframe for keyframe, _, _ in alone)
    assert alone[28][1:] == (0, alone[27][2]), "nothing is computed of what is sent again"
    assert results(1) == alone and results(5) == alone
    assert results(5, late=5) == alone and results(5, late=len(frames)) == alone


def test_what_is_worked_out_once_is_the_same_for_all_who_ask() -> None:
    begun, go_on, results = threading.Event(), threading.Event(), []

    def work() -> object:
        begun.set()
        go_on.wait(5)
        return object()

    once = Once(work)
    askers = [threading.Thread(target=lambda: results.append(once())) for _ in range(4)]
    for asker in askers:
        asker.start()
    assert begun.wait(5) and not results
    go_on.set()
    for asker in askers:
        asker.join()
    assert len(results) == 4 and {id(result) for result in results} == {id(once())}


def test_what_failed_is_tried_again_by_the_next_who_asks() -> None:
    answers: list[int | Exception] = [ValueError("not yet"), 7]

    def work() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    once = Once(work)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert once() == once() == 7
