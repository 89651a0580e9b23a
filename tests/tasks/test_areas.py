"""Areas that are left out: what is read from polygons and masks, and that nothing in them is computed or reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from moving_square import assert_same, frames
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.core.results import Frame
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import REFRESHED, Areas, HeldOut, looked_at, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.scene import SceneCutDetector

LEFT = "0,0 0.5,0 0.5,1 0,1"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pixels_shares_json_and_masks_say_the_same(place: Path) -> None:
    Path("a.json").write_text("[[0, 0], [80, 0], [80, 90], [0, 90]]")
    Path("b.json").write_text("[[[0, 0], [0.25, 0], [0.25, 1], [0, 1]], [[0.25, 0], [0.5, 0], [0.5, 1], [0.25, 1]]]")
    cv2.imwrite("mask.png", np.hstack([np.full((9, 8), 255, np.uint8), np.zeros((9, 8), np.uint8)]))
    expected = np.zeros((90, 160), bool)
    expected[:, :80] = True
    for text in ("0,0 80,0 80,90 0,90", "0,0;80,0;80,90;0,90", LEFT, "a.json", "b.json", "mask.png"):
        mask = read_area(text).mask(90, 160)
        assert np.count_nonzero(mask != expected) <= 90, f"{text}: at most a column at the border"


def test_only_and_ignore_together_leave_the_difference() -> None:
    areas = Areas(ignore=(read_area("0,0 1,0 1,0.5 0,0.5"),), only=(read_area(LEFT),))
    out = areas.left_out(100, 100)
    assert not out[60:, :45].any() and out[:45].all() and out[:, 55:].all()


@pytest.mark.parametrize(
    ("text", "content", "words"),
    [
        ("1,2 3,4", None, "has 2 points, a polygon has 3 or more"),
        ("1,2 3,4 5", None, "is no list of points"),
        ("0,0 5,5 10,10", None, "lie on a line"),
        ("a.json", b"[[1, 1], [1, 2], [1, 3]]", "lie on a line"),
        ("a,b c,d e,f", None, "is no list of points"),
        ("0,0 nan,1 1,1", None, "is no list of points"),
        ("-1,0 5,5 0,9", None, "outside of the picture"),
        ("a.json", None, "cannot be read: No such file"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"{}", "holds no list of polygons"),
        ("a.json", b"[[[1, 2], [3, 4]]]", "fewer than 3 points"),
        ("a.json", b'[[[1, "x"], [3, 4], [5, 6]]]', "is no list of points"),
        ("a.json", b"[1, 2, 3]", "is no list of points"),
        ("a.png", None, "cannot be read: No such file"),
        ("a.png", b"", "is no PNG picture"),
        ("a.png", b"nonsense", "is no PNG picture"),
    ],
)
def test_what_is_no_area_is_answered_in_one_line(text: str, content: bytes | None, words: str, place: Path) -> None:
    if content is not None:
        Path(text).write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        read_area(text)
    assert "\n" not in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "areas",
    [
        Areas(ignore=(read_area("0,0 1,0 1,1 0,1"),)),
        Areas(only=(read_area("500,500 600,500 600,600"),)),
        Areas(ignore=(read_area("500,500 600,500 600,600"),)),
    ],
)
def test_areas_that_leave_nothing_or_lie_beside_the_picture_are_refused(areas: Areas) -> None:
    with pytest.raises(UsageError, match="of a picture of 160x90"):
        areas.left_out(90, 160)


@contextmanager
def looking(engine: DetectEngine, areas: Areas) -> Iterator[DetectEngine]:
    engine.areas = areas
    try:
        yield engine
    finally:
        engine.areas = None


def disturbed(frame: Frame, mask: NDArray[np.bool_], seed: int) -> Frame:
    """Something else in every pixel of a mask."""
    picture = frame.image.copy()
    picture[mask] = np.random.default_rng(seed).integers(0, 256, (int(mask.sum()), 3), np.uint8)
    return replace(frame, picture=picture)


@pytest.mark.parametrize("threshold", [0.0, 0.03])
def test_whatever_happens_in_an_ignored_area_costs_nothing_and_changes_nothing(engine: DetectEngine, threshold: float) -> None:
    """After the first frame, of which the area keeps its content."""
    mask = read_area(LEFT).mask(90, 160)
    with looking(engine.regated(SkipConfig(threshold=threshold)), Areas(ignore=(read_area(LEFT),))) as gated:
        calm, wild = gated.stream(), gated.stream()
        still = frames(1)[0]
        for number, frame in enumerate([still, still, *frames(3)]):
            one, other = calm.process(frame), wild.process(disturbed(frame, mask, number) if number else frame)
            assert_same(one.detections, other.detections)
            assert one.cost is not None and other.cost is not None and one.cost.macs == other.cost.macs
            if number == 1:
                assert other.cost.macs == 0 and other.keyframe is False
    assert wild.notes[0].startswith("areas left out: 50.") and "of the pixels that changed" in wild.notes[0]


def test_boxes_are_left_out_where_their_centre_is(engine: DetectEngine) -> None:
    with looking(engine, Areas(only=(read_area(LEFT),))):
        found = engine.stream().process(frames(1)[0]).detections
        dense = engine.dense_stream().process(frames(1)[0]).detections
    assert len(found) > 0 and np.all((found.boxes[:, 0] + found.boxes[:, 2]) / 2 < 81)
    assert_same(found, dense)


@pytest.mark.parametrize("size", [(37, 61), (90, 160), (180, 320)])
def test_no_change_in_what_is_left_out_reaches_what_is_not_held_however_pictures_are_scaled(size: tuple[int, int]) -> None:
    """Of a decoded picture, too, whose colours are stored at half the resolution."""
    from skipvid.video.sources.decoded import Converters, DecodedPicture
    from skipvid.video.sources.orientation import Orientation

    frame = frames(1)[0]
    mask = read_area("11,13 97,7 131,71 41,83").mask(90, 160)
    how = cv2.INTER_AREA if size[0] < 90 else cv2.INTER_LINEAR

    def resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)

    def decoded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = DecodedPicture(av.VideoFrame.from_ndarray(image, format="bgr24"), Orientation(), Converters())
        return picture.scaled(*size)

    for scaled in (resized, decoded):
        held = HeldOut(mask, size)
        first = held.hold(scaled(frame.image))
        for seed in (0, 1):
            seen = scaled(disturbed(frame, mask, seed).image)
            np.testing.assert_array_equal(held.hold(seen), first)
            assert not np.array_equal(seen, first)


def test_an_area_keeps_the_content_of_the_first_picture_and_is_looked_at_anew_now_and_then() -> None:
    held = HeldOut(read_area(LEFT).mask(8, 8), (8, 8))
    seen = [held.hold(np.full((8, 8, 3), number % 256, np.uint8))[4, [0, 7], 0].tolist() for number in range(REFRESHED + 3)]
    assert [inside for inside, _ in seen] == [0] * REFRESHED + [REFRESHED % 256] * 3
    assert [outside for _, outside in seen] == [number % 256 for number in range(REFRESHED + 3)]
    held.begin_anew()
    assert (held.hold(np.full((8, 8, 3), 9, np.uint8)) == 9).all()


def test_where_nothing_moves_in_an_area_results_are_those_without_it(engine: DetectEngine) -> None:
    """Beside it as in it, but for what is dropped: the network sees the picture, and no border."""
    right = read_area("0.6,0 1,0 1,1 0.6,1")
    mask = right.mask(90, 160)
    plain = engine.stream()
    with looking(engine, Areas(ignore=(right,))):
        stream = engine.stream()
        for frame in frames(4):
            whole, own = plain.process(frame), stream.process(frame)
            assert_same(own.detections, looked_at(whole.detections, mask))
            assert whole.cost is not None and own.cost is not None and own.cost.macs == whole.cost.macs


@pytest.mark.parametrize("event", ["cut", "lost"])
def test_after_a_cut_or_a_lost_connection_an_area_shows_the_new_scene(engine: DetectEngine, event: str) -> None:
    """With threshold 0 so does the dense run, which keeps nothing else from frame to frame."""
    with looking(engine.regated(SkipConfig(threshold=0.0)), Areas(ignore=(read_area(LEFT),))) as exact:
        gated, dense, fresh = exact.stream(), exact.dense_stream(), exact.stream()
        for frame in frames(2):
            gated.process(frame), dense.process(frame)
        other = frames(1, seed=3)[0]
        if event == "cut":
            other = replace(other, picture=(other.image // 8).astype(np.uint8))
        else:
            other = replace(other, resumed=True)
        results = [stream.process(other).detections for stream in (gated, dense, fresh)]
    for one in results[:2]:
        assert_same(one, results[2])


def test_a_flash_in_what_is_left_out_is_no_scene_cut() -> None:
    cuts = SceneCutDetector()
    area = read_area(LEFT).mask(90, 160)
    calm = np.full((90, 160, 3), 90, np.uint8)
    flash = np.where(area[..., None], 250, calm).astype(np.uint8)
    assert [cuts.is_cut(picture) for picture in (calm, flash)] == [False, True]
    cuts.leave_out(area)
    assert [cuts.is_cut(picture) for picture in (calm, flash, np.full_like(calm, 200))] == [False, False, True]
