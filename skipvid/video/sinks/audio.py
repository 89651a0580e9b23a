"""The sound of a source, taken along into a video output: packet by packet where the container allows it, else coded anew.

Whatever is wrong with the sound, the pictures go on: a track that fails ends, and a line says where.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

from skipvid.video.sinks.adts import has_adts, has_sync_word, settings_of_adts, without_adts
from skipvid.video.sinks.original import Original

if TYPE_CHECKING:
    SoundPacket = av.Packet[av.AudioStream]  # av.Packet takes no parameter at run time

_RATE = 48000
_SLIP = Fraction(1, 2)
"""Seconds by which a packet may come too early and still be played in its turn; what is earlier has been heard already."""

_DISK = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT, errno.EPIPE, errno.EROFS})
_NEEDS_A_PACKET = frozenset({"ac3", "eac3"})
"""Codecs whose entry in an MP4 is made from their first packet."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """What an output takes. muxer: libav's name. copied: codecs that its players know. fallback: the encoder for all others."""

    muxer: str
    copied: frozenset[str]
    fallback: str


class Sound:
    """All sound of a source on its way into an output, in step with the pictures.

    start: seconds on the clock of Frame.time that become 0; sound before them is left out. Make it before the output's header is written.
    problems: a line for each track that is not as it was. Raises only where the disk does.
    """

    def __init__(self, original: Original, output: av.container.OutputContainer, format: SoundFormat, start: float) -> None:
        self._original = original
        self._start = start
        self.problems: list[str] = []
        self._tracks: list[_Track] = []
        self._by_stream: dict[tuple[int, int], _Track | None] = {}
        first = original.first_packets(start)
        for stream in original.sound:
            if stream.codec_context is None:
                self.problems.append("a track of sound was left out: this libav does not know its codec")
                continue
            packet = first.get(stream.index)
            if self._is_heir(stream, packet, first):
                continue
            try:
                track = _Track(stream, packet, output, format)
            except (av.FFmpegError, ValueError) as error:
                self.problems.append(f"a track of sound was left out: {error}")
                continue
            self._tracks.append(track)
            self._by_stream[_key(stream)] = track

    def _is_heir(self, stream: av.AudioStream, packet: SoundPacket | None, first: dict[int, SoundPacket]) -> bool:
        """Whether a stream goes on where a track ends, in a broadcast that changes its numbers."""
        if not self._original.is_broadcast or not any(_alike(stream, track.source) for track in self._tracks):
            return False
        begins = [float(p.pts * (p.time_base or 0)) for p in first.values() if p.pts is not None]
        return packet is None or packet.pts is None or float(packet.pts * (packet.time_base or 0)) - min(begins) > _SLIP

    def advance(self, until: float) -> None:
        """Write the sound that begins before `until` seconds after the start."""
        for time, packet in self._original.sound_until(until + self._start):
            track = self._track_of(packet, time)
            if track is None or track.failed:
                continue
            try:
                track.feed(packet, self._original.origin + Fraction(self._start))
            except (av.FFmpegError, ValueError) as error:
                self._end(track, error, time)

    def finish(self, end: float) -> None:
        """Write the sound up to `end` seconds after the start (infinity: all of it) and drain the encoders."""
        self.advance(end)
        for track in self._tracks:
            try:
                track.finish()
            except (av.FFmpegError, ValueError) as error:
                self._end(track, error, end + self._start)
        damaged = sum(track.damaged for track in self._tracks)
        if damaged:
            self.problems.append("1 damaged packet of sound was" if damaged == 1 else f"{damaged} damaged packets of sound were")
            self.problems[-1] += " left out"

    def _track_of(self, packet: SoundPacket, time: float) -> _Track | None:
        key = _key(packet.stream)
        if key not in self._by_stream:
            heir = next((track for track in self._tracks if not track.copied or _alike(packet.stream, track.source)), None)
            if heir is None and self._tracks:
                codec = packet.stream.codec_context.name if packet.stream.codec_context is not None else "an unknown codec"
                self.problems.append(f"the sound that goes on in {codec} from {time:.2f} s on was left out")
            self._by_stream[key] = heir
        return self._by_stream[key]

    def _end(self, track: _Track, error: Exception, time: float) -> None:
        if getattr(error, "errno", None) in _DISK:
            raise error
        track.failed = True
        self.problems.append(f"the sound ends at {time:.2f} s: {getattr(error, 'strerror', None) or error}")


