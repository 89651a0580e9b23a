"""Video files, URLs and pipes, decoded by PyAV.

Why not OpenCV: it is hardly faster (H.264 to BGR on two cores: 223 against 185 frames/s at 1080p, 1,307 against 1,630 at 768×432; what
makes PyAV fast is one reformatter kept for all frames), its CAP_PROP_POS_MSEC is 0 for every frame of an AVI with B-frames, it cannot
read a pipe, and it tells a damaged file from a finished one only on stderr.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, cast

import av
from av.sidedata.sidedata import SideData

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo
from skipvid.video.sources.arrivals import PUSHED, STAMPLESS, Arrivals
from skipvid.video.sources.base import Source
from skipvid.video.sources.colour import ColourNotes
from skipvid.video.sources.containers import ContainerFacts, Pipe, expected_frames, video_seconds
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.options import ReadOptions, Selection
from skipvid.video.sources.orientation import Orientation
from skipvid.video.sources.packets import PacketReader
from skipvid.video.sources.timing import ArrivalClock, PresentationClock, nominal_rate

DECODE_THREADS = min(4, os.cpu_count() or 1)
"""Enough for 4K, and leaves the rest of a large machine to the network."""

_SOUND_LONGER = 1.0
"""Seconds by which the sound must outlast the pictures to be worth a word."""


class VideoSource(Source):
    """The frames of one video, upright, in presentation order, each with its own time (variable frame rate is kept).

    where: a path or URL for libav, or a Pipe. name: for messages and results. path: the file, where there is one.
    container: opened already.
    Opening decodes the first frame, because only a frame tells its rotation; a video without one is refused there.
    Time 0 is the start of the video stream. Raises SourceError where there is no video stream, no decodable frame, or no frame in the
    wanted range.
    """

    def __init__(
        self,
        where: str | Pipe,
        name: str,
        options: ReadOptions,
        path: Path | None = None,
        container: av.container.InputContainer | None = None,
    ) -> None:
        self._name = name
        self._options = options
        timeout = None if path is not None or isinstance(where, Pipe) else options.timeout
        self._reader = PacketReader(where, name, timeout, path, container)
        self._lock = Lock()
        self._iterating = self._closing = False
        self._damaged = 0
        self._tick = Fraction(1, 1000)
        self._arrivals: Arrivals[av.Packet[Any]] | None = None
        self._arrival_clock: ArrivalClock | None = None
        try:
            container, self._stream = self._reader.container, self._reader.stream
            self._clock = PresentationClock(nominal_rate(self._stream))
            if path is None and container.format.name in STAMPLESS and not _has_end(where, container):
                self._arrivals = Arrivals(self._reader)
            self._frames = self._decoded()
            first = next(self._frames, None)
            if first is None:
                raise SourceError(f"{name} holds no frame that can be decoded", self._reader.broken_off or "it is empty or damaged")
            self._first: av.VideoFrame | None = first
            self._converters = Converters()
            self._orientation = orientation_of(first)
            self._date_by_arrival()
            self.facts = ContainerFacts.of(container, self._stream)
            self.info = self._describe(first, path)
        except BaseException:
            self._release()
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the colours and to the clock so far."""
        return self._noted + self._clock_notes()

    def _release(self) -> None:
        if self._arrivals is not None:
            self._arrivals.stop(self._reader.close)
        else:
            self._reader.close()

    def _date_by_arrival(self) -> None:
        """Decide by which clock a stream without time stamps goes, and say so."""
        if self._arrivals is None:
            return
        if self._reader.container.format.name in PUSHED or self._arrivals.paced(self._clock.frame_seconds):
            self._arrival_clock = ArrivalClock()
            self.note("it has no time stamps: frames are dated by their arrival")
        else:
            self.note(f"it has no time stamps: {1 / self._clock.frame_seconds:.4g} frames a second are assumed")

    def _clock_notes(self) -> tuple[str, ...]:
        lines = []
        if jumps := self._reader.timeline.jumps:
            where, by = jumps[0]
            first = f"by {by:+.1f} s at {max(where - float(self._reader.origin), 0):.2f} s"
            lines.append(
                f"time stamps jumped {first}" + (f", and {len(jumps) - 1} times more" if len(jumps) > 1 else "") + "; the clock goes on"
            )
        if followed := self._reader.followed:
            lines.append(f"the pictures go on in another stream from {followed[0]:.2f} s on, which was followed")
        return tuple(lines)

    def _describe(self, first: av.VideoFrame, path: Path | None) -> SourceInfo:
        width, height = first.width, first.height
        if self._orientation.transpose:
            width, height = height, width
        container = self._reader.container
        by_arrival = self._arrival_clock is not None
        return SourceInfo(
            name=self._name,
            width=width,
            height=height,
            fps=0.0 if by_arrival else float(nominal_rate(self._stream) or 0),
            frames=self._stream.frames or None,
            duration=video_seconds(container, self._stream),
            has_audio=bool(container.streams.audio),
            rotation=self._orientation.rotation,
            live=by_arrival,
            path=path,
            codec=self.facts.codec,
        )

    def _selected(self, first: av.VideoFrame) -> Iterator[Frame]:
        selection = Selection(self._options)
        index = delivered = 0
        seconds = 0.0
        colours = ColourNotes()
        frame: av.VideoFrame | None = first
        started = time.perf_counter()
        while frame is not None and not self._closing:
            seconds = self._time_of(frame)
            if selection.finished(seconds):
                break
            if selection.take(seconds):
                self.note(colours.of(frame))
                picture = DecodedPicture(frame, self._orientation, self._converters)
                elapsed = time.perf_counter() - started
                yield Frame(picture, index, seconds, self._name, 1000 * elapsed)
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
            if self.problem is None:
                self.note(self._pictures_end_early())
        if not delivered:
            end = seconds + self._clock.frame_seconds
            raise SourceError(f"{self._name} ends at {end:.2f} s, before the start at {self._options.start:g} s", "give an earlier --start")

    def _time_of(self, frame: av.VideoFrame) -> float:
        if self._arrival_clock is not None and self._arrivals is not None:
            return self._arrival_clock.stamp(self._arrivals.arrival)
        if self._arrivals is not None:
            frame.pts = frame.dts = None  # made up by libav, and not always evenly
        return self._clock.stamp(frame, self._tick, self._reader.origin)

    def _decoded(self) -> Generator[av.VideoFrame, None, None]:
        """Every frame that can be decoded. Damaged packets are counted and passed over, as players do."""
        packets: Iterable[av.Packet[Any]] = self._arrivals if self._arrivals is not None else self._reader
        stream: av.VideoStream | None = None
        # The packets of sound are read along only to know how far the file reaches, and where its clock jumps.
        for packet in packets:
            if packet.stream.type != "video":
                continue
            if stream is None or packet.stream.index != stream.index or packet.stream.container is not stream.container:
                if stream is not None:
                    yield from self._decode(stream, None)
                stream = cast(av.VideoStream, packet.stream)
                self._tick = Fraction(stream.time_base or Fraction(1, 1000))
                if stream.codec_context.is_open:  # it was left before
                    stream.codec_context.flush_buffers()
                else:
                    # Frames in several threads come late by as many frames, which a stream at its own pace cannot afford.
                    stream.thread_type = "AUTO" if self._arrivals is None else "SLICE"
                    stream.codec_context.thread_count = DECODE_THREADS
            yield from self._decode(stream, packet)
        if stream is not None:
            yield from self._decode(stream, None)

    def _decode(self, stream: av.VideoStream, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
        try:
            return list(stream.decode(packet))
        except av.FFmpegError:
            self._damaged += packet is not None
            return []

    def _find_problem(self, read: int) -> str | None:
        """One line where less could be read than the container promised; called after the last frame."""
        lines = []
        reader = self._reader
        expected = None
        if not reader.followed and not reader.timeline.jumps:
            expected = expected_frames(reader.container, self._stream, reader.timeline.now or Fraction(0), read)
        if expected is not None:
            lines.append(f"read {read} of about {expected} frames")
        elif self._damaged and reader.broken_off is None:
            lines.append(f"passed over {self._damaged} damaged packet{'s' if self._damaged > 1 else ''}")
        if reader.broken_off is not None:
            lines.append(f"reading broke off after {read} frames: {reader.broken_off}")
        if self._clock.backward_jumps:
            lines.append(f"time stamps ran backwards {self._clock.backward_jumps} times")
        return "; ".join(lines) or None

    def _pictures_end_early(self) -> str | None:
        reader = self._reader
        pictures, all_streams = reader.timeline.reach(reader.key), reader.timeline.now
        if pictures is None or all_streams is None:
            return None
        if float(all_streams - pictures) <= _SOUND_LONGER + 2 * float(reader.timeline.usual(reader.key)):
            return None
        return (
            f"the pictures end at {float(pictures - reader.origin):.2f} s, the sound goes on to {float(all_streams - reader.origin):.2f} s"
        )


def _has_end(where: str | Pipe, container: av.container.InputContainer) -> bool:
    """Whether what is read is a file in truth: one that was redirected into stdin, or that a server sends with its length."""
    return where.is_file if isinstance(where, Pipe) else container.size > 0


def orientation_of(frame: av.VideoFrame) -> Orientation:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Orientation() if matrix is None else Orientation.from_display_matrix(bytes(cast(SideData, matrix)))
