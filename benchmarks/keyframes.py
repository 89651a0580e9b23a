"""What a keyframe takes over the dense network, and what of that is memory (docs/notes.md, "Half precision").

A stream's maps have memory of their own each, those of a dense run share it. By turns, each twice in a row, the second time counts:
the dense network; the same frame without anything that gates need, on a stream's memory; a keyframe on a stream that has run before; the
first keyframe of a new stream, whose memory the system has still to give. Beside them, what it takes to write as many bytes as a stream's
maps have, and nothing else. Where its pages lie makes a difference of several percent to any of them, and stays for as long as the memory
does: each has several states, and the range over them is given.
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
    parser.add_argument("--states", type=int, default=4, help="of a dense run, and of a stream")
    parser.add_argument("--rounds", type=int, default=10, help="for each state")
    args = parser.parse_args()
    preset = load_preset(args.preset)
    subject = load_subject(preset, SkipConfig.of(preset, threads=args.threads), None)
    size = (args.size, args.size)
    frame = next(iter(patch_frames(preset, size, 0.0, 1)))
    program = subject.model.program((frame.shape,))
    dense_states, streams = ([program.new_state(dense=dense) for _ in range(args.states)] for dense in (True, False))
    dense_bytes, stream_bytes = dense_states[0].memory_bytes(), streams[0].memory_bytes()
    parts = np.array_split(np.zeros(stream_bytes, np.uint8), args.threads)
    pool = ThreadPoolExecutor(args.threads)
    ways: dict[str, Callable[[int], object]] = {
        "dense": lambda number: program.run(dense_states[number], (frame,), True, False),
        "dense, in a stream's memory": lambda number: program.run(streams[number], (frame,), True, False),
        "keyframe": lambda number: program.run(streams[number], (frame,), True),
        "first keyframe": lambda _: program.run(program.new_state(), (frame,), True),
        "a new stream's memory": lambda _: program.new_state(),
        "as many bytes written": lambda _: list(pool.map(lambda part: part.fill(1), parts)),
    }
    times: dict[str, list[list[float]]] = {name: [[] for _ in streams] for name in ways}
    with torch.no_grad():
        for turn in range((args.rounds + 1) * args.states):
            number = turn % args.states
            for name, run in ways.items():
                run(number)
                begin = time.perf_counter()
                run(number)
                if turn >= args.states:
                    times[name][number].append(1e3 * (time.perf_counter() - begin))
    print(f"{args.preset} {args.size}, {subject.model.precision}, {args.threads} threads: {stream_bytes / MIB:.0f} MiB a stream, ", end="")
    print(f"{dense_bytes / MIB:.0f} a dense run; over {args.states} states of each: median, and from which to which its states' medians go")
    dense = statistics.median(ms for taken in times["dense"] for ms in taken)
    for name, by_state in times.items():
        median, each = statistics.median(ms for taken in by_state for ms in taken), [statistics.median(taken) for taken in by_state]
        print(f"{name:28s} {median:7.2f} ms ({min(each):.2f} … {max(each):.2f})  {median / dense:.3f} of dense")


if __name__ == "__main__":
    main()
