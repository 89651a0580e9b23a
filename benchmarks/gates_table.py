"""The paper's table, ours: accuracy against MACs, by kind of gate, on sequences with ground truth.

    python benchmarks/gates_table.py --data DIR [--learned PRESET.yaml ...] [--frames N] [--csv FILE]

Every row runs the same frames, one after the other, as a stream; the first frame, dense, is counted. AP50 is over the frames with truth
(PETS 2009 and TownCentre: persons; CDnet highway: vehicles). MACs include those of learned gates. F1 is that of the row's detections
against those of the dense network that all begin from; a learned preset has weights of its own. Below the table stands, for each row of
another kind, how many times fewer MACs it needs than norm gates of the same AP50 (tradeoff.py). Times: gates_time.py.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from passes import Measured, agreement_of, measure
from sequences import SEQUENCES, Sequence, load_frames
from tables import ResultTable, add_write_option
from tradeoff import gain_at_equal_accuracy

from skipvid.presets.preset import Preset, load_preset
from skipvid.presets.weights import resolve_gate_weights, resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import load_gates
from skipvid.tasks.detect_engine import DetectEngine

FLOOR = 0.02
"""Score from which detections count for AP."""


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of gate to measure. preset: None for the one that all begin from."""

    name: str
    config: SkipConfig
    preset: Preset | None = None


def make_engine(preset: Preset, config: SkipConfig) -> DetectEngine:
    weights = resolve_weights(preset)
    return DetectEngine(preset, config, weights.path, weights.sha256, FLOOR, scene_cuts=False)


def rows_of(options: argparse.Namespace, base: Preset) -> Iterator[Row]:
    """What is measured, in the order of the table."""
    yield Row("dense", SkipConfig(gate="none", threads=options.threads))
    for threshold in options.norm:
        yield Row(f"norm {threshold:g}", SkipConfig(threshold, threads=options.threads))
    own_gates = SkipConfig.of(base, threads=options.threads)
    for threshold in options.calibrated:
        yield Row(f"calibrated {threshold:g}", own_gates.at(threshold))
    for threshold in options.output:
        yield Row(f"norm-output {threshold:g}", SkipConfig(threshold, gate="norm-output", threads=options.threads))
    for path in options.learned:
        preset = load_preset(path)
        block = f", blocks {preset.block}x{preset.block}" if preset.block > 1 else ""
        if preset.gate == "norm":  # learned or calibrated thresholds
            for scale in options.scale:
                own = SkipConfig.of(preset, threads=options.threads).at(scale * preset.threshold)
                note = f", times {scale:g}" if scale != 1 else ""
                yield Row(f"{preset.name}{block}{note}", own, None if preset.weights == base.weights else preset)
            continue
        gates = load_gates(resolve_gate_weights(preset).path)
        for shift in options.shift:
            moved = {name: replace(gate, bias=gate.bias * shift) for name, gate in gates.items()}
            note = f", bias x{shift:g}" if shift != 1 else ""
            config = SkipConfig.of(preset, learned_gates=moved, threads=options.threads)
            yield Row(f"gumbel {preset.name}{block}{note}", config, preset)


def main() -> None:
    options = _arguments()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    base = load_preset(options.preset)
    engine = make_engine(base, SkipConfig(gate="none", threads=options.threads))
    columns = ["gate", *(f"{s.name} {what}" for s in SEQUENCES for what in ("AP50", "fewer MACs", "F1 to dense"))]
    material = {sequence: load_frames(options.data, sequence, options.frames) for sequence in SEQUENCES}
    dense: dict[Sequence, Measured] = {}
    table: list[dict[str, Any]] = []
    found: dict[str, dict[Sequence, Measured]] = {}
    with ResultTable("gates", columns, options.write, f"{base.name}, {engine.backend} back end.") as shown:
        for row in rows_of(options, base):
            own = engine.regated(row.config) if row.preset is None else make_engine(row.preset, row.config)
            cells: list[str] = []
            record = {"gate": row.name}
            for sequence, (images, truths) in material.items():
                result = measure(own, images, truths, sequence)
                dense.setdefault(sequence, result)
                found.setdefault(row.name, {})[sequence] = result
                f1 = agreement_of(dense[sequence], result, sequence, base.score_threshold)
                cells += [f"{result.ap50:.1f}", f"{result.fewer:.2f}×", f"{f1:.3f}"]
                values = {"ap50": result.ap50, "fewer": result.fewer, "f1": f1}
                record |= {f"{sequence.name} {key}": f"{value:.4g}" for key, value in values.items()}
            table.append(record)
            shown.row(row.name, *cells)
    _compare(found, [f"norm {threshold:g}" for threshold in options.norm])
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


def _compare(found: dict[str, dict[Sequence, Measured]], norms: list[str]) -> None:
    """Print what norm gates need for the accuracy of each other row."""
    print("\n| at equal AP50, against norm gates | " + " | ".join(f"{s.name} MACs" for s in SEQUENCES) + " |")
    print("|---|" + "---|" * len(SEQUENCES))
    for name, results in found.items():
        if name in ("dense", *norms):
            continue
        cells = []
        for sequence, own in results.items():
            others = [found["dense"][sequence], *(found[norm][sequence] for norm in norms)]
            # More accurate than the dense network is not asked for: that much any kind of gate could lose.
            ap50 = min(own.ap50, max(each.ap50 for each in others))
            fewer = gain_at_equal_accuracy([(each.ap50, each.fewer) for each in others], ap50)
            assert fewer is not None
            cells.append(f"{own.fewer / fewer:.2f}x fewer")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def numbers(text: str) -> list[float]:
    """Of an option: numbers between commas."""
    return [float(item) for item in text.split(",") if item]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=200, help="frames of each sequence")
    parser.add_argument("--norm", type=numbers, default=[0.0, 0.03, 0.06, 0.1], help="thresholds of norm gates with one for all maps")
    parser.add_argument("--calibrated", type=numbers, default=[], help="thresholds of the preset's own, calibrated gates")
    parser.add_argument("--output", type=numbers, default=[0.13, 0.25, 0.4], help="thresholds of output-norm gates")
    parser.add_argument("--learned", nargs="*", default=[], help="presets with learned gates or thresholds")
    parser.add_argument("--shift", type=numbers, default=[1.0], help="factors on learned gates' biases: more than 1 closes them")
    parser.add_argument("--scale", type=numbers, default=[1.0], help="factors on learned thresholds: more than 1 closes gates")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    add_write_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
