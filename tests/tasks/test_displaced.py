"""Pictures scaled down and moved in one pass: natively and by numpy, beside today's scalers, and beside scaling first and moving then."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shaking_camera import scene

from skipvid.core.planes import Matrix
from skipvid.tasks.displaced import (
    AT_LEFT,
    GROUP,
    PHASES,
    WEIGHT_BITS,
    Boxes,
    average_pixels,
    average_pixels_by_numpy,
    average_planes,
    average_planes_by_numpy,
    boxes_of,
    colours_of,
    source_of,
)
from skipvid.tasks.moved import draw_changes, move_onto
from skipvid.tasks.similarity import Similarity
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.orientation import Orientation

Image = NDArray[np.uint8]
native = pytest.mark.skipif(average_pixels is average_pixels_by_numpy, reason="the extension was not compiled")
SIZE = (108, 192)


def some(values: Any, size: tuple[int, ...], spare: int) -> Image:
    """Levels, or extremes, in rows that are longer than what is shown."""
    wide = values.integers(0, 256, (size[0], size[1] + spare, *size[2:]), np.uint8)
    return np.asarray(np.where(wide > 127, 255, 0).astype(np.uint8) if spare % 2 else wide)[:, : size[1]]


def any_boxes(values: Any, places: int, side: int, small: int) -> Boxes:
    """Of a shift; or anywhere, with weights that need not be positive, nor add up to one."""
    if values.integers(2) and small > places:
        return boxes_of(side, small, int(values.integers(1, PHASES))).part(int(values.integers(small - places)), places)
    taps = int(values.choice([GROUP // 2, GROUP, 2 * GROUP, 3 * GROUP]))
    weights = values.integers(-(1 << WEIGHT_BITS) // taps, (2 << WEIGHT_BITS) // taps, (places, taps))
    return Boxes(values.integers(0, side, places).astype(np.int32), weights.astype(np.int16))


@native
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 90), st.integers(1, 40), st.integers(1, 60), st.integers(0, 3), st.integers(0, 2**31))
def test_both_ways_give_the_same_bits_of_pixels(height: int, width: int, rows: int, columns: int, spare: int, seed: int) -> None:
    values = np.random.default_rng(seed)
    pixels = some(values, (height, width, 3), spare)
    down, across = any_boxes(values, rows, height, rows + spare), any_boxes(values, columns, width, columns + spare)
    one, other = np.full((rows, columns + spare, 3), 7, np.uint8), np.full((rows, columns + spare, 3), 7, np.uint8)
    average_pixels(pixels, one[:, :columns], down, across)
    average_pixels_by_numpy(pixels, other[:, :columns], down, across)
    assert np.array_equal(one, other)


@native
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 90), st.integers(1, 40), st.integers(1, 60), st.integers(0, 3), st.integers(0, 2**31))
def test_both_ways_give_the_same_bits_of_planes(height: int, width: int, rows: int, columns: int, spare: int, seed: int) -> None:
    values = np.random.default_rng(seed)
    half = -(-height // 2), -(-width // 2)
    planes = some(values, (height, width), spare), some(values, half, spare), some(values, half, 3 - spare)
    boxes = (
        any_boxes(values, rows, height, rows + spare),
        any_boxes(values, columns, width, columns + spare),
        any_boxes(values, rows, half[0], rows + spare),
        any_boxes(values, columns, half[1], columns + spare),
    )
    colours = colours_of("bt709" if seed % 2 else "bt601", seed % 3 == 0)
    one, other = (np.full((rows, columns + spare, 3), 7, np.uint8) for _ in range(2))
    average_planes(*planes, one[:, :columns], *boxes, colours)
    average_planes_by_numpy(*planes, other[:, :columns], *boxes, colours)
    assert np.array_equal(one, other)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 200), st.floats(1, 9), st.integers(0, PHASES - 1), st.sampled_from([None, 0.0, AT_LEFT]))
def test_boxes_lie_in_the_picture_and_weigh_what_they_cover(small: int, factor: float, phase: int, chroma: float | None) -> None:
    large = round(small * factor)
    starts, weights = boxes_of(large, small, phase) if chroma is None else boxes_of(large, small, phase, True, chroma)
    samples, width = (large, large / small) if chroma is None else (-(-large // 2), large / small / 2)
    assert len(starts) == len(weights) == small - (phase > 0)
    assert (weights >= 0).all() and (weights.sum(1, dtype=np.int64) == 1 << WEIGHT_BITS).all()
    at = starts[:, None] + np.arange(weights.shape[1])
    assert (starts >= 0).all() and (weights[at >= samples] == 0).all()
    middle = ((np.arange(len(starts)) + phase / PHASES + 0.5) * width + (chroma or 0.0))[:, None]
    first, last = middle - max(width, 1) / 2, middle + max(width, 1) / 2
    begin, end = np.where(at == 0, -np.inf, at), np.where(at == samples - 1, np.inf, at + 1)  # the border's stand for what lies beyond
    covered = np.clip(np.minimum(last, end) - np.maximum(first, begin), 0, None) / (last - first)
    assert np.abs(weights / (1 << WEIGHT_BITS) - covered * (at < samples)).max(initial=0) < 1e-4


def decoded(image: Image, kind: str = "yuv420p", matrix: Matrix = "bt709") -> DecodedPicture:
    """A picture as H.264 tells of it: chroma lies at the left."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", 25, {"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], kind
        stream.codec_context.colorspace = {"bt709": 1, "bt601": 5}[matrix]
        stream.codec_context.color_range = 2 if kind == "yuvj420p" else 1
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as written:
        return DecodedPicture(next(written.decode(video=0)), Orientation(), Converters())


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("factor", [3.56, 2.0, 1.3])
def test_without_motion_planes_are_scaled_as_by_libswscale(matrix: Matrix, kind: str, factor: float) -> None:
    picture = decoded(np.ascontiguousarray(scene()[:380, :620]), kind, matrix)
    size = round(380 / factor), round(620 / factor)
    source, out = source_of(picture, size), np.empty((*size, 3), np.uint8)
    assert source is not None
    source.sample(out, 0, 0)
    apart = np.abs(picture.scaled(*size).astype(int) - out)
    assert apart.max() <= 1 and apart.mean() < 0.1


@pytest.mark.parametrize("factor", [3.56, 2.0, 1.3])
def test_without_motion_arrays_are_scaled_as_by_opencv(factor: float) -> None:
    image = np.ascontiguousarray(scene()[:380, :620])
    size = round(380 / factor), round(620 / factor)
    source, out = source_of(image, size), np.empty((*size, 3), np.uint8)
    assert source is not None
    source.sample(out, 0, 0)
    theirs = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(theirs.astype(int) - out).max() <= 1


def filmed(dx: float, dy: float) -> Image:
    """(378, 672, 3): a scene as sharp as its pixels, 3.5 times as large as SIZE. dx, dy: how far it was moved, pixels of SIZE."""
    fine = np.array([[0.33, 0, 6 - 3.5 * dx], [0, 0.33, 4 - 3.5 * dy]])
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(scene(7), fine, (3 * 672, 3 * 378), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(seen, (672, 378), interpolation=cv2.INTER_AREA), np.uint8)


def apart(one: Image, other: Image) -> float:
    """Root of the mean square, off the border."""
    return math.sqrt(float(((one.astype(np.float64) - other)[8:-8, 8:-8] ** 2).mean()))


@pytest.mark.parametrize("planes", [False, True])
def test_a_scene_that_was_moved_comes_back_closer_than_if_it_were_scaled_first(planes: bool) -> None:
    def shown(dx: float, dy: float) -> Any:
        image = filmed(dx, dy)
        # without colour: chroma is sampled half as finely, another way in each frame
        return decoded(np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2)) if planes else image

    def scaled(picture: Any) -> Image:
        return picture.scaled(*SIZE) if planes else np.asarray(cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    anchor = scaled(shown(0, 0))
    for dx, dy in ((0.5, 0.5), (-1.25, 0.4), (1.7, -1.1), (0.3, 2.0)):
        picture, motion = shown(dx, dy), Similarity(dx=dx, dy=dy)
        twice, once, merged = (anchor.copy() for _ in range(3))
        source = source_of(picture, SIZE)
        assert source is not None
        move_onto(twice, scaled(picture), motion)
        move_onto(once, scaled(picture), motion, source)
        draw_changes(merged, scaled(picture), motion, source)
        assert apart(once, anchor) < 0.6 * apart(twice, anchor)
        assert apart(merged, anchor) <= apart(once, anchor)


def test_only_what_is_scaled_down_from_eight_bit_4_2_0_has_a_source() -> None:
    image = np.ascontiguousarray(scene()[:200, :300])

    def raw(kind: str, orientation: Orientation | None = None) -> DecodedPicture:
        return DecodedPicture(av.VideoFrame.from_ndarray(image, "bgr24").reformat(format=kind), orientation or Orientation(), Converters())

    assert source_of(image, (100, 150)) is not None and source_of(raw("yuv420p"), (100, 150)) is not None
    assert source_of(image, (200, 300)) is None and source_of(image, (400, 600)) is None
    for other in (raw("yuv444p"), raw("yuv420p10le"), raw("nv12"), raw("yuv420p", Orientation(True, True, False))):
        assert source_of(other, (100, 100)) is None


WAYS = [pytest.param(average_pixels, marks=native, id="extension"), pytest.param(average_pixels_by_numpy, id="numpy")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", ["rows", "columns", "taps", "before", "behind", "heavy"])
def test_boxes_that_do_not_fit_are_refused(way: Callable[..., None], wrong: str) -> None:
    down, across = boxes_of(20, 8, 5), boxes_of(30, 12, 5)
    pixels, out = np.zeros((20, 30, 3), np.uint8), np.zeros((7, 11, 3), np.uint8)
    way(pixels, out, down, across)
    if wrong == "rows":
        out = out[1:]
    elif wrong == "columns":
        out = out[:, 1:]
    elif wrong == "taps":
        down = Boxes(down.starts, np.ascontiguousarray(down.weights[:, :3]))
    elif wrong == "heavy":
        across = Boxes(across.starts, np.full_like(across.weights, 1 << WEIGHT_BITS))
    else:
        across = Boxes(across.starts + np.int32(-1 if wrong == "before" else 9), across.weights)
    with pytest.raises(ValueError):
        way(pixels, out, down, across)
