"""A long run: clips looped through a pipe, with video, JSONL and CSV written; memory, time stamps and drift are looked at.

    python benchmarks/long_run.py [--frames 100000] [--seed 0] [--clip FILE]... [--preset NAME] [--threshold 0] [--input 96]
                                  [--video mkv]

Without --clip a small clip is made from the seed: a square walks over noise. Several clips follow one another with cuts between them, as
people come and go. With threshold 0 every --check-th frame and the last one must have the bits of a fresh dense run. With any other
threshold their distance from the dense run is measured; it must not be larger in the last tenth of the run than in the first (the worst of
either, with a tenth to spare), because what a gate leaves out is bounded, and never adds up; and in the same frames every map must keep its
bound. Exits with 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from bounds import Watched, watch_sessions, worst_shares
from memory import load_engine, resident_mib

from skipvid.core.results import Detections, Frame, FrameResult, RunHeader
from skipvid.pipeline.run import run
from skipvid.presets.preset import DEFAULT_DETECT, Preset, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report import SummaryBuilder
from skipvid.skip.config import SkipConfig
from skipvid.video.draw import draw_result
from skipvid.video.sinks.open import open_sink
from skipvid.video.sources.containers import Pipe
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.video import VideoSource

RATE = 25
_FAINT = 0.06
"""Score from which on objects count: low, so that every frame has some to compare."""

_INDEX = 256
"""Bytes for each picture that libav's MP4 writer keeps until the end, for the table of samples (measured: 200)."""

SETTLED = 0.1
"""Fraction of the run after which memory must not grow any more."""


def make_clip(path: Path, seed: int, frames: int = 100, width: int = 160, height: int = 96) -> Path:
    """A square that walks over noise that stands still."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 180, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=RATE, options={"bf": "0", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            image = ground.copy()
            left = int((width - 24) * abs(1 - 2 * i / frames))
            image[height // 3 : height // 3 + 40, left : left + 20] = 230
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        output.mux(stream.encode(None))
    return path


class _Writer:
    """A pipe as libav writes to it: it cannot be sought."""

    def __init__(self, end: int) -> None:
        self._file = os.fdopen(end, "wb")

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


def feed(clips: list[Path], frames: int, end: int) -> None:
    """Send the clips, coded once as pictures of one size, again and again as one Matroska stream without a jump in its stamps."""
    with av.open(str(clips[0])) as first:
        context = first.streams.video[0].codec_context
        width, height = context.width // 2 * 2, context.height // 2 * 2
    writer = _Writer(end)
    packets: list[bytes] = []
    keys: list[bool] = []
    with av.open(writer, "w", format="matroska") as output:
        stream: Any = output.add_stream("libx264", rate=RATE, options={"bf": "0", "g": "50", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for clip in clips:
            with av.open(str(clip)) as film:
                for number, picture in enumerate(film.decode(video=0)):
                    frame = picture.reformat(width, height, "yuv420p")
                    frame.pts, frame.pict_type = None, PictureType.NONE if number else PictureType.I
                    for packet in stream.encode(frame):
                        packets.append(bytes(packet))
                        keys.append(packet.is_keyframe)
        for packet in stream.encode(None):
            packets.append(bytes(packet))
            keys.append(packet.is_keyframe)
        try:
            for number in range(frames):
                packet = av.Packet(packets[number % len(packets)])
                packet.pts = packet.dts = number
                packet.time_base, packet.duration, packet.is_keyframe, packet.stream = (
                    Fraction(1, RATE),
                    1,
                    keys[number % len(keys)],
                    stream,
                )
                output.mux(packet)
        except BrokenPipeError:
            return
    writer.close()


class Checked:
    """A gated stream of which every so many frames are compared with a fresh dense run, and its maps with their bounds.

    distances: (frame, distance from the dense run). shares: (frame, as bounds.worst_shares says) for each session that ran gated then.
    """

    def __init__(self, engine: Any, frames: int, every: int) -> None:
        self._engine, self._frames, self._every = engine, frames, every
        models = [engine.model, *([engine.detector.model] if getattr(engine, "detector", None) is not None else [])]
        self._sessions: list[list[Watched]] = [watch_sessions(model) for model in models]
        self._stream = engine.stream()
        self.distances: list[tuple[int, float]] = []
        self.shares: list[tuple[int, float, float]] = []

    def look_ahead(self, frame: Frame) -> None:
        self._stream.look_ahead(frame)

    def process(self, frame: Frame) -> FrameResult:
        """The gated result."""
        result: FrameResult = self._stream.process(frame)
        # The first time before memory has to have settled, because checking takes some.
        if frame.index % self._every == self._every // 2 or frame.index == self._frames - 1:
            found = (worst_shares(session) for sessions in self._sessions for session in sessions if session.inputs)
            self.shares += [(frame.index, *shares) for shares in found if shares is not None]
            dense = self._engine.dense_stream().process(frame)
            self.distances.append((frame.index, distance(result.detections, dense.detections)))
        return result

    @property
    def notes(self) -> tuple[str, ...]:
        """What the engine says of the run."""
        return tuple(self._stream.notes)

    @property
    def problems(self) -> tuple[str, ...]:
        """What the engine's results lack."""
        return tuple(self._stream.problems)


def distance(found: Detections, dense: Detections) -> float:
    """0 where two frames found the same to the bit; else the mean difference of the best scores, each missing object counting as 0."""
    same = len(found) == len(dense) and np.array_equal(found.boxes, dense.boxes) and np.array_equal(found.scores, dense.scores)
    if same:
        return 0.0
    most = max(len(found), len(dense))
    a, b = (np.pad(np.sort(d.scores)[::-1], (0, most - len(d))) for d in (found, dense))
    return float(np.abs(a - b).mean()) or float(np.abs(found.boxes - dense.boxes).mean()) / 1e3


