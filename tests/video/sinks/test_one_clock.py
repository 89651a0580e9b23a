"""Pictures and sound of damaged recordings in video outputs: all pictures, sound in step, sane durations."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from clip_making import numbered_picture, write_clip
from run_making import header, run, summary

from skipvid.core.results import Detections, FrameResult
from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.video import VideoSink
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

DAY = 93_600  # 26 hours


def annotated(clip: Path, suffix: str) -> tuple[VideoSink, Path]:
    out = clip.with_name(f"out{suffix}")
    sink = run(clip, lambda h: VideoSink(out, h, lambda r: r.frame.image, SinkOptions(to_end=True)))
    assert isinstance(sink, VideoSink)
    return sink, out


def streams(path: Path) -> dict[str, list[tuple[float, float]]]:
    """(time, end) of every packet, by the kind of stream; of sound only the first stream."""
    found: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        wanted = [*container.streams.video, *container.streams.audio[:1]]
        for packet in container.demux(wanted):
            if packet.pts is not None:
                tick = packet.time_base
                found[packet.stream.type].append((float(packet.pts * tick), float((packet.pts + (packet.duration or 0)) * tick)))
    return found


def changed(clip: Path, out: Path, change: Callable[[str, int, int | None, Fraction], int | None], **options: Any) -> Path:
    """The packets of a clip in another file, each with the stamp that change(kind, number, stamp, tick) gives it."""
    counts = {"video": 0, "audio": 0}
    with av.open(str(clip)) as source, av.open(str(out), "w", **options) as output:
        copies = {s.index: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.pts is None:
                continue
            kind, tick = packet.stream.type, Fraction(packet.time_base)
            stamp = change(kind, counts[kind], packet.pts, tick)
            counts[kind] += 1
            packet.pts = stamp
            packet.dts = stamp
            packet.stream = copies[packet.stream.index]
            output.mux(packet)
    return out


def plain(folder: Path, name: str = "plain.mkv", frames: int = 90, **options: Any) -> Path:
    return write_clip(folder / name, frames, sound="aac", sound_seconds=frames / 30, options={"bf": "0"}, **options)


def repeated(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return stamp - round(Fraction(1024, 48000) / tick) if kind == "audio" and number % 10 == 5 else stamp


def far_ahead(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return stamp + round(DAY / tick) if stamp * tick >= 1 else stamp


def a_day_on(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return stamp + round(DAY / tick)


def twice_ahead(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return stamp + round(DAY / tick) * int(stamp * tick)


def pictures_ahead(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return far_ahead(kind, number, stamp, tick) if kind == "video" else stamp


def sound_ahead(kind: str, number: int, stamp: int, tick: Fraction) -> int:
    return far_ahead(kind, number, stamp, tick) if kind == "audio" else stamp


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("change", [repeated, far_ahead, twice_ahead, pictures_ahead, sound_ahead])
def test_bad_stamps_cost_neither_pictures_nor_sound(tmp_path: Path, change: Any, suffix: str) -> None:
    clip = changed(plain(tmp_path), tmp_path / "bad.mkv", change)
    sink, out = annotated(clip, suffix)
    assert sink.problem is None
    found = streams(out)
    assert len(found["video"]) == 90
    assert [t for t, _ in found["video"]] == pytest.approx([i / 30 for i in range(90)], abs=0.06)
    assert found["audio"][0][0] == pytest.approx(0, abs=0.06) and found["audio"][-1][1] == pytest.approx(3, abs=0.15)
    times = [t for t, _ in found["audio"]]
    assert all(0 <= b - a < 0.15 for a, b in zip(times, times[1:], strict=False))
    with av.open(str(out)) as container:
        assert container.duration / 1e6 == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("back", [1, 60, DAY], ids=["a second", "a minute", "a day"])
def test_matroska_whose_clock_is_put_back_goes_on(tmp_path: Path, back: int, suffix: str) -> None:
    """No muxer writes such a file; recorders that write their clusters themselves do. So the times of the later clusters are changed."""
    clusters = {"cluster_time_limit": "500", "live": "1"}
    clip = changed(plain(tmp_path), tmp_path / "later.mkv", a_day_on, options=clusters)
    data = bytearray(clip.read_bytes())
    first, at, changes = None, 0, 0
    while (at := data.find(b"\x1f\x43\xb6\x75", at) + 1) > 0:
        place = data.find(b"\xe7\x84", at) + 2  # Timestamp, 4 bytes
        time = int.from_bytes(data[place : place + 4], "big")
        first = time if first is None else first
        if time - first >= 1400:
            data[place : place + 4] = (time - 1000 * back).to_bytes(4, "big")
            changes += 1
    assert changes >= 2
    (tmp_path / "back.mkv").write_bytes(data)
    sink, out = annotated(tmp_path / "back.mkv", suffix)
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 90
    assert [t for t, _ in found["video"]] == pytest.approx([i / 30 for i in range(90)], abs=0.06)
    assert found["audio"][0][0] == pytest.approx(0, abs=0.06) and found["audio"][-1][1] == pytest.approx(3, abs=0.15)
    times = [t for t, _ in found["audio"]]
    assert all(0 <= b - a < 0.15 for a, b in zip(times, times[1:], strict=False))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("frames", [30, 90])
@pytest.mark.parametrize("late", [0, 3600, 90_000])
def test_two_transport_streams_joined_are_one_recording(tmp_path: Path, suffix: str, frames: int, late: int) -> None:
    """late: seconds by which the first part's stamps are ahead, as those of a camera whose clock is set."""
    part, seconds = plain(tmp_path, "part.ts", frames).read_bytes(), frames / 30
    ticks = [30 * late + i for i in range(frames)]
    first = write_clip(
        tmp_path / "first.ts", frames, ticks=ticks, sound="aac", sound_seconds=seconds, sound_delay=late, options={"bf": "0"}
    )
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + part)
    sink, out = annotated(tmp_path / "joined.ts", suffix)
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 2 * frames
    assert found["video"][-1][1] == pytest.approx(2 * frames / 30, abs=0.1)
    assert found["audio"][-1][1] == pytest.approx(2 * frames / 30, abs=0.15)


