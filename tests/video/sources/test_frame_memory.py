"""A frame's planes go when nobody holds the frame: megabytes must not wait for Python to look for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from clip_making import write_clip

from skipvid.video.sources.open import open_source


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_decoded_frames_are_held_by_nothing_but_their_reader(tmp_path: Path, no_collection: None) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 60)
    with open_source(str(clip)) as source:
        for frame in source:
            assert frame.image.size
        del frame
    alive = sum(type(each) is av.VideoFrame for each in gc.get_objects())
    assert alive < 10, f"{alive} of 60 frames"
