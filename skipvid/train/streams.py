"""A network's graph as a stream that can be learned from: gates that open at random in training, and gradients for what they decide.

The gates stand where those of `skipvid.convert` stand, on maps, and decide alike. What a stream of absolute values holds is known without
computing sparsely: each published map is X̂ ← X̂ + g · (X − X̂), everything else its dense result. Only which pixels count as computed takes
footprints, on maps of one channel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_unflatten

from skipvid.nn.window import pool_blocks, spread_blocks
from skipvid.skip.gates.norm import place_norm_gates
from skipvid.skip.gates.placement import layers_behind
from skipvid.skip.importers.exported import import_exported
from skipvid.skip.importers.tracing import export
from skipvid.skip.ir.cost import macs_by_node
from skipvid.skip.ir.graph import Graph, Node
from skipvid.skip.ir.passes import optimise
from skipvid.skip.reference.operations import evaluate
from skipvid.train.folded import folding_factors, parameter_key, trainable_kernels
from skipvid.train.soft_masks import Opened, spread

LEAST_WORK = 0.002
"""Share of the network's MACs in the layers that read a map from which its threshold is learned; there are many small maps, and they take
as long to learn from as the large ones."""


REACH = math.log(2)
"""How far a threshold may go from where it began, on a logarithmic scale. A few clips leave some thresholds free to rise to where
nothing in these clips needs them any more: trained on pedestrians, those of a class head rose fivefold, and fast cars were lost."""


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """What N clips of T frames gave. outputs: as the network returns them, with N · T in place of the batch, clip by clip. share: of the
    dense MACs, spent after the first frames, (); each gate's decision has a gradient in it, and so have those that it depended on."""

    outputs: Any
    share: Tensor


class GatedStream(nn.Module):
    """A network with a gate of its own threshold on each map that feeds a layer.

    net: in eval mode; it is not changed: the weights that are trained are copies of its convolutions' (`network` puts them in).
    thresholds: by map, to begin with; `threshold` for all others. sure: logit of a gate where the change is 0 (negative) and where it is
    twice the threshold. block: gates decide for blocks of so many pixels squared.

    In training mode a gate opens with probability sigmoid(logit), by the difference of two Gumbel samples, and the backward pass sees
    sigmoid((logit + difference) / temperature) (paper, section 3.2). In eval mode it opens where the logit is above 0, as a norm gate does.
    """

    def __init__(
        self, net: nn.Module, example: Tensor, threshold: float, thresholds: Mapping[str, float], sure: float = 6.0, block: int = 1
    ) -> None:
        super().__init__()
        self._net = (net,)  # in a tuple: its parameters are not the gates'
        self._graphs: dict[tuple[int, ...], Graph] = {}
        self.sure, self.block, self.temperature = sure, block, 1.0
        self._example = example
        graph = self.graph(example)
        gates = place_norm_gates(graph, threshold, 1, thresholds)
        work = _work_behind(graph)
        learned = [name for name in gates if work.get(name, 0.0) >= LEAST_WORK]
        self.levels = nn.ParameterDict({name: nn.Parameter(torch.tensor(_log(gates[name].threshold))) for name in learned})
        self.begun = {name: float(level.detach()) for name, level in self.levels.items()}
        self.fixed = {name: _log(gate.threshold) for name, gate in gates.items() if name not in self.levels}
        self.gated = frozenset(gates)
        self.kernels = nn.ParameterDict(
            {parameter_key(path): nn.Parameter(weight.clone()) for path, weight in trainable_kernels(net, graph).items()}
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> GatedStream:
        other = GatedStream.__new__(GatedStream)
        nn.Module.__init__(other)
        for name in (
            "_net",
            "_graphs",
            "sure",
            "block",
            "temperature",
            "fixed",
            "gated",
            "begun",
            "_example",
            "training",
        ):  # shared: none of these is changed in place
            setattr(other, name, getattr(self, name))
        for name in ("levels", "kernels"):
            own = {key: nn.Parameter(value.detach().clone()) for key, value in getattr(self, name).items()}
            setattr(other, name, nn.ParameterDict(own))
        return other

    def network(self) -> nn.Module:
        """A copy of the network with the weights as they are now."""
        net = copy.deepcopy(self._net[0])
        with torch.no_grad():
            for path, weight in trainable_kernels(net, self.graph(self._example)).items():
                weight.copy_(self.kernels[parameter_key(path)])
        return net

    def nodes(self, graph: Graph) -> list[Node]:
        """A graph's, with the weights as they are now, folded as they were."""
        return [self._with_own_weights(node) for node in graph]

    def _with_own_weights(self, node: Node) -> Node:
        if parameter_key(node.layer) not in self.kernels or node.op != "conv":
            return node
        factors = folding_factors(node.consts["weight"], self._net[0].get_parameter(f"{node.layer}.weight"))
        return replace(node, consts={**node.consts, "weight": self.kernels[parameter_key(node.layer)] * factors})

    def graph(self, frame: Tensor) -> Graph:
        """Of the network for frames of this shape: (1, C, H, W)."""
        shape = tuple(frame.shape)
        if shape not in self._graphs:
            self._graphs[shape] = optimise(import_exported(export(self._net[0], (torch.zeros(shape),))))
        return self._graphs[shape]

    def thresholds(self) -> dict[str, float]:
        """As they are now, by map."""
        learned = {name: float(self.level(name).detach()) for name in self.levels}
        return {name: math.exp(level) for name, level in {**self.fixed, **learned}.items()}

    def level(self, name: str) -> Tensor:
        """Logarithm of a learned threshold, ()."""
        level: Tensor = self.levels[name]
        return level.clamp(self.begun[name] - REACH, self.begun[name] + REACH)

    def forward(self, clips: Tensor) -> Streamed:
        """clips: (N, T, C, H, W), streams of their own, the first frames of which are computed densely."""
        graph = self.graph(clips[0, :1])
        # What torch.export wrote down of an operation that we have no word for may hold the batch that it saw: one.
        apart = any(node.op == "aten" or not node.is_map for node in graph)
        leaves, spent = [], torch.zeros(())
        for group in torch.split(clips, 1 if apart else len(clips)):
            stream = _Stream(self, graph, _shares(graph))
            leaves.append([_in_order(parts) for parts in zip(*map(stream.run, group.unbind(1)), strict=True)])
            spent = spent + stream.spent * (len(group) / len(clips))
        together = [torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0] for parts in zip(*leaves, strict=True)]
        return Streamed(tree_unflatten(together, graph.out_spec), spent / max(clips.shape[1] - 1, 1))

    def decide(self, name: str, change: Tensor) -> Tensor:
        """Where a gate opens, 0 or 1. change: (N, 1, H, W), in units of the map's mean magnitude."""
        size = (change.shape[2], change.shape[3])
        block = self.block if size != (1, 1) else 1
        if name not in self.levels:
            return spread_blocks((pool_blocks(change, block) > math.exp(self.fixed[name])).float(), block, size)
        logits = pool_blocks(self.sure * (change * (-self.level(name)).exp() - 1), block)
        if not self.training:
            return spread_blocks((logits > 0).float(), block, size)
        uniform = torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)  # its logit is distributed as the difference of two Gumbel samples
        return spread_blocks(Opened.apply(logits + uniform.logit(), self.temperature), block, size)  # type: ignore[no-untyped-call]

    def rounded(self, mask: Tensor) -> Tensor:
        """Masks (N, 1, H, W) as the gates' blocks have them."""
        size = (mask.shape[2], mask.shape[3])
        return mask if size == (1, 1) else spread_blocks(pool_blocks(mask, self.block), self.block, size)


