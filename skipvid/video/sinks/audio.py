"""The sound of a source, taken along into a video output: packet by packet where the container allows it, else coded anew."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

from skipvid.video.sinks.original import Original

if TYPE_CHECKING:
    SoundPacket = av.Packet[av.AudioStream]  # av.Packet takes no parameter at run time


class AudioTrack:
    """Feeds one output stream with the sound of the source, in step with the pictures.

    copied: codecs that are taken over as they are. fallback: the encoder for all others. start: seconds on the clock of Frame.time that
    become 0; sound before them is left out. Damaged sound is passed over. Raises av.FFmpegError or ValueError where the output takes no
    such stream, later where it cannot be written.
    """

    def __init__(
        self,
        original: Original,
        sound: av.AudioStream,
        output: av.container.OutputContainer,
        copied: frozenset[str],
        fallback: str,
        start: float,
    ) -> None:
        self._output = output
        self._packets = original.packets(sound)
        self._tick = sound.time_base or Fraction(1, sound.rate)
        self._shift = round((original.start + Fraction(start)) / self._tick)
        self._held: SoundPacket | None = None
        self._held = self._next()
        self._copy = sound.codec_context.codec.canonical_name in copied
        self._stream = output.add_stream_from_template(sound) if self._copy else _encoder(output, fallback, sound)
        if self._copy and self._held is not None and _has_adts(self._held):
            # MPEG-TS has AAC's settings before each packet; MP4 wants them once, and its muxer does not see to that in fragmented files.
            self._stream.codec_context.extradata = _settings_of_adts(bytes(self._held))

    def advance(self, until: float) -> None:
        """Write the sound that begins before `until` seconds after the start."""
        while (packet := self._next()) is not None:
            if packet.pts is not None and (packet.pts - self._shift) * self._tick >= until:
                self._held = packet
                return
            self._feed(packet)

    def finish(self, end: float) -> None:
        """Write the sound up to `end` seconds after the start (infinity: all of it) and drain the encoder."""
        self.advance(end)
        if not self._copy:
            self._output.mux(self._stream.encode(None))

    def _next(self) -> SoundPacket | None:
        if self._held is not None:
            packet, self._held = self._held, None
            return packet
        try:
            return next(self._packets, None)
        except (av.FFmpegError, OSError):
            return None  # Sound that ends early is no reason to lose the pictures.

    def _feed(self, packet: SoundPacket) -> None:
        if not self._copy:
            self._recode(packet)
        elif packet.pts is not None and packet.dts is not None and packet.pts >= self._shift:
            plain = _without_adts(packet) if _has_adts(packet) else packet
            plain.pts, plain.dts = packet.pts - self._shift, packet.dts - self._shift
            plain.stream = self._stream
            self._output.mux(plain)

    def _recode(self, packet: SoundPacket) -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        for frame in frames:
            if frame.pts is not None and frame.pts >= self._shift:
                frame.pts -= self._shift
                self._output.mux(self._stream.encode(frame))


def _encoder(output: av.container.OutputContainer, codec: str, sound: av.AudioStream) -> av.AudioStream:
    stream = output.add_stream(codec, rate=48000, layout="mono" if sound.channels == 1 else "stereo")
    assert isinstance(stream, av.AudioStream)
    return stream


def _has_adts(packet: SoundPacket) -> bool:
    """Whether an AAC packet begins with the header of ISO 13818-7 (sync word 0xFFF, layer 0)."""
    data = memoryview(packet)[:2]
    aac = packet.stream.codec_context.codec.canonical_name == "aac"
    return aac and len(data) == 2 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0


def _settings_of_adts(data: bytes) -> bytes:
    """MPEG-4's AudioSpecificConfig (ISO 14496-3): object type 5 bits, sampling index 4, channel configuration 4, three zeros."""
    profile, rate, channels = data[2] >> 6, data[2] >> 2 & 15, (data[2] & 1) << 2 | data[3] >> 6
    return ((profile + 1) << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def _without_adts(packet: SoundPacket) -> SoundPacket:
    header = 7 if bytes(memoryview(packet)[1:2])[0] & 1 else 9  # two bytes more where a checksum follows
    plain = cast("SoundPacket", av.Packet(bytes(packet)[header:]))
    plain.time_base, plain.duration = packet.time_base, packet.duration
    return plain
