"""How many frames a second `skipvid detect -o FILE.jsonl` could do at most: all cores busy, and with nothing but what is needed.

    python benchmarks/command_bound.py CLIP... [--max-frames 150] [--rounds 3]

Processor time a frame of each part by itself, of all threads together, the least of the rounds: decoding; making the network's picture, and
looking for scene cuts; the gated network by one thread, keyframes included, on pictures in memory. Their sum over the cores is the bound:
boxes, JSON, and all of Python's work between the parts come on top. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from skipvid.core.cores import usable_cores
from skipvid.core.results import Frame
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture, copied
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions


def processor_ms(rounds: int, work: Callable[[], int]) -> float:
    """Milliseconds of processor time a frame. work: returns how many frames it was."""
    least = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        frames = work()
        least = min(least, 1e3 * (time.process_time() - begin) / frames)
    return least


def read(clip: str, most: int, use: Callable[[Frame], object]) -> int:
    """Call `use` with each frame; how many there were."""
    count = 0
    with open_source(clip, ReadOptions(max_frames=most)) as source:
        for frame in source:
            use(frame)
            count += 1
    return count


def row(clip: str, engine: DetectEngine, most: int, rounds: int) -> list[float]:
    """Decoding, preparing, network, and the bound in frames a second."""
    decoding = processor_ms(rounds, lambda: read(clip, most, lambda frame: None))
    reading = processor_ms(rounds, lambda: read(clip, most, engine.stream().look_ahead))
    task, pictures = engine.task(), list[Picture]()

    def keep(frame: Frame) -> None:
        (picture,) = copied((task.prepare(frame.picture),))
        assert isinstance(picture, Picture)
        pictures.append(picture)

    read(clip, most, keep)
    session = engine.model.session()

    def compute() -> int:
        session.reset()
        for picture in pictures:
            session.maps(picture)
        return len(pictures)

    compute()
    network = processor_ms(rounds, compute)
    return [decoding, reading - decoding, network, 1e3 * usable_cores() / (reading + network)]


def main() -> None:
    """Measure all clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--max-frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    preset = load_preset(DEFAULT_DETECT)
    weights = resolve_weights(preset)
    engine = DetectEngine(preset, SkipConfig.of(preset, threads=1), weights.path, weights.sha256)
    print("| clip | decoding: ms | preparing | network | frames a second at most |\n|---|---|---|---|---|")
    for clip in options.clips:
        *parts, bound = row(clip, engine, options.max_frames, options.rounds)
        print(f"| {Path(clip).stem} | {' | '.join(f'{part:.2f}' for part in parts)} | {bound:.0f} |", flush=True)


if __name__ == "__main__":
    main()
