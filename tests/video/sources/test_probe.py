from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clip_making import UNEVEN, cut, write_clip

from skipvid.core.errors import SourceError
from skipvid.video.sources.probe import probe


def test_probe_describes_a_phone_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "phone.mp4", 45, rotation=90, sound="aac", pixel_aspect=Fraction(4, 3))
    report = probe(str(path), count=True)
    assert report.source == "phone.mp4"
    assert "mp4" in report.container and report.codec == "h264" and report.pixel_format == "yuv420p"
    assert (report.width, report.height, report.rotation) == (96, 160, 90)
    assert report.pixel_aspect == pytest.approx(4 / 3)
    assert report.fps_nominal == pytest.approx(30) and report.fps_average == pytest.approx(30)
    assert report.variable_rate is False
    assert report.duration == pytest.approx(1.5)
    assert report.frames_claimed == report.frames_counted == 45
    assert report.audio_codec == "aac"
    assert report.problems == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_probe_tells_variable_from_constant_rate(tmp_path: Path, suffix: str) -> None:
    uneven = write_clip(tmp_path / f"uneven.{suffix}", len(UNEVEN), ticks=UNEVEN, tick=Fraction(1, 90000))
    even = write_clip(tmp_path / f"even.{suffix}", 60)
    assert probe(str(uneven)).variable_rate is True
    assert probe(str(even)).variable_rate is False


def test_probe_counts_only_when_asked(tmp_path: Path) -> None:
    path = cut(write_clip(tmp_path / "clip.mkv", 300), 0.5)
    quick, thorough = probe(str(path)), probe(str(path), count=True)
    assert quick.frames_counted is None and quick.problems == ()
    assert thorough.frames_counted is not None and 100 < thorough.frames_counted < 200
    assert thorough.problems == (f"read {thorough.frames_counted} of about 300 frames",)


def test_probe_of_one_frame_knows_no_rate(tmp_path: Path) -> None:
    report = probe(str(write_clip(tmp_path / "one.mkv", 1)), count=True)
    assert report.frames_counted == 1 and report.fps_average is None and report.variable_rate is None


def test_probe_of_what_is_no_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        probe(str(tmp_path / "gone.mp4"))
