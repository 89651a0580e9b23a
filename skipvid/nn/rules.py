"""The three ways from one frame to the next. All of them agree on the first frame, which is computed everywhere (a keyframe).

Names: x_t the layer's input, z_t its output, g the gate, ⊙ the product with a mask, f the layer with bias and w ∗ the layer without.
* publish (reference "accumulated", gate on the inputs): x̂_t = x̂_{t−1} + g(x_t − x̂_{t−1}) ⊙ (x_t − x̂_{t−1}) and z_t = f(x̂_t), which differs
  from z_{t−1} only in the footprint of the gate. No drift: what was skipped stays in the residual until it opens.
* accumulate (reference "accumulated", gate on the outputs): z_t = f(x_t) where the gate opens, else z_{t−1}; the gate adds up what it
  skipped.
* difference (reference "previous", as in the paper, section 3.1): z_t = z_{t−1} + g(x_t − x_{t−1}) ⊙ (w ∗ (x_t − x_{t−1})). What was
  skipped is forgotten, as published; the bias is in z_1 and is not added again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skipvid.nn.gates import Decision, Gate, Site
from skipvid.nn.window import as_row, straight_through


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What a layer remembers of N streams between two frames.

    reference: (N, C, H, W), the published input x̂, or the last input. scale: (N,) unit of the threshold. output: (N, C', h, w), the last
    output, where the rule needs it. accumulator: (N, 1, h, w), what a norm gate in output form has skipped so far.
    fresh: (N,) bool, streams whose next frame is a keyframe, or None for none.
    """

    reference: Tensor
    scale: Tensor | None = None
    output: Tensor | None = None
    accumulator: Tensor | None = None
    fresh: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Stream:
        """The same stream with a function applied to each of its tensors."""
        scale, output, accumulator, fresh = (
            None if each is None else function(each) for each in (self.scale, self.output, self.accumulator, self.fresh)
        )
        return Stream(function(self.reference), scale, output, accumulator, fresh)

    def fits(self, x: Tensor) -> bool:
        """Whether x can be the next frame: a change of size, number, type or device starts a stream anew."""
        old = self.reference
        return x.shape == old.shape and x.dtype == old.dtype and x.device == old.device


@dataclass(frozen=True, slots=True, eq=False)
class LayerRun:
    """What a layer did in one frame.

    computed: (N, 1, h, w) bool, outputs computed. expected: (N, 1, h, w), the probability of that, differentiable. keyframe: (N,) bool.
    stream: for the next frame.
    """

    output: Tensor
    stream: Stream
    computed: Tensor
    expected: Tensor
    keyframe: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GatedLayer:
    """What a rule needs to know of a layer. run: the dense layer on (N, C, H, W) with the weight and bias given to it."""

    gate: Gate
    reference: str
    site: Site
    weight: Tensor
    bias: Tensor | None
    run: Callable[[Tensor, Tensor, Tensor | None], Tensor]

    def dense(self, x: Tensor) -> Tensor:
        return self.run(x, self.weight, self.bias)

    def without_bias(self, x: Tensor) -> Tensor:
        return self.run(x, self.weight, None)


def run_keyframe(layer: GatedLayer, x: Tensor) -> LayerRun:
    """A keyframe of all streams. x: (N, C, H, W)."""
    output = layer.dense(x)
    computed = torch.ones_like(output[:, :1], dtype=torch.bool)
    by_outputs = not layer.site.on_inputs
    accumulator = torch.zeros_like(output[:, :1]) if by_outputs and layer.reference == "accumulated" else None
    stream = Stream(x, _scale(layer, x, output), output if by_outputs else None, accumulator)
    return LayerRun(output, stream, computed, computed.to(output.dtype), x.new_ones(len(x), dtype=torch.bool))


def run_next(layer: GatedLayer, x: Tensor, stream: Stream) -> LayerRun:
    """Any later frame; a stream that is marked fresh gets a keyframe among the others."""
    fresh = x.new_zeros(len(x), dtype=torch.bool) if stream.fresh is None else stream.fresh
    if layer.reference == "previous":
        rule = _difference
    else:
        rule = _publish if layer.site.on_inputs else _accumulate
    run = rule(layer, x, stream, fresh)
    if stream.fresh is None or stream.scale is None:
        return run
    measured = _scale(layer, x, run.output)
    assert measured is not None
    return replace(run, stream=replace(run.stream, scale=torch.where(fresh, measured, stream.scale)))


def _publish(layer: GatedLayer, x: Tensor, stream: Stream, fresh: Tensor) -> LayerRun:
    decision = _decide(layer, x, stream, fresh)
    published = straight_through(decision.mask, decision.soft, x, stream.reference)
    # Computed everywhere, though only the footprint can change: a closed gate must learn what opening it would have done.
    output = layer.dense(published)
    window = layer.site.layer
    computed = window.footprint(decision.mask)
    expected = computed.to(output.dtype) if decision.probability is None else window.max(decision.probability)
    return LayerRun(output, replace(stream, reference=published, fresh=None), computed, expected, fresh)


def _accumulate(layer: GatedLayer, x: Tensor, stream: Stream, fresh: Tensor) -> LayerRun:
    assert stream.output is not None
    decision = _decide(layer, x, stream, fresh)
    output = torch.where(decision.mask, layer.dense(x), stream.output)
    kept = Stream(x, stream.scale, output, decision.accumulator)
    return LayerRun(output, kept, decision.mask, decision.mask.to(output.dtype), fresh)


def _difference(layer: GatedLayer, x: Tensor, stream: Stream, fresh: Tensor) -> LayerRun:
    assert stream.output is not None
    decision = _decide(layer, x, stream, fresh)
    changed = stream.output + layer.without_bias(x - stream.reference)
    output = straight_through(decision.mask, decision.soft, changed, stream.output)
    if stream.fresh is not None:
        output = torch.where(as_row(fresh), layer.dense(x), output)
    expected = decision.mask.to(output.dtype) if decision.probability is None else decision.probability
    return LayerRun(output, Stream(x, stream.scale, output), decision.mask, expected, fresh)


def _decide(layer: GatedLayer, x: Tensor, stream: Stream, fresh: Tensor) -> Decision:
    """The gate's decision, open everywhere for streams that start anew."""
    decision: Decision = layer.gate(x - stream.reference, layer.site, stream.scale, layer.weight, stream.accumulator)
    if stream.fresh is None:
        return decision
    anew = as_row(fresh)
    return Decision(
        decision.mask | anew,
        None if decision.soft is None else decision.soft.masked_fill(anew, 1),
        decision.probability,
        None if decision.accumulator is None else decision.accumulator.masked_fill(anew, 0),
    )


def _scale(layer: GatedLayer, x: Tensor, output: Tensor) -> Tensor | None:
    bias = layer.bias
    return layer.gate.measure_scale(x, output if bias is None else output - bias.view(1, -1, 1, 1))
