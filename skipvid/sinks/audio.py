"""The sound of a source, taken along into a video output: packet by packet where the container allows it, else coded anew."""

from __future__ import annotations

from fractions import Fraction

import av

from skipvid.sinks.original import Original


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
        self._held: av.Packet[av.AudioStream] | None = None
        self._copy = sound.codec_context.codec.canonical_name in copied
        self._stream = output.add_stream_from_template(sound) if self._copy else _encoder(output, fallback, sound)

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

    def _next(self) -> av.Packet[av.AudioStream] | None:
        if self._held is not None:
            packet, self._held = self._held, None
            return packet
        try:
            return next(self._packets, None)
        except (av.FFmpegError, OSError):
            return None  # Sound that ends early is no reason to lose the pictures.

    def _feed(self, packet: av.Packet[av.AudioStream]) -> None:
        if not self._copy:
            self._recode(packet)
        elif packet.pts is not None and packet.dts is not None and packet.pts >= self._shift:
            packet.pts -= self._shift
            packet.dts -= self._shift
            packet.stream = self._stream
            self._output.mux(packet)

    def _recode(self, packet: av.Packet[av.AudioStream]) -> None:
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
