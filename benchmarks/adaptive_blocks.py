"""Adaptive layers that choose block by block in the engine (skipvid.nn.AdaptiveConv2d, VA-RED²), against controls, on unseen clips.

    nice -n 19 python benchmarks/adaptive_blocks.py train detect --data DIR --work FOLDER --steps 240
    nice -n 19 python benchmarks/adaptive_blocks.py measure detect --data DIR --work FOLDER --write

One training (`skipvid train adaptive --form layers`): the first part of the steps teaches the policies and the weights that all ratios
share, the second the weights of the network in which each layer keeps the ratio that its policy chose most often. Measured on the native
back end, material and columns as in adaptive.py:

  dense         the network as it was
  blocks        the policies of the first part choose in each frame, layer by layer
  commonest     the same weights; each layer keeps the ratio that it chose most often on these frames, so that no frame decides
  one ratio     the network of the second part: trained on with one ratio for each layer
  every k-th    dense, in between the results are held
  gates         the preset's own; and with the policies, at the preset's threshold, not those of single maps

ratios: shares of the choices, over layers and frames, at 1, 1/2 and 1/4.
"""

from __future__ import annotations

import argparse
import copy
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
from adaptive import CLIPS, PRESETS, SAVING, Arrays, Shot, Way, _engine, _text, asked, detection_shots, pose_shots, run_pass, time_ways
from tables import ResultTable
from torch import nn

from skipvid.evaluate.run import compare
from skipvid.nn import FixedPolicy, adaptive_layers
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.adaptive import AdaptiveRecipe, open_student, train_adaptive
from skipvid.train.clips import cut_pieces, split_pieces
from skipvid.train.gates import piece_length
from skipvid.train.loop import Schedule
from skipvid.train.open_subject import open_subject

RATE = 2e-3
STAY = 4
"""Frames at a ratio before another one may follow."""


class Blocks(Way):
    """A way whose layers choose. taken: numbers of the choices, by layer."""

    taken: defaultdict[str, Counter[int]]

    def run(self, picture: Picture) -> tuple[Arrays, int]:
        result = super().run(picture)
        if not hasattr(self, "taken"):
            self.taken = defaultdict(Counter)
        for layer, number in self.session.choices.items():
            self.taken[layer][number] += 1
        return result


def train(options: argparse.Namespace) -> None:
    preset = load_preset(PRESETS[options.task])
    subject = open_subject(preset, resolve_weights(preset).path)
    schedule = Schedule(options.steps, batch=2, rate=RATE, warmup=10, evaluate_every=options.steps, checkpoint_every=20)
    recipe = AdaptiveRecipe(schedule, frames=3, size=192, target_saving=SAVING, policy_share=0.6)
    clips = [options.data / clip for clip in CLIPS[options.task]]
    root = options.work / options.task
    pieces = cut_pieces(clips, [None] * len(clips), root / "frames", longest=subject.longest, length=piece_length(3), most_frames=180)
    learned, held = split_pieces(subject.keep(pieces), 0.2)
    resume = any((root / "blocks").glob("*/checkpoint.pt"))
    train_adaptive(subject, recipe, learned, held, root / "blocks", name="blocks", resume=resume, report=print)


def layer_of(name: str) -> str:
    """The path of a layer, from its name in reports."""
    return name.partition("@")[0].partition("#")[0]


def commonest(net: nn.Module, taken: dict[str, Counter[int]]) -> nn.Module:
    """The network with the ratio of each layer that was chosen most often; calls of one layer choose together."""
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for name, found in taken.items():
        counts[layer_of(name)] += found
    copied = copy.deepcopy(net)
    for path, layer in adaptive_layers(copied):
        layer.set_policy(FixedPolicy(counts[path].most_common(1)[0][0]))
    return copied


def measure(options: argparse.Namespace) -> None:
    task, folder = options.task, options.work / options.task / "blocks"
    base = load_preset(PRESETS[task])
    plain, gates = SkipConfig(gate="none", threads=1), SkipConfig.of(base, threads=1)
    engine = _engine(base, plain)
    subject = open_subject(base, resolve_weights(base).path)
    net = open_student(subject.teacher, task, folder / "blocks-policies.pt").net
    for _, layer in adaptive_layers(net):
        layer.rules = replace(layer.rules, least_stay=STAY)
    one_ratio = _engine(load_preset(folder / "blocks.yaml"), plain).model
    material = detection_shots(options, engine) if isinstance(engine, DetectEngine) else pose_shots(options, engine)
    note = f"{base.name}; {options.steps} steps of training, two clips of three frames each."
    columns = ["measured on", "way", "value", "lost (95 %)", "MACs", "CPU ms", "ratios"]
    blocks, gated_blocks = SkipModel(net, plain), SkipModel(net, replace(gates, thresholds={}, scales={}))
    with ResultTable(f"adaptive-blocks-{task}", columns, options.write, note) as table:
        for name, (measured, block, shots) in material.items():
            adaptive = Blocks("blocks", blocks)
            ways = [
                Way("dense", engine.model),
                adaptive,
                Way("commonest", SkipModel(commonest(net, _taken(blocks, shots)), plain)),
                Way("one ratio", one_ratio),
                *(Way(f"every {every}, held", engine.model, every) for every in (2, 3)),
                Way("gates", _engine(base, gates).model),
                Blocks("gates, blocks", gated_blocks),
            ]
            time_ways(ways, shots[: options.timed])
            base_pass, dense_found = run_pass(ways[0], shots, None)
            for way in ways:
                way.session.reset()
                outcome, _ = run_pass(way, shots, dense_found)
                found = compare(outcome, base_pass, block, 1000)[measured]
                ms = f"{np.median(way.ms):.1f}" if way.ms else ""
                lost = "" if way.name == "dense" else _text(found.lost)
                table.row(name, way.name, f"{found.value.value:.1f}", lost, f"{outcome.macs / base_pass.macs:.0%}", ms, _shares(way))


def _taken(model: SkipModel, shots: list[Shot]) -> dict[str, Counter[int]]:
    way = Blocks("", model)
    for shot in shots:
        if shot.anew:
            way.session.reset()
        way.run(shot.picture)
    return way.taken


def _shares(way: Way) -> str:
    if not isinstance(way, Blocks):
        return ""
    total = sum(way.taken.values(), Counter[int]())
    return " ".join(f"{total[number] / total.total():.0%}" for number in range(3))


if __name__ == "__main__":
    asked(__doc__, {"train": train, "measure": measure}, 240)
