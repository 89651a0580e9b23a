"""The file that the frames came from, opened a second time by a video output: for its clock, the shape of its pixels and its sound."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av

from skipvid.core.results import SourceInfo

_FINEST = 1_000_000
"""Ticks per second above which a source's clock is not taken over."""


class Original:
    """A second look at a source file. Nothing is decoded unless the sound must be coded anew.

    time_base: seconds per tick of the video stream, None where it is too fine or unknown. pixel_aspect: width / height of an upright pixel.
    """

    def __init__(self, container: av.container.InputContainer, rotation: int) -> None:
        self._container = container
        stream = next(s for s in _by_preference(container) if not s.disposition & av.stream.Disposition.attached_pic)
        tick = Fraction(stream.time_base or 0)
        self.time_base = tick if tick and tick.denominator <= _FINEST else None
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.pixel_aspect = 1 / aspect if rotation % 180 else aspect
        self.audio = container.streams.audio[0] if container.streams.audio else None
        self.start = (stream.start_time or 0) * tick
        """Where the video starts on the container's clock, in seconds: the zero of Frame.time."""

    @classmethod
    def open(cls, info: SourceInfo) -> Original | None:
        """The file behind a source; None for what is no video file, or cannot be opened any more."""
        if info.path is None or not info.path.is_file():
            return None
        try:
            container = av.open(f"file:{info.path}", metadata_errors="replace")
        except (av.FFmpegError, OSError):
            return None
        try:
            return cls(container, info.rotation)
        except StopIteration:
            container.close()
            return None

    def close(self) -> None:
        self._container.close()

    def packets(self, stream: av.AudioStream) -> Iterator[av.Packet[av.AudioStream]]:
        """The packets of one stream in the file's order, the last of them empty (it drains a decoder)."""
        return self._container.demux(stream)


def _by_preference(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video streams, the one that libav finds best in front."""
    best = container.streams.best("video")
    return sorted(container.streams.video, key=lambda s: best is None or s.index != best.index)
