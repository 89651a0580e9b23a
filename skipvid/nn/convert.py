"""Swapping skip layers into a network, with a report: nothing is left as it was silently."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.base import SkipLayer
from skipvid.nn.gates import Gate, NormGate
from skipvid.nn.layers import SkipConv2d, SkipConvTranspose2d, SkipLinear, has_own_forward
from skipvid.nn.streams import StreamLayer

KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)

L = TypeVar("L", bound=StreamLayer)


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """What `convert_modules` made of a model.

    converted: (module path, what it is now). left: (module path, class, reason) of every convolution and linear layer that stayed dense.
    """

    converted: tuple[tuple[str, str], ...]
    left: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        lines = [f"{len(self.converted)} layers converted, {len(self.left)} left dense"]
        lines += [f"dense: {name} ({kind}): {reason}" for name, kind, reason in self.left]
        return "\n".join(lines)


def convert_modules(
    model: nn.Module,
    select: Callable[[str, nn.Module], bool] | None = None,
    gate: Gate | Callable[[nn.Module], Gate] | None = None,
    reference: str = "accumulated",
    example: Tensor | tuple[Tensor, ...] | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, ModuleReport]:
    """Swap skip layers for the convolutions of a model. Returns a converted copy, or with inplace=True the model itself, and a report.

    select: called with the path of each module and the module, tells whether to convert it; None for all Conv2d and ConvTranspose2d. Linear
    layers are converted only where `select` says so, because the first axis of their input need not be the batch.
    gate: a gate to be copied for each layer (default NormGate()), or a function from a layer to its gate; a gate returned twice is shared.
    example: (N, C, H, W), or a tuple of inputs; a copy of the model runs it once in eval mode. It tells how often each layer is called in
    a frame (a head shared by pyramid levels: each call gets a stream of its own), and whether a subclass of Conv2d with a forward of its
    own can be gated; without it such subclasses are left, and each layer is taken to be called once.

    Parameters keep their names; with inplace=True they are the same objects, so that an optimiser goes on working. A layer is left where
    a learned gate would cost as many MACs as the layer itself (depthwise convolutions). Raises UsageError for settings out of range,
    where the example does not run, and where the model itself, having no parent, would have to be replaced in place.
    """

    def selected(path: str, module: nn.Module) -> bool:
        return not isinstance(module, nn.Linear) if select is None else select(path, module)

    def make(module: nn.Module, calls: int) -> SkipLayer | str:
        return _make(module, _gate_for(module, gate), reference, calls)

    return swap_layers(model, KINDS, selected, make, _describe, example, inplace)


def swap_layers(
    model: nn.Module,
    kinds: tuple[type[nn.Module], ...],
    select: Callable[[str, nn.Module], bool],
    make: Callable[[nn.Module, int], L | str],
    describe: Callable[[L], str],
    example: Tensor | tuple[Tensor, ...] | None,
    inplace: bool,
) -> tuple[nn.Module, ModuleReport]:
    """As convert_modules. kinds: classes of torch that are considered. make: called with a layer and how often a frame calls it; returns
    what is put in its place, or why there is nothing. describe: what was made, for the report."""
    if inplace and isinstance(model, kinds):
        raise UsageError(f"a single {type(model).__name__} cannot be replaced in place", "use what is returned with inplace=False")
    calls = None if example is None else _count_calls(model, example if isinstance(example, tuple) else (example,))
    if not inplace:
        model = copy.deepcopy(model)
    made: dict[nn.Module, L] = {}
    left: list[tuple[str, str, str]] = []
    modules = list(model.named_modules())
    inner = {part for _, module in modules if isinstance(module, StreamLayer) for part in module.modules() if part is not module}
    for path, module in modules:
        if not isinstance(module, kinds) or module in inner:
            continue
        result = _why_left(path, module, select(path, module), calls) or make(module, 1 if calls is None else calls[path])
        if isinstance(result, str):
            left.append((path, type(module).__name__, result))
        else:
            made[module] = result
    for _, parent in modules:
        for name, child in parent._modules.items():
            if child in made:
                parent._modules[name] = made[child]
    converted = tuple((path, describe(made[module])) for path, module in modules if module in made)
    return made.get(model, model), ModuleReport(converted, tuple(left))


def _why_left(path: str, module: nn.Module, selected: bool, calls: Counter[str] | None) -> str | None:
    kind = next(kind for kind in KINDS if isinstance(module, kind))
    own = f"{type(module).__name__} has a forward of its own" if has_own_forward(module, kind) else ""
    if isinstance(module, StreamLayer):
        return "converted already"
    if not selected:
        return "not selected"
    if isinstance(module.weight, nn.UninitializedParameter):
        return "it has no weights before its first run"
    if own and kind is not nn.Conv2d:
        return own
    if own and calls is None:
        return f"{own}; pass an example to find out whether it can be converted"
    if calls is not None and calls[path] == 0:
        return f"{own} that does not use Conv2d's" if own else "the example does not reach it"
    return None


def _gate_for(module: nn.Module, gate: Gate | Callable[[nn.Module], Gate] | None) -> Gate:
    if gate is None:
        return NormGate()
    chosen = copy.deepcopy(gate) if isinstance(gate, Gate) else gate(module)
    if not isinstance(chosen, Gate):
        raise UsageError(f"gate is a function that returned {type(chosen).__name__}", "it must return a gate for each layer")
    return chosen


def _make(module: nn.Module, gate: Gate, reference: str, calls: int) -> SkipLayer | str:
    """The skip layer, or why there is none."""
    layer: SkipLayer
    if isinstance(module, nn.Conv2d):
        layer = SkipConv2d.from_conv(module, gate, reference, calls)
    elif isinstance(module, nn.ConvTranspose2d):
        layer = SkipConvTranspose2d.from_conv(module, gate, reference, calls)
    else:
        assert isinstance(module, nn.Linear)
        layer = SkipLinear.from_linear(module, gate, reference, calls)
    share = layer.gate_share
    return layer if share < 1 else f"its gate would cost {share:.3g} times the MACs of the layer"


def _describe(layer: SkipLayer) -> str:
    calls = f", {layer.calls} calls a frame" if layer.calls > 1 else ""
    return f"{type(layer).__name__}, {type(layer.gate).__name__}{calls}"


def _count_calls(model: nn.Module, example: tuple[Tensor, ...]) -> Counter[str]:
    """How often each layer is reached by one forward. Counted where a skip layer would step in: a subclass may bypass its base."""
    probe = copy.deepcopy(model).eval()
    counts: Counter[str] = Counter()
    for path, module in probe.named_modules():
        if isinstance(module, nn.Conv2d):
            module._conv_forward = _counting(module._conv_forward, path, counts)  # type: ignore[method-assign]
        elif isinstance(module, KINDS):
            module.forward = _counting(module.forward, path, counts)  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            probe(*example)
    except Exception as error:
        shapes = ", ".join(str(tuple(item.shape)) for item in example)
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{type(model).__name__} cannot run the example {shapes}: {reason}", "pass an input that the model takes"
        ) from error
    return counts


def _counting(function: Callable[..., Tensor], path: str, counts: Counter[str]) -> Callable[..., Tensor]:
    def counted(*args: Any, **kwargs: Any) -> Tensor:
        counts[path] += 1
        return function(*args, **kwargs)

    return counted
