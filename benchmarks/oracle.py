"""What gates could save at most on a sequence, if they knew more than gates can know.

    nice -n 19 python benchmarks/oracle.py --data DIR --keep FOLDER --write

Beside the preset, each measured on the very frames that it was chosen on, so that it flatters itself:

* "level": the highest level of the preset's thresholds that loses at most GOAL points of AP50.
* "thresholds": from there those of one group of maps after the other (stages by stride, pyramid, heads) are raised by STEP, those first
  that save most for the agreement with the dense network that they cost, for as long as no more than GOAL is lost.
* "pixels": each gate knows the true effect of a pixel's residual on the results, to the first order: the gradients of the dense network on
  the frame that is about to be run, in random directions over logits and boxes, each weighted by its score. A pixel opens where the effect
  exceeds a limit times the root of the MACs that its readers spend on a pixel. Footprints, and that what stays closed stays in the
  residual, are those of all gates. "pixels, without signs" knows how large gradient and residual are, but not the angle between them.

All of it in float32; "pixels" runs on the back end `reference`, by far slower than the network is, and on fewer frames, with rows of their
own for what it is compared with. With --keep FOLDER a script that was broken off goes on where it ended.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, lost, measured, value_of, with_truth
from tables import ResultTable, add_write_option, interval_text
from torch import Tensor

from skipvid.core.results import Frame
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.truth import LabelledClip
from skipvid.presets.preset import load_preset
from skipvid.skip.account import frame_cost
from skipvid.skip.backend import as_arrays
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.base import MapGate
from skipvid.skip.gates.placement import layers_behind
from skipvid.skip.ir.cost import macs_by_node
from skipvid.skip.picture import as_tensors, shapes_of
from skipvid.skip.plan import Plan
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.sensitivity import differentiable
from skipvid.tasks.detect_engine import DetectEngine

GOAL = 0.5
BLOCK = 25
STEP = math.sqrt(2)
LEAST_COST = 0.05
"""Points of agreement: what costs less counts as costing so much."""
FADE = 0.9
"""What is left from frame to frame of the weight of a result: where an object was, the network has to see that it is gone."""


class Clip:
    """A sequence in memory, and what passes over it lose and save."""

    def __init__(self, engine: DetectEngine, material: Material, passes: Passes) -> None:
        frames = [frame for _, _, frame in material.frames()]

        @contextmanager
        def opened(clip: LabelledClip) -> Iterator[Iterator[Frame]]:
            yield iter(frames)

        self.engine, self.passes, self.material = engine, passes, Material.read(material.clips, opened, material.labels)
        self.dense = passes.dense(engine, self.material)
        self.reference = measured(self.material, self.dense, self.dense)
        self.plan = plan_for(engine, frames[0])
        self._unlabelled = replace(self.material, labels=None)

    def seen(self, factors: Mapping[str, float]) -> Seen:
        """With the preset's thresholds times a factor for each group of maps."""
        return self.passes.gated(scaled(self.engine, self.plan, factors.__getitem__), self.material)

    def points(self, seen: Seen) -> tuple[float, float, float]:
        """(points of AP50 lost, logarithm of how many times fewer MACs, points of agreement lost)."""
        own = measured(self.material, seen, self.dense)
        return value_of(self.reference) - value_of(own), math.log(own.fewer), 100 - value_of(measured(self._unlabelled, seen, self.dense))


def plan_for(engine: DetectEngine, frame: Frame) -> Plan:
    """What runs frames of this one's size."""
    return engine.model.planned(((1, 3, *engine.preset.input_size(frame.height, frame.width)),)).plan


def scaled(engine: DetectEngine, plan: Plan, factor: Callable[[str], float]) -> DetectEngine:
    """The same with the thresholds of its gated maps times a factor for each group."""
    config = engine.model.config
    own = {name: factor(group) * config.thresholds.get(name, config.threshold) for name, group in groups(plan).items()}
    return engine.regated(replace(config, thresholds=own))


def groups(plan: Plan) -> dict[str, str]:
    """The group of each gated map: the backbone's by their stride, the pyramid's, the heads'."""
    rows, readers = {layer.node: layer.name for layer in plan.layers}, layers_behind(plan.graph)
    height = plan.graph.inputs[0].size[0]
    found = {}
    for name in plan.gates:
        part = rows[readers[name][0].name].split(".")[0]
        found[name] = f"backbone/{round(height / plan.graph.by_name[name].size[0])}" if part == "backbone" else part
    return found


