"""What all layers with a memory share: the state of their streams, clip and streaming mode, and the account of their cost."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.cost import Cost, stack_costs


class Memory(Protocol):
    """What a layer remembers of N streams between two frames. fresh: (N,) bool, streams that start anew, or None for none."""

    @property
    def fresh(self) -> Tensor | None: ...

    def map(self, function: Callable[[Tensor], Tensor]) -> Any:
        """The same with a function applied to each of its tensors."""

    def fits(self, x: Tensor) -> bool:
        """Whether x, (N, C, H, W), can be the next frame: a change of size, number, type or device starts a stream anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a layer did in one frame.

    output: (N, C', h, w). memory: for the next frame. cost: (N,). record: (N, ...), what the layer tells of the frame besides.
    """

    output: Tensor
    memory: Memory
    cost: Cost
    record: Tensor


class StreamLayer(nn.Module):
    """Base of the layers that remember the last frame. See skipvid.nn for the modes.

    calls: how often the network calls this layer in each frame; each of these calls has a stream of its own. A frame of another size,
    type or device starts its stream anew.

    The state of the streams moves with `.to()`, stays with `.train()` and `.eval()`, and is copied by deepcopy and pickle (reset first if
    a file should not hold the last frame), so that the copy goes on where the original stood. It is in no state_dict, parameter or buffer:
    checkpoints hold weights only, and distributed training does not mix the streams of its processes. After an exception in the middle of
    a frame, reset.
    """

    weight: Tensor
    bias: Any  # a Tensor or None; torch declares it differently in each of its layers
    calls: int
    _streams: list[Any]
    _costs: list[Cost | None]
    _records: tuple[Tensor | None, ...]
    _turn: int
    _clip_length: int | None

    def _next(self, x: Tensor, memory: Any, weight: Tensor, bias: Tensor | None) -> Step:
        """One frame. x: (N, C, H, W). memory: of the frame before; None for the first frame of all streams."""
        raise NotImplementedError

    def _to_map(self, x: Tensor) -> Tensor:
        """A frame as (N, C, H, W). Raises UsageError where it is none."""
        raise NotImplementedError

    def _from_map(self, y: Tensor, like: Tensor) -> Tensor:
        """The inverse, for an output of the frame `like`."""
        raise NotImplementedError

    def _shown(self, record: Tensor, like: Tensor) -> Tensor:
        """The record of a frame in the shape of the frame `like`."""
        raise NotImplementedError

    @classmethod
    def _adopted(cls, layer: nn.Module) -> Self:
        """A layer of this class with the parameters (shared, not copied), settings and hooks of a plain one; not yet begun."""
        new = cls.__new__(cls)
        new.__dict__ = {name: copy.copy(value) if isinstance(value, dict | list | set) else value for name, value in vars(layer).items()}
        return new

    def _begin(self, calls: int) -> None:
        if calls < 1:
            raise UsageError(f"calls is {calls!r}", "it must be the number of times that the network calls this layer in a frame")
        self.calls = calls
        self._costs, self._records, self._clip_length = [None] * calls, (None,) * calls, None
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
        steps: list[Step] = []
        for single in maps:
            steps.append(self._next(single, steps[-1].memory if steps else None, weight, bias))
        self._account(stack_costs([step.cost for step in steps]), torch.stack([self._shown(step.record, like) for step in steps], 1))
        return torch.stack([self._from_map(step.output, like) for step in steps], 1)

    def _advance(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One frame of the stream; or, within `run_clip`, a clip whose frames are in the batch."""
        if self._clip_length is not None:
            return self._clip(x.reshape(-1, self._clip_length, *x.shape[1:]), weight, bias).flatten(0, 1)
        single = self._to_map(x)
        stream = self._streams[self._turn]
        step = self._next(single, stream if stream is not None and stream.fits(single) else None, weight, bias)
        # Copies, because the caller may write the next frame into x, and an in-place activation into the output. Detached: a stream
        # has no end, and so its graph would have none.
        self._streams[self._turn] = step.memory.map(lambda value: value.detach().clone())
        self._account(step.cost, self._shown(step.record, x))
        return self._from_map(step.output, x)

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

    def _account(self, cost: Cost, record: Tensor) -> None:
        self._costs[self._turn] = cost
        self._records = (*self._records[: self._turn], record, *self._records[self._turn + 1 :])
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


class OnMaps(StreamLayer):
    """Frames are (N, C, H, W), or (C, H, W) for a single stream."""

    in_channels: int
    out_channels: int
    _channel_axis: ClassVar[int] = -3

    def _channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    def _to_map(self, x: Tensor) -> Tensor:
        channels = self.in_channels
        if x.dim() not in (3, 4) or x.shape[-3] != channels or not x.is_floating_point():
            raise UsageError(
                f"{type(self).__name__} is given a tensor {tuple(x.shape)} of {x.dtype}",
                f"it takes frames (N, {channels}, H, W) or clips (N, T, {channels}, H, W) of floating-point numbers",
            )
        return x if x.dim() == 4 else x.unsqueeze(0)

    def _from_map(self, y: Tensor, like: Tensor) -> Tensor:
        return y if like.dim() == 4 else y.squeeze(0)

    def _frame_or_clip(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._clip(x, weight, bias) if x.dim() == 5 else self._advance(x, weight, bias)


def _mark_fresh(stream: Any, elements: Sequence[int] | Tensor) -> Any:
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
