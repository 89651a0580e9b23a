import numpy as np
import pytest

from skipvid.video.draw.status import Status, draw_status

FULL = Status(31.2, 0.714, "efficientdet_d1", 0.03)


def lit(image: np.ndarray) -> np.ndarray:
    return image.max(axis=2) > 0


@pytest.mark.parametrize("size", [(90, 120), (120, 160), (360, 640), (1280, 720), (2160, 3840)])
@pytest.mark.parametrize("keyframe", [False, True])
def test_the_line_and_the_badge_stay_in_the_frame_and_apart(size: tuple[int, int], keyframe: bool) -> None:
    image = np.zeros((*size, 3), np.uint8)
    badge, line = draw_status(image, FULL, keyframe)
    assert line[0] >= 0 and line[1] >= 0 and line[2] < badge[0] and badge[2] < size[1] and line[3] < size[0] / 4


@pytest.mark.parametrize("size", [(120, 160), (360, 640), (1080, 1920)])
def test_text_height_follows_the_picture_and_is_never_too_small_to_read(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    _, line = draw_status(image, FULL, False)
    height = line[3] - line[1]
    assert height >= 12
    assert size[0] < 200 or 0.02 < height / size[0] < 0.06


def test_a_keyframe_adds_its_badge_and_moves_nothing_else() -> None:
    plain, key = np.zeros((2, 360, 640, 3), np.uint8)
    places = draw_status(plain, FULL, False)
    assert draw_status(key, FULL, True) == places
    changed = (plain != key).any(axis=2)
    left, top, right, bottom = places[0]
    assert changed[top:bottom, left:right].mean() > 0.9
    changed[top:bottom, left:right] = False
    assert not changed.any()


def test_the_line_keeps_its_width_while_the_numbers_run() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    widths = {draw_status(image, Status(fps, saving, "d1", 0.03), False)[1] for fps, saving in [(31.2, 0.71), (11.1, 0.11), (48.9, 0.64)]}
    assert len(widths) == 1


def test_what_does_not_fit_is_left_out_and_a_narrower_frame_never_shows_more() -> None:
    widths = [draw_status(np.zeros((120, w, 3), np.uint8), FULL, False) for w in range(60, 700, 20)]
    shown = [places[1][2] - places[1][0] if len(places) > 1 else 0 for places in widths]
    assert shown[0] == 0
    assert all(b >= a - 2 for a, b in zip(shown, shown[1:], strict=False))
    assert len(set(shown)) >= 4


def test_nothing_known_draws_nothing() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    draw_status(image, Status(), False)
    assert not lit(image).any()


def test_each_field_adds_to_the_line() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    steps = [Status(30.0), Status(30.0, 0.5), Status(30.0, 0.5, "d1"), Status(30.0, 0.5, "d1", 0.03)]
    ends = [draw_status(image, status, False)[1][2] for status in steps]
    assert ends == sorted(set(ends))
