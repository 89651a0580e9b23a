from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_making import number_of, numbered_picture, write_clip

from skipvid.core.errors import SourceError
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.specs import expand_specs


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


def test_images_of_other_sizes_keep_theirs(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["a.png", "b.png"])
    write_images(tmp_path / "scene", ["c.png"], width=200)
    with open_source(str(tmp_path / "scene")) as source:
        assert [f.image.shape[:2] for f in source] == [(96, 160), (96, 160), (96, 200)]
        assert source.problem is None


def test_frames_name_their_files_whatever_is_missing_between_them(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["f_1.png", "f_2.png", "f_4.png", "f_10.png"])
    (tmp_path / "scene" / "f_3.png").write_bytes(b"damaged")
    with open_source(str(tmp_path / "scene")) as source:
        assert [(f.index, f.file, f.name) for f in source] == [
            (i, n, n) for i, n in [(0, "f_1.png"), (1, "f_2.png"), (3, "f_4.png"), (4, "f_10.png")]
        ]
        assert source.problem == "1 image could not be decoded: f_3.png"


def test_sub_folders_are_read_where_the_folder_has_no_image_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    for name in ("cam2", "cam10"):
        write_images(tmp_path / "scene" / name, ["1.png", "2.png"])
    assert expand_specs([str(tmp_path / "scene")]) == [str(tmp_path / "scene")]
    with open_source(str(tmp_path / "scene")) as source:
        assert [f.file for f in source] == ["cam2/1.png", "cam2/2.png", "cam10/1.png", "cam10/2.png"]


def animation(path: Path, pictures: int, ms: int, kind: str) -> Path:
    """An animated WebP or PNG, or a TIFF of pages, of numbered pictures."""
    images = [numbered_picture(i) for i in range(pictures)]
    if kind == "tiff":
        data = cv2.imencodemulti(".tiff", images)[1]
    else:
        film = cv2.Animation()
        film.frames = [cv2.cvtColor(image, cv2.COLOR_BGR2BGRA) for image in images]
        film.durations = [ms] * pictures
        data = cv2.imencodeanimation(f".{kind}", film)[1]
    path.write_bytes(data.tobytes())
    return path


@pytest.mark.parametrize(("name", "kind"), [("a.webp", "webp"), ("a.png", "png"), ("a.tif", "tiff"), ("a.tiff", "webp"), ("a.mp4", "webp")])
def test_every_picture_of_an_animation_is_read_at_its_time(tmp_path: Path, name: str, kind: str) -> None:
    with open_source(str(animation(tmp_path / name, 6, 120, kind))) as source:
        frames = list(source)
        assert [number_of(f.image) for f in frames] == list(range(6))
        step = 1 / 25 if kind == "tiff" else 0.12
        assert [f.time for f in frames] == pytest.approx([i * step for i in range(6)], abs=0.002)
        assert bool(source.notes) == (name == "a.mp4")


def test_animation_in_a_folder_names_file_and_picture(tmp_path: Path) -> None:
    write_images(tmp_path / "scene", ["1.png", "3.png"])
    animation(tmp_path / "scene" / "2.webp", 3, 40, "webp")
    with open_source(str(tmp_path / "scene")) as source:
        assert [(f.index, f.file) for f in source] == list(enumerate(["1.png", "2.webp#0", "2.webp#1", "2.webp#2", "3.png"]))


def test_image_under_the_name_of_a_video_is_read_with_a_word(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), numbered_picture(3))
    (tmp_path / "a.jpg").rename(tmp_path / "clip.mp4")
    with open_source(str(tmp_path / "clip.mp4")) as source:
        assert [number_of(f.image) for f in source] == [3]
        assert source.notes == ("by its content it is a JPEG, in spite of its suffix .mp4",)


@pytest.mark.parametrize(("name", "content"), [("clip.jpg", "clip.mp4"), ("clip.png", "clip.mkv"), ("clip.tif", "clip.ts")])
def test_video_under_the_name_of_an_image_is_read_with_a_word(tmp_path: Path, name: str, content: str) -> None:
    write_clip(tmp_path / content, 12).rename(tmp_path / name)
    with open_source(str(tmp_path / name)) as source:
        assert [number_of(f.image) for f in source] == list(range(12))
        assert source.notes == (f"by its content it is a video, in spite of its suffix {Path(name).suffix}",)


def test_gif_under_another_name_is_read_whole(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.gif"), "w") as output:
        stream = output.add_stream("gif", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "bgr8"
        for i in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(i), format="bgr24").reformat(format="bgr8")))
        output.mux(stream.encode(None))
    (tmp_path / "a.gif").rename(tmp_path / "a.jpg")
    with open_source(str(tmp_path / "a.jpg")) as source:
        assert [number_of(f.image) for f in source] == list(range(5))
        assert "GIF" in source.notes[0]


@pytest.mark.parametrize("name", ["a.heic", "a.jpg", "a.mp4"])
def test_heic_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(100))
    with pytest.raises(SourceError, match="HEIC"):
        open_source(str(tmp_path / name))


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