def searched(clip: Clip, levels: Sequence[float], rounds: int) -> tuple[Seen, Seen]:
    """With the best level, and with the best thresholds of groups. rounds: how often each group is tried at most."""
    names = sorted(set(groups(clip.plan).values()))
    factors = dict.fromkeys(names, 1.0)
    best = clip.seen(factors)
    begin = points = clip.points(best)
    worth = {}
    for name in names:
        _, saved, cost = clip.points(clip.seen({**factors, name: STEP**2}))
        worth[name] = (saved - begin[1]) / max(cost - begin[2], LEAST_COST)
    for level in sorted(levels):
        seen = clip.seen(dict.fromkeys(names, level))
        if clip.points(seen)[0] > GOAL:
            break
        factors, best, points = dict.fromkeys(names, level), seen, clip.points(seen)
    uniform = best
    for _ in range(rounds):
        for name in sorted(names, key=lambda name: -worth[name]):
            raised = {**factors, name: STEP * factors[name]}
            seen = clip.seen(raised)
            tried = clip.points(seen)
            if tried[0] <= GOAL and tried[1] > points[1]:
                factors, best, points = raised, seen, tried
    return uniform, best


@dataclass(slots=True, eq=False)
class Gradients:
    """Of the results by the maps of one frame. maps: (directions, C, H, W) by map."""

    directions: int
    maps: dict[str, Tensor] = field(default_factory=dict)
    _weights: list[Tensor] = field(default_factory=list)
    _random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def of(self, plan: Plan, inputs: tuple[Tensor, ...]) -> None:
        """Measure a frame. The results are class maps, (1, A · classes, h, w) logits, then as many box maps, (1, A · 4, h, w)."""
        values = differentiable(plan.graph, inputs)
        outputs = [values[name] for name in plan.graph.outputs if isinstance(name, str)]
        classes, boxes = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
        scores = [level.detach().sigmoid() for level in classes]
        self._weights = [torch.maximum(new, FADE * old) for new, old in zip(scores, self._weights or scores, strict=True)]
        weights = [*self._weights, *map(_of_boxes, self._weights, boxes)]
        names = list(plan.gates)
        found = []
        for number in range(self.directions):
            signs = [torch.randint(0, 2, output.shape, generator=self._random) * 2.0 - 1 for output in outputs]
            sides = [sign * weight for sign, weight in zip(signs, weights, strict=True)]
            more = number + 1 < self.directions
            found.append(torch.autograd.grad(outputs, [values[name] for name in names], sides, retain_graph=more, allow_unused=True))
        for name, slopes in zip(names, zip(*found, strict=True), strict=True):
            self.maps[name] = torch.cat([torch.zeros_like(values[name]) if slope is None else slope for slope in slopes])


def _of_boxes(scores: Tensor, boxes: Tensor) -> Tensor:
    """The score of each anchor's best class, for each of its four numbers."""
    anchors = boxes.shape[1] // 4
    best = scores.view(anchors, -1, *scores.shape[2:]).amax(1)
    return best.repeat_interleave(4, 0)[None]


@dataclass(frozen=True, slots=True, eq=False)
class OracleGate(MapGate):
    """Opens by the effect of a pixel's residual. limit_squared: what its square must exceed. signed: whether the angle counts."""

    map: str
    gradients: Gradients
    limit_squared: float
    signed: bool
    block: int = 1

    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        change, slopes = new - published, self.gradients.maps[self.map]
        if self.signed:
            effect = (slopes * change).sum(1, keepdim=True).square().mean(0, keepdim=True)
        else:  # of random directions: as if the residual pointed anywhere
            effect = slopes.square().sum(1, keepdim=True).mean(0, keepdim=True) * change.square().mean(1, keepdim=True)
        return ~(effect <= self.limit_squared)

    def operations(self, channels: int) -> int:
        return 2 * channels + 1


def oracle_passes(engine: DetectEngine, material: Material, ways: Sequence[tuple[float, bool]], directions: int) -> list[Seen]:
    """What gates of each (limit, signed) find and spend, side by side on the reference."""
    plan, gradients = None, Gradients(directions)
    task = engine.task()
    decoders = [engine.task() for _ in ways]
    programs: list[ReferenceProgram] = []
    found, macs, dense = [[] for _ in ways], [[] for _ in ways], []
    for number, _, frame in material.frames():
        inputs = as_tensors((task.prepare(frame.picture),))
        if plan is None:
            plan = engine.regated(SkipConfig(threshold=0, backend="reference")).model.planned(shapes_of(inputs)).plan
            gates = [_oracle_gates(plan, gradients, limit, signed) for limit, signed in ways]
            programs = [ReferenceProgram(replace(plan, gates=each)) for each in gates]
            states = [program.new_state() for program in programs]
        gradients.of(plan, inputs)
        for own, program in enumerate(programs):
            run = program.run(states[own], inputs, keyframe=number == 0)
            cost = frame_cost(program.costs, run)
            decoders[own].prepare(frame.picture)
            maps = as_arrays(run.outputs)
            found[own].append(decoders[own].decode(maps, (frame.height, frame.width)))
            macs[own].append(cost.macs)
        dense.append(cost.dense_macs)
    nothing = np.zeros(len(dense))
    return [Seen(each, np.array(spent), np.array(dense), nothing) for each, spent in zip(found, macs, strict=True)]


