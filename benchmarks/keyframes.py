"""What a keyframe takes over the dense network, and what of that is memory (docs/notes.md, "Half precision").

A stream's maps have memory of their own each, those of a dense run share it. By turns, each twice in a row, the second time counts:
the dense network; the same frame without anything that gates need, on a stream's memory; a keyframe on a stream that has run before; the
first keyframe of a new stream, whose memory the system has still to give. Beside them, what it takes to write as many bytes as a stream's
maps have, and nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from skipvid.bench.frames import patch_frames
from skipvid.bench.measure import load_subject
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig

MIB = 1 << 20


def main() -> None:
    """Print milliseconds, medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tf_efficientdet_d0")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    preset = load_preset(args.preset)
    subject = load_subject(preset, SkipConfig.of(preset, threads=args.threads), None)
    size = (args.size, args.size)
    frame = next(iter(patch_frames(preset, size, 0.0, 1)))
    program = subject.model.program((frame.shape,))
    warm, bare = program.new_state(), program.new_state()
    dense_bytes, stream_bytes = program.new_state(dense=True).memory_bytes(), program.state_bytes()
    parts = np.array_split(np.zeros(stream_bytes, np.uint8), args.threads)
    pool = ThreadPoolExecutor(args.threads)
    ways: dict[str, Callable[[], object]] = {
        "dense": lambda: program.run_dense((frame,)),
        "dense, in a stream's memory": lambda: program.run(bare, (frame,), True, False),
        "keyframe": lambda: program.run(warm, (frame,), True),
        "first keyframe": lambda: program.run(program.new_state(), (frame,), True),
        "a new stream's memory": program.new_state,
        "as many bytes written": lambda: list(pool.map(lambda part: part.fill(1), parts)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.no_grad():
        for number in range(args.rounds + 2):
            for name, run in ways.items():
                run()
                begin = time.perf_counter()
                run()
                if number > 1:
                    times[name].append(1e3 * (time.perf_counter() - begin))
    print(f"{args.preset} {args.size}, {subject.model.precision}, {args.threads} threads: {stream_bytes / MIB:.0f} MiB a stream, ", end="")
    print(f"{dense_bytes / MIB:.0f} a dense run")
    for name, taken in times.items():
        against = statistics.median(a / b for a, b in zip(taken, times["dense"], strict=True))
        print(f"{name:28s} {statistics.median(taken):7.2f} ms  {against:.3f} of dense")


if __name__ == "__main__":
    main()
