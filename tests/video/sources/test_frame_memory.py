"""A frame's planes go when nobody holds the frame: megabytes must not wait for Python to look for garbage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clip_making import write_clip

# In a process of its own: frames that other tests left to the collector would be counted too.
COUNT_FRAMES = """
import gc
import sys

import av

from skipvid.video.sources.open import open_source

gc.disable()
with open_source(sys.argv[1]) as source:
    for frame in source:
        assert frame.image.size
    del frame
print(sum(type(each) is av.VideoFrame for each in gc.get_objects()))
"""


def test_decoded_frames_are_held_by_nothing_but_their_reader(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 60)
    done = subprocess.run([sys.executable, "-c", COUNT_FRAMES, str(clip)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10, f"{done.stdout.strip()} of 60 frames"
