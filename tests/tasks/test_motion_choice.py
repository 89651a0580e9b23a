"""When `auto` uses a canvas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shaking_camera import SIZE, scene, seen

from skipvid.tasks.auto_canvas import AutoCanvas, make_canvas
from skipvid.tasks.canvas import Canvas, Seen
from skipvid.tasks.look_ahead import LAG, Image
from skipvid.tasks.motion_choice import (
    CALM,
    FIRST_WAIT,
    HOPELESS,
    LONGEST_WAIT,
    LOOKS,
    MEMORY,
    MOVING,
    PROVEN,
    SOON,
    SOONER,
    TRIAL,
    WORTH,
    MotionChoice,
)
from skipvid.tasks.similarity import Similarity

WHOLE = scene()
SHAKEN = [seen(WHOLE, 2 * math.sin(2.1 * n), math.cos(1.3 * n)) for n in range(60)]
MACS = 510_000_000
"""Of the bundled detector for pictures of this size."""
DENSE_ABOVE = 0.55
"""Of the bundled detector."""
BEGINS = 1 + SOON + 1 + MOVING
"""The first picture that can be registered."""


def auto(dense_above: float = DENSE_ABOVE) -> AutoCanvas:
    return AutoCanvas(SIZE, dense_above=dense_above)


def run(canvas: AutoCanvas, share: float, on_canvas: float, count: int, moving: bool = True) -> list[bool]:
    """Whether each of `count` pictures was registered, where a picture takes this share of the MACs, or that one when it is registered."""
    used = []
    for number in range(count):
        used.append(canvas.registers)
        picture = SHAKEN[number % len(SHAKEN)] if moving else np.asarray(SHAKEN[0] // 2 + number % 2, np.uint8)  # no two are equal
        registered = canvas.register(picture)
        assert registered is picture or canvas.registers
        canvas.spent(1.0 if canvas.anchored else on_canvas if used[-1] else share, MACS)
    return used


def test_only_what_is_wanted_is_made() -> None:
    assert make_canvas("none", SIZE, None) is None
    assert type(make_canvas("canvas", SIZE, None)) is Canvas
    assert isinstance(make_canvas("auto", SIZE, None), AutoCanvas)


def test_a_canvas_that_pays_is_used_soon_and_for_as_long_as_it_pays() -> None:
    canvas = auto()
    used = run(canvas, 0.9, 0.2, 150)
    assert not any(used[:BEGINS]) and all(used[BEGINS:])
    assert not all(run(canvas, 0.9, 0.85, 60))


@pytest.mark.parametrize(
    ("share", "on_canvas", "tried"), [(0.9, 0.89, HOPELESS), (0.9, 0.7, HOPELESS), (0.54, 0.43, TRIAL), (0.76, 0.42, TRIAL)]
)
def test_one_that_does_not_pay_is_tried_ever_more_seldom(share: float, on_canvas: float, tried: int) -> None:
    """By MACs, and by the time that registering takes; where nothing at all is gained the trial is short."""
    used = run(auto(), share, on_canvas, 640)
    begins = [number for number in range(1, 640) if used[number] and not used[number - 1]]
    gaps = [later - earlier for earlier, later in zip(begins, begins[1:], strict=False)]
    assert len(begins) >= 3 and all(later > 1.3 * earlier for earlier, later in zip(gaps, gaps[1:], strict=False))
    assert sum(used) == len(begins) * tried


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_before_a_camera_that_stands_still_nothing_is_registered(share: float) -> None:
    assert not any(run(auto(), share, 0.1, 300, moving=False))


@pytest.mark.parametrize(("left", "tried"), [(0.95, False), (0.85, True)])
def test_a_motion_that_lowers_the_change_by_little_is_no_reason_to_try(left: float, tried: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be registered, but a fixed camera whose pictures are noisy may seem to move so."""
    canvas = auto()
    monkeypatch.setattr(canvas._estimator, "_share_left", lambda *_: left)
    used = []
    for number in range(12):
        used.append(canvas.registers)
        canvas.register(seen(WHOLE, 0.42 * (number % 2)))
        canvas.spent(0.9, MACS)
    assert any(used) == tried


def test_where_little_is_computed_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = auto()
    monkeypatch.setattr(type(canvas._estimator), "anchor", lambda *_: pytest.fail("looked at"))
    assert not any(run(canvas, WORTH / 2, 0.0, 200))


def test_a_camera_that_begins_to_shake_is_seen_at_once() -> None:
    canvas = auto()
    run(canvas, 0.3, 0.1, 200, moving=False)
    assert any(run(canvas, 1.0, 0.2, 40))


