from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clip_making import UNEVEN, number_of, numbered_picture, write_clip
from numpy.typing import NDArray
from run_making import header, result, run, summary

from skipvid.core.errors import OutputError
from skipvid.core.planes import Matrix, Planes
from skipvid.core.results import FrameResult, RunHeader, SourceInfo
from skipvid.video.planes import bgr_of_planes, planes_of_bgr, planes_of_frame
from skipvid.video.sinks.options import SinkOptions, Speed
from skipvid.video.sinks.video import Render, VideoSink
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

SUFFIXES = ["mp4", "mkv", "webm"]
WHOLE = SinkOptions(to_end=True)
FINE = Fraction(1, 90000)


def as_is(result: FrameResult) -> NDArray[np.uint8]:
    return result.frame.image


def as_planes(result: FrameResult) -> Planes:
    return planes_of_frame(result.frame, VideoReformatter())


RENDERS = pytest.mark.parametrize("render", [as_is, as_planes], ids=["bgr", "planes"])


def annotate(clip: Path, out: Path, options: SinkOptions = WHOLE, read: ReadOptions | None = None, **changes: object) -> VideoSink:
    sink = run(clip, lambda h: VideoSink(out, h, as_is, options), read, **changes)
    assert isinstance(sink, VideoSink)
    return sink


def stamps(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound(path: Path) -> list[tuple[float, bytes]]:
    """Time and content of every packet of sound."""
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.pts is not None]


