from itertools import combinations

import numpy as np
import pytest

from skipvid.core.results import Detections
from skipvid.video.draw.labels import draw_boxes, draw_labels
from skipvid.video.draw.status import Status, draw_status
from skipvid.video.draw.text import colour_of


def people(boxes: list[list[float]], ids: list[int] | None = None, name: str = "person") -> Detections:
    k = len(boxes)
    scores = np.linspace(0.95, 0.3, k, dtype=np.float32)
    identities = None if ids is None else np.array(ids)
    return Detections(np.array(boxes, np.float32), scores, np.ones(k, np.int64), (name,) * k, identities)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crowd(height: int, width: int, count: int) -> Detections:
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, [width, height], (count, 2))
    sizes = rng.uniform(0.03, 0.3, (count, 2)) * [width, height]
    return people(np.hstack([corners, corners + sizes]).tolist(), list(range(count)))


@pytest.mark.parametrize("size", [(120, 160), (360, 640), (1080, 1920)])
def test_labels_stay_in_the_frame_and_never_cover_each_other(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    plates = draw_labels(image, crowd(*size, 40))
    assert plates
    assert all(0 <= left < right <= size[1] and 0 <= top < bottom <= size[0] for left, top, right, bottom in plates)
    assert not any(overlap(a, b) for a, b in combinations(plates, 2))


def test_labels_keep_clear_of_the_status_line() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    places = draw_status(image, Status(30.0, 0.7, "d0", 0.03), True)
    plates = draw_labels(image, people([[0, 0, 100, 150], [500, 2, 639, 200]]), places)
    assert len(plates) == 2
    assert not any(overlap(plate, place) for plate in plates for place in places)


def test_a_label_stands_above_its_box_and_inside_it_at_the_upper_edge() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    below, above = sorted(draw_labels(image, people([[100, 200, 300, 400], [400, 0, 600, 300]])))
    assert below[3] == 200 and below[0] == 100
    assert above[1] == 0 and above[0] == 400


def test_the_best_score_gets_the_place_that_two_labels_want() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    plates = draw_labels(image, people([[100, 200, 300, 300], [110, 205, 300, 330]]))
    assert plates[0][3] == 200
    assert plates[1][1] == 330


def test_small_objects_in_small_pictures_are_labelled_by_identity_alone() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    box = [[80.0, 60.0, 90.0, 90.0]]
    (short,) = draw_labels(image, people(box, [7]))
    (name,) = draw_labels(image, people(box))
    assert short[2] - short[0] < 30 < name[2] - name[0]


def test_boxes_have_the_colour_of_their_identity_or_else_of_their_category() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    draw_boxes(image, people([[100, 100, 200, 200]], [5]))
    assert tuple(image[150, 100]) == colour_of(5)
    draw_boxes(image, people([[300, 100, 400, 200]]))
    assert tuple(image[150, 300]) == colour_of(1)


def test_colours_of_neighbouring_identities_are_easy_to_tell_apart() -> None:
    colours = np.array([colour_of(key) for key in range(1, 13)], float)
    distances = [np.abs(a - b).max() for a, b in combinations(colours, 2)]
    assert min(distances) > 30
    assert all(np.abs(a - b).max() > 80 for a, b in zip(colours, colours[1:], strict=False))


@pytest.mark.parametrize("key", [-1, 0, 90, 10**12])
def test_every_number_has_a_colour_that_is_bright_enough_for_dark_text(key: int) -> None:
    blue, green, red = colour_of(key)
    assert 0.114 * blue + 0.587 * green + 0.299 * red > 120


@pytest.mark.parametrize("name", ["", "personne âgée", "人", "a\nb\tc", "x" * 500, "\u202e\x00"])
def test_any_label_can_be_drawn(name: str) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    plates = draw_labels(image, people([[50, 50, 200, 200]], name=name))
    assert all(0 <= left <= right <= 320 for left, _, right, _ in plates)
