"""Cameras and servers behind an address, and live video that is piped in: RTSP, RTMP, HLS, MJPEG and transport streams, through libav."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from skipvid.core.errors import SourceError
from skipvid.video.sources.arrivals import STAMPLESS
from skipvid.video.sources.base import Source
from skipvid.video.sources.colour import ColourNotes
from skipvid.video.sources.containers import ContainerFacts, Pipe, main_video_stream, open_container, reason
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.live import LiveSource, Shot
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.orientation import Orientation
from skipvid.video.sources.reconnect import lasting
from skipvid.video.sources.timing import nominal_rate
from skipvid.video.sources.video import DECODE_THREADS, VideoSource, orientation_of

ALWAYS_LIVE = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "srt", "udp", "rtp", "tcp"})
"""Kinds of addresses behind which nothing else is than a stream at its own pace."""

SCHEMES = ALWAYS_LIVE | {"http", "https"}

_ENDLESS = frozenset({"mpjpeg", "mpegts", "flv", "live_flv"})
"""Formats that, sent over HTTP without a length, come from a camera or a tuner."""

BEHIND = 1.0
"""Seconds without a pause in what arrives after which the decoder is taken to be too slow: then it leaves out what it can."""

_PAUSE = 2e-3
"""Seconds that a packet must be waited for to show that none was waiting."""

_LONGEST_SKIP = 10.0
"""Seconds after which decoding goes on without a keyframe: some cameras refresh pictures bit by bit and send none."""


class StreamFeed:
    """Pictures of a live stream as they come. See skipvid.video.sources.live.Feed.

    where: an address or a pipe. name: for messages. timeout: seconds that connecting, and waiting for each packet, may take.
    container: opened already. rtsp_transport: as libav calls them. Raises SourceError where there is no connection or no video in it.
    """

    steadfast = True  # libav gives up reading after the timeout

    def __init__(
        self,
        where: str | Pipe,
        name: str,
        timeout: float,
        rtsp_transport: str = "tcp",
        container: av.container.InputContainer | None = None,
    ) -> None:
        self._name, self._timeout = name, timeout
        self.endless = not isinstance(where, Pipe)
        self.hint = "check the address and the network" if self.endless else "check what is piped in"
        limit = None if isinstance(where, Pipe) else timeout
        self._container = container if container is not None else open_container(where, name, limit, stream_options(where, rtsp_transport))
        try:
            self._stream = main_video_stream(self._container, name)
            self._stream.thread_type = "SLICE"  # frames in several threads come late by as many frames
            self._stream.codec_context.thread_count = DECODE_THREADS
            self.facts = ContainerFacts.of(self._container, self._stream)
        except BaseException:
            self._container.close()
            raise
        # Segments come as whole files, seconds of video at once: they are shown at the pace of their stamps.
        self._paced = self._container.format.name == "hls"
        self.codec = self.facts.codec
        self._converters = Converters()
        self._orientation: Orientation | None = None
        self._colours = ColourNotes()
        self._stopped = threading.Event()
        self._passed_over = self._damaged = 0
        self._notes: tuple[str, ...] = ()
        # Made up by libav from a nominal rate.
        self._stampless = self._container.format.name in STAMPLESS
        self.fps = 0.0 if self._stampless else float(nominal_rate(self._stream) or 0)
        if self._stampless:
            self._notes = ("it has no time stamps: frames are dated by their arrival",)
        self._shots = self._read()

    def read(self) -> Shot | None:
        """The next picture. Raises SourceError where the stream breaks off."""
        return next(self._shots, None)

    def stop(self) -> None:
        """Let `read` end after the packet that it waits for."""
        self._stopped.set()

    def release(self) -> None:
        """Close the connection."""
        self._container.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """Of colours and the clock."""
        return self._notes

    @property
    def problem(self) -> str | None:
        """Packets that could not be decoded."""
        return f"passed over {self._damaged} damaged packet{'s' if self._damaged > 1 else ''}" if self._damaged else None

    def _read(self) -> Iterator[Shot]:
        origin: tuple[float, float] | None = None  # a stamp, and when its picture was due
        for packet in self._keeping_up():
            for frame in self._decode(packet):
                stamp = None if frame.pts is None or self._stampless else float(frame.pts * Fraction(frame.time_base or 0))
                if self._paced and stamp is not None:
                    origin = self._wait_until_due(stamp, origin)
                if self._stopped.is_set():
                    return
                yield self._shot(frame, stamp)

    def _keeping_up(self) -> Iterator[av.Packet[Any]]:
        """The packets of the pictures. Where the decoder falls behind, none are passed on until all that waits is read, and from there
        to the next keyframe."""
        paused = time.monotonic()  # when a packet had to be waited for
        skipping: float | None = None  # since when
        for packet, waited in self._packets():
            now = time.monotonic()
            caught_up = waited >= _PAUSE
            if caught_up or self._paced:
                paused = now
            if skipping is None and now - paused > BEHIND:
                skipping = now
            if skipping is not None and now - paused <= BEHIND and (packet.is_keyframe or now - skipping > _LONGEST_SKIP):
                skipping = None
                self._stream.codec_context.flush_buffers()
            if skipping is None:
                yield packet
            else:
                self._passed_over += 1

    def _packets(self) -> Iterator[tuple[av.Packet[Any], float]]:
        """Packets of the pictures, and how long each was waited for."""
        packets = self._container.demux(self._stream)
        while not self._stopped.is_set():
            begin = time.monotonic()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                if time.monotonic() - begin >= self._timeout:
                    packet = None
                else:
                    # Not chained: libav's own words hold the address, and with it the password.
                    raise SourceError(reason(error, self._timeout)) from None
            waited = time.monotonic() - begin
            if self.endless and waited >= self._timeout:
                # Interrupted, libav first hands out the packet that it kept to itself; it is old.
                raise SourceError(f"no data for {self._timeout:g} s")
            if packet is None:
                return
            if packet.size:
                yield packet, waited

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError:
            self._damaged += 1
            return []

    def _wait_until_due(self, stamp: float, origin: tuple[float, float] | None) -> tuple[float, float]:
        now = time.monotonic()
        if origin is None or not -2 * self._timeout < origin[1] + stamp - origin[0] - now < 2 * self._timeout:
            return stamp, now
        self._stopped.wait(max(origin[1] + stamp - origin[0] - now, 0.0))
        return origin

    def _shot(self, frame: av.VideoFrame, stamp: float | None) -> Shot:
        if self._orientation is None:
            self._orientation = orientation_of(frame)
        note = self._colours.of(frame)
        if note is not None and note not in self._notes:
            self._notes = (*self._notes, note)
        passed_over, self._passed_over = self._passed_over, 0
        return Shot(DecodedPicture(frame, self._orientation, self._converters), stamp, passed_over)


def open_address(spec: str, name: str, options: ReadOptions) -> Source:
    """A camera, a server or a file behind an address. Over http(s), what has an end is read as a recording, unless options.live says else.

    Raises SourceError where nothing answers, or what answers is no video.
    """
    scheme = spec.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise SourceError(f"{name}: this kind of address is not read", "give a file, an rtsp:// or http:// address, or - for stdin")
    if scheme not in ALWAYS_LIVE and options.live is False:
        return VideoSource(spec, name, options)
    container = open_container(spec, name, options.timeout, stream_options(spec, options.rtsp_transport))
    if scheme not in ALWAYS_LIVE and options.live is None and not _is_endless(container):
        return VideoSource(spec, name, options, container=container)
    return _lasting(spec, name, options, container)


def open_live_pipe(pipe: Pipe, name: str, options: ReadOptions) -> Source:
    """Live video on standard input: read at its pace, newest frame first. Its end is the end."""
    return LiveSource(StreamFeed(pipe, name, options.timeout), name, options)


def stream_options(where: str | Pipe, rtsp_transport: str) -> dict[str, str]:
    """What libav is told beside the address."""
    scheme = "" if isinstance(where, Pipe) else where.partition("://")[0].lower()
    if scheme not in ALWAYS_LIVE:
        return {}
    # Without the first, libav looks at twenty frames to guess a rate, and they are old when they come.
    quick = {"fpsprobesize": "0"}
    return {**quick, "rtsp_transport": rtsp_transport} if scheme in ("rtsp", "rtsps") else quick


def _lasting(spec: str, name: str, options: ReadOptions, container: av.container.InputContainer) -> LiveSource:
    def connect() -> StreamFeed:
        return StreamFeed(spec, name, options.timeout, options.rtsp_transport)

    first = StreamFeed(spec, name, options.timeout, options.rtsp_transport, container)
    return lasting(first, connect, name, options)


def _is_endless(container: av.container.InputContainer) -> bool:
    if container.format.name == "hls":
        return container.duration is None
    return container.format.name in _ENDLESS and container.size <= 0
