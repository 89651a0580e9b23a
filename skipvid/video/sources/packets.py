"""The packets of a recording's pictures and sound, in the file's order and on one repaired clock.

Who reads the pictures and who copies the sound open the file each for themselves; both see the same repair, because it follows from the
packets alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from skipvid.core.errors import SourceError
from skipvid.video.sources.containers import Pipe, main_video_stream, open_container, reason
from skipvid.video.sources.timeline import JITTER, Timeline
from skipvid.video.sources.timing import nominal_rate

_GENERATE_PTS = 0x0001  # AVFMT_FLAG_GENPTS
_STREAMED = frozenset({"mpegts", "mpeg", "flv", "live_flv", "rtsp", "hls"})
"""Formats made for sending: where their stamps jump by more than _JUMP_STREAMED seconds, the sender began anew."""
_JUMP_STREAMED = 60.0
_JUMP_FILED = 600.0
"""The same for files with an index, in which a recorder that writes only what changes may well leave a long gap."""
_SILENT = Fraction(1)
"""Seconds for which the pictures' stream must be behind another one with pictures before that one takes its place."""
_MORE_BYTES = 1 << 16
_TS_PACKET = 188


class PacketReader:
    """Iterate over it once: packets of `stream` (pictures) and of all sound, their stamps repaired; it never raises on damaged data.

    stream: where the pictures come from now. It changes where a broadcast goes on under other numbers (PIDs, programs): then the other
    stream is followed, from its first packet on. origin: the start of the pictures in seconds on the repaired clock, known with the first
    packet of them. broken_off: why reading ended early. followed: times at which another stream was followed.
    """

    def __init__(self, where: str | Pipe, name: str, timeout: float | None = None, path: Path | None = None) -> None:
        self._name, self._timeout, self._path = name, timeout, path
        self.container = open_container(where, name, timeout)
        self._past: list[av.container.InputContainer] = []
        self.broken_off: str | None = None
        self.followed: list[float] = []
        self.bytes_left = 0
        self._position = 0
        try:
            self.stream = main_video_stream(self.container, name)
            # PyAV asks libav to make up missing presentation stamps; for AVI with B-frames it makes up wrong ones (the decoding order).
            self.container.flags &= ~_GENERATE_PTS
        except BaseException:
            self.container.close()
            raise
        format = self.container.format.name
        streamed = format in _STREAMED
        self.timeline = Timeline(_JUMP_STREAMED if streamed else _JUMP_FILED, "matroska" not in format, streamed)
        self._origin: Fraction | None = None

    @property
    def origin(self) -> Fraction:
        """Where the pictures begin, in seconds on the repaired clock: the container's word, unless the first packet is far from it."""
        if self._origin is not None:
            return self._origin
        return (self.stream.start_time or 0) * Fraction(self.stream.time_base or 0)

    @property
    def key(self) -> tuple[int, int]:
        """The timeline's name of the pictures' stream."""
        return len(self._past), self.stream.index

    def close(self) -> None:
        for container in (*self._past, self.container):
            container.close()

    def __iter__(self) -> Iterator[av.Packet[Any]]:
        while True:
            yield from self._of_container()
            if not self._reopen():
                return

    def _of_container(self) -> Iterator[av.Packet[Any]]:
        waiting: list[av.Packet[Any]] = []  # of another stream with pictures, since the last packet of this one
        last: Fraction | None = None
        for packet in self._demuxed():
            stamp = self._repair(packet)
            if packet.stream.type != "video":
                yield packet
                continue
            if packet.stream.index == self.stream.index:
                waiting.clear()
                last = stamp if last is None or stamp is None else _later(last, stamp)
                self._position = packet.pos or self._position
                self._locate(stamp)
                yield packet
                continue
            if _is_cover(packet.stream) or packet.stream.codec_context is None:
                continue
            if last is None or stamp is None or (waiting and waiting[0].stream.index != packet.stream.index):
                continue
            patience = _later(_SILENT, 20 * self.timeline.usual(self.key))
            if last - stamp > patience:
                continue
            waiting.append(packet)
            if stamp - last > patience:
                yield from self._follow(waiting, last)
        if waiting and last is not None and (_seconds(waiting[-1]) or 0) > last:
            yield from self._follow(waiting, last)

    def _follow(self, waiting: list[av.Packet[Any]], last: Fraction) -> Iterator[av.Packet[Any]]:
        self.stream = waiting[0].stream
        self.followed.append(float(last - self.origin))
        self._position = waiting[-1].pos or self._position
        yield from waiting
        waiting.clear()

    def _demuxed(self) -> Iterator[av.Packet[Any]]:
        packets = self.container.demux([*self.container.streams.video, *self.container.streams.audio])
        while True:
            try:
                packet = next(packets, None)
            except IndexError:  # PyAV's way of saying that streams came up after the start
                return
            except (av.FFmpegError, OSError) as error:
                self.broken_off = reason(error, self._timeout)
                return
            if packet is None:
                return
            if packet.size:  # the empty ones at the end are PyAV's; whoever decodes drains his decoder himself
                yield packet

    def _repair(self, packet: av.Packet[Any]) -> Fraction | None:
        """Put a packet's stamps on the repaired clock; its presentation time in seconds there."""
        tick = Fraction(packet.time_base or 0)
        if not tick:
            return None
        pts = None if packet.pts is None else packet.pts * tick
        dts = None if packet.dts is None else packet.dts * tick
        offset = self.timeline.offset((len(self._past), packet.stream.index), pts, dts, _step(packet.stream))
        if offset:
            shift = round(offset / tick)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        return _seconds(packet)

    def _locate(self, stamp: Fraction | None) -> None:
        if self._origin is None and stamp is not None:
            told = self.origin
            self._origin = told if abs(stamp - told) <= 20 * max(JITTER, _step(self.stream)) else stamp

    def _reopen(self) -> bool:
        """Go on behind the last picture where a transport stream has another program, which libav meets only when it looks anew."""
        if self._path is None or self.container.format.name != "mpegts" or self.broken_off is not None:
            return False
        size = os.path.getsize(self._path)
        if size - self._position < _MORE_BYTES:
            return False
        skip = str(self._position + _TS_PACKET)
        try:
            more = open_container(f"file:{self._path}", self._name, None, {"skip_initial_bytes": skip})
        except SourceError:
            return False
        try:
            stream = main_video_stream(more, self._name)
        except SourceError:
            more.close()
            return False
        self.followed.append(float((self.timeline.reach(self.key) or 0) - self.origin))
        self._past.append(self.container)
        self._position += _TS_PACKET
        self.container, self.stream = more, stream
        return True


def _later(a: Fraction, b: Fraction) -> Fraction:
    return a if a > b else b


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _seconds(packet: av.Packet[Any]) -> Fraction | None:
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None else stamp * Fraction(packet.time_base or 0)


def _step(stream: Any) -> Fraction:
    """The nominal distance of a stream's packets in seconds, 0 where unknown."""
    if stream.type == "video":
        rate = nominal_rate(stream)
        return 1 / rate if rate else Fraction(0)
    context = stream.codec_context
    return Fraction(context.frame_size or 1024, context.sample_rate) if context is not None and context.sample_rate else Fraction(0)
