"""AAC as MPEG-TS carries it: every packet begins with a header of its own (ADTS, ISO 13818-7), which MP4 and Matroska do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import av

if TYPE_CHECKING:
    SoundPacket = av.Packet[av.AudioStream]  # av.Packet takes no parameter at run time


def has_adts(packet: SoundPacket) -> bool:
    """Whether a packet is AAC that begins with the header (sync word 0xFFF, layer 0)."""
    return has_sync_word(packet, packet.stream) and memoryview(packet)[1] & 0x06 == 0


def has_sync_word(packet: SoundPacket, stream: av.AudioStream) -> bool:
    """Whether a packet of AAC begins with twelve ones, as no packet without a header does."""
    data = memoryview(packet)[:2]
    aac = stream.codec_context.codec.canonical_name == "aac"
    return aac and len(data) == 2 and data[0] == 0xFF and data[1] & 0xF0 == 0xF0


def settings_of_adts(data: bytes) -> bytes:
    """MPEG-4's AudioSpecificConfig (ISO 14496-3): object type 5 bits, sampling index 4, channel configuration 4, three zeros."""
    profile, rate, channels = data[2] >> 6, data[2] >> 2 & 15, (data[2] & 1) << 2 | data[3] >> 6
    return ((profile + 1) << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def without_adts(packet: SoundPacket) -> SoundPacket:
    """The same packet without its header."""
    header = 7 if bytes(memoryview(packet)[1:2])[0] & 1 else 9  # two bytes more where a checksum follows
    plain = cast("SoundPacket", av.Packet(bytes(packet)[header:]))
    plain.time_base, plain.duration = packet.time_base, packet.duration
    return plain
