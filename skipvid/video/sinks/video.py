"""Video outputs that browsers play: H.264 in MP4 or MKV, VP9 in WebM."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from skipvid.core.files import PartFile, output_errors
from skipvid.core.planes import Matrix, Planes
from skipvid.core.results import FrameResult, RunHeader, RunSummary
from skipvid.video.planes import bgr_of_planes, frame_of_planes, planes_of_bgr
from skipvid.video.sinks.audio import Sound, SoundFormat
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.faststart import NothingToMove, put_index_in_front
from skipvid.video.sinks.options import SinkOptions, Speed
from skipvid.video.sinks.original import Original

Render = Callable[[FrameResult], NDArray[np.uint8] | Planes]

_DEFAULT_TICK = Fraction(1, 90000)
_MILLISECOND = Fraction(1, 1000)
"""For pictures minutes apart: MP4 counts the ticks of a picture in 32 bits."""

_PARTS = 16
"""Of a tick too coarse for the frames that share it; days still fit into 32 bits."""

_BT709 = 1  # AVCOL_PRI_BT709 and AVCOL_TRC_BT709 alike
_MATRIX_TAGS: dict[Matrix, int] = {"bt601": 6, "bt709": 1}  # AVColorSpace
_SECONDS_PER_KEY_PICTURE = 2
_THREADS = 3
"""Pictures that are encoded at a time, each in a thread of its own. Threads that share a picture, PyAV's default, wait for each other where
other work keeps the cores busy, and make files larger. A killed run loses what is under way."""

_COPIED_IN_A_HURRY = 256 << 20
"""Bytes that any disk copies in a second or two."""

_LONG_REST = 10
"""Seconds for which the last frame may be shown because the container says so."""


@dataclass(frozen=True)
class _Encoding:
    """How an encoder works at one speed. quality: what gives it the quality of all speeds, where no crf is asked for."""

    options: dict[str, str]
    quality: dict[str, str]


@dataclass(frozen=True)
class _Format:
    """A kind of video file."""

    muxer: str
    container_options: dict[str, str]
    codec: str
    speeds: dict[Speed, _Encoding]
    sound: SoundFormat
    finest: Fraction = Fraction(0)
    """Seconds of a tick of the container's clock, 0 where it takes any."""