@pytest.mark.parametrize("seconds", [1, 12])
def test_stream_that_goes_on_under_other_numbers_is_followed(tmp_path: Path, seconds: int) -> None:
    first, n = plain(tmp_path, "a.ts", 30 * seconds), 30 * seconds
    ticks, pids = [n + i for i in range(n)], {"mpegts_start_pid": "512"}
    sound: dict[str, Any] = {"sound": "aac", "sound_seconds": seconds, "sound_delay": float(seconds)}
    later = write_clip(tmp_path / "b.ts", n, ticks=ticks, options={"bf": "0"}, container_options=pids, **sound)
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + later.read_bytes())
    with open_source(str(tmp_path / "joined.ts")) as source:
        times = [f.time for f in source]
        assert len(times) == 60 * seconds and times == pytest.approx([i / 30 for i in range(60 * seconds)], abs=0.07)
        assert any("followed" in note for note in source.notes)
    sink, out = annotated(tmp_path / "joined.ts", ".mp4")
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 60 * seconds
    assert found["audio"][-1][1] == pytest.approx(2 * seconds, abs=0.2)


@pytest.mark.parametrize("sound", ["aac", None])
@pytest.mark.parametrize("begins", [0.0, 2.0, 5000.0, DAY], ids=["anew", "where it was", "5000 s later", "a day later"])
@pytest.mark.parametrize("program", [False, True])
def test_other_numbers_with_another_clock_are_one_recording(tmp_path: Path, program: bool, begins: float, sound: str | None) -> None:
    """A recorder that began anew, in the same file. begins: where the second part's clock stands. program: it has another one of those."""
    pids = {"mpegts_start_pid": "512", **({"mpegts_service_id": "7", "mpegts_pmt_start_pid": "600"} if program else {})}
    parts = []
    for name, first, options in (("a.ts", 0.0, {}), ("b.ts", begins, pids)):
        ticks = [round(30 * first) + i for i in range(60)]
        sounds: dict[str, Any] = {"sound": sound, "sound_seconds": 2.0, "sound_delay": first} if sound else {}
        parts.append(write_clip(tmp_path / name, 60, ticks=ticks, options={"bf": "0"}, container_options=options, **sounds).read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    with open_source(str(tmp_path / "joined.ts")) as source:
        times = [f.time for f in source]
        assert source.problem is None and any("followed" in note for note in source.notes)
        assert any("jumped" in note for note in source.notes) == (begins != 2.0)
    assert times == pytest.approx([i / 30 for i in range(120)], abs=0.1)
    sink, out = annotated(tmp_path / "joined.ts", ".mp4")
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 120
    assert not sound or found["audio"][-1][1] == pytest.approx(4, abs=0.2)


def test_three_recordings_under_two_sets_of_numbers_are_one(tmp_path: Path) -> None:
    data = b""
    for name, first, pid in (("a.ts", 0, "256"), ("b.ts", 5000, "512"), ("c.ts", 0, "512"), ("d.ts", 0, "256")):
        ticks = [30 * first + i for i in range(60)]
        sound: dict[str, Any] = {"sound": "aac", "sound_seconds": 2.0, "sound_delay": float(first)}
        clip = write_clip(tmp_path / name, 60, ticks=ticks, options={"bf": "0"}, container_options={"mpegts_start_pid": pid}, **sound)
        data += clip.read_bytes()
    (tmp_path / "joined.ts").write_bytes(data)
    with open_source(str(tmp_path / "joined.ts")) as source:
        assert [f.time for f in source] == pytest.approx([i / 30 for i in range(240)], abs=0.2)
        assert source.problem is None


def test_second_track_of_pictures_in_a_file_is_left_alone(tmp_path: Path) -> None:
    """Written behind the first one, as some editors do: its stamps begin before those of the first end."""
    with av.open(str(plain(tmp_path))) as source, av.open(str(tmp_path / "two.mp4"), "w") as output:
        video = source.streams.video[0]
        copies = [output.add_stream_from_template(video) for _ in range(2)]
        packets = [p for p in source.demux(video) if p.pts is not None]
        for copy in copies:
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.time_base, again.duration = packet.pts, packet.pts, packet.time_base, packet.duration
                again.is_keyframe, again.stream = packet.is_keyframe, copy
                output.mux_one(again)
    with open_source(str(tmp_path / "two.mp4")) as found:
        assert len(list(found)) == 90 and found.notes == ()


def test_sound_that_goes_on_in_another_codec_is_said_to_be_lost(tmp_path: Path) -> None:
    first = plain(tmp_path, "a.ts")
    other = write_clip(tmp_path / "b.ts", 90, sound="ac3", sound_seconds=3.0, options={"bf": "0"})
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + other.read_bytes())
    sink, out = annotated(tmp_path / "joined.ts", ".mp4")
    assert len(streams(out)["video"]) == 180
    assert sink.problem is not None and "of sound were left out" in sink.problem


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("delay", [12.0, 1.5])
def test_sound_that_begins_late_begins_late(tmp_path: Path, suffix: str, delay: float) -> None:
    clip = write_clip(tmp_path / "late.mkv", 450, sound="aac", sound_seconds=2, sound_delay=delay, options={"bf": "0"})
    sink, out = annotated(clip, suffix)
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 450
    assert found["audio"][0][0] == pytest.approx(delay, abs=0.05)