def total_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / 1e6


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "h264"), ("mkv", "h264"), ("webm", "vp9")])
def test_output_is_what_browsers_play_and_shows_the_pictures(tmp_path: Path, suffix: str, codec: str) -> None:
    out = tmp_path / f"out.{suffix}"
    annotate(write_clip(tmp_path / "clip.mp4", 40), out)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.removeprefix("lib").removeprefix("vpx-") == codec
        assert stream.codec_context.pix_fmt == "yuv420p"
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
    with open_source(str(out)) as source:
        frames = list(source)
    assert [number_of(f.image) for f in frames] == list(range(40))
    assert min(cv2.PSNR(f.image, numbered_picture(i)) for i, f in enumerate(frames)) > 30
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("ticks", "tick", "rest"),
    [
        (list(range(30)), Fraction(1, 30), 1),
        ([1001 * i for i in range(30)], Fraction(1, 30000), 1001),
        (UNEVEN, FINE, 45000),
        ([0, 512, 1024, 4608], Fraction(1, 12800), 512),
    ],
    ids=["constant", "ntsc", "uneven", "gap"],
)
def test_times_and_duration_are_those_of_the_source(tmp_path: Path, suffix: str, ticks: list[int], tick: Fraction, rest: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", len(ticks), ticks=ticks, tick=tick, last_ticks=rest, options={"bf": "0"})
    out = tmp_path / f"out.{suffix}"
    annotate(clip, out)
    if suffix == "mp4":
        assert stamps(out) == [t * tick for t in ticks]
        assert total_seconds(out) == pytest.approx(total_seconds(clip), abs=2e-6)
    else:
        assert [float(t) for t in stamps(out)] == pytest.approx([float(t * tick) for t in ticks], abs=0.00051)
        assert total_seconds(out) == pytest.approx(total_seconds(clip), abs=0.0011)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_out_span_starts_at_zero_and_lasts_as_long_as_its_frames(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 90, sound="aac")
    out = tmp_path / f"out.{suffix}"
    annotate(clip, out, SinkOptions(), ReadOptions(start=1.0, end=2.0))
    assert [float(t) for t in stamps(out)] == pytest.approx([i / 30 for i in range(30)], abs=0.00051)
    assert total_seconds(out) == pytest.approx(1.0, abs=0.03)
    times = [t for t, _ in sound(out)]
    # Opus starts with 6.5 ms of priming, before 0.
    assert -0.01 <= times[0] < 0.025 and 0.95 < times[-1] < 1.0


@pytest.mark.parametrize("stride", [2, 5])
def test_strided_run_keeps_the_length(tmp_path: Path, stride: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 30)
    annotate(clip, tmp_path / "out.mp4", WHOLE, ReadOptions(stride=stride))
    assert stamps(tmp_path / "out.mp4") == [Fraction(i, 30) for i in range(0, 30, stride)]
    assert total_seconds(tmp_path / "out.mp4") == pytest.approx(1.0)


@pytest.mark.parametrize("clip_name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_is_copied_packet_by_packet(tmp_path: Path, clip_name: str, suffix: str) -> None:
    clip = write_clip(tmp_path / clip_name, 60, sound="aac")
    out = tmp_path / f"out.{suffix}"
    assert annotate(clip, out).problem is None
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        begin = float(stream.start_time * stream.time_base)
    expected = [(t - begin, data) for t, data in sound(clip) if t >= begin]
    if clip_name.endswith(".ts"):  # MPEG-TS packs sound in ADTS frames; MP4 and MKV drop their 7-byte headers
        expected = [(t, data[7:]) for t, data in expected]
    copied = sound(out)
    assert [data for _, data in copied] == [data for _, data in expected]
    assert [t for t, _ in copied] == pytest.approx([t for t, _ in expected], abs=0.0011)


@pytest.mark.parametrize(
    ("clip_name", "codec", "suffix", "new"),
    [("clip.mp4", "aac", "webm", "opus"), ("clip.mkv", "pcm_s16le", "mp4", "aac"), ("clip.mkv", "mp2", "mp4", "aac")],
)
def test_sound_that_the_container_does_not_take_is_coded_anew(tmp_path: Path, clip_name: str, codec: str, suffix: str, new: str) -> None:
    clip = write_clip(tmp_path / clip_name, 90, sound=codec)
    out = tmp_path / f"out.{suffix}"
    assert annotate(clip, out).problem is None
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == new
        samples = np.concatenate([frame.to_ndarray().astype(np.float32)[0] for frame in container.decode(stream)])
    assert len(samples) / 48000 == pytest.approx(3.0, abs=0.1)
    middle = samples[48000:96000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440
    assert np.abs(middle).max() > 0.2


def test_sound_that_begins_late_stays_late(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 60, sound="aac", sound_seconds=1.0, sound_delay=0.5)
    for suffix in SUFFIXES:
        out = tmp_path / f"out.{suffix}"
        annotate(clip, out)
        assert sound(out)[0][0] == pytest.approx(sound(clip)[0][0], abs=0.03)


def test_sound_is_left_out_when_asked_and_where_there_is_none(tmp_path: Path) -> None:
    with_sound, silent = write_clip(tmp_path / "a.mp4", 10, sound="aac"), write_clip(tmp_path / "b.mp4", 10)
    assert annotate(with_sound, tmp_path / "out_a.mp4", SinkOptions(audio=False)).problem is None
    assert annotate(silent, tmp_path / "out_b.mp4").problem is None
    for name in ("out_a.mp4", "out_b.mp4"):
        with av.open(str(tmp_path / name)) as container:
            assert not container.streams.audio


def test_sound_of_a_pipe_is_left_out_and_said_so(tmp_path: Path) -> None:
    info = SourceInfo("stdin", 160, 96, fps=30, has_audio=True)
    with VideoSink(tmp_path / "out.mp4", header(info), as_is) as sink:
        sink.write(result(image=numbered_picture(0)))
        sink.finish(summary())
    assert sink.problem is not None and "sound was left out" in sink.problem
    assert len(stamps(tmp_path / "out.mp4")) == 1


@pytest.mark.parametrize(("width", "height"), [(161, 96), (160, 97), (161, 97)])
@pytest.mark.parametrize("suffix", SUFFIXES)
@RENDERS
def test_odd_sizes_gain_a_row_or_column(tmp_path: Path, render: Render, suffix: str, width: int, height: int) -> None:
    picture = numbered_picture(5, width, height)
    with VideoSink(tmp_path / f"out.{suffix}", header(), render) as sink:
        for i in range(3):
            sink.write(result(i, image=picture))
        sink.finish(summary())
    with open_source(str(tmp_path / f"out.{suffix}")) as source:
        image = next(iter(source)).image
    assert image.shape == (height + height % 2, width + width % 2, 3)
    assert cv2.PSNR(np.ascontiguousarray(image[:height, :width]), picture) > 30


@RENDERS
def test_later_pictures_of_another_size_are_scaled_to_the_first(tmp_path: Path, render: Render) -> None:
    with VideoSink(tmp_path / "out.mp4", header(), render) as sink:
        for i, (width, height) in enumerate([(160, 96), (320, 192), (80, 48), (160, 96)]):
            sink.write(result(i, image=numbered_picture(9, width, height)))
        sink.finish(summary())
    with open_source(str(tmp_path / "out.mp4")) as source:
        frames = list(source)
    assert {f.image.shape for f in frames} == {(96, 160, 3)}
    assert [number_of(f.image) for f in frames] == [9] * 4


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("matrix", "tag"), [("bt601", {5, 6}), ("bt709", {1})])
def test_planes_are_encoded_by_their_own_matrix_which_the_file_names(tmp_path: Path, suffix: str, matrix: Matrix, tag: set[int]) -> None:
    """Later ones of another matrix are converted."""
    out, picture = tmp_path / f"out.{suffix}", np.full((96, 160, 3), (40, 60, 220), np.uint8)
    matrices: list[Matrix] = [matrix, "bt709", "bt601", matrix]

    def rendered(of: FrameResult) -> Planes:
        return planes_of_bgr(of.frame.image, matrices[of.frame.index], VideoReformatter())

    with VideoSink(out, header(), rendered) as sink:
        for i in range(4):
            sink.write(result(i, image=picture))
        sink.finish(summary())
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.colorspace in tag
    with open_source(str(out)) as source:
        for frame in source:
            assert np.abs(frame.image.astype(int) - picture).max() <= 7


@pytest.mark.parametrize(("speed", "effort", "quality"), [("fast", 1, "qp=23 "), ("balanced", 2, "crf=22.0 "), ("small", 7, "crf=23.0 ")])
@pytest.mark.parametrize("own", [None, 30])
def test_speeds_differ_in_effort_and_not_in_quality(tmp_path: Path, speed: Speed, effort: int, quality: str, own: int | None) -> None:
    out = tmp_path / "out.mkv"
    annotate(write_clip(tmp_path / "clip.mp4", 20), out, SinkOptions(crf=own, speed=speed, to_end=True))
    written = out.read_bytes()  # x264 writes its settings into the stream
    assert f"subme={effort} ".encode() in written and (quality if own is None else f"crf={own}.0 ").encode() in written
    with open_source(str(out)) as source:
        assert min(cv2.PSNR(frame.image, numbered_picture(i)) for i, frame in enumerate(source)) > (30 if own is None else 25)


@pytest.mark.parametrize("speed", ["fast", "balanced", "small"])
def test_vp9_has_all_speeds(tmp_path: Path, speed: Speed) -> None:
    out = tmp_path / "out.webm"
    annotate(write_clip(tmp_path / "clip.mp4", 20), out, SinkOptions(speed=speed, to_end=True))
    with open_source(str(out)) as source:
        assert [number_of(frame.image) for frame in source] == list(range(20))


def test_planes_become_bgr_again() -> None:
    picture = numbered_picture(3, 161, 97)
    again = bgr_of_planes(planes_of_bgr(picture, "bt601", VideoReformatter()), VideoReformatter())
    assert again.shape == picture.shape and cv2.PSNR(again, picture) > 30


def test_shrinking_averages_every_pixel(tmp_path: Path) -> None:
    """Stripes finer than the output's pixels become grey; picked pixels would be black or white."""
    stripes = np.zeros((192, 320, 3), np.uint8)
    stripes[:, ::2] = 200
    with VideoSink(tmp_path / "out.mp4", header(), as_is) as sink:
        sink.write(result(0, image=numbered_picture(0, 160, 96)))
        sink.write(result(1, image=stripes))
        sink.finish(summary())
    with open_source(str(tmp_path / "out.mp4")) as source:
        last = list(source)[-1].image
    assert np.abs(last.astype(int) - 100).max() < 25


@pytest.mark.parametrize(("rotation", "expected"), [(None, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path, rotation: int | None, expected: Fraction) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, pixel_aspect=Fraction(4, 3), rotation=rotation)
    annotate(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == expected


def test_stamps_that_fall_on_one_tick_are_moved_apart(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4", header(), as_is) as sink:
        for time in (0.0, 0.04, 0.040001, 0.08):
            plain = result(image=numbered_picture(0))
            sink.write(replace(plain, frame=replace(plain.frame, time=time)))
        sink.finish(summary())
    assert stamps(tmp_path / "out.mp4") == [0, Fraction(3600, 90000), Fraction(3601, 90000), Fraction(7200, 90000)]


def test_lower_crf_makes_a_larger_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20)
    sizes = []
    for crf in (10, 40):
        annotate(clip, tmp_path / f"{crf}.mp4", SinkOptions(crf=crf))
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]


def test_interrupted_run_leaves_a_whole_file_that_ends_with_its_last_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 90, sound="aac")
    out = tmp_path / "out.mp4"
    with open_source(str(clip)) as source:
        of = header(source.info)
        with VideoSink(out, of, as_is, WHOLE) as sink:
            for frame in source:
                if frame.index == 30:
                    break
                sink.write(replace(result(), frame=frame))
            sink.finish(summary(of, interrupted=True))
    assert len(stamps(out)) == 30
    assert total_seconds(out) == pytest.approx(1.0, abs=0.03)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_times_finer_than_the_container_knows_are_named(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 40, ticks=list(range(40)), tick=Fraction(1, 2000), options={"bf": "0"})
    sink = annotate(clip, tmp_path / f"out.{suffix}")
    times = stamps(tmp_path / f"out.{suffix}")
    assert len(times) == 40 and [float(t) for t in times] == pytest.approx([i / 2000 for i in range(40)], abs=0.00051)
    if suffix == "mp4":
        assert sink.problem is None and len(set(times)) == 40
    else:
        assert sink.problem is not None and "39 frames" in sink.problem and "millisecond" in sink.problem


@pytest.mark.parametrize("uneven", [False, True])
def test_more_than_a_thousand_frames_a_second_take_as_long_in_mp4_as_in_matroska(tmp_path: Path, uneven: bool) -> None:
    """Matroska's stamps are milliseconds; frames that share one must not be pushed into slow motion."""
    ticks = [i + (uneven and i % 3 == 2) for i in range(100)]
    clip = write_clip(tmp_path / "clip.mkv", 100, ticks=ticks, tick=Fraction(1, 1200), options={"bf": "0"})
    annotate(clip, tmp_path / "out.mp4")
    times = [float(t) for t in stamps(tmp_path / "out.mp4")]
    assert len(set(times)) == 100 and times[-1] == pytest.approx(ticks[-1] / 1200, abs=0.0025)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fps", [1000, 240])
def test_rates_up_to_a_thousand_fit_every_container(tmp_path: Path, suffix: str, fps: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20, tick=Fraction(1, fps), options={"bf": "0"})
    assert annotate(clip, tmp_path / f"out.{suffix}").problem is None
    assert len(set(stamps(tmp_path / f"out.{suffix}"))) == 20


def test_run_that_fails_leaves_nothing_and_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"the one before")
    with pytest.raises(ZeroDivisionError), VideoSink(out, header(), as_is) as sink:
        sink.write(result(image=numbered_picture(0)))
        assert len(list(tmp_path.glob("out.mp4.*.part"))) == 1
        raise ZeroDivisionError
    sink.close()
    assert os.listdir(tmp_path) == ["out.mp4"] and out.read_bytes() == b"the one before"


def test_run_without_frames_leaves_nothing(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4", header(), as_is) as sink:
        sink.finish(summary(frames=0))
    assert os.listdir(tmp_path) == [] and sink.problem == "no frame was written"


WRITE_AND_STOP = """
    import os, signal, sys
    sys.path[:0] = {paths!r}
    from pathlib import Path
    from clip_making import numbered_picture
    from run_making import header, result, summary
    from skipvid.core.errors import OutputError
    from skipvid.video.sinks.video import VideoSink
    {setup}
    try:
        with VideoSink(Path({out!r}), header(), lambda r: r.frame.image) as sink:
            for i in range({frames}):
                sink.write(result(i, image=numbered_picture(i % 1000, 640, 384)))
            {end}
    except OutputError as error:
        print(error)
"""


def in_another_process(out: Path, frames: int, setup: str, end: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "sources"), str(here.parents[2])]
    code = textwrap.dedent(WRITE_AND_STOP).format(paths=paths, out=str(out), frames=frames, setup=setup, end=end)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_killed_run_leaves_a_part_file_that_plays(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    done = in_another_process(out, 225, "", "os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == -signal.SIGKILL and not out.exists()
    (part,) = tmp_path.glob("out.*.part")
    with open_source(str(part)) as source:
        numbers = [number_of(f.image) for f in source]
    assert len(numbers) > 225 - 35  # all but a fragment of one second, and what the encoder held
    assert numbers == list(range(len(numbers)))


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the full disk: write() fails in the same place.
    setup = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))"
    done = in_another_process(tmp_path / "out.mp4", 200, setup, "sink.finish(summary())")
    assert done.returncode == 0 and done.stderr == ""
    assert "out.mp4 cannot be written: " in done.stdout and done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_output_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink(tmp_path / "gone" / "out.mp4", header(), as_is)


def test_nothing_is_said_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10, sound="aac")
    for suffix in SUFFIXES:
        annotate(clip, tmp_path / f"out.{suffix}")
    assert capfd.readouterr() == ("", "")


def test_heatmap_is_a_video_with_another_renderer(tmp_path: Path) -> None:
    def grey(result: FrameResult) -> NDArray[np.uint8]:
        return np.full((48, 64, 3), 10 * result.frame.index, np.uint8)

    clip = write_clip(tmp_path / "clip.mp4", 10)
    run(clip, lambda h: VideoSink(tmp_path / "heat.mp4", h, grey))
    with open_source(str(tmp_path / "heat.mp4")) as source:
        assert [round(f.image.mean() / 10) for f in source] == list(range(10))


def test_header_without_fps_is_enough(tmp_path: Path) -> None:
    of: RunHeader = header(SourceInfo("live", 160, 96, live=True))
    with VideoSink(tmp_path / "out.mp4", of, as_is) as sink:
        for i in range(3):
            sink.write(result(i, image=numbered_picture(i)))
        sink.finish(summary(of))
    assert len(stamps(tmp_path / "out.mp4")) == 3
