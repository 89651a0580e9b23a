"""The file that the frames came from, opened a second time by a video output: for its clock, the shape of its pixels and its sound."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from skipvid.core.errors import SourceError
from skipvid.core.results import SourceInfo
from skipvid.video.sources.packets import PacketReader

if TYPE_CHECKING:
    SoundPacket = av.Packet[av.AudioStream]  # av.Packet takes no parameter at run time

_FINEST = 1_000_000
"""Ticks per second above which a source's clock is not taken over."""

_LOOK_AHEAD = 10
"""Seconds of the recording in which the first packets of sound are looked for."""


class Original:
    """A second look at a source file. Nothing is decoded unless the sound must be coded anew.

    time_base: seconds per tick of the video stream, None where it is too fine or unknown. pixel_aspect: width / height of an upright pixel.
    sound: the streams of sound, the default one in front. is_broadcast: whether streams may come up and end in the middle.
    """

    def __init__(self, reader: PacketReader, rotation: int) -> None:
        self._reader = reader
        stream = reader.stream
        tick = Fraction(stream.time_base or 0)
        self.time_base = tick if tick and tick.denominator <= _FINEST else None
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.pixel_aspect = 1 / aspect if rotation % 180 else aspect
        best = reader.container.streams.best("audio")
        self.sound = sorted(reader.container.streams.audio, key=lambda s: best is None or s.index != best.index)
        self.is_broadcast = reader.container.format.name == "mpegts"
        self._packets = self._sound_packets()
        self._held: list[tuple[float, SoundPacket]] = []
        self._ended = False

    @property
    def origin(self) -> Fraction:
        """Zero of Frame.time on the clock of the packets, in seconds."""
        return self._reader.origin

    @classmethod
    def open(cls, info: SourceInfo) -> Original | None:
        """The file behind a source; None for what is no video file, or cannot be opened any more."""
        if info.path is None or not info.path.is_file():
            return None
        try:
            return cls(PacketReader(f"file:{info.path}", info.name, None, info.path), info.rotation)
        except SourceError:
            return None

    def close(self) -> None:
        """Release the file."""
        self._packets.close()
        self._reader.close()

    def first_packets(self, start: float) -> dict[int, SoundPacket]:
        """The first packet of each stream of sound, by the stream's index, as far as it comes within ten seconds after `start`."""
        found: dict[int, SoundPacket] = {}
        ahead: list[tuple[float, SoundPacket]] = []
        while len(found) < len(self.sound):
            taken = self._next(start + _LOOK_AHEAD)
            if taken is None:
                break
            ahead.append(taken)
            found.setdefault(taken[1].stream.index, taken[1])
        self._held = ahead + self._held
        return found

    def sound_until(self, until: float) -> Iterator[tuple[float, SoundPacket]]:
        """(time on the clock of Frame.time, packet) of the sound that begins before `until`, in the file's order. The time of a packet
        without a stamp is that of the one before.
        """
        while (taken := self._next(until)) is not None:
            yield taken

    def _next(self, until: float) -> tuple[float, SoundPacket] | None:
        if self._held:
            taken: tuple[float, SoundPacket] | None = self._held.pop(0)
        else:
            taken = next(self._packets, None)
        if taken is not None and taken[0] >= until:
            self._held.insert(0, taken)
            return None
        return taken

    def _sound_packets(self) -> Generator[tuple[float, SoundPacket], None, None]:
        times: dict[int, float] = {}
        for packet in self._reader:
            if packet.stream.type != "audio":
                continue
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None:
                times[packet.stream.index] = float(stamp * Fraction(packet.time_base or 0) - self.origin)
            yield times.get(packet.stream.index, 0.0), packet
