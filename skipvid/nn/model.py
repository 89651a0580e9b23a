"""Whole models: clips through ordinary networks, resetting, counting, and the loss that makes gates close."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.base import SkipLayer
from skipvid.nn.cost import ModelCost
from skipvid.nn.streams import StreamLayer


def skip_layers(model: nn.Module) -> Iterator[tuple[str, SkipLayer]]:
    """The skip layers of a model with their module paths, each once."""
    for name, module in model.named_modules():
        if isinstance(module, SkipLayer):
            yield name, module


def stream_layers(model: nn.Module) -> Iterator[tuple[str, StreamLayer]]:
    """The layers of a model that remember the last frame, skip layers and adaptive ones, with their module paths, each once."""
    for name, module in model.named_modules():
        if isinstance(module, StreamLayer):
            yield name, module


def reset(model: nn.Module, elements: Iterable[int] | Tensor | None = None) -> None:
    """Reset all skip and adaptive layers of a model: the next frame is a keyframe. elements: as for StreamLayer.reset."""
    chosen = elements if elements is None or isinstance(elements, Tensor) else list(elements)
    for _, layer in stream_layers(model):
        layer.reset(chosen)


def run_clip(model: nn.Module, clip: Tensor) -> Any:
    """Run a clip through a model whose other layers know nothing of time: BatchNorm, pooling, resizing see a batch of N · T frames.

    clip: (N, T, C, H, W). Returns what model(frame) returns, in the same structure, with (N, T, ...) tensors: the outputs of T calls
    with single frames after a reset. Differentiable through time; the streams of the layers are neither used nor changed. Raises
    UsageError where the clip has another shape or an output is no batch of frames.
    """
    if clip.dim() != 5 or clip.shape[1] == 0:
        raise UsageError(f"run_clip is given a tensor {tuple(clip.shape)}", "a clip is (N, T, C, H, W), one frame or more")
    count, length = clip.shape[:2]
    with ExitStack() as stack:
        for _, layer in stream_layers(model):
            stack.enter_context(layer._frames_in_batch(length))
        return _split(model(clip.flatten(0, 1)), count, length)


def _split(output: Any, count: int, length: int) -> Any:
    """Tensors (N · T, ...) as (N, T, ...) in whatever structure they are."""
    if isinstance(output, Tensor):
        if output.dim() == 0 or len(output) != count * length:
            raise UsageError(
                f"the model returned a tensor {tuple(output.shape)} for {count * length} frames",
                "only models that return something for each frame of a batch can run clips",
            )
        return output.reshape(count, length, *output.shape[1:])
    if isinstance(output, Mapping):
        return {name: _split(value, count, length) for name, value in output.items()}
    if isinstance(output, tuple | list):
        values = [_split(value, count, length) for value in output]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    raise UsageError(f"the model returned {type(output).__name__}", "tensors, and tuples, lists and dicts of them, can be split into clips")


def macs(model: nn.Module) -> ModelCost:
    """What the last forward of a model cost. Layers that have not run are left out; raises UsageError where none has."""
    layers = {name: layer.cost for name, layer in stream_layers(model) if layer.has_run}
    if not layers:
        raise UsageError(
            "no skip or adaptive layer of this model has run a frame yet", "run the model first; convert_modules makes such layers"
        )
    return ModelCost(layers, functools.reduce(operator.add, layers.values()))


def sparsity_loss(model: nn.Module) -> Tensor:
    """The expected cost of the last forward as a fraction of the dense one, to be added to the task's loss with a weight β.

    It is the sum over layers of m_l · E[g_l], averaged over batch and frames (paper, section 3.2, L_gate), over the sum of m_l: 1 where
    everything is open, so that β does not depend on the network. m_l: MACs of layer l. E[g_l]: mean probability that an output is
    computed; its gradient reaches the gates' weights. Keyframes do not count, nor does the cost of the gates: it cannot be learned away.
    An adaptive layer has no keyframes in this sense: its channels are chosen in every frame, the first one, too.
    Returns a scalar, 0 where the last forward was a keyframe. Raises UsageError where no skip or adaptive layer has run.
    """
    total = macs(model).total
    gated = ~total.keyframe
    loss: Tensor = total.expected_macs.masked_fill(total.keyframe, 0).sum() / (gated.sum().clamp(min=1) * total.dense_macs)
    return loss
