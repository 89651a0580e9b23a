from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_making import UNEVEN, cut, number_of, numbered_picture, write_clip

from skipvid.core.errors import SourceError, UsageError
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

KINDS = [
    ("clip.mp4", "libx264"),
    ("clip.mkv", "libx264"),
    ("clip.ts", "libx264"),
    ("clip.mov", "mpeg4"),
    ("clip.webm", "libvpx-vp9"),
    ("clip.avi", "mpeg4"),
    ("clip.avi", "libx264"),
    ("clip.avi", "mjpeg"),
    ("clip.mjpeg", "mjpeg"),
    ("clip.gif", "gif"),
]


def read(path: Path | str, **options: object) -> tuple[list[int], list[float], str | None]:
    """Numbers of the pictures, times and the problem line."""
    with open_source(str(path), ReadOptions(**options)) as source:
        frames = [(number_of(f.image), f.time) for f in source]
        return [n for n, _ in frames], [t for _, t in frames], source.problem


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_every_frame_comes_once_in_order_at_its_time(tmp_path: Path, name: str, codec: str) -> None:
    if codec == "gif":
        path = tmp_path / name
        with av.open(str(path), "w") as output:
            stream = output.add_stream("gif", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "bgr8"
            for i in range(30):
                frame = av.VideoFrame.from_ndarray(numbered_picture(i), format="bgr24").reformat(format="bgr8")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        rate = 25
    else:
        rate = 25 if name.endswith(".mjpeg") else 30  # raw MJPEG has no clock: 25 is assumed
        path = write_clip(tmp_path / name, 30, codec=codec)
    numbers, times, problem = read(path)
    assert numbers == list(range(30))
    assert times == pytest.approx([i / rate for i in range(30)], abs=0.0011)
    assert problem is None


@pytest.mark.parametrize(("suffix", "tolerance"), [("mp4", 1e-9), ("ts", 1e-9), ("mkv", 0.0011)])
def test_variable_frame_rate_is_kept(tmp_path: Path, suffix: str, tolerance: float) -> None:
    path = write_clip(tmp_path / f"vfr.{suffix}", len(UNEVEN), ticks=UNEVEN, tick=Fraction(1, 90000))
    _, times, _ = read(path)
    assert times == pytest.approx([t / 90000 for t in UNEVEN], abs=tolerance)


@pytest.mark.parametrize("first", [0, 7])
def test_frames_of_one_time_stamp_get_times_that_rise(tmp_path: Path, first: int) -> None:
    """Matroska counts in milliseconds, so that frames of a fast camera share one; a fifth of a millisecond apart here."""
    clip = write_clip(tmp_path / "clip.mkv", 20, ticks=[first + i for i in range(20)], tick=Fraction(1, 5000))
    with av.open(str(clip)) as container:
        assert len({packet.pts for packet in container.demux(video=0) if packet.pts is not None}) < 20
    numbers, times, _ = read(clip)
    assert numbers == list(range(20))
    assert (np.diff(times) > 0).all()


def test_avi_with_b_frames_has_rising_times(tmp_path: Path) -> None:
    """libav makes up presentation stamps for such files in decoding order, and OpenCV reports 0 for every frame."""
    path = write_clip(tmp_path / "b.avi", 40, codec="libx264", options={"bf": "3", "b_strategy": "0", "g": "40"})
    with av.open(str(path)) as container:
        kinds = {frame.pict_type for frame in container.decode(video=0)}
    assert av.video.frame.PictureType.B in kinds
    numbers, times, _ = read(path)
    assert numbers == list(range(40))
    assert times == pytest.approx([i / 30 for i in range(40)])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_video_comes_upright(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = write_clip(tmp_path / "phone.mp4", 3, rotation=rotation, mirrored=mirrored)
    stored = numbered_picture(1)
    upright = np.rot90(stored, -rotation // 90)
    if mirrored:
        upright = upright[:, ::-1]
    with open_source(str(path)) as source:
        frames = list(source)
        assert (source.info.width, source.info.height) == (upright.shape[1], upright.shape[0])
        assert source.info.rotation == rotation or mirrored
    assert frames[1].image.shape == upright.shape
    assert cv2.PSNR(frames[1].image, np.ascontiguousarray(upright)) > 30
    assert frames[1].image.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "codec", "container_options"),
    [
        ("clip.mp4", "libx264", {"movflags": "faststart"}),
        ("clip.mkv", "libx264", {}),
        ("clip.avi", "mpeg4", {}),
    ],
)
@pytest.mark.parametrize("sound", [None, "aac"])
def test_truncated_file_is_read_and_reported(
    tmp_path: Path, name: str, codec: str, container_options: dict[str, str], sound: str | None
) -> None:
    whole = write_clip(tmp_path / name, 300, codec=codec, container_options=container_options, sound=sound, options={"g": "30"})
    assert read(whole)[2] is None
    numbers, times, problem = read(cut(whole, 0.7))
    assert 100 < len(numbers) < 299
    assert numbers[: len(numbers) - 3] == list(range(len(numbers) - 3))
    assert problem in (f"read {len(numbers)} of about 300 frames", f"read {len(numbers)} of about 301 frames")
    assert all(b > a for a, b in zip(times, times[1:], strict=False))


@pytest.mark.parametrize(
    ("name", "container_options"), [("clip.ts", {}), ("clip.mp4", {"movflags": "frag_keyframe+empty_moov"}), ("clip.h264", {})]
)
def test_truncated_file_that_does_not_know_its_length_is_just_shorter(tmp_path: Path, name: str, container_options: dict[str, str]) -> None:
    path = cut(write_clip(tmp_path / name, 120, container_options=container_options), 0.6)
    numbers, _, problem = read(path)
    assert 40 < len(numbers) < 120
    # The very last frames may be decoded from what is left of them, or be missing.
    assert numbers[:-3] == list(range(len(numbers) - 3))
    assert problem is None or "damaged packet" in problem or "of about" in problem


def test_damage_in_the_middle_is_reported(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", 60, codec="mjpeg")
    data = bytearray(path.read_bytes())
    start = data.index(b"00dc", len(data) // 2) + 8
    length = int.from_bytes(data[start - 4 : start], "little")
    data[start : start + length] = bytes(length)
    path.write_bytes(data)
    numbers, _, problem = read(path)
    assert len(numbers) == 59
    assert problem == "passed over 1 damaged packet"


@pytest.mark.parametrize(("picture_seconds", "sound_seconds"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_of_another_length_is_no_truncation(tmp_path: Path, suffix: str, picture_seconds: int, sound_seconds: int) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", 30 * picture_seconds, sound="aac", sound_seconds=sound_seconds)
    with open_source(str(path)) as source:
        assert source.info.has_audio
        assert source.info.duration == pytest.approx(picture_seconds, abs=0.05)
        assert len(list(source)) == 30 * picture_seconds
        assert source.problem is None


def test_sound_in_front_of_the_pictures_costs_no_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 30, sound="aac", sound_first=True)
    numbers, _, problem = read(path)
    assert numbers == list(range(30)) and problem is None


def test_dropped_frames_of_an_avi_are_gaps_and_no_truncation(tmp_path: Path) -> None:
    ticks = [t for t in range(60) if t % 6 != 3]
    path = write_clip(tmp_path / "dropped.avi", len(ticks), ticks=ticks, codec="mpeg4")
    numbers, times, problem = read(path)
    assert len(numbers) == 50
    assert times == pytest.approx([t / 30 for t in ticks])
    assert problem is None


def test_joined_recordings_have_rising_times(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts", 30).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    with open_source(str(path)) as source:
        frames = list(source)
        assert [number_of(f.image) for f in frames] == [*range(30), *range(30)]
        assert [f.time for f in frames] == pytest.approx([i / 30 for i in range(60)], abs=0.002)
        assert source.problem is None and "time stamps jumped by -1" in " ".join(source.notes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, list(range(30))),
        ({"start": 0.5}, list(range(15, 30))),
        ({"end": 0.5}, list(range(15))),
        ({"start": 0.2, "end": 0.4}, list(range(6, 12))),
        ({"stride": 7}, [0, 7, 14, 21, 28]),
        ({"start": 0.1, "stride": 10}, [3, 13, 23]),
        ({"max_frames": 4}, [0, 1, 2, 3]),
        ({"start": 0.5, "stride": 3, "max_frames": 2}, [15, 18]),
    ],
)
def test_options_select_frames_and_keep_their_index_and_time(tmp_path: Path, options: dict[str, float], expected: list[int]) -> None:
    path = write_clip(tmp_path / "clip.mp4", 30)
    with open_source(str(path), ReadOptions(**options)) as source:
        frames = list(source)
    assert [f.index for f in frames] == expected == [number_of(f.image) for f in frames]
    assert [f.time for f in frames] == pytest.approx([i / 30 for i in expected])
    assert source.problem is None


def test_start_behind_the_end_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 30)
    with open_source(str(path), ReadOptions(start=5)) as source, pytest.raises(SourceError, match=r"ends at 1.00 s"):
        list(source)


@pytest.mark.parametrize(
    "options",
    [
        {"start": -1},
        {"start": float("nan")},
        {"start": 2, "end": 2},
        {"end": float("inf")},
        {"max_frames": 0},
        {"stride": 0},
        {"fps": 0},
        {"fps": float("nan")},
        {"timeout": 0},
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        ReadOptions(**options)


def _text(path: Path) -> None:
    path.write_text("This is no video.\n" * 50)


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def _only_sound(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _no_frames(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=30)
        stream.width, stream.height = 160, 96
        output.start_encoding()


def _no_index(path: Path) -> None:
    cut(write_clip(path, 30), 0.6).replace(path)


def _a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("text.mp4", _text, "cannot be opened"),
        ("text.txt", _text, "is a text file"),
        ("empty.mp4", _nothing, "is empty"),
        ("noise.mkv", _noise, "cannot be opened"),
        ("song.m4a", _only_sound, "has only sound"),
        ("zero.avi", _no_frames, "holds no frame"),
        ("cut.mp4", _no_index, "cut off before its index"),
        ("gone.mp4", lambda path: None, "does not exist"),
        ("folder", _a_folder, "holds no images"),
        ("broken.jpg", _noise, "holds no image"),
    ],
)
def test_bad_input_gets_one_line_that_names_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make: object, words: str
) -> None:
    path = tmp_path / name
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceError) as caught:
        open_source(str(path))
    assert name in str(caught.value) and words in str(caught.value)
    assert caught.value.hint and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_file_without_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", 3)
    monkeypatch.setattr("os.access", lambda where, mode: where != path)  # root, whom no permission stops, runs these tests too
    with pytest.raises(SourceError, match="cannot be read; check its permissions"):
        open_source(str(path))


def test_name_with_a_colon_is_a_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "10:30 gate #2.mp4", 3)
    assert read(path)[0] == [0, 1, 2]