def shrunk(preset: Preset, side: int | None) -> Preset:
    """The preset with a small input, which makes many frames affordable."""
    return preset if side is None else replace(preset, image_size=side)


def verdicts(
    memory: list[float], distances: list[tuple[int, float]], threshold: float, last: float, frames: int, index: int, shares: Iterable[float]
) -> list[str]:
    """What was broken, a line each. index: bytes a frame by which memory may grow. shares: of bounds, used up."""
    broken = []
    settled = memory[int(len(memory) * SETTLED) :]
    if settled and settled[-1] - settled[0] > 8 + frames * index / 2**20:
        broken.append(f"memory grew by {settled[-1] - settled[0]:.1f} MiB")
    if max(shares, default=0.0) > 1:
        broken.append("a map is farther from its exact value than its bound")
    if abs(last - (frames - 1) / RATE) > 0.001:
        broken.append(f"the last frame is at {last:.3f} s instead of {(frames - 1) / RATE:.3f} s")
    tenth = max(1, len(distances) // 10)
    early, late = (max(d for _, d in part) for part in (distances[:tenth], distances[-tenth:]))
    if threshold == 0 and any(d for _, d in distances):
        broken.append("results differ from the dense run's with threshold 0")
    if late > 1.1 * early + 0.01:
        broken.append(f"the distance from the dense run grew from {early:.4f} to {late:.4f}")
    return broken


def main(arguments: list[str] | None = None) -> int:
    """Run, print the figures, and say what is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, action="append", default=[])
    parser.add_argument("--preset", default=DEFAULT_DETECT)
    parser.add_argument("--threshold", type=float, default=0.05)
    parser.add_argument("--input", type=int, default=None, help="longer side of the network's input, pixels")
    parser.add_argument("--video", choices=("mp4", "mkv", "webm"), default="mp4", help="kind of the video output")
    parser.add_argument("--check", type=int, default=997, help="every so many frames are compared with a dense run")
    options = parser.parse_args(arguments)
    preset = shrunk(load_preset(options.preset), options.input)
    if preset.task == "detect":
        preset = replace(preset, score_threshold=_FAINT)
    engine = load_engine(preset, resolve_weights(preset, None))
    # In float32, in which what a state must hold is computed beside it.
    # No stretches of dense frames: gates are what is looked at.
    config = replace(SkipConfig.of(preset), threshold=options.threshold, thresholds={}, precision="f32", dense_above=1.0)
    engine = engine.regated(config)
    memory: list[float] = []
    every = max(1, options.frames // 100)

    def watch(result: FrameResult) -> None:
        if (result.frame.index + 1) % every == 0:
            memory.append(resident_mib())
            if len(memory) % 10 == 0:
                print(f"frame {result.frame.index + 1}: {memory[-1]:.1f} MiB, {result.frame.time:.3f} s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        clips = options.clip or [make_clip(Path(folder) / "clip.mp4", options.seed)]
        reading, writing = os.pipe()
        sender = threading.Thread(target=feed, args=(clips, options.frames, writing), daemon=True)
        sender.start()
        with os.fdopen(reading, "rb") as stream, VideoSource(Pipe(stream), "loop", ReadOptions()) as source:
            header = RunHeader(
                "bench",
                source.info,
                preset.name,
                "norm",
                options.threshold,
                1,
                engine.backend,
                "",
                "",
                categories=preset.label_set.categories,
                keypoints=preset.keypoints,
            )
            checked = Checked(engine, options.frames, options.check)
            sinks = [open_sink(f"{folder}/{name}", header, None, draw_result) for name in (f"a.{options.video}", "a.jsonl", "a.csv")]
            summary = run(source, checked, sinks, SummaryBuilder(header), watch)
        with (Path(folder) / "a.jsonl").open(encoding="utf-8") as lines:
            times = [json.loads(line)["time"] for line in lines if line.startswith('{"type": "frame"')]
        records, last = len(times), times[-1]
        with av.open(f"{folder}/a.{options.video}") as output:
            seconds = (output.duration or 0) / 1e6
    print(f"{summary.frames} frames, {records} records, {summary.fps:.1f} frames/s, {len(checked.distances)} of them compared with dense")
    print(f"memory {memory[0]:.1f} MiB after 1 %, {memory[int(len(memory) * SETTLED)]:.1f} after a tenth, {memory[-1]:.1f} in the end")
    print(
        f"last frame at {last:.3f} s, video of {seconds:.3f} s; distance at most {max(d for _, d in checked.distances):.4f}, "
        f"{summary.detections / summary.frames:.1f} objects a frame"
    )
    half = memory[len(memory) // 2 :]
    slope = (half[-1] - half[0]) * 2**20 / max(1, (len(half) - 1) * every)
    share, error = (max((row[n] for row in checked.shares), default=0.0) for n in (1, 2))
    print(
        f"memory in the second half: {slope:+.0f} bytes a frame; {len(checked.shares)} states looked at: "
        f"{share:.4f} of the bound at most, other maps within {error:.1e} of the exact ones"
    )
    index = _INDEX if options.video == "mp4" else 0
    broken = verdicts(memory, checked.distances, options.threshold, last, options.frames, index, (row[1] for row in checked.shares))
    if engine.backend == "cpu" and options.threshold > 0 and not checked.shares:
        broken.append("no state was looked at: its bounds were not checked")
    if records != options.frames:
        broken.append(f"{records} records for {options.frames} frames")
    for line in broken:
        print(f"BROKEN: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
