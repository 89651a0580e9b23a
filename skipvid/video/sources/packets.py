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
_MORE_BYTES = 1 << 12
"""Of a transport stream, behind its last packet, in which another program may begin."""
_TS_PACKET = 188


class PacketReader:
    """Iterate over it once: packets of `stream` (pictures) and of all sound, their stamps repaired; it never raises on damaged data.

    stream: where the pictures come from now. It changes where a broadcast goes on under other numbers (PIDs, programs): then the other
    stream is followed, from its first packet on. origin: the start of the pictures in seconds on the repaired clock, known with the first
    packet of them. broken_off: why reading ended early. followed: times at which another stream was followed.
    """

    def __init__(
        self,
        where: str | Pipe,
        name: str,
        timeout: float | None = None,
        path: Path | None = None,
        container: av.container.InputContainer | None = None,
    ) -> None:
        self._name, self._timeout, self._path = name, timeout, path
        # Where a transport stream in a pipe gives its streams new PIDs, libav lets them go on as they were; a file is opened anew there.
        options = {"merge_pmt_versions": "1"} if path is None else None
        self.container = open_container(where, name, timeout, options) if container is None else container
        self._past: list[av.container.InputContainer] = []
        self.broken_off: str | None = None
        self.followed: list[float] = []
        self._pipe = where if isinstance(where, Pipe) else None
        self._position = 0
        self._next_at: int | None = None
        self._sound_reach: Fraction | None = None
        self._used: set[tuple[int, int]] = set()  # the timeline's names of the streams whose packets were yielded
        self._beside: set[int] = set()  # other streams with pictures, which ran while the one that is read did
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
        waiting: list[av.Packet[Any]] = []  # all that came since the last packet of the pictures, once another stream has some
        last: Fraction | None = None
        for packet in self._demuxed():
            if self._next_at is not None:
                if self._is_late(packet, last):
                    self._repair(packet)
                    yield packet
                continue
            self._repair(packet)
            is_video = packet.stream.type == "video"
            stamp = _seconds(packet) if is_video else None
            if not is_video:
                if waiting or (last is not None and self._may_be_of_others(packet)):
                    waiting.append(packet)
                else:
                    yield from self._sound(packet)
            elif packet.stream.index == self.stream.index:
                if not (waiting and _is_before(packet, waiting[0])):
                    self._beside.update(p.stream.index for p in waiting if p.stream.type == "video")
                    yield from (q for p in waiting if p.stream.type != "video" for q in self._sound(p))
                    waiting.clear()
                last = stamp if last is None or stamp is None else _later(last, stamp)
                self._position = max(self._position, packet.pos or 0)
                self._locate(stamp)
                self._used.add(self.key)
                yield packet
            elif last is not None and stamp is not None and self._may_follow(packet, waiting, stamp, last):
                waiting.append(packet)
                if stamp - self._silent_since(waiting, last) > self._patience():
                    yield from self._follow(waiting, last)
        if waiting and last is not None and self._next_at is None:
            if any(p.stream.type == "video" and p.stream.index not in self._beside for p in waiting):
                yield from self._follow(waiting, last)
            else:
                yield from (q for p in waiting if p.stream.type != "video" for q in self._sound(p))

    def _sound(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """The packet, unless it came before, from the container that was read up to here."""
        stamp = _seconds(packet) if self._is_transport_file() else None  # others are read once
        if stamp is not None:
            if self._past and self._sound_reach is not None and stamp <= self._sound_reach:
                return
            self._sound_reach = stamp if self._sound_reach is None or not self._past else max(self._sound_reach, stamp)
        self._used.add(self._key_of(packet))
        self._position = max(self._position, packet.pos or 0)
        yield packet

    def _may_be_of_others(self, packet: av.Packet[Any]) -> bool:
        """Whether sound that comes up in the middle may belong to pictures that are still to come, and run by their clock."""
        return self._is_transport_file() and self._key_of(packet) not in self._used

    def _key_of(self, packet: av.Packet[Any]) -> tuple[int, int]:
        return len(self._past), packet.stream.index

    def _silent_since(self, waiting: list[av.Packet[Any]], last: Fraction) -> Fraction:
        """Where the other stream with pictures began on its own clock, which in a transport stream may have nothing to do with the last."""
        first = next((p for p in waiting if p.stream.type == "video"), None)
        stamp = None if first is None or not self._is_transport_file() else _seconds(first)
        return last if stamp is None else stamp

    def _patience(self) -> Fraction:
        return _later(_SILENT, 20 * self.timeline.usual(self.key))

    def _may_follow(self, packet: av.Packet[Any], waiting: list[av.Packet[Any]], stamp: Fraction, last: Fraction) -> bool:
        """Whether a packet of another stream with pictures could be the first of those that take over, or one of them."""
        if _is_cover(packet.stream) or packet.stream.codec_context is None:
            return False
        if last - stamp > _SILENT and not self._is_transport_file():  # a second track, written behind the first one
            self._beside.add(packet.stream.index)
            return False
        first = next((p for p in waiting if p.stream.type == "video"), None)
        return first is None or first.stream.index == packet.stream.index

    def _follow(self, waiting: list[av.Packet[Any]], last: Fraction) -> Iterator[av.Packet[Any]]:
        first = next(p for p in waiting if p.stream.type == "video")
        if self._is_transport_file() and first.pos is not None:
            # The last packet of the stream that ended comes at the end of the file only. So this container is read to its end for it, and
            # another one goes on from here.
            self._next_at = min(p.pos for p in waiting if p.pos is not None and self._key_of(p) not in self._used)
        else:
            self.stream = first.stream
            self.followed.append(float(last - self.origin))
            for packet in waiting:
                yield from (packet,) if packet.stream.type == "video" else self._sound(packet)
        waiting.clear()

    def _is_late(self, packet: av.Packet[Any], last: Fraction | None) -> bool:
        """Whether a packet that comes after another stream took over is still one of those before."""
        if self._key_of(packet) not in self._used or (packet.stream.type == "video" and packet.stream.index != self.stream.index):
            return False
        offset = self.timeline.current(self._key_of(packet))
        stamp = _seconds(packet)
        if offset is None or stamp is None or last is None:
            return False
        return last - _SILENT <= stamp + offset <= last + _SILENT / 10

    def _is_transport_file(self) -> bool:
        return self._path is not None and self.container.format.name == "mpegts"

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
            if packet.size and not self._is_leftover(
                packet
            ):  # the empty ones at the end are PyAV's; whoever decodes drains his decoder himself
                yield packet

    def _is_leftover(self, packet: av.Packet[Any]) -> bool:
        """Whether this is the last packet of an earlier PID, which libav's transport stream lets go of only at the end of a pipe."""
        if self._pipe is None or not self._pipe.ended or self.container.format.name != "mpegts":
            return False
        reach, stamp = self.timeline.reach(self._key_of(packet)), _seconds(packet)
        offset = self.timeline.current(self._key_of(packet))
        return None not in (reach, stamp, offset) and reach - stamp - offset > JITTER  # type: ignore[operator]

    def _repair(self, packet: av.Packet[Any]) -> None:
        """Put a packet's stamps on the repaired clock."""
        tick = packet.time_base
        if not tick:
            return
        key = self._key_of(packet)
        offset = self.timeline.follow(key, packet.pts, packet.dts, tick)
        if offset is None:
            pts = None if packet.pts is None else packet.pts * tick
            dts = None if packet.dts is None else packet.dts * tick
            offset = self.timeline.offset(key, pts, dts, _step(packet.stream), bool(self._past))
        if offset:
            shift = round(offset / tick)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift

    def _locate(self, stamp: Fraction | None) -> None:
        if self._origin is None and stamp is not None:
            told = self.origin
            self._origin = told if abs(stamp - told) <= 20 * max(JITTER, _step(self.stream)) else stamp

    def _reopen(self) -> bool:
        """Go on behind the last packet where a transport stream has another program, which libav meets only when it looks anew."""
        if self._path is None or not self._is_transport_file() or self.broken_off is not None:
            return False
        begin = self._position + _TS_PACKET if self._next_at is None else self._next_at
        if self._next_at is None and os.path.getsize(self._path) - begin < _MORE_BYTES:
            return False
        try:
            more = open_container(f"file:{self._path}", self._name, None, {"skip_initial_bytes": str(begin)})
        except SourceError:
            return False
        try:
            stream = main_video_stream(more, self._name)
        except SourceError:
            more.close()
            return False
        self.followed.append(float((self.timeline.reach(self.key) or 0) - self.origin))
        self.timeline.keep(self._used)
        self._beside.clear()
        self._past.append(self.container)
        self._position, self._next_at = begin, None
        self.container, self.stream = more, stream
        return True


def _later(a: Fraction, b: Fraction) -> Fraction:
    return a if a > b else b


def _is_before(packet: av.Packet[Any], other: av.Packet[Any]) -> bool:
    """Whether a packet lies before another one in the file, although it comes out after it."""
    return packet.pos is not None and other.pos is not None and packet.pos < other.pos


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _seconds(packet: av.Packet[Any]) -> Fraction | None:
    stamp, tick = packet.dts if packet.pts is None else packet.pts, packet.time_base
    return stamp * tick if stamp is not None and tick else None


def _step(stream: Any) -> Fraction:
    """The nominal distance of a stream's packets in seconds, 0 where unknown."""
    if stream.type == "video":
        rate = nominal_rate(stream)
        return 1 / rate if rate else Fraction(0)
    context = stream.codec_context
    return Fraction(context.frame_size or 1024, context.sample_rate) if context is not None and context.sample_rate else Fraction(0)
