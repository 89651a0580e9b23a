"""Scene cuts."""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
import pytest

from skipvid.core.results import StoredPicture
from skipvid.tasks.scene import SceneCutDetector
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.orientation import Orientation

Picture = np.ndarray | StoredPicture


def stored(image: np.ndarray) -> DecodedPicture:
    frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="yuv420p")
    return DecodedPicture(frame, Orientation(), Converters())


FORMS = pytest.mark.parametrize("form", [np.asarray, stored], ids=["array", "planes"])


def scene(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return blocks.repeat(40, 0).repeat(40, 1)


@FORMS
def test_another_picture_is_a_cut_and_a_moving_object_is_none(form: Callable[[np.ndarray], Picture]) -> None:
    detector = SceneCutDetector()
    first = scene(0)
    assert not detector.is_cut(form(first))
    moved = first.copy()
    moved[100:200, 100:220] = 255
    assert not detector.is_cut(form(moved))
    assert detector.is_cut(form(scene(1)))
    assert not detector.is_cut(form(scene(1)))


@FORMS
def test_a_slow_fade_and_noise_are_no_cuts(form: Callable[[np.ndarray], Picture]) -> None:
    detector = SceneCutDetector()
    picture = scene(2).astype(np.float32)
    random = np.random.default_rng(0)
    for step in range(40):
        faded = picture * (1 - step / 40) + random.normal(0, 8, picture.shape)
        assert not detector.is_cut(form(np.clip(faded, 0, 255).astype(np.uint8)))


@FORMS
def test_a_fine_texture_that_shifts_is_no_cut(form: Callable[[np.ndarray], Picture]) -> None:
    """Leaves, waves, gravel: every pixel changes and no part of the picture does."""
    detector = SceneCutDetector()
    texture = np.clip(np.random.default_rng(0).normal(128, 50, (360, 640, 1)), 0, 255).astype(np.uint8).repeat(3, 2)
    for shift in range(4):
        assert not detector.is_cut(form(np.roll(texture, shift, (0, 1))))


@FORMS
def test_pictures_compared_ahead_are_judged_alike(form: Callable[[np.ndarray], Picture]) -> None:
    pictures = [form(scene(seed)) for seed in (0, 0, 1, 2, 2, 3)]
    plain, ahead = SceneCutDetector(), SceneCutDetector()
    for picture in pictures:
        ahead.look_ahead(picture)
    assert [ahead.is_cut(picture) for picture in pictures] == [plain.is_cut(picture) for picture in pictures]
    # Pictures that were looked at and never asked about, or asked about unseen, do not lead astray.
    some, other = SceneCutDetector(), SceneCutDetector()
    for picture in pictures[:4]:
        some.look_ahead(picture)
    asked = [pictures[0], pictures[2], pictures[5], pictures[5]]
    assert [some.is_cut(picture) for picture in asked] == [other.is_cut(picture) for picture in asked] == [False, True, True, False]


def test_a_picture_that_was_compared_ahead_is_not_picked_from_again(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, first, second = SceneCutDetector(), stored(scene(0)), stored(scene(1))
    for picture in (first, second):
        detector.look_ahead(picture)
    monkeypatch.setattr(DecodedPicture, "sampled", lambda *size: pytest.fail("it was picked ahead"))
    assert [detector.is_cut(picture) for picture in (first, second)] == [False, True]
