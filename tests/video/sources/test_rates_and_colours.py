"""Rates that are only a hint, colours beyond the standard, and names that libav would take for something else."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_making import number_of, numbered_picture, write_clip

from skipvid.core.errors import UsageError
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.probe import probe
from skipvid.video.sources.specs import display_name


@pytest.mark.parametrize("seconds", [3600, 60, 86_400])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_time_lapse_keeps_its_times(tmp_path: Path, seconds: int, suffix: str) -> None:
    clip = write_clip(tmp_path / f"lapse.{suffix}", 5, ticks=[seconds * i for i in range(5)], tick=Fraction(1), options={"bf": "0"})
    with open_source(str(clip)) as source:
        assert [f.time for f in source] == [seconds * i for i in range(5)]
        assert source.problem is None and source.notes == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", [2000, 1200, 4000])
def test_frames_that_share_a_tick_are_told_apart_by_the_rate(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"fast.{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for i in range(60):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(i), format="bgr24")))
        output.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert source.info.fps == pytest.approx(rate)
        assert [f.time for f in source] == pytest.approx([i / rate for i in range(60)], abs=1e-4)


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_last_frames_of_an_avi_with_more_slots_than_frames_keep_their_distance(tmp_path: Path, codec: str, every: int) -> None:
    """AVI counts slots, and a decoder that reorders frames gives out the last ones without: the header's rate is that of the slots."""
    clip = write_clip(tmp_path / "clip.avi", 30, ticks=[every * i for i in range(30)], tick=Fraction(1, 50), codec=codec)
    with open_source(str(clip)) as source:
        frames = list(source)
    assert [number_of(f.image) for f in frames] == list(range(30))
    assert [f.time for f in frames] == pytest.approx([every * i / 50 for i in range(30)], abs=1e-6)


@pytest.mark.parametrize("fps", [0.0002, 2000, 1 / 3600, 29.97])
def test_folder_of_images_has_the_rate_that_was_given(tmp_path: Path, fps: float) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), numbered_picture(i))
    with open_source(str(tmp_path), ReadOptions(fps=fps)) as source:
        assert [f.time for f in source] == pytest.approx([i / fps for i in range(3)])


@pytest.mark.parametrize("fps", [0, -1, 1e-9, float("nan"), float("inf")])
def test_rate_that_cannot_be_meant_is_a_usage_error(fps: float) -> None:
    with pytest.raises(UsageError, match="fps"):
        ReadOptions(fps=fps)


def bt2020(path: Path, trc: int, grey: int, codec: str = "libx265") -> Path:
    """Five grey pictures in BT.2020 primaries; trc: 16 PQ, 18 HLG, 14 standard. grey: of 10 bits, limited range."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, trc, 9, 1
        for _ in range(5):
            frame = av.VideoFrame(160, 96, "yuv420p10le")
            for plane, value in zip(frame.planes, (grey, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("trc", "word", "grey"),
    [(16, "PQ", 502), (18, "HLG", 520), (14, "BT.2020", 502)],
    ids=["hdr10", "hlg", "wide gamut"],
)
def test_colours_beyond_the_standard_are_mapped_and_said_so_once(tmp_path: Path, trc: int, word: str, grey: int) -> None:
    with open_source(str(bt2020(tmp_path / "hdr.mkv", trc, grey))) as source:
        frames = list(source)
        assert len(source.notes) == 1 and word in source.notes[0] and "BT.709" in source.notes[0]
    level = float(frames[0].image.mean())
    assert np.ptp(frames[0].image) <= 6  # grey stays grey
    # What PQ and HLG store at about half of their range is bright in standard range; standard curves stay where they are.
    assert (110 < level < 150) if trc == 14 else level > 140


def test_standard_video_gets_no_word(tmp_path: Path) -> None:
    with open_source(str(write_clip(tmp_path / "clip.mp4", 3))) as source:
        list(source)
        assert source.notes == ()


@pytest.mark.parametrize("full", [False, True])
def test_full_and_limited_range_show_the_same(tmp_path: Path, full: bool) -> None:
    path = tmp_path / "range.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p" if full else "yuv420p"
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 250, np.uint8), format="bgr24")
        output.mux(stream.encode(frame.reformat(format="yuvj420p" if full else "yuv420p", dst_color_range=2 if full else 1)))
        output.mux(stream.encode(None))
    with open_source(str(path)) as source:
        assert abs(float(next(iter(source)).image.mean()) - 250) < 3


NAMES = "cam1:front.mp4|-x.mp4|50%d.mp4|a#b?c.mp4|two words.mp4|file:x.mp4|pipe:1.mp4|concat:a.mp4|http:x.mp4|[1].mp4".split("|")


@pytest.mark.parametrize("name", NAMES)
def test_local_name_is_never_taken_for_a_protocol(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "plain.mp4", 4).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_source(name) as source:
        assert [number_of(f.image) for f in source] == list(range(4))


@pytest.mark.parametrize("name", ["img%03d.jpg", "cam:1.png", "a?b#c.png"])
def test_image_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered_picture(7))
    (tmp_path / "a.png").rename(tmp_path / name)
    with open_source(str(tmp_path / name)) as source:
        assert [(number_of(f.image), f.file) for f in source] == [(7, name)]


@pytest.mark.parametrize("raw", [b"caf\xe9.mp4", b"\xff\xfe.mp4"])
def test_name_that_is_no_utf8_is_read_and_shown_with_escapes(tmp_path: Path, raw: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), raw)
    os.rename(write_clip(tmp_path / "plain.mp4", 4), path)
    spec = os.fsdecode(path)
    with open_source(spec) as source:
        frames = list(source)
    shown = frames[0].source
    assert len(frames) == 4 and shown == display_name(spec) == raw.decode("utf-8", "backslashreplace")
    assert json.loads(json.dumps(probe(spec).source, ensure_ascii=False).encode()) == shown


def test_image_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered_picture(1))
    os.rename(tmp_path / "a.png", os.path.join(os.fsencode(tmp_path), b"b\xe4r.png"))
    with open_source(str(tmp_path)) as source:
        assert [f.file for f in source] == ["b\\xe4r.png"]
