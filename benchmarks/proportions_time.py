"""What other proportions of a preset's thresholds save in time: all of them by turns, frame by frame, on one thread.

    chrt -f 5 python benchmarks/proportions_time.py --data DIR --keep FOLDER --factors 1,1,1,1,1,1,1 2.83,1.41,1,1,1,1,1

Factors are of the gates on the network's input, on the backbone's strides of 2, 4, 8 and more, on the pyramid's and the heads' maps; the
first are what the others are compared with. "Lost": points of AP50, of the sequences, and of agreement with the dense network, the mean
over clips without truth, to that of the first factors. "Time": of the network, frame by frame in times of the first factors', the median
(the kernel stops a process of real-time priority for 50 ms now and then); of clips the geometric mean.
--seconds stops after so many, between two clips; what was measured is kept, and the next call goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, lost, measured, part_of, with_truth, without_truth
from numpy.typing import NDArray
from oracle import plan_for, scaled
from proportions import BLOCK, CLIPS, SAMPLES
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.bootstrap import bootstrap
from skipvid.evaluate.material import Material, Seen
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Stream

STRIDES = (1, 2, 4, 8)
"""Of the input and the backbone's maps; those beyond are one group."""

Factors = tuple[float, ...]
"""Of the input, of strides 2, 4, 8 and more, of the pyramid, the heads."""


@dataclass(frozen=True, slots=True)
class Found:
    """Against the dense network; time and MACs in times of the first factors'. lost: points."""

    lost: float
    interval: str
    fewer: float
    macs: float
    time: float


def factor_of(group: str, factors: Factors) -> float:
    if not group.startswith("backbone/"):
        return factors[-2] if group == "fpn" else factors[-1]
    stride = int(group.removeprefix("backbone/"))
    return factors[sum(stride > each for each in STRIDES)]


def side_by_side(engine: DetectEngine, material: Material, ways: Sequence[Factors]) -> list[Seen]:
    """The dense network's pass, and one with each of these factors: each frame goes through all, in one order and back in turn."""
    _, _, frame = next(material.frames())
    plan = plan_for(engine, frame)
    streams: list[Stream] = [engine.dense_stream()]
    streams += [scaled(engine, plan, lambda group, way=way: factor_of(group, way)).stream() for way in ways]  # type: ignore[misc]
    results = [[] for _ in streams]  # type: ignore[var-annotated]
    macs = engine.dense_macs(frame.height, frame.width)
    for number, _, each in material.frames():
        order = list(range(len(streams)))
        for index in order if number % 2 else order[::-1]:
            results[index].append(streams[index].process(each))
    return [_seen(own, macs) for own in results]


def _seen(results: list, dense_macs: int) -> Seen:  # type: ignore[type-arg]
    costs = [result.cost for result in results]
    counts = np.array([(dense_macs, dense_macs) if cost is None else (cost.macs, cost.dense_macs) for cost in costs], np.int64)
    return Seen([each.detections for each in results], counts[:, 0], counts[:, 1], np.array([each.ms["model"] for each in results]))


def compared(material: Material, passes: Sequence[Seen]) -> list[Found]:
    """Of the passes behind the dense one."""
    dense, first = passes[0], passes[1]
    reference, found = measured(material, dense, dense), []
    for seen in passes[1:]:
        own = measured(material, seen, dense)
        loss = lost(own, reference, BLOCK)
        macs, spent = float(seen.macs[1:].sum() / first.macs[1:].sum()), float(np.median(seen.ms[1:] / first.ms[1:]))
        found.append(Found(loss.value, interval_text(loss, 1), own.fewer, macs, spent))
    return found


def _over_clips(values: NDArray[np.float64], logarithmic: bool) -> str:
    """Mean and interval over clips."""

    def mean(times: NDArray[np.int64]) -> float:
        value = float(times @ (np.log(values) if logarithmic else values) / times.sum())
        return float(np.exp(value)) if logarithmic else value

    return interval_text(bootstrap(mean, [np.array([number]) for number in range(len(values))]), 2)


def show(name: str, found: Sequence[Sequence[Found]], ways: Sequence[Factors], table: ResultTable) -> None:
    """Rows of a sequence, or of several clips together."""
    for number, way in enumerate(ways):
        own, first = [each[number] for each in found], [each[0] for each in found]
        cells = [own[0].interval, f"{own[0].fewer:.2f}×", f"{own[0].macs:.3f}", f"{own[0].time:.3f}"]
        if len(own) > 1:
            more = np.array([mine.lost - theirs.lost for mine, theirs in zip(own, first, strict=True)])
            cells = [f"{_over_clips(more, False)} more", f"{np.exp(np.mean(np.log([each.fewer for each in own]))):.2f}×"]
            cells += [_over_clips(np.array([each.macs for each in own]), True), _over_clips(np.array([each.time for each in own]), True)]
        table.row(name, ", ".join(f"{each:g}" for each in way), *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=180, help="of each sequence at most")
    parser.add_argument("--clip-frames", type=int, default=60)
    parser.add_argument("--clips", nargs="*", default=list(CLIPS), help="below DIR, without truth, beside the project's samples")
    parser.add_argument("--factors", type=numbers, nargs="+", required=True, help="seven numbers each")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--keep", type=Path, required=True, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    begin = time.monotonic()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset, passes = load_preset(options.preset), Passes(options.keep)
    ways = [tuple(each) for each in options.factors]
    config = SkipConfig.of(preset, threads=1)
    samples = Path(__file__).parents[1] / "sample_videos"
    specs = [*(str(options.data / clip) for clip in options.clips), *(str(samples / clip) for clip in SAMPLES)]
    sequences = {name: part_of(each, "the first", 0, options.frames) for name, each in with_truth(options.data).items()}
    clips = without_truth(specs, options.clip_frames)
    found = {}
    for name, material in {**sequences, **clips}.items():
        if time.monotonic() - begin > options.seconds:
            sys.exit("stopped, more is to be measured")
        engine = detector(preset, config, preset.score_threshold if material.labels is None else FAINTEST)
        names = [f"by turns {ways} {number} {engine.model.config!r}" for number in range(len(ways) + 1)]
        found[name] = compared(material, passes.together(engine, material, names, lambda: side_by_side(engine, material, ways)))  # noqa: B023
    columns = ["clip", "factors", "lost (95 %)", "fewer MACs", "MACs", "time"]
    note = f"{preset.name}, {options.frames} frames of a sequence at most, {options.clip_frames} of a clip; one thread."
    with ResultTable("proportions-time", columns, options.write, note) as table:
        for name in sequences:
            show(name, [found[name]], ways, table)
        show(f"{len(clips)} clips", [found[name] for name in clips], ways, table)


if __name__ == "__main__":
    main()
