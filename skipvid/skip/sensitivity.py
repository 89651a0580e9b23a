"""How much a network's outputs suffer from what each gate holds back, and thresholds that spread the damage where it pays.

A gate lets a map differ from its true value by up to τ times the map's mean magnitude s. Where small differences of standard deviation τ·s
add up independently, the outputs y are off by |Δy|² ≈ τ²·s²·‖∂y/∂x‖², and that Frobenius norm of the Jacobian is the mean of ‖vᵀ ∂y/∂x‖²
over random v of unit variance (Hutchinson's estimator): one backward pass gives it for all maps at once. What a threshold saves grows
roughly with the logarithm of τ, and with the MACs M of the layers that read the map. So the outputs would suffer least, for given savings,
where every map's error stands to its MACs in the same proportion: τ² ∝ M / (s²·‖∂y/∂x‖²). The errors of neighbouring maps are not
independent, though, nor are their savings: half of that on a logarithmic scale, τ⁴ ∝ …, measured better (see BLEND).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from skipvid.core.errors import UsageError
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.placement import layers_behind
from skipvid.skip.ir.cost import macs_by_node
from skipvid.skip.ir.graph import Graph
from skipvid.skip.picture import shapes_of
from skipvid.skip.plan import Plan
from skipvid.skip.reference.operations import evaluate

BLEND = 0.5
"""How far to go, on a logarithmic scale, from one threshold for all maps (0) to those of independent errors (1). PP-TinyPose on JHMDB's
static clips, each half of the clips with thresholds from the other half: 0 leaves the heat maps off by 0.36 at 3.6x fewer MACs, 0.5 by
0.26 at 3.8x and by 0.33 at 4.8x."""

MOST = 1.0
"""No threshold is set above this: at its own mean magnitude a map says nothing any more."""

DIGITS = 3
"""Significant digits of a threshold in a preset."""


CALIBRATED = ("norm", "norm-smooth")
"""The kinds of gate that have a threshold for each map."""


def check_calibrated(config: SkipConfig) -> None:
    """Raise UsageError where the gates are of a kind that has no thresholds of single maps."""
    if config.gate not in CALIBRATED or config.reference != "accumulated":
        raise UsageError(
            f"gates of the kind '{config.gate}, {config.reference}' cannot be calibrated", "use --gate norm --reference accumulated"
        )


def rounded(threshold: float) -> float:
    """A threshold as a preset has it."""
    return round(threshold, DIGITS - 1 - math.floor(math.log10(threshold))) if threshold > 0 else 0.0


class Sensitivity:
    """Measured over any number of frames. probes: random directions per frame. The same frames give the same thresholds."""

    def __init__(self, model: SkipModel, probes: int = 3, seed: int = 0) -> None:
        self._model = model
        self._probes = probes
        self._random = torch.Generator().manual_seed(seed)
        self._damage: dict[str, float] = defaultdict(float)  # relative squared error of the outputs per τ², summed over frames
        self._work: dict[str, float] = defaultdict(float)  # share of the MACs in layers that read the map, likewise

    def add(self, *inputs: Tensor) -> None:
        """Measure one frame: (1, C, H, W) float32."""
        plan = self._model.planned(shapes_of(inputs)).plan
        values = differentiable(plan.graph, inputs)
        outputs = [values[name] for name in plan.graph.outputs if isinstance(name, str) and values[name].requires_grad]
        maps = [name for name in plan.gates if values[name].requires_grad]
        for probe in range(self._probes):
            # Each output counts relative to its own size: box terms and class scores have different units.
            directions = [torch.randn(y.shape, generator=self._random) / max(float(y.detach().norm()), 1e-12) for y in outputs]
            last = probe == self._probes - 1
            slopes = torch.autograd.grad(outputs, [values[name] for name in maps], directions, retain_graph=not last, allow_unused=True)
            for name, slope in zip(maps, slopes, strict=True):
                scale = float(values[name].detach().abs().mean())
                self._damage[name] += 0.0 if slope is None else scale**2 * float(slope.square().sum()) / self._probes
        for name, macs in _macs_behind(plan).items():
            self._work[name] += macs / plan.dense_macs

    def with_those_of(self, others: Iterable[Sensitivity]) -> Sensitivity:
        """What all of them have measured on the same network, together."""
        both = Sensitivity(self._model, self._probes)
        for each in (self, *others):
            for own, added in ((both._damage, each._damage), (both._work, each._work)):
                for name, amount in added.items():
                    own[name] += amount
        return both

    def record(self) -> dict[str, dict[str, float]]:
        """What was measured, as plain data."""
        return {"damage": dict(self._damage), "work": dict(self._work)}

    def restored(self, record: Mapping[str, Mapping[str, float]]) -> Sensitivity:
        """This one with what another one of the same network has measured. Raises KeyError, TypeError or ValueError for other data."""
        for own, kept in ((self._damage, record["damage"]), (self._work, record["work"])):
            own.clear()
            own.update({str(name): float(amount) for name, amount in kept.items()})
        return self

    def thresholds(self, level: float, floor: float = 0.0) -> dict[str, float]:
        """Per map, for `SkipConfig.thresholds`; their mean, weighted by MACs and taken over logarithms, is `level`.

        floor: what is lower becomes this, so that the first maps still stop the noise of a camera, of which sensitivity knows nothing.
        Maps that no weighted layer reads directly, or that the outputs do not depend on, are left out: they keep the threshold of all.
        """
        ratios = {name: (work / self._damage[name]) ** (BLEND / 2) for name, work in self._work.items() if work and self._damage[name]}
        total = sum(self._work[name] for name in ratios)
        centre = math.exp(sum(self._work[name] * math.log(ratio) for name, ratio in ratios.items()) / total) if ratios else 1.0
        return {name: max(min(level * ratio / centre, MOST), floor) for name, ratio in ratios.items()}


def differentiable(graph: Graph, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """All maps of a frame, with what autograd needs."""
    values: dict[str, Tensor] = {}
    queue = iter(inputs)
    with torch.enable_grad():
        for node in graph:
            values[node.name] = next(queue).clone().requires_grad_() if node.op == "input" else evaluate(node, values)
    return values


def _macs_behind(plan: Plan) -> dict[str, int]:
    """For each gated map the MACs of the weighted layers that read it, directly or moved."""
    macs = macs_by_node(plan.graph)
    return {name: sum(macs[node.name] for node in nodes) for name, nodes in layers_behind(plan.graph).items() if name in plan.gates}