# No B-frames (files grow by 7 to 22 %): MP4 adds up its duration from decoding times, which B-frames of a variable frame rate make wrong.
# No weighted prediction in a hurry: it takes time for files that are 1 % larger. Nor a search for scene cuts and a rate, which look at each
# picture once more, at half its size: a constant quantiser needs neither. The qualities are of equal PSNR, about 44 dB at 1080p; sizes and
# times are in docs/notes.md, by benchmarks/encoder.py.
_H264: dict[Speed, _Encoding] = {
    "fast": _Encoding({"preset": "superfast", "bf": "0", "weightp": "0", "sc_threshold": "0"}, {"qp": "23"}),
    "balanced": _Encoding({"preset": "veryfast", "bf": "0"}, {"crf": "22"}),
    "small": _Encoding({"preset": "medium", "bf": "0"}, {"crf": "23"}),
}
# libvpx holds 24 frames back by default, which a killed run would lose; in real time it makes nothing of them (sizes are the same).
_REALTIME = {"deadline": "realtime", "row-mt": "1", "b": "0", "lag-in-frames": "0"}
_VP9: dict[Speed, _Encoding] = {
    "fast": _Encoding({**_REALTIME, "cpu-used": "8"}, {"crf": "32"}),
    "balanced": _Encoding({**_REALTIME, "cpu-used": "7"}, {"crf": "32"}),
    "small": _Encoding({**_REALTIME, "cpu-used": "5"}, {"crf": "32"}),
}
_IN_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
_IN_MKV = _IN_MP4 | {"vorbis", "mp2", "pcm_s16le", "pcm_s24le", "dts", "truehd"}
FORMATS = {
    # Fragments of a second until the end, then one index in their place: a killed run leaves a file that plays. delay_moov lets the first
    # fragment set the edit lists, without which sound that begins late would be early. Needs FFmpeg 8.1 (PyAV 17.1): the files of earlier
    # ones have an index that points beside the data.
    ".mp4": _Format(
        "mp4",
        {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000", "flush_packets": "1"},
        "libx264",
        _H264,
        SoundFormat("mp4", _IN_MP4, "aac"),
    ),
    ".mkv": _Format(
        "matroska",
        {"flush_packets": "1", "cluster_time_limit": "1000"},
        "libx264",
        _H264,
        SoundFormat("matroska", _IN_MKV, "aac"),
        _MILLISECOND,
    ),
    ".webm": _Format(
        "webm",
        {"flush_packets": "1", "cluster_time_limit": "1000"},
        "libvpx-vp9",
        _VP9,
        SoundFormat("webm", frozenset({"opus", "vorbis"}), "libopus"),
        _MILLISECOND,
    ),
}


class VideoSink(Sink):
    """Renders and encodes each frame at the time it has in the source, with the source's sound.

    The first frame becomes time 0; the distances between frames are the source's, to the tick of its clock (the millisecond in MKV and
    WebM). render: FrameResult -> (H, W, 3) uint8, BGR, or planes, which are encoded as they are; later pictures of another size are fitted
    into the size of the first, with black bars; odd sizes gain a row or column. The matrix is that of the first picture, BT.709 for BGR,
    and is named in the file. The `.part` file of a killed run plays, up to the last one or two seconds. A run without frames leaves no
    file.
    """

    draws = True

    def __init__(self, path: Path, header: RunHeader, render: Render, options: SinkOptions | None = None) -> None:
        self.path = path
        self._file = PartFile(path)
        self._source = header.source
        self._render = render
        self._options = options or SinkOptions()
        self._format = FORMATS[path.suffix.lower()]
        self._original = Original.open(header.source)
        self._tick = _tick(self._original, self._source.fps)
        self._reformatter = VideoReformatter()
        self._stream: av.VideoStream | None = None
        self._sound: Sound | None = None
        self._problems: list[str] = []
        self._held: list[av.Packet[av.VideoStream]] = []  # the last one's duration is known in the end only
        self._size = (0, 0)
        self._matrix: Matrix = "bt709"
        self._start = 0.0
        self._last = self._step = self._longest = 0
        self._written = self._crowded = 0
        self._drawn: deque[NDArray[np.uint8] | Planes] = deque()  # pictures of results that are not written yet
        self._open = True
        with output_errors(path, av.FFmpegError):
            self._file.part.touch()  # libav opens it with the first frame only, which is late for finding out that it cannot
            self._container = av.open(f"file:{self._file.part}", "w", format=self._format.muxer, options=self._format.container_options)

    def draw(self, result: FrameResult) -> None:
        self._drawn.append(self._render(result))

    def write(self, result: FrameResult) -> None:
        picture = self._drawn.popleft() if self._drawn else self._render(result)
        time = result.frame.time
        with output_errors(self.path, av.FFmpegError):
            if self._stream is None:
                self._stream = self._begin(picture, time)
            else:
                ticks = max(self._last + 1, round(Fraction(time - self._start) / self._tick))
                self._crowded += (ticks - self._last) * self._tick < self._format.finest
                self._step, self._last = ticks - self._last, ticks
                self._longest = max(self._longest, self._step)
            self._written += 1
            self._container.mux(self._held)
            self._held = self._stream.encode(self._prepared(picture))
            if self._sound is not None:
                self._sound.advance(time - self._start)

    def finish(self, summary: RunSummary) -> None:
        if self._stream is None:
            self.problem = "no frame was written"
            self.close()
            return
        whole = self._options.to_end and not summary.interrupted and summary.complete
        rest = self._rest(whole)
        with output_errors(self.path, av.FFmpegError):
            for packet in [*self._held, *self._stream.encode(None)]:
                if packet.pts == self._last:
                    packet.duration = rest
                self._container.mux(packet)
            if self._sound is not None:
                self._sound.finish(math.inf if whole else float((self._last + rest) * self._tick))
                self._problems += self._sound.problems
            self._container.close()
        if self._crowded > self._written // 2:  # some may meet where recordings were joined
            kind = "WebM" if self._format.muxer == "webm" else "Matroska"
            self._problems.append(
                f"{self._crowded} frames follow within a millisecond, the finest time that {kind} knows; .mp4 keeps them apart"
            )
        self.problem = "; ".join(self._problems) or None
        if self._format.muxer == "mp4":
            self._put_index_in_front(summary.interrupted)
        self._file.commit()
        self._release()

    def close(self) -> None:
        if not self._open:
            return
        with suppress(av.FFmpegError, OSError):
            self._container.close()
        self._release()
        self._file.discard()

    def _put_index_in_front(self, in_a_hurry: bool) -> None:
        """For players that read a file from the network as it comes. Where it cannot be done, it stays at the end: that plays, too."""
        if in_a_hurry and self._file.part.stat().st_size > _COPIED_IN_A_HURRY:
            return  # who stops a service kills it some seconds later
        with suppress(OSError, NothingToMove), self._file.exchanged() as (before, after):
            put_index_in_front(before, after)

    def _release(self) -> None:
        self._open = False
        if self._original is not None:
            self._original.close()

    def _begin(self, picture: NDArray[np.uint8] | Planes, time: float) -> av.VideoStream:
        self._start = time
        height, width = picture.shape[:2]
        self._size = (width, height)
        rate = _rate(self._source.fps)
        encoding = self._format.speeds[self._options.speed]
        quality = encoding.quality if self._options.crf is None else {"crf": str(self._options.crf)}
        options = {**encoding.options, **quality}
        stream = self._container.add_stream(self._format.codec, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        context.thread_type, context.thread_count = "FRAME", _THREADS
        context.time_base = self._tick
        context.gop_size = max(1, round(_SECONDS_PER_KEY_PICTURE * rate))
        self._matrix = picture.matrix if isinstance(picture, Planes) else "bt709"
        context.color_primaries = context.color_trc = _BT709
        context.colorspace = _MATRIX_TAGS[self._matrix]
        context.color_range = ColorRange.MPEG
        if self._original is not None and self._original.pixel_aspect != 1:
            context.sample_aspect_ratio = self._original.pixel_aspect
        if self._source.has_audio and self._options.audio:
            self._add_sound(time)
        self._step = max(1, round(1 / rate / self._tick))
        return stream

    def _add_sound(self, start: float) -> None:
        if self._original is None or not self._original.sound:
            self._problems.append("the sound was left out: the source cannot be read a second time")
            return
        self._sound = Sound(self._original, self._container, self._format.sound, start)

    def _prepared(self, picture: NDArray[np.uint8] | Planes) -> av.VideoFrame:
        """The picture as the encoder takes it."""
        width, height = self._size
        if isinstance(picture, Planes) and (picture.shape[:2] != (height, width) or picture.matrix != self._matrix):
            picture = bgr_of_planes(picture, VideoReformatter())
        if not isinstance(picture, Planes):
            if picture.shape[:2] != (height, width):
                picture = _fitted(picture, width, height)
            picture = planes_of_bgr(picture, self._matrix, self._reformatter)
        frame = frame_of_planes(picture)
        frame.pts, frame.time_base = self._last, self._tick
        return frame

    def _rest(self, whole: bool) -> int:
        """Ticks for which the last frame is shown: to the end of the source, or like the frame before it."""
        if whole and self._source.duration is not None:
            rest = round(Fraction(self._source.duration - self._start) / self._tick) - self._last
            # A container counts what its stamps jumped over, too.
            if 0 < rest <= max(2 * self._longest, round(_LONG_REST / self._tick)):
                return rest
        return self._step


def _fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture as large as it can be with its own shape, in the middle of (height, width, 3)."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    fitted[top : top + h, left : left + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return fitted


def _tick(original: Original | None, fps: float) -> Fraction:
    """Seconds of a tick of the output's clock: the source's own, or a part of it where frames may share one (Matroska's milliseconds)."""
    seldom = 0 < fps < 0.01
    tick = original and original.time_base
    if not tick:
        return _MILLISECOND if seldom else _DEFAULT_TICK
    return tick if seldom or tick < _MILLISECOND else tick / _PARTS


def _rate(fps: float) -> Fraction:
    """Frames per second as a ratio of small numbers, never 0: a picture an hour is 1/3600."""
    if fps <= 0:
        return Fraction(25)
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)
