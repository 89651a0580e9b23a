"""Every clip of the shared data against an independent decode."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from skipvid.video.sources.open import open_source
from skipvid.video.sources.specs import IMAGE_SUFFIXES, VIDEO_SUFFIXES

DATA = Path(os.environ.get("SKIPVID_DATA", "/nonexistent"))
pytestmark = [pytest.mark.realdata, pytest.mark.skipif(not DATA.is_dir(), reason="SKIPVID_DATA names no folder")]

CLIPS = sorted(p for part in ("videos", "sequences") for p in (DATA / part).rglob("*") if p.suffix in VIDEO_SUFFIXES)
FOLDERS = sorted({p.parent for p in (DATA / "sequences").rglob("*") if p.suffix in IMAGE_SUFFIXES})


def independent_count(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        return sum(1 for _ in container.decode(stream))


@pytest.mark.parametrize("path", CLIPS, ids=lambda p: p.name)
def test_clip_is_read_whole_with_rising_times(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_source(str(path)) as source:
        times, shapes = [], set()
        for frame in source:
            assert frame.index == len(times)
            times.append(frame.time)
            shapes.add(frame.image.shape)
    assert len(times) == independent_count(path)
    assert shapes == {(source.info.height, source.info.width, 3)}
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert source.info.duration == pytest.approx(times[-1] + times[-1] / (len(times) - 1), rel=0.03)
    assert source.problem is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.parent.name + "/" + p.name)
def test_folder_is_read_whole(folder: Path) -> None:
    with open_source(str(folder)) as source:
        assert sum(1 for _ in source) == sum(p.suffix in IMAGE_SUFFIXES for p in folder.iterdir())
        assert source.problem is None