def test_all_tracks_of_sound_are_taken_along(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.mkv"), "w") as output, av.open(str(plain(tmp_path))) as source:
        video, sound = source.streams.video[0], source.streams.audio[0]
        copies = [output.add_stream_from_template(video), *(output.add_stream_from_template(sound) for _ in range(2))]
        for packet in source.demux():
            if packet.pts is None:
                continue
            again = av.Packet(bytes(packet))
            again.pts, again.dts, again.time_base, again.duration = packet.pts, packet.dts, packet.time_base, packet.duration
            again.is_keyframe = packet.is_keyframe
            if packet.stream.type == "audio":
                again.stream = copies[2]
                output.mux(again)
            packet.stream = copies[0 if packet.stream.type == "video" else 1]
            output.mux(packet)
    _, out = annotated(tmp_path / "two.mkv", ".mp4")
    with av.open(str(out)) as container:
        assert len(container.streams.audio) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_damaged_sound_costs_no_picture(tmp_path: Path, suffix: str) -> None:
    clip = plain(tmp_path)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "bad.mkv"), "w") as output:
        copies = {s.index: output.add_stream_from_template(s) for s in source.streams}
        for number, packet in enumerate(source.demux()):
            if packet.pts is None:
                continue
            broken = packet
            if packet.stream.type == "audio" and number % 3:
                broken = av.Packet(b"\xff" * (number % 50 + 1))
                broken.pts, broken.dts, broken.time_base, broken.duration = packet.pts, packet.dts, packet.time_base, packet.duration
            broken.stream = copies[packet.stream.index]
            output.mux(broken)
    _, out = annotated(tmp_path / "bad.mkv", suffix)
    assert len(streams(out)["video"]) == 90


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le", "mp2", "ac3", "libopus", "libmp3lame"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_any_codec_of_sound_gets_through(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(plain(tmp_path))) as source, av.open(str(clip), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        sound: Any = output.add_stream(codec, rate=48000, layout="mono")
        for packet in source.demux():
            if packet.stream.type == "video" and packet.pts is not None:
                packet.stream = video
                output.mux(packet)
            elif packet.stream.type == "audio":
                for frame in packet.decode():
                    output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    sink, out = annotated(clip, suffix)
    found = streams(out)
    assert sink.problem is None and len(found["video"]) == 90
    assert found["audio"][-1][1] - found["audio"][0][0] == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("fps", [1 / 3600, 0.0002, 2000, 0.0])
def test_any_nominal_rate_makes_a_video(tmp_path: Path, fps: float) -> None:
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), numbered_picture(i))
    out = tmp_path / "out.mp4"
    with open_source(str(tmp_path), ReadOptions(fps=fps or 25)) as source:
        of = header(source.info)
        with VideoSink(out, of, lambda r: r.frame.image, SinkOptions(to_end=True)) as sink:
            for frame in source:
                sink.write(FrameResult(frame, Detections.empty(), True, {}))
            sink.finish(summary(of))
    with av.open(str(out)) as container:
        assert container.duration / 1e6 == pytest.approx(4 / (fps or 25), rel=1e-3)
        assert len(list(container.decode(video=0))) == 4
