"""What torch.export accepts, and no graph of ours can stand for: refused while the place in the network is still known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Node as FxNode

from skipvid.core.errors import BackendError
from skipvid.skip.importers.places import operation_name, place_of_node
from skipvid.skip.importers.tracing import CONVERT_THE_REST

_OFF = {"train": False, "training": False, "p": 0.0, "dropout_p": 0.0, "dropout": 0.0}
"""Arguments of operations that draw random numbers, and the value with which they draw none."""


def draws_numbers(fx: FxNode) -> bool:
    """Whether an operation's result is random."""
    target = fx.target
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    given = {argument.name: value for argument, value in zip(target._schema.arguments, fx.args, strict=False)}
    given = {**{argument.name: argument.default_value for argument in target._schema.arguments}, **given, **fx.kwargs}
    return not any(name in given and given[name] == off for name, off in _OFF.items())


def check_operation(fx: FxNode) -> None:
    """Raise BackendError for an operation whose result is random, or whose bits another type is read from."""
    if draws_numbers(fx):
        name = operation_name(fx.target)
        hint = "call eval() on all of it: a part is in training mode" if "dropout" in name else "convert a network without it"
        raise BackendError(f"the network draws random numbers: {name}{_at(fx)}", hint)
    if fx.target is torch.ops.aten.view.dtype:
        raise BackendError(f"the network reads the bits of its numbers as another type{_at(fx)}", "only values can be converted")


def check_size(fx: FxNode) -> None:
    """Raise BackendError for a result that is a number outside a tensor, or whose size depends on values. fx: reads an input."""
    name, value = operation_name(fx.target), fx.meta.get("val")
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool | bool | int | float):
        raise BackendError(
            f"the network reads a number out of a tensor: {name}{_at(fx)}",
            f"keep it a tensor, e.g. y.max() in place of y.max().item(); or {CONVERT_THE_REST}",
        )
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, Tensor) and not all(type(extent) is int for extent in part.shape) for part in parts):
        raise BackendError(f"the network has a result whose size depends on values: {name}{_at(fx)}", CONVERT_THE_REST)


def _at(fx: FxNode) -> str:
    place = place_of_node(fx)
    return f" (in {place})" if place else ""


def exact_in_float32(dtype: Any) -> bool:
    """Whether float32 holds every number of an integer type."""
    return dtype in {torch.uint8, torch.int8, torch.int16, torch.bool}
