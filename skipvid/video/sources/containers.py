"""What libav knows of a video file, stream or pipe before a frame is decoded, and what of it can be believed."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av

from skipvid.core.errors import SourceError
from skipvid.video.sources.specs import is_url
from skipvid.video.sources.timing import nominal_rate


class Pipe:
    """A readable stream for libav that offers no seek, and returns what is there instead of waiting for a full buffer."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read = getattr(stream, "read1", stream.read)
        self.ended = False
        self._head = b""
        self.is_file = _is_file(stream)

    def read(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        data = self._read(size)
        self.ended = not data
        return data

    @property
    def is_jpeg(self) -> bool:
        """Whether it begins with a JPEG picture; waits for the first bytes."""
        if not self._head:
            self._head = self._read(4096)
        return self._head.startswith(b"\xff\xd8\xff")


def _is_file(stream: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """libav's names of the parts of a video. pixel_aspect: width / height of a pixel as stored, 1.0 where nothing is said."""

    container: str
    codec: str
    pixel_format: str
    pixel_aspect: float = 1.0
    audio_codec: str | None = None

    @classmethod
    def of(cls, container: av.container.InputContainer, stream: av.VideoStream) -> ContainerFacts:
        audio = container.streams.audio[0] if container.streams.audio else None
        return cls(
            container=container.format.name,
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
            pixel_aspect=float(stream.sample_aspect_ratio or 1),
            audio_codec=audio.codec_context.name if audio is not None and audio.codec_context is not None else None,
        )


def open_container(
    where: str | Pipe, name: str, timeout: float | None, options: dict[str, str] | None = None
) -> av.container.InputContainer:
    """Open a path, URL or pipe. timeout: seconds that opening, and each later read, may take. Raises SourceError."""
    # Pictures that libav collects to find the format and guess a rate would all seem to have arrived at once.
    jpeg = isinstance(where, Pipe) and where.is_jpeg
    options = {**(options or {}), **({"fpsprobesize": "0", "analyzeduration": "1000"} if jpeg else {})}
    begin = time.monotonic()
    try:
        container = av.open(where, "r", "mjpeg" if jpeg else None, timeout=timeout, metadata_errors="replace", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        # libav's error holds the address, and with it the password: a traceback must not show it.
        cause = None if isinstance(where, str) and is_url(where) else error
        said = reason(error, timeout)
        if cause is None and timeout is not None and time.monotonic() - begin >= timeout:
            said = f"no data for {timeout:g} s"  # libav has other words for it: of RTSP, that the data are invalid
        raise SourceError(f"{name} cannot be opened: {said}", _hint(where, error)) from cause
    if container.format.name == "tty":  # libav would render it as a terminal does
        container.close()
        raise SourceError(f"{name} is a text file", "give a video file, a folder of images or a URL")
    return container


def main_video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The main video stream; the cover picture of a song is none. Raises SourceError where there is none that can be decoded."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        found = "only sound" if container.streams.audio else "no video stream"
        raise SourceError(f"{name} has {found}", "give a file with moving pictures")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a way that this libav cannot decode", "convert it to H.264 first")
    return stream


def video_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Where the video ends, in seconds from its start, as the container says; None where it says nothing."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    start = (stream.start_time or 0) * (stream.time_base or Fraction(0))
    end = _tagged_seconds(stream) or _container_end(container)
    return float(end - start) if end > start else None


def expected_frames(container: av.container.InputContainer, stream: av.VideoStream, reach: Fraction, read: int) -> int | None:
    """About how many frames there should have been, or None where the packets reach as far as the container says they do.

    The frame count of a container is no evidence (AVI counts dropped frames, MP4 those cut away by an edit list); how far the last packet
    of any stream reaches is. reach: its end in seconds on the container's clock. read: frames that were decoded.
    """
    rate = nominal_rate(stream)
    promised = _container_end(container)
    if container.format.name == "avi" and rate:
        # The duration of a cut AVI is guessed from its size; its header still has the count of time slots.
        promised = max(promised, stream.frames / rate)
    if not rate or promised - reach <= max(Fraction(5, 2) / rate, Fraction(1, 4)):
        return None
    expected = stream.frames or round(promised * rate)
    return expected if expected > read else None


def reason(error: Exception, timeout: float | None) -> str:
    """libav's or the system's own words, short. libav calls a timeout an "immediate exit"."""
    if isinstance(error, av.error.ExitError) and timeout is not None:
        return f"no data for {timeout:g} s"
    return str(getattr(error, "strerror", None) or error)


def _container_end(container: av.container.InputContainer) -> Fraction:
    return Fraction((container.duration or 0) + (container.start_time or 0), av.time_base)


def _tagged_seconds(stream: av.VideoStream) -> Fraction | None:
    """Matroska knows only the duration of the whole file; its common writers tag each stream with its own end, HH:MM:SS.fraction."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except (KeyError, ValueError):
        return None


def _hint(where: str | Pipe, error: Exception) -> str:
    if isinstance(where, Pipe):
        return "pipe MKV, MPEG-TS or MJPEG; an MP4 can only be piped with its index in front (ffmpeg -movflags faststart)"
    if "://" in where:
        return "check the address and the network"
    if isinstance(error, av.InvalidDataError):
        return "it is no video, or it is cut off before its index (a recording that was never finished)"
    return "check the path and its permissions"