def test_source_is_read_once(tmp_path: Path) -> None:
    with open_source(str(write_clip(tmp_path / "clip.mp4", 3))) as source:
        assert len(list(source)) == 3
        with pytest.raises(RuntimeError, match="only once"):
            list(source)


def test_close_while_another_thread_reads_ends_that_thread_quietly(tmp_path: Path) -> None:
    source = open_source(str(write_clip(tmp_path / "clip.mp4", 300)))
    first, failures, count = threading.Event(), [], 0

    def work() -> None:
        nonlocal count
        try:
            for _ in source:
                count += 1
                first.set()
                closed.wait(60)
        except BaseException as error:
            failures.append(error)

    closed = threading.Event()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert first.wait(60)
    source.close()
    closed.set()
    thread.join(60)
    source.close()
    assert not thread.is_alive() and not failures
    assert count == 1


def test_close_before_reading_yields_nothing(tmp_path: Path) -> None:
    source = open_source(str(write_clip(tmp_path / "clip.mp4", 3)))
    source.close()
    source.close()
    assert list(source) == []


def test_decoding_time_is_measured_without_the_readers_own(tmp_path: Path) -> None:
    with open_source(str(write_clip(tmp_path / "clip.mp4", 3))) as source:
        for frame in source:
            assert 0 < frame.decode_ms < 500
            threading.Event().wait(0.5)


@pytest.mark.parametrize(("height", "matrix"), [(480, "itu601"), (720, "itu709")])
def test_untagged_video_gets_the_matrix_that_players_assume(tmp_path: Path, height: int, matrix: str) -> None:
    width = height * 4 // 3
    colour = np.full((height, width, 3), (40, 60, 200), np.uint8)
    with av.open(str(tmp_path / "c.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(colour, format="bgr24").reformat(format="yuv420p", dst_colorspace=matrix)
        frame.colorspace, frame.pts = 2, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with open_source(str(tmp_path / "c.mkv")) as source:
        image = next(iter(source)).image
    assert np.abs(image.astype(int) - colour).max() <= 4
