"""What all skip layers share: their gate, and the account of what it opened."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.cost import Cost
from skipvid.nn.gates import REFERENCES, Gate, NormGate, Site
from skipvid.nn.rules import GatedLayer, LayerRun, Stream, run_keyframe, run_next
from skipvid.nn.streams import Step, StreamLayer
from skipvid.nn.window import Window


class SkipLayer(StreamLayer):
    """Base of SkipConv2d, SkipConvTranspose2d and SkipLinear. See StreamLayer for the state of the streams.

    gate: decides what is computed. reference: "accumulated" (no drift) or "previous" (the paper's). calls: as in StreamLayer.
    """

    gate: Gate
    reference: str
    site: Site
    _channel_axis: ClassVar[int]

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer as torch computes it, on (N, C, H, W)."""
        raise NotImplementedError

    def _window(self) -> Window:
        raise NotImplementedError

    def _channels(self) -> tuple[int, int]:
        raise NotImplementedError

    @classmethod
    def _adopt(cls, layer: nn.Module, gate: Gate | None, reference: str, calls: int) -> Self:
        """A skip layer with the parameters (shared, not copied), settings and hooks of a plain one."""
        new = cls._adopted(layer)
        new._install(gate, reference, calls)
        return new

    def _install(self, gate: Gate | None, reference: str, calls: int) -> None:
        if reference not in REFERENCES:
            raise UsageError(f"reference is {reference!r}", f"it must be one of {', '.join(REFERENCES)}")
        gate = NormGate() if gate is None else gate
        if not isinstance(gate, Gate):
            raise UsageError(f"gate is {type(gate).__name__}", "it must be a skipvid.nn.NormGate or GumbelGate, or a Gate of your own")
        self._begin(calls)
        self.reference = reference
        self.site = Site(gate.on_inputs(reference), self._window(), *self._channels())
        gate.bind(self.site)
        self.gate = gate.to(device=self.weight.device, dtype=self.weight.dtype).train(self.training)

    def _next(self, x: Tensor, memory: Stream | None, weight: Tensor, bias: Tensor | None) -> Step:
        layer = GatedLayer(self.gate, self.reference, self.site, weight, bias, self._dense)
        run = run_keyframe(layer, x) if memory is None else run_next(layer, x, memory)
        return Step(run.output, run.stream, self._count(run, x), run.computed)

    @property
    def masks(self) -> tuple[Tensor | None, ...]:
        """For each call of the last forward, True where an output was computed; None before it."""
        return self._records

    @property
    def gate_share(self) -> float:
        """MACs of the gate for each MAC of the layer, computed densely: at 1 or more the gate cannot pay."""
        window = self.site.layer
        inputs, outputs = (window.stride, (1, 1)) if window.spread == (1, 1) else ((1, 1), window.spread)
        return self.gate.macs(self.site, inputs, outputs) / (window.positions(inputs, outputs) * self.weight.numel())

    def _count(self, run: LayerRun, x: Tensor) -> Cost:
        inputs, outputs = (x.shape[2], x.shape[3]), (run.output.shape[2], run.output.shape[3])
        pixels = outputs[0] * outputs[1]
        dense = self.site.layer.positions(inputs, outputs) * self.weight.numel()
        active = run.computed.sum((1, 2, 3))
        gated = (~run.keyframe).long()
        expected = run.expected.mean((1, 2, 3), dtype=torch.promote_types(run.expected.dtype, torch.float32))
        return Cost(
            dense,
            pixels,
            active,
            (dense * active + pixels // 2) // pixels,  # exact but for transposed convolutions, whose outputs do not all cost the same
            gated * self.gate.macs(self.site, inputs, outputs),
            gated * self.gate.operations(self.site, inputs, outputs),
            expected * dense,
            run.keyframe,
        )

    def _shown(self, record: Tensor, like: Tensor) -> Tensor:
        return self._from_map(record, like).squeeze(self._channel_axis)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reference={self.reference!r}"
