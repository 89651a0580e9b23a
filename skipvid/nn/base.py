"""What all skip layers share: the state of their streams, clip and streaming mode, and the account of their cost."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.cost import Cost, stack_costs
from skipvid.nn.gates import REFERENCES, Gate, NormGate, Site
from skipvid.nn.rules import GatedLayer, LayerRun, Stream, run_keyframe, run_next
from skipvid.nn.window import Window


class SkipLayer(nn.Module):
    """Base of SkipConv2d, SkipConvTranspose2d and SkipLinear. See skipvid.nn for the modes.

    gate: decides what is computed. reference: "accumulated" (no drift) or "previous" (the paper's). calls: how often the network calls this
    layer in each frame; each of these calls has a stream of its own. A frame of another size, type or device starts its stream anew.

    The state of the streams moves with `.to()`, stays with `.train()` and `.eval()`, and is copied by deepcopy and pickle (reset first if
    a file should not hold the last frame), so that the copy goes on where the original stood. It is in no state_dict, parameter or buffer:
    checkpoints hold weights only, and distributed training does not mix the streams of its processes. After an exception in the middle of
    a frame, reset.
    """

    gate: Gate
    weight: Tensor
    bias: Any  # a Tensor or None; torch declares it differently in each of its layers
    reference: str
    calls: int
    site: Site
    masks: tuple[Tensor | None, ...]
    _channel_axis: ClassVar[int]
    _streams: list[Stream | None]
    _costs: list[Cost | None]
    _turn: int
    _clip_length: int | None

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer as torch computes it, on (N, C, H, W)."""
        raise NotImplementedError

    def _window(self) -> Window:
        raise NotImplementedError

    def _channels(self) -> tuple[int, int]:
        raise NotImplementedError

    def _to_map(self, x: Tensor) -> Tensor:
        """A frame as (N, C, H, W). Raises UsageError where it is none."""
        raise NotImplementedError

    def _from_map(self, y: Tensor, like: Tensor) -> Tensor:
        """The inverse, for an output of the frame `like`."""
        raise NotImplementedError

    @classmethod
    def _adopt(cls, layer: nn.Module, gate: Gate | None, reference: str, calls: int) -> Self:
        """A skip layer with the parameters (shared, not copied), settings and hooks of a plain one."""
        new = cls.__new__(cls)
        new.__dict__ = {name: copy.copy(value) if isinstance(value, dict | list | set) else value for name, value in vars(layer).items()}
        new._install(gate, reference, calls)
        return new

    def _install(self, gate: Gate | None, reference: str, calls: int) -> None:
        if reference not in REFERENCES:
            raise UsageError(f"reference is {reference!r}", f"it must be one of {', '.join(REFERENCES)}")
        if calls < 1:
            raise UsageError(f"calls is {calls!r}", "it must be the number of times that the network calls this layer in a frame")
        gate = NormGate() if gate is None else gate
        if not isinstance(gate, Gate):
            raise UsageError(f"gate is {type(gate).__name__}", "it must be a skipvid.nn.NormGate or GumbelGate, or a Gate of your own")
        self.reference, self.calls = reference, calls
        self.site = Site(gate.on_inputs(reference), self._window(), *self._channels())
        gate.bind(self.site)
        self.gate = gate.to(device=self.weight.device, dtype=self.weight.dtype).train(self.training)
        self._costs, self.masks, self._clip_length = [None] * calls, (None,) * calls, None
        self.reset()

    def reset(self, elements: Sequence[int] | Tensor | None = None) -> None:
        """Forget the streams: the next frame is a keyframe.

        elements: None for all, else the batch elements to forget, as indices or as (N,) bool; the others go on undisturbed. Raises
        UsageError for an element that the batch has not.
        """
        if elements is None:
            self._streams, self._turn = [None] * self.calls, 0
            return
        self._streams = [None if stream is None else _mark_fresh(stream, elements) for stream in self._streams]

    def clip(self, x: Tensor) -> Tensor:
        """Run a clip, (N, T, ...) of frames -> (N, T, ...) of outputs: what T calls with single frames return after a reset.

        Differentiable through time. The layer's own streams are neither used nor changed.
        """
        return self._clip(x, self.weight, self.bias)

    def _clip(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.dim() < 3 or x.shape[1] == 0:
            raise UsageError(f"{type(self).__name__} is given a clip {tuple(x.shape)}", "a clip is (N, T, ...), one frame or more")
        like = x[:, 0]
        maps = [self._to_map(frame) for frame in x.unbind(1)]
        layer = GatedLayer(self.gate, self.reference, self.site, weight, bias, self._dense)
        runs = [run_keyframe(layer, maps[0])]
        for single in maps[1:]:
            runs.append(run_next(layer, single, runs[-1].stream))
        costs = [self._count(run, single) for run, single in zip(runs, maps, strict=True)]
        self._account(stack_costs(costs), torch.stack([self._mask(run, like) for run in runs], 1))
        return torch.stack([self._from_map(run.output, like) for run in runs], 1)

    def _advance(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One frame of the stream; or, within `run_clip`, a clip whose frames are in the batch."""
        if self._clip_length is not None:
            return self._clip(x.reshape(-1, self._clip_length, *x.shape[1:]), weight, bias).flatten(0, 1)
        single = self._to_map(x)
        stream = self._streams[self._turn]
        layer = GatedLayer(self.gate, self.reference, self.site, weight, bias, self._dense)
        run = run_keyframe(layer, single) if stream is None or not stream.fits(single) else run_next(layer, single, stream)
        # Copies, because the caller may write the next frame into x, and an in-place activation into the output. Detached: a stream
        # has no end, and so its graph would have none.
        self._streams[self._turn] = run.stream.map(lambda value: value.detach().clone())
        self._account(self._count(run, single), self._mask(run, x))
        return self._from_map(run.output, x)

    @property
    def has_run(self) -> bool:
        """Whether there was a forward, so that there is a cost."""
        return any(cost is not None for cost in self._costs)

    @property
    def cost(self) -> Cost:
        """The cost of the last forward, all its calls together. Raises UsageError where there was none."""
        if not self.has_run:
            raise UsageError(f"this {type(self).__name__} has run no frame yet", "run the model first")
        return functools.reduce(operator.add, (cost for cost in self._costs if cost is not None))

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

    def _mask(self, run: LayerRun, like: Tensor) -> Tensor:
        return self._from_map(run.computed, like).squeeze(self._channel_axis)

    def _account(self, cost: Cost, mask: Tensor) -> None:
        self._costs[self._turn] = cost
        self.masks = (*self.masks[: self._turn], mask, *self.masks[self._turn + 1 :])
        self._turn = (self._turn + 1) % self.calls

    @contextmanager
    def _frames_in_batch(self, length: int) -> Iterator[None]:
        """Take each batch for clips of `length` frames, one after the other."""
        turn, self._turn, self._clip_length = self._turn, 0, length
        try:
            yield
        finally:
            self._turn, self._clip_length = turn, None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._streams = [None if stream is None else stream.map(fn) for stream in self._streams]
        return self

    def __getstate__(self) -> dict[str, Any]:
        # What belongs to a graph can be neither copied nor pickled.
        costs = [None if cost is None else replace(cost, expected_macs=cost.expected_macs.detach()) for cost in self._costs]
        return {**vars(self), "_costs": costs}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reference={self.reference!r}"


def _mark_fresh(stream: Stream, elements: Sequence[int] | Tensor) -> Stream:
    count = len(stream.reference)
    fresh = torch.zeros(count, dtype=torch.bool) if stream.fresh is None else stream.fresh.cpu()
    chosen = torch.as_tensor(elements).cpu()
    if chosen.dtype == torch.bool and chosen.shape == (count,):
        fresh = fresh | chosen
    elif chosen.numel() == 0:
        return stream
    elif chosen.is_floating_point() or chosen.dtype == torch.bool or bool(((chosen < 0) | (chosen >= count)).any()):
        raise UsageError(f"reset is given {elements!r} for a batch of {count}", "pass indices from 0, or one bool for each batch element")
    else:
        fresh = fresh.index_fill(0, chosen.flatten(), True)
    return replace(stream, fresh=fresh.to(stream.reference.device))
