"""Makes the small videos of these tests. Every picture carries its number as a row of black and white squares, to be recognised by."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_BITS = 10


def numbered_picture(number: int, width: int = 160, height: int = 96) -> NDArray[np.uint8]:
    """A smooth coloured picture (H, W, 3) BGR; squares of width / 10 along its top edge spell the number, lowest bit left."""
    x, y = np.linspace(60, 190, width), np.linspace(60, 190, height)[:, None]
    image = np.stack(np.broadcast_arrays(x[None], y, 250 - x[None]), axis=-1).astype(np.uint8)
    side = width // _BITS
    for bit in range(_BITS):
        image[:side, bit * side : (bit + 1) * side] = 235 if number >> bit & 1 else 20
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    side = image.shape[1] // _BITS
    squares = image[side // 4 : side * 3 // 4, : side * _BITS].reshape(-1, _BITS, side, 3)[:, :, side // 4 : side * 3 // 4]
    return sum(1 << bit for bit in range(_BITS) if squares[:, bit].mean() > 128)


def write_clip(
    path: Path,
    frames: int = 30,
    *,
    width: int = 160,
    height: int = 96,
    ticks: Sequence[int] | None = None,
    tick: Fraction = Fraction(1, 30),
    codec: str = "libx264",
    format: str | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    sound: str | None = None,
    sound_seconds: float | None = None,
    sound_first: bool = False,
    sound_delay: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    last_ticks: int | None = None,
) -> Path:
    """Write numbered pictures at ticks × tick seconds. rotation: degrees clockwise for players to apply. sound: codec of a sine."""
    ticks = list(range(frames)) if ticks is None else ticks
    defaults = {"strict": "-1"} if codec == "mjpeg" else {"g": "12"}
    with av.open(str(path), "w", format=format, options=container_options or {}) as output:
        audio: Any = output.add_stream(sound, rate=48000, layout="mono") if sound and sound_first else None
        stream: Any = output.add_stream(codec, rate=1 / tick if tick > Fraction(1, 200) else 30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = tick
        stream.options = {**defaults, **(options or {})}
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation is not None or mirrored:
            stream.set_display_rotation(-(rotation or 0), hflip=mirrored)
        if sound and audio is None:
            audio = output.add_stream(sound, rate=48000, layout="mono")
        for number, at in zip(range(frames), ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, width, height), format="bgr24")
            frame.pts, frame.time_base = at, tick
            output.mux(stream.encode(frame))
        for packet in stream.encode(None):
            if last_ticks is not None and packet.pts == ticks[-1]:
                packet.duration = last_ticks
            output.mux(packet)
        if audio is not None:
            _write_sine(output, audio, float(ticks[-1] * tick) if sound_seconds is None else sound_seconds, sound_delay)
    return path


def _write_sine(output: av.container.OutputContainer, stream: Any, seconds: float, delay: float) -> None:
    samples = (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(48000 * seconds)) / 48000)).astype(np.float32)
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start + round(48000 * delay), Fraction(1, 48000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def cut(path: Path, fraction: float) -> Path:
    """The first part of a file, as a broken-off download leaves it."""
    data = path.read_bytes()
    target = path.with_name(f"cut_{path.name}")
    target.write_bytes(data[: int(len(data) * fraction)])
    return target


UNEVEN = [0, 900, 4200, 4300, 9000, 9090, 18000, 27000, 27001, 31000, 40000, 52000]
"""Times of a variable frame rate in ticks of 1/90000 s."""