class _Track:
    """One output stream. copied: packets are taken over as they are. damaged: packets that were left out."""

    def __init__(
        self, source: av.AudioStream, first: SoundPacket | None, output: av.container.OutputContainer, format: SoundFormat
    ) -> None:
        self.source = source
        self.failed = False
        self.damaged = 0
        self._output = output
        self._last: Fraction | None = None
        self._length = Fraction(0)
        self._resampler: _Resampler | None = None
        codec = source.codec_context.codec.canonical_name
        self._adts = first is not None and _comes_with_adts(source, first)
        self.copied = codec in format.copied and (first is not None or _settled(source, codec)) and _is_taken(source, first, format.muxer)
        if self.copied:
            self._stream = output.add_stream_from_template(source)
            if first is not None and self._adts:
                _settle(self._stream, first)
        else:
            layout = "mono" if source.channels == 1 else "stereo"
            self._stream = cast(av.AudioStream, output.add_stream(format.fallback, rate=_RATE, layout=layout))
        if language := source.metadata.get("language"):
            self._stream.metadata["language"] = language

    def feed(self, packet: SoundPacket, zero: Fraction) -> None:
        """Write a packet. zero: seconds on the packets' clock that become 0."""
        tick = Fraction(packet.time_base or Fraction(1, packet.stream.rate))
        time = self._place(packet, tick, zero)
        if time is None:
            return
        if not self.copied:
            self._recode(packet, time, tick)
            return
        if has_adts(packet) != self._adts:
            self.damaged += 1
            return
        plain = without_adts(packet) if self._adts else packet
        if not plain.size or has_sync_word(plain, packet.stream):
            self.damaged += 1  # and muxers refuse it
            return
        plain.time_base = tick
        plain.pts = plain.dts = round(time / tick)
        plain.stream = self._stream
        self._output.mux(plain)

    def finish(self) -> None:
        """Drain the encoder."""
        if self.copied or self.failed:
            return
        if self._resampler is not None:
            for frame in self._resampler.rest():
                self._output.mux(self._stream.encode(frame))
        self._output.mux(self._stream.encode(None))

    def _place(self, packet: SoundPacket, tick: Fraction, zero: Fraction) -> Fraction | None:
        """When a packet is to be heard, in seconds after zero; None where that is before zero, or where it was heard already.

        A packet without a stamp, or with that of another one, follows the one before.
        """
        stamp = packet.dts if packet.pts is None else packet.pts
        length = self._length_of(packet, tick)
        turn = None if self._last is None else self._last + self._length
        if stamp is None:
            time = turn if turn is not None else Fraction(0)
        else:
            time = stamp * tick - zero
            if self._last is not None and turn is not None and time - self._last < length / 4:
                if turn - time > _SLIP:
                    return None
                time = turn
        if time < 0:
            return None
        self._last, self._length = time, length
        return time

    def _length_of(self, packet: SoundPacket, tick: Fraction) -> Fraction:
        if packet.duration:
            return packet.duration * tick
        context = packet.stream.codec_context
        return Fraction(context.frame_size or 1024, context.sample_rate or _RATE)

    def _recode(self, packet: SoundPacket, time: Fraction, tick: Fraction) -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            frame.pts, frame.time_base = round(time / tick), tick
            time += Fraction(frame.samples, frame.sample_rate)
            if self._resampler is None or not self._resampler.takes(frame):
                self._resampler = _Resampler(frame, self._stream, self._resampler)
            for even in self._resampler.push(frame):
                self._output.mux(self._stream.encode(even))


class _Resampler:
    """Makes of decoded sound with gaps and overlaps one even stream of samples, in the encoder's format."""

    def __init__(self, like: av.AudioFrame, stream: av.AudioStream, before: _Resampler | None) -> None:
        self._kind = _kind(like)
        self._begun = before is not None
        context = stream.codec_context
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=like.sample_rate,
            format=like.format.name,
            layout=like.layout.name,
            time_base=Fraction(like.time_base or Fraction(1, like.sample_rate)),
        )
        # Gaps become silence, overlaps are cut: from 50 ms on at once, below by stretching, which nobody hears.
        even = graph.add("aresample", f"{_RATE}:async=1000:min_hard_comp=0.05")
        shape = graph.add("aformat", f"sample_fmts={context.format.name}:sample_rates={_RATE}:channel_layouts={context.layout.name}")
        end = graph.add("abuffersink")
        graph.link_nodes(source, even, shape, end).configure()
        self._graph = graph

    def takes(self, frame: av.AudioFrame) -> bool:
        """Whether a frame has the rate, the format and the channels of those before."""
        return _kind(frame) == self._kind

    def push(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """What comes out for this frame."""
        self._graph.push(frame)
        yield from self._pull()

    def rest(self) -> Iterator[av.AudioFrame]:
        """What is left in the end."""
        self._graph.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[av.AudioFrame]:
        while True:
            try:
                frame = cast(av.AudioFrame, self._graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return
            if self._begun:
                frame.pts = None  # The encoder counts samples from the first frame on.
            self._begun = True
            yield frame


def _kind(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _key(stream: av.AudioStream) -> tuple[int, int]:
    return id(stream.container), stream.index


def _alike(a: av.AudioStream, b: av.AudioStream) -> bool:
    """Whether packets of one stream can follow those of the other."""
    if a.codec_context is None or b.codec_context is None:
        return False
    return (a.codec_context.name, a.sample_rate, a.channels) == (b.codec_context.name, b.sample_rate, b.channels)


def _settled(source: av.AudioStream, codec: str) -> bool:
    """Whether an output stream can be described before its first packet."""
    return codec not in _NEEDS_A_PACKET and (codec != "aac" or bool(source.codec_context.extradata))


def _comes_with_adts(source: av.AudioStream, first: SoundPacket) -> bool:
    """Whether each packet has a header; where the stream has settings of its own, one that looks so is damaged."""
    return has_adts(first) and not source.codec_context.extradata


def _settle(stream: av.AudioStream, first: SoundPacket) -> None:
    """MPEG-TS has AAC's settings before each packet; MP4 wants them once, and its muxer does not see to that in fragmented files."""
    stream.codec_context.extradata = settings_of_adts(bytes(first))


def _is_taken(source: av.AudioStream, first: SoundPacket | None, muxer: str) -> bool:
    """Whether a muxer takes a stream as it is: tried in memory, because a refusal in the output itself would cost the pictures."""
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            stream = trial.add_stream_from_template(source)
            adts = first is not None and _comes_with_adts(source, first)
            if first is not None and adts:
                _settle(stream, first)
            trial.start_encoding()
            if first is not None and adts == has_adts(first):
                packet = cast("SoundPacket", without_adts(first) if adts else av.Packet(bytes(first)))
                packet.time_base, packet.pts, packet.dts, packet.duration = first.time_base, 0, 0, first.duration
                packet.stream = stream
                trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True