def _oracle_gates(plan: Plan, gradients: Gradients, limit: float, signed: bool) -> dict[str, MapGate]:
    macs = macs_by_node(plan.graph)
    per_pixel = {
        name: sum(macs[node.name] for node in nodes) / math.prod(plan.graph.by_name[name].size)
        for name, nodes in layers_behind(plan.graph).items()
        if name in plan.gates
    }
    mean = sum(per_pixel.values()) / len(per_pixel)
    return {name: OracleGate(name, gradients, limit**2 * per_pixel.get(name, mean) / mean, signed) for name in plan.gates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--sequences", nargs="*", default=["PETS09", "TownCentre"])
    parser.add_argument("--frames", type=int, default=100, help="of each sequence")
    parser.add_argument("--pixel-frames", type=int, default=50, help="of each sequence, for pixels")
    parser.add_argument("--levels", type=numbers, default=[1.0, 1.19, 1.41, 1.68, 2.0], help="factors on the preset's thresholds")
    parser.add_argument("--rounds", type=int, default=4, help="how often the thresholds of each group are raised at most")
    parser.add_argument("--limits", type=numbers, default=[0.007, 0.014, 0.028], help="of effects")
    parser.add_argument("--directions", type=int, default=2, help="that effects are measured in")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset = load_preset(options.preset)
    engine = detector(preset, SkipConfig.of(replace(preset, precision="f32"), threads=1), FAINTEST)
    columns = ["sequence", "chosen on these frames", "AP50", "lost (95 %)", "fewer MACs"]
    note = f"{preset.name}, at most {GOAL:g} points lost, at most {options.rounds} steps for each group; flattering by intent."
    passes = Passes(options.keep)
    few = with_truth(options.data, options.pixel_frames)
    with ResultTable("oracle", columns, options.write, note) as table:
        for name, material in with_truth(options.data, options.frames).items():
            if name in options.sequences:
                clip = Clip(engine, material, passes)
                uniform, best = searched(clip, options.levels, options.rounds)
                _show(clip, {"nothing: the preset": _preset(clip), "level": uniform, "thresholds": best}, table)
                clip = Clip(engine, few[name], passes)
                _show(clip, {"nothing: the preset": _preset(clip), **_pixels(clip, options)}, table)


def _preset(clip: Clip) -> Seen:
    return clip.seen(dict.fromkeys(groups(clip.plan).values(), 1.0))


def _pixels(clip: Clip, options: argparse.Namespace) -> dict[str, Seen]:
    """Of each way the pass that saves most of those that keep the goal, or the one that loses least where none does."""
    kinds = {"pixels": True, "pixels, without signs": False}
    ways = [(limit, signed) for signed in kinds.values() for limit in options.limits]
    names = [f"pixels, limit {limit:g}, signed {signed}, {options.directions} directions" for limit, signed in ways]
    run = partial(oracle_passes, clip.engine, clip.material, ways, options.directions)
    found = dict(zip(ways, clip.passes.together(clip.engine, clip.material, names, run), strict=True))
    rows = {}
    for kind, signed in kinds.items():
        own = [seen for way, seen in found.items() if way[1] == signed]
        good = [seen for seen in own if clip.points(seen)[0] <= GOAL]
        rows[kind] = max(good, key=lambda seen: clip.points(seen)[1]) if good else min(own, key=lambda seen: clip.points(seen)[0])
    return rows


def _show(clip: Clip, rows: Mapping[str, Seen], table: ResultTable) -> None:
    for way, seen in {"dense": clip.dense, **rows}.items():
        own = measured(clip.material, seen, clip.dense)
        loss = "" if way == "dense" else interval_text(lost(own, clip.reference, BLOCK), 1)
        name = f"{clip.material.clips[0].name}, {len(clip.material)} frames"
        table.row(name, way, f"{value_of(own):.1f}", loss, f"{own.fewer:.2f}×")


if __name__ == "__main__":
    main()
