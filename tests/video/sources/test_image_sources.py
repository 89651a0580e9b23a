from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_making import number_of, numbered_picture

from skipvid.core.errors import SourceError
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions


def write_images(folder: Path, names: list[str], width: int = 160, height: int = 96) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), numbered_picture(number, width, height))


def test_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    names = [f"img_{i}.png" for i in range(12)]
    write_images(tmp_path / "scene", names)
    (tmp_path / "scene" / "notes.txt").write_text("not an image")
    (tmp_path / "scene" / ".hidden.png").write_bytes(b"")
    with open_source(str(tmp_path / "scene"), ReadOptions(fps=10)) as source:
        frames = list(source)
        assert (source.info.name, source.info.width, source.info.height) == ("scene", 160, 96)
        assert (source.info.fps, source.info.frames, source.info.duration) == (10, 12, 1.2)
    assert [number_of(f.image) for f in frames] == list(range(12)) == [f.index for f in frames]
    assert [f.time for f in frames] == pytest.approx([i / 10 for i in range(12)])


def test_folder_has_25_frames_per_second_unless_told(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.png", "b.png"])
    with open_source(str(tmp_path / "scene")) as source:
        assert [f.time for f in source] == [0, 0.04]


def test_selection_skips_without_decoding(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", [f"{i:02}.png" for i in range(10)])
    (tmp_path / "scene" / "03.png").write_bytes(b"damaged")
    with open_source(str(tmp_path / "scene"), ReadOptions(start=0.16, stride=2, max_frames=2, fps=25)) as source:
        assert [(f.index, number_of(f.image)) for f in source] == [(4, 4), (6, 6)]
        assert source.problem is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".PNG", ".ppm"])
def test_single_image_is_a_source_of_one_frame(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path, [f"still{suffix}"])
    with open_source(str(tmp_path / f"still{suffix}")) as source:
        frames = list(source)
    assert len(frames) == 1 and frames[0].time == 0
    assert number_of(frames[0].image) == 0


@pytest.mark.parametrize("image", [np.full((20, 30), 7, np.uint8), np.full((20, 30, 4), 7, np.uint8), np.full((20, 30), 1799, np.uint16)])
def test_grey_transparent_and_16_bit_images_become_bgr(tmp_path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), image)
    with open_source(str(tmp_path / "x.png")) as source:
        frame = next(iter(source))
    assert frame.image.shape == (20, 30, 3) and frame.image.dtype == np.uint8
    assert np.abs(frame.image.astype(int) - 7).max() <= 1


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    _, jpeg = cv2.imencode(".jpg", numbered_picture(1))
    # An EXIF block with one entry, orientation 6: the picture must be turned 90 degrees clockwise.
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    (tmp_path / "phone.jpg").write_bytes(jpeg.tobytes()[:2] + exif + jpeg.tobytes()[2:])
    with open_source(str(tmp_path / "phone.jpg")) as source:
        frame = next(iter(source))
        assert (source.info.width, source.info.height) == (96, 160)
    assert cv2.PSNR(frame.image, np.ascontiguousarray(np.rot90(numbered_picture(1), -1))) > 30


def test_image_of_another_size_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.png", "b.png"])
    write_images(tmp_path / "scene", ["c.png"], width=200)
    with open_source(str(tmp_path / "scene")) as source, pytest.raises(SourceError, match=r"c\.png is 200×96.*160×96"):
        list(source)


def test_image_that_cannot_be_decoded_is_passed_over_and_named(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    (tmp_path / "scene" / "a.jpg").write_bytes(b"")
    broken = tmp_path / "scene" / "c.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    with open_source(str(tmp_path / "scene")) as source:
        assert [f.index for f in source] == [1, 3]
        assert source.problem == "2 images could not be decoded: a.jpg, c.jpg"


def test_start_behind_the_last_image_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.png"])
    with (
        open_source(str(tmp_path / "scene"), ReadOptions(start=3)) as source,
        pytest.raises(SourceError, match="no readable image from 3 s on"),
    ):
        list(source)


def test_close_ends_the_iteration(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.png", "b.png", "c.png"])
    source = open_source(str(tmp_path / "scene"))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


def test_folder_of_videos_says_how_to_name_them(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"holds 1 videos and no images.*\*\.mp4"):
        open_source(str(tmp_path))
