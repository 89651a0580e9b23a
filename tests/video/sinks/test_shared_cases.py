"""The files of public bug reports that issue 20 names, which stay outside the project: nothing of them is lost on the way to an output."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from run_making import run

from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.video import VideoSink
from skipvid.video.sources.open import open_source

pytestmark = pytest.mark.realdata

CASES = [
    # file, pictures, time of the last one (s), end of the output, end of its sound (None: silent), word of the notes
    ("dup.mkv", 75, 2.96, 3.0, 3.0, None),
    ("lapse.mp4", 5, 14_400.0, 18_000.0, None, None),
    ("hdrp.mp4", 6, 0.2, 0.24, None, "PQ"),
    ("pids.ts", 48, 1.8, 1.84, 1.84, "followed"),
    ("anim.webp", 8, None, None, None, None),
]


@pytest.fixture
def cases(data: Path) -> Path:
    folder = data.parent / "cases"
    if not folder.is_dir():
        pytest.skip("there is no folder of cases beside SKIPVID_DATA")
    return folder


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize(("name", "pictures", "last", "end", "sound", "word"), CASES, ids=[case[0] for case in CASES])
def test_case_gets_through_whole(
    cases: Path,
    tmp_path: Path,
    suffix: str,
    name: str,
    pictures: int,
    last: float | None,
    end: float | None,
    sound: float | None,
    word: str | None,
) -> None:
    with open_source(str(cases / name)) as source:
        frames = list(source)
        assert source.problem is None and any(word in note for note in source.notes) == (word is not None), source.notes
    assert len(frames) == pictures and (last is None or frames[-1].time == pytest.approx(last, abs=0.02))
    assert word != "PQ" or np.mean([frame.image.mean() for frame in frames]) > 60  # dark where it is not mapped
    out = tmp_path / f"out.{suffix}"
    sink = run(cases / name, lambda h: VideoSink(out, h, lambda r: r.frame.image, SinkOptions(to_end=True)))
    assert sink.problem is None
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == pictures
        assert (container.streams.video[0].codec_context.color_trc, len(container.streams.audio) > 0) == (1, sound is not None)
        assert end is None or container.duration / 1e6 == pytest.approx(end, abs=0.1)
    if sound is not None:
        with av.open(str(out)) as container:
            ends = [float((p.pts + (p.duration or 0)) * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
        assert ends[-1] == pytest.approx(sound, abs=0.15) and len(ends) > 40


def test_pictures_of_an_animation_lead_back_to_their_file(cases: Path) -> None:
    with open_source(str(cases / "anim.webp")) as source:
        frames = list(source)
    assert [frame.file for frame in frames] == [f"anim.webp#{number}" for number in range(8)]
    assert all(a.time < b.time for a, b in zip(frames, frames[1:], strict=False))
