"""Outputs of real clips: an AVI with B-frames and AAC, one with MP3, an MP4 with sound in front, pixels that are not square, an MKV."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from run_making import run

from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.video import VideoSink
from skipvid.video.sources.open import open_source

DATA = Path(os.environ.get("SKIPVID_DATA", "/nonexistent"))
pytestmark = [pytest.mark.realdata, pytest.mark.skipif(not DATA.is_dir(), reason="SKIPVID_DATA names no folder")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "sequences/pets09_s2l1/vtest_480x360.avi",
        "videos/fixed/video.avi",
        "sequences/towncentre_a/clip.mp4",
        "videos/moving/demo.mp4",
        "videos/intel/again.mkv",
    ],
)
def test_output_has_the_times_the_length_and_the_sound_of_the_clip(tmp_path: Path, name: str) -> None:
    clip, out = DATA / name, tmp_path / "out.mp4"
    sink = run(clip, lambda h: VideoSink(out, h, lambda r: r.frame.image, SinkOptions(to_end=True)))
    with open_source(str(clip)) as source:
        times, info = [frame.time for frame in source], source.info
    with av.open(str(out)) as written, av.open(str(clip)) as original:
        stream, before = written.streams.video[0], original.streams.video[0]
        assert np.array([float(f.pts * f.time_base) for f in written.decode(stream)]) == pytest.approx(np.array(times), abs=1e-9)
        assert float(stream.duration * stream.time_base) == pytest.approx(info.duration, abs=1e-3)
        assert (stream.sample_aspect_ratio or 1) == (before.sample_aspect_ratio or 1)
        assert bool(written.streams.audio) == info.has_audio
    if info.has_audio:
        copied, packets = sound(out), sound(clip)
        if packets[0][:2] == b"\xff\xf1":  # ADTS headers have no place in MP4
            packets = [p[7:] for p in packets]
        assert copied == packets[len(packets) - len(copied) :] and len(packets) - len(copied) <= 1  # one packet of priming, before 0
    assert sink.problem is None


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.pts is not None]
