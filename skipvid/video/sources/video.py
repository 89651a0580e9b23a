"""Video files, URLs and pipes, decoded by PyAV.

Why not OpenCV: it is hardly faster (H.264 to BGR on two cores: 223 against 185 frames/s at 1080p, 1,307 against 1,630 at 768×432; what
makes PyAV fast is one reformatter kept for all frames), its CAP_PROP_POS_MSEC is 0 for every frame of an AVI with B-frames, it cannot
read a pipe, and it tells a damaged file from a finished one only on stderr.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo
from skipvid.video.sources.base import Source
from skipvid.video.sources.containers import ContainerFacts, Pipe, expected_frames, main_video_stream, open_container, reason, video_seconds
from skipvid.video.sources.options import ReadOptions, Selection
from skipvid.video.sources.orientation import Orientation
from skipvid.video.sources.timing import PresentationClock, nominal_rate

_DECODE_THREADS = min(4, os.cpu_count() or 1)
"""Enough for 4K, and leaves the rest of a large machine to the network."""

_GENERATE_PTS = 0x0001  # AVFMT_FLAG_GENPTS


class VideoSource(Source):
    """The frames of one video, upright, in presentation order, each with its own time (variable frame rate is kept).

    where: a path or URL for libav, or a Pipe. name: for messages and results. path: the file, where there is one.
    Opening decodes the first frame, because only a frame tells its rotation; a video without one is refused there.
    Time 0 is the start of the video stream. Raises SourceError where there is no video stream, no decodable frame, or no frame in the
    wanted range.
    """

    def __init__(self, where: str | Pipe, name: str, options: ReadOptions, path: Path | None = None) -> None:
        self._name = name
        self._options = options
        self._timeout = None if path is not None or isinstance(where, Pipe) else options.timeout
        self._container = open_container(where, name, self._timeout)
        self._lock = Lock()
        self._iterating = self._closing = False
        self._damaged = 0
        self._reach = Fraction(0)
        self._broken_off: str | None = None
        try:
            self._stream = main_video_stream(self._container, name)
            # PyAV asks libav to make up missing presentation stamps; for AVI with B-frames it makes up wrong ones (the decoding order).
            self._container.flags &= ~_GENERATE_PTS
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = _DECODE_THREADS
            self._clock = PresentationClock(self._stream)
            self._frames = self._decoded()
            first = next(self._frames, None)
            if first is None:
                raise SourceError(f"{name} holds no frame that can be decoded", self._broken_off or "it is empty or damaged")
            self._first: av.VideoFrame | None = first
            self._reformatter = VideoReformatter()
            self._orientation = _orientation(first)
            self.facts = ContainerFacts.of(self._container, self._stream)
            self.info = self._describe(first, path)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        with self._lock:
            if self._closing:
                return
            if self._first is None:
                raise RuntimeError(f"{self._name} can be iterated only once")
            first, self._first = self._first, None
            self._iterating = True
        try:
            yield from self._selected(first)
        finally:
            with self._lock:
                self._iterating = False
                if self._closing:
                    self._release()

    def close(self) -> None:
        """Release the file. While another thread iterates, that thread releases it before its next frame."""
        with self._lock:
            self._closing = True
            if not self._iterating:
                self._release()

    def _release(self) -> None:
        self._frames.close()
        self._container.close()

    def _describe(self, first: av.VideoFrame, path: Path | None) -> SourceInfo:
        width, height = first.width, first.height
        if self._orientation.transpose:
            width, height = height, width
        return SourceInfo(
            name=self._name,
            width=width,
            height=height,
            fps=float(nominal_rate(self._stream) or 0),
            frames=self._stream.frames or None,
            duration=video_seconds(self._container, self._stream),
            has_audio=bool(self._container.streams.audio),
            rotation=self._orientation.rotation,
            path=path,
            codec=self.facts.codec,
        )

    def _selected(self, first: av.VideoFrame) -> Iterator[Frame]:
        selection = Selection(self._options)
        index = delivered = 0
        seconds = 0.0
        frame: av.VideoFrame | None = first
        started = time.perf_counter()
        while frame is not None and not self._closing:
            seconds = self._clock.stamp(frame)
            if selection.finished(seconds):
                break
            if selection.take(seconds):
                image = self._upright(frame)
                elapsed = time.perf_counter() - started
                yield Frame(image, index, seconds, self._name, 1000 * elapsed)
                delivered += 1
                started = time.perf_counter()
                # Asked before the next frame is decoded: a live pipe may not have one for long.
                if selection.finished(seconds):
                    break
            index += 1
            frame = next(self._frames, None)
        if self._closing:
            return
        if frame is None:
            self.problem = self._find_problem(index)
        if not delivered:
            end = seconds + self._clock.frame_seconds
            raise SourceError(f"{self._name} ends at {end:.2f} s, before the start at {self._options.start:g} s", "give an earlier --start")

    def _upright(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        image = self._reformatter.reformat(frame, format="bgr24", src_colorspace=_matrix(frame)).to_ndarray()
        return self._orientation.apply(np.asarray(image, np.uint8))

    def _decoded(self) -> Generator[av.VideoFrame, None, None]:
        """Every frame that can be decoded. Damaged packets are counted and passed over, as players do."""
        # The packets of sound and subtitles are read along only to know how far the file reaches.
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._broken_off = reason(error, self._timeout)
                return
            if packet is None:
                return
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.time_base is not None:
                self._reach = max(self._reach, (stamp + (packet.duration or 0)) * packet.time_base)
            # Not packet.stream_index: the packet that drains the decoder has none.
            if packet.stream.index != self._stream.index:
                continue
            try:
                frames: list[Any] = packet.decode()
            except av.FFmpegError:
                self._damaged += 1
                continue
            yield from frames

    def _find_problem(self, read: int) -> str | None:
        """One line where less could be read than the container promised; called after the last frame."""
        lines = []
        expected = expected_frames(self._container, self._stream, self._reach, read)
        if expected is not None:
            lines.append(f"read {read} of about {expected} frames")
        elif self._damaged and self._broken_off is None:
            lines.append(f"passed over {self._damaged} damaged packet{'s' if self._damaged > 1 else ''}")
        if self._broken_off is not None:
            lines.append(f"reading broke off after {read} frames: {self._broken_off}")
        if self._clock.backward_jumps:
            lines.append(f"time stamps ran backwards {self._clock.backward_jumps} times")
        return "; ".join(lines) or None


def _orientation(frame: av.VideoFrame) -> Orientation:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Orientation() if matrix is None else Orientation.from_display_matrix(bytes(cast(SideData, matrix)))


def _matrix(frame: av.VideoFrame) -> Colorspace | None:
    """The YUV matrix to assume. libav takes BT.601 for untagged video; players take BT.709 where the picture is larger than SD."""
    unspecified = 2  # AVCOL_SPC_UNSPECIFIED
    larger = frame.width >= 1280 or frame.height > 576
    return Colorspace.ITU709 if frame.colorspace == unspecified and larger and not frame.format.is_rgb else None