def turning(number: int) -> Image:
    how = cv2.getRotationMatrix2D((SIZE[1] / 2, SIZE[0] / 2), 0.3 * math.sin(2.1 * number), 1.0)
    return np.asarray(cv2.warpAffine(SHAKEN[0], how, SIZE[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.mark.parametrize(
    ("picture", "macs", "on_canvas", "pays"),
    [
        (lambda n: SHAKEN[n % 60], MACS, 0.37, True),
        (turning, MACS, 0.37, False),  # it takes longer to turn a picture than to shift it
        (turning, 5 * MACS, 0.37, True),  # in times of a larger network's frame
        (lambda n: SHAKEN[n % 60], 5 * MACS, 0.5, False),
    ],
)
def test_what_registering_takes_counts(picture: Callable[[int], Image], macs: int, on_canvas: float, pays: bool) -> None:
    canvas = auto()
    used = []
    for number in range(60):
        used.append(canvas.registers)
        canvas.register(picture(number))
        canvas.spent(1.0 if canvas.anchored else on_canvas if used[-1] else 1.0, macs)
    assert any(used) and used[-1] == pays


def test_a_network_whose_gates_pay_up_to_more_of_the_macs_keeps_a_canvas_that_leaves_more() -> None:
    for dense_above, pays in ((DENSE_ABOVE, False), (0.75, True)):
        assert run(auto(dense_above), 1.0, 0.5, 60)[-1] == pays


def test_boxes_are_asked_for_before_pictures_are_looked_at() -> None:
    canvas, rested = auto(), []
    assert not canvas.rests and not Canvas(SIZE).rests
    for number in range(200):
        rested.append(canvas.rests)
        assert not (rested[-1] and canvas.looks)
        canvas.register(SHAKEN[number % len(SHAKEN)])
        looks = canvas.looks
        canvas.spent(1.0, MACS)
        if canvas.looks and not looks:
            assert not any(rested[-LAG:])
    assert sum(rested) > 60


def test_a_calm_camera_asks_for_no_boxes_and_one_that_begins_to_move_does() -> None:
    choice, seen_still = MotionChoice(DENSE_ABOVE), Seen()
    for _ in range(3):
        choice.spent(CALM / 2, seen_still)
    assert choice.rests
    for _ in range(MEMORY):
        choice.spent(0.5 * (CALM + WORTH), seen_still)
    assert not choice.rests


def test_a_canvas_on_which_nothing_moves_any_more_is_given_up() -> None:
    canvas = auto()
    run(canvas, 0.9, 0.2, 60)
    assert canvas.registers
    run(canvas, 0.1, 0.1, 140, moving=False)
    assert not canvas.registers


def test_where_no_motion_is_found_it_is_looked_for_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = auto()
    looked: list[int] = []
    anchor, choose, seen_so_far = canvas._estimator.anchor, canvas.choose, [0]

    def counted(share: float, dense_macs: int, what: Seen) -> bool:
        seen_so_far[0] += 1
        return choose(share, dense_macs, what)

    def anchored(pixels: NDArray[np.uint8]) -> None:
        looked.append(seen_so_far[0])
        anchor(pixels)

    monkeypatch.setattr(canvas, "choose", counted)
    monkeypatch.setattr(canvas._estimator, "anchor", anchored)
    assert not any(run(canvas, 0.9, 0.1, 1500, moving=False))
    gaps = [later - earlier for earlier, later in zip(looked, looked[1:], strict=False)]
    waits = [min(FIRST_WAIT * SOONER**number, LONGEST_WAIT) for number in range(1, len(gaps) + 1)]
    assert len(gaps) >= 3 and gaps == [wait + LOOKS + 1 for wait in waits]


@pytest.mark.parametrize(("frames", "waits"), [(PROVEN + 1, FIRST_WAIT), (TRIAL + 1, SOONER * FIRST_WAIT)])
def test_only_a_canvas_that_paid_for_long_is_tried_again_soon(frames: int, waits: int) -> None:
    canvas = auto()
    run(canvas, 0.9, 0.2, BEGINS + frames)
    while canvas.registers:
        run(canvas, 0.9, 1.0, 1)
    assert run(canvas, 0.9, 0.2, 80).index(True) == waits + 1 + MOVING


MOVED = Similarity(dx=1.0)


def decided(choice: MotionChoice, shares: Iterable[float], seen: Seen) -> str:
    """The state after pictures that took these shares of the MACs."""
    for share in shares:
        choice.spent(share, seen)
    return choice.state


def test_a_canvas_is_compared_with_all_that_was_computed_before_it() -> None:
    """A zoom begins slowly: of the first frame behind a keyframe less is computed than of those that are looked at."""
    choice = MotionChoice(DENSE_ABOVE)
    assert decided(choice, (1.0, 0.14, 0.3), Seen()) == "looking"
    assert decided(choice, (0.35, 0.4), Seen(moved=True)) == "trying"
    assert decided(choice, [1.0] + [0.14] * (TRIAL - 1), Seen(MOVED)) == "used"


def test_a_slow_motion_is_looked_at_until_it_shows() -> None:
    choice = MotionChoice(DENSE_ABOVE)
    assert decided(choice, [1.0] + [0.5] * (LOOKS - 1), Seen()) == "looking"
    assert decided(choice, [0.5] * MOVING, Seen(moved=True)) == "trying"


@pytest.mark.parametrize(("every", "share", "used"), [(8, CALM, True), (2, CALM, False), (2, 0.0, True)])
def test_a_canvas_is_given_up_where_pictures_are_often_lost_that_cost_something(every: int, share: float, used: bool) -> None:
    choice = MotionChoice(DENSE_ABOVE)
    decided(choice, [1.0] * (2 + SOON), Seen())
    decided(choice, [1.0] * MOVING, Seen(moved=True))
    assert decided(choice, [1.0] + [0.1] * (TRIAL - 1), Seen(MOVED)) == "used"
    lost = [number % every == 0 for number in range(4 * MEMORY)]
    states = [decided(choice, [share], Seen(lost=1)) if each else decided(choice, [0.1], Seen(MOVED)) for each in lost]
    assert all(state == "used" for state in states) == used
