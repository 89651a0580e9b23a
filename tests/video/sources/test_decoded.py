"""Pictures made straight from decoded planes, against conversions in floating point and by way of the full-size picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import av
import av.filter
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from skipvid.video.planes import bgr_of_planes
from skipvid.video.sources.colour import to_bgr
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.orientation import Orientation

MATRICES = {"bt601": (6, 0.299, 0.114), "bt709": (1, 0.2126, 0.0722), "bt2020": (9, 0.2627, 0.0593)}
"""AVColorSpace, and the shares of red and blue in luma (ITU-R BT.601, 709, 2020)."""
SUBSAMPLINGS = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}


def waves(height: int, width: int, phase: float) -> NDArray[np.float64]:
    """A smooth field in [-1, 1] that is the same picture at every size."""
    y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width)[None] + 0.5) / width
    return np.sin(5 * x + 3 * y + phase) * np.cos(4 * y - 2 * x + 2 * phase)


def luma_and_chroma(height: int, width: int) -> list[NDArray[np.float64]]:
    """Y in [0, 1], Pb and Pr in [-0.5, 0.5], inside the gamut of every matrix."""
    return [0.5 + 0.2 * waves(height, width, 0.3), 0.12 * waves(height, width, 1.1), 0.12 * waves(height, width, 2.3)]


def smooth_frame(height: int, width: int, sub: str, bits: int, full: bool, matrix: str) -> av.VideoFrame:
    rows, columns = SUBSAMPLINGS[sub]
    frame = av.VideoFrame(width, height, f"yuv{sub}p" + ("10le" if bits == 10 else ""))
    frame.colorspace, frame.color_range = MATRICES[matrix][0], 2 if full else 1
    unit = 1 << (bits - 8)
    for number, plane in enumerate(frame.planes):
        field = luma_and_chroma(plane.height, plane.width)[number]
        if number == 0:
            levels = field * (256 * unit - 1) if full else (16 + 219 * field) * unit
        else:
            levels = 128 * unit + field * (256 * unit - 1 if full else 224 * unit)
        assert (plane.height, plane.width) == ((height, width) if number == 0 else (height // rows, width // columns))
        samples(frame, np.uint8 if bits == 8 else np.uint16)[number][:] = np.rint(levels)
    return frame


def samples(frame: av.VideoFrame, kind: type) -> list[NDArray[np.uint8] | NDArray[np.uint16]]:
    """The planes of a frame, as they can be written."""
    return [np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]


def reference_bgr(frame: av.VideoFrame, height: int, width: int, bits: int, full: bool, matrix: str) -> NDArray[np.float32]:
    """What the samples of a smooth frame stand for, in floating point: planes are scaled first, which such a picture allows."""
    unit = 1 << (bits - 8)
    fields = []
    for number, plane in enumerate(samples(frame, np.uint8 if bits == 8 else np.uint16)):
        how = cv2.INTER_AREA if height < plane.shape[0] else cv2.INTER_LINEAR
        levels = cv2.resize(plane.astype(np.float32), (width, height), interpolation=how)
        if number == 0:
            fields.append(levels / (256 * unit - 1) if full else (levels / unit - 16) / 219)
        else:
            fields.append((levels - 128 * unit) / (256 * unit - 1 if full else 224 * unit))
    return bgr_of(*fields, matrix)


def bgr_of(luma: NDArray[Any], blue_difference: NDArray[Any], red_difference: NDArray[Any], matrix: str) -> NDArray[Any]:
    _, red_share, blue_share = MATRICES[matrix]
    red = luma + 2 * (1 - red_share) * red_difference
    blue = luma + 2 * (1 - blue_share) * blue_difference
    green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return 255 * np.stack([blue, green, red], axis=2)


def decoded(frame: av.VideoFrame, orientation: Orientation | None = None) -> DecodedPicture:
    return DecodedPicture(frame, orientation or Orientation(), Converters())


@pytest.mark.parametrize("size", [(153, 272), (360, 640), (540, 800)], ids=["smaller", "same", "larger"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("sub", SUBSAMPLINGS)
def test_colours_are_those_of_matrix_range_and_depth(sub: str, bits: int, full: bool, matrix: str, size: tuple[int, int]) -> None:
    frame = smooth_frame(360, 640, sub, bits, full, matrix)
    got = decoded(frame).scaled(*size)
    assert got.shape == (*size, 3) and got.dtype == np.uint8 and got.flags.c_contiguous
    assert np.abs(got - reference_bgr(frame, *size, bits, full, matrix)).max() <= 2


@pytest.mark.parametrize("matrix", MATRICES)
def test_sampled_colours_are_right_too(matrix: str) -> None:
    frame = smooth_frame(720, 1280, "420", 8, False, matrix)
    got = decoded(frame).sampled(72, 128)
    # A single pixel lies up to half of a step of ten pixels beside the middle.
    assert np.abs(got - reference_bgr(frame, 72, 128, 8, False, matrix)).max() <= 6


@pytest.mark.parametrize(("height", "matrix"), [(720, "bt709"), (480, "bt601")])
def test_untagged_video_has_the_matrix_of_its_original_size(height: int, matrix: str) -> None:
    width = height * 16 // 9 // 2 * 2
    frame = smooth_frame(height, width, "420", 8, False, matrix)
    frame.colorspace = 2
    assert np.abs(decoded(frame).scaled(180, 320) - reference_bgr(frame, 180, 320, 8, False, matrix)).max() <= 2


def test_a_picture_is_scaled_once_for_a_size() -> None:
    stored = decoded(smooth_frame(96, 128, "420", 8, False, "bt709"))
    first = stored.scaled(48, 64)
    assert stored.scaled(48, 64) is first and stored.scaled(24, 32).shape == (24, 32, 3)
    assert np.array_equal(stored.scaled(48, 64), first)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_averages_every_pixel(factor: int) -> None:
    noise = np.random.default_rng(0).integers(16, 236, (96 * factor, 128 * factor), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "gray")
    frame.color_range = 2
    means = noise.reshape(96, factor, 128, factor).mean((1, 3))
    got = decoded(frame).scaled(96, 128)
    assert np.abs(got[..., 1] - means).mean() < 1.5 and np.abs(got[..., 1] - means).max() < 8
    assert np.ptp(got, axis=2).max() <= 1


FORMATS = "yuv420p yuvj420p nv12 yuyv422 uyvy422 yuv411p yuv410p yuv440p yuva420p p010le yuv420p12le gray gray10le rgb24 bgra gbrp gbrp10le"


@pytest.mark.parametrize("name", FORMATS.split())
def test_every_pixel_format_shows_the_same_as_its_full_size_picture(name: str) -> None:
    picture = np.clip(np.rint(bgr_of(*luma_and_chroma(288, 512), "bt601")), 0, 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=name)
    stored = decoded(frame)
    for small in (stored.scaled(144, 256), stored.sampled(144, 256)):
        whole = cv2.resize(stored.bgr(), (256, 144), interpolation=cv2.INTER_AREA)
        difference = np.abs(small.astype(int) - whole)
        assert difference.mean() < 2.5 and difference.max() <= 9


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_pictures_are_upright(transpose: bool, flips: tuple[bool, bool]) -> None:
    frame = smooth_frame(288, 512, "420", 8, False, "bt601")
    stored = decoded(frame, Orientation(transpose, *flips))
    size = (stored.height, stored.width)
    assert size == ((512, 288) if transpose else (288, 512)) == stored.bgr().shape[:2]
    half = (size[0] // 2, size[1] // 2)
    whole = cv2.resize(stored.bgr(), half[::-1], interpolation=cv2.INTER_AREA)
    for small in (stored.scaled(*half), stored.sampled(*half)):
        assert small.shape == (*half, 3)
        assert np.abs(small.astype(int) - whole).max() <= 5


@pytest.mark.parametrize("curve", [16, 18, 14], ids=["pq", "hlg", "wide gamut"])
def test_tone_mapping_of_the_small_picture_is_that_of_the_large_one(curve: int) -> None:
    frame = smooth_frame(288, 512, "420", 10, False, "bt2020")
    frame.color_primaries, frame.color_trc = 9, curve
    whole = cv2.resize(to_bgr(frame, VideoReformatter()), (256, 144), interpolation=cv2.INTER_AREA)
    got = decoded(frame).scaled(144, 256)
    difference = np.abs(got.astype(int) - whole)
    # At the border of the gamut the curve is so steep that averages before and after it differ.
    assert difference.mean() < 1 and np.quantile(difference, 0.999) <= 6


def test_unchanged_pixels_keep_their_bits() -> None:
    """Or a still background would open gates."""
    before, after = (smooth_frame(720, 1280, "420", 10, False, "bt709") for _ in range(2))
    samples(after, np.uint16)[0][:360, :640] ^= 64
    converters = Converters()
    first, second = (DecodedPicture(frame, Orientation(), converters).scaled(306, 544) for frame in (before, after))
    changed = (first != second).any(2)
    assert changed[:150, :268].mean() > 0.95 and not changed[157:].any() and not changed[:, 276:].any()


def test_conversions_in_several_threads_do_not_disturb_each_other() -> None:
    frames = [smooth_frame(360, 640, "420", 8, full, matrix) for matrix in MATRICES for full in (False, True)]
    expected = [(decoded(frame).bgr(), decoded(frame).scaled(90, 160), decoded(frame).sampled(45, 80)) for frame in frames]
    tags = [(frame.colorspace, frame.color_range) for frame in frames]
    converters = Converters()
    for _ in range(3):
        pictures = [DecodedPicture(frame, Orientation(), converters) for frame in frames]
        with ThreadPoolExecutor(6) as threads:
            whole = [threads.submit(picture.bgr) for picture in pictures]
            small = [threads.submit(picture.scaled, 90, 160) for picture in pictures]
            samples = [threads.submit(picture.sampled, 45, 80) for picture in pictures]
        for number, parts in enumerate(zip(whole, small, samples, strict=True)):
            for part, wanted in zip(parts, expected[number], strict=True):
                assert np.array_equal(part.result(), wanted)
    assert [(frame.colorspace, frame.color_range) for frame in frames] == tags


def test_the_full_size_picture_is_made_once() -> None:
    stored = decoded(smooth_frame(96, 128, "420", 8, False, "bt601"))
    assert stored.bgr() is stored.bgr()


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("sub", SUBSAMPLINGS)
def test_planes_for_an_encoder_have_the_colours_of_the_frame(sub: str, bits: int, full: bool, matrix: str) -> None:
    frame = smooth_frame(360, 640, sub, bits, full, matrix)
    planes = decoded(frame).planes()
    assert planes.matrix == ("bt601" if matrix == "bt601" else "bt709")
    got = bgr_of_planes(planes, VideoReformatter())
    # Chroma is rounded to whole levels once more, each of which is two of blue.
    assert np.abs(got - reference_bgr(frame, 360, 640, bits, full, matrix)).max() <= 5


def test_planes_that_an_encoder_takes_as_they_are_are_not_copied() -> None:
    frame = smooth_frame(360, 640, "420", 8, False, "bt601")
    planes = decoded(frame).planes()
    for plane, stored in zip(planes.all(), samples(frame, np.uint8), strict=True):
        assert np.shares_memory(plane, stored)


@pytest.mark.parametrize("name", FORMATS.split())
def test_planes_of_every_pixel_format_show_its_picture(name: str) -> None:
    picture = np.clip(np.rint(bgr_of(*luma_and_chroma(288, 512), "bt601")), 0, 255).astype(np.uint8)
    stored = decoded(av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=name))
    difference = np.abs(bgr_of_planes(stored.planes(), VideoReformatter()).astype(int) - stored.bgr())
    assert difference.mean() < 2.5 and difference.max() <= 10


@pytest.mark.parametrize("size", [(96, 128), (97, 129), (1, 1), (97, 128)])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_planes_are_upright_in_every_size(size: tuple[int, int], transpose: bool, flips: tuple[bool, bool]) -> None:
    picture = np.clip(np.rint(bgr_of(*luma_and_chroma(*size), "bt601")), 0, 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format="yuv420p")
    stored = decoded(frame, Orientation(transpose, *flips))
    planes = stored.planes()
    assert planes.shape == stored.bgr().shape
    difference = np.abs(bgr_of_planes(planes, VideoReformatter()).astype(int) - stored.bgr())
    assert difference.mean() < 3 and difference.max() <= 12


def test_rows_that_are_stored_from_the_bottom_up_are_shown_upright() -> None:
    upright = smooth_frame(96, 128, "420", 8, False, "bt601")
    graph = av.filter.Graph()
    first = graph.add_buffer(width=128, height=96, format=upright.format, time_base=Fraction(1, 25))
    graph.link_nodes(first, graph.add("vflip"), graph.add("buffersink")).configure()
    graph.push(upright)
    flipped = graph.pull()
    assert isinstance(flipped, av.VideoFrame) and flipped.planes[0].line_size < 0
    stored, expected = decoded(flipped), decoded(upright).bgr()[::-1]
    for got in (stored.bgr(), stored.scaled(96, 128), bgr_of_planes(stored.planes(), VideoReformatter())):
        assert np.abs(got.astype(int) - expected).max() <= 5


@pytest.mark.parametrize("curve", [16, 18, 14], ids=["pq", "hlg", "wide gamut"])
def test_planes_of_more_than_the_standard_range_are_tone_mapped(curve: int) -> None:
    frame = smooth_frame(96, 128, "420", 10, False, "bt2020")
    frame.color_primaries, frame.color_trc = 9, curve
    stored = decoded(frame)
    planes = stored.planes()
    assert planes.matrix == "bt709"
    assert np.abs(bgr_of_planes(planes, VideoReformatter()).astype(int) - stored.bgr()).mean() < 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("colorspace", [1, 2, 6])
@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray"])
@pytest.mark.parametrize("size", [(241, 321), (480, 640), (720, 1290)])
def test_a_part_has_the_bytes_of_the_whole_picture(size: tuple[int, int], name: str, colorspace: int, full: bool) -> None:
    height, width = size
    random = np.random.default_rng(height + colorspace)
    frame = av.VideoFrame(width, height, name)
    frame.colorspace, frame.color_range = colorspace, 2 if full else 1
    for plane in frame.planes:
        levels = random.integers(0, 4 if name.endswith("10le") else 256, plane.buffer_size, np.uint8)
        np.frombuffer(plane, np.uint8)[:] = levels
    whole = DecodedPicture(frame, Orientation(), Converters()).bgr()
    for left, top, right, bottom in (
        (0, 0, 60, 70),
        (101, 51, 151, 120),
        (37, 2, 38, 3),
        (width - 71, height - 83, width, height),
        (64, 64, 128, 128),
        (5, 0, width - 5, height),
    ):
        part = DecodedPicture(frame, Orientation(), Converters()).part(left, top, right, bottom)
        assert np.array_equal(part, whole[top:bottom, left:right]), (left, top, right, bottom)


@pytest.mark.parametrize("orientation", [Orientation(transpose=True), Orientation(flip_x=True), Orientation(True, True, False, 90)])
def test_a_part_of_a_turned_picture_is_upright(orientation: Orientation) -> None:
    frame = smooth_frame(240, 320, "420", 8, False, "bt709")
    picture = DecodedPicture(frame, orientation, Converters())
    assert np.array_equal(picture.part(10, 20, 60, 90), picture.bgr()[20:90, 10:60])