def _in_order(leaves: Sequence[Any]) -> Any:
    """Frames (N, ...) of N clips, T of them, as one batch (N · T, ...), clip by clip; what is no tensor is the same in every frame."""
    return torch.stack(list(leaves), 1).flatten(0, 1) if isinstance(leaves[0], Tensor) else leaves[0]


def _log(threshold: float) -> float:
    return math.log(max(threshold, 1e-6))


def _shares(graph: Graph) -> dict[str, float]:
    """Of the network's MACs, by node that has any."""
    macs = macs_by_node(graph)
    total = sum(macs.values())
    return {name: count / total for name, count in macs.items() if count}


def _work_behind(graph: Graph) -> dict[str, float]:
    """Share of the MACs in the layers that read a map, directly or moved."""
    shares = _shares(graph)
    return {name: sum(shares[node.name] for node in nodes) for name, nodes in layers_behind(graph).items()}


class _Stream:
    """The maps of N clips, (N, C, H, W), as readers see them, and the share of MACs spent: summed over frames, averaged over clips."""

    def __init__(self, gated: GatedStream, graph: Graph, work: Mapping[str, float]) -> None:
        self._gated, self._graph, self._work, self._nodes = gated, graph, work, gated.nodes(graph)
        self._values: dict[str, Tensor] = {}
        self._scales: dict[str, Tensor] = {}
        self.spent = torch.zeros(())

    def run(self, frame: Tensor) -> list[Any]:
        first = not self._values
        changed: dict[str, Tensor] = {}
        for node in self._nodes:
            value = frame if node.op == "input" else evaluate(node, self._values)
            if first:
                self._scales[node.name] = value.detach().abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, 1, 1, 1)
            else:
                masks = [changed[name] for name in node.inputs]
                region = torch.ones(len(frame), 1, *node.size) if node.op == "input" else spread(node, masks)
                if node.name in self._work:
                    self.spent = self.spent + self._work[node.name] * region.mean()
                value, changed[node.name] = self._publish(node, value, region)
            self._values[node.name] = value
        return [self._values[leaf] if isinstance(leaf, str) else leaf for leaf in self._graph.outputs]

    def _publish(self, node: Node, value: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        if node.name not in self._gated.gated:
            return value, region
        old = self._values[node.name]
        difference = value - old
        size = difference.abs().mean(1, keepdim=True) if node.is_map else difference.abs().mean().view(1, 1, 1, 1)
        # Only what was computed can open; but a block that opens is computed as a whole by whoever reads it.
        relative = size.detach() / self._scales[node.name] * (region.detach() > 0)
        opened = self._gated.decide(node.name, relative)
        step = opened * region
        changed = step if self._gated.block == 1 else opened * self._gated.rounded(region)
        return old + difference * (step if node.is_map else step.view([1] * value.dim())), changed
