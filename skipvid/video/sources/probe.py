"""What there is to know about a source, for `skipvid probe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import median

from skipvid.video.sources.containers import ContainerFacts
from skipvid.video.sources.live import LiveSource
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.video import VideoSource

_SAMPLE = 120
"""Frames whose time stamps are looked at where not all are decoded."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A source's facts. None stands for "not known".

    container, codec, pixel_format, audio_codec: libav's names. width, height: pixels of the upright frame. rotation: degrees clockwise,
    applied. pixel_aspect: width / height of one pixel as stored. fps_nominal: as the container says; fps_average: from the times seen.
    variable_rate: the distances between frames differ by more than a container's rounding. duration: seconds, as the container says.
    frames_claimed: the container's count, often wrong. frames_counted and problems: only where every frame was decoded.
    """

    source: str
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    pixel_aspect: float
    fps_nominal: float | None
    fps_average: float | None
    variable_rate: bool | None
    duration: float | None
    frames_claimed: int | None
    frames_counted: int | None
    audio_codec: str | None
    problems: tuple[str, ...]


def probe(spec: str, *, count: bool = False, timeout: float = 10.0) -> ProbeReport:
    """Open a source, decode its first frames (count: all of them, for the true number and the damage) and describe it.

    Raises SourceError like open_source.
    """
    with open_source(spec, ReadOptions(timeout=timeout)) as source:
        info = source.info
        facts = source.facts if isinstance(source, VideoSource | LiveSource) else ContainerFacts("images", info.codec, "bgr24")
        times = [frame.time for frame in (source if count else islice(source, _SAMPLE))]
        problem = source.problem
    return ProbeReport(
        source=info.name,
        container=facts.container,
        codec=facts.codec,
        pixel_format=facts.pixel_format,
        width=info.width,
        height=info.height,
        rotation=info.rotation,
        pixel_aspect=facts.pixel_aspect,
        fps_nominal=info.fps or None,
        fps_average=(len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None,
        variable_rate=_varies(times),
        duration=info.duration,
        frames_claimed=info.frames,
        frames_counted=len(times) if count else None,
        audio_codec=facts.audio_codec,
        problems=(problem,) if problem is not None else (),
    )


def _varies(times: Sequence[float]) -> bool | None:
    """Whether the distances between frames differ by more than rounding to milliseconds explains; None for fewer than two distances."""
    steps = [b - a for a, b in pairwise(times)]
    if len(steps) < 2:
        return None
    return max(steps) - min(steps) > max(0.1 * median(steps), 0.0015)
