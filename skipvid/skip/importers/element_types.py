"""In which types the values of a network are held here: every floating-point number in float32."""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten

CASTS = {aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten.type_as.default, aten._to_copy.default}
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""All computed in float32; what the network returns in another of them is cast back at the end."""
LARGEST = torch.finfo(torch.float32).max


def own_type(value: Any) -> Any:
    """The type in which a value of the network is held here; None of what is no tensor."""
    dtype = getattr(value, "dtype", None)
    return torch.float32 if dtype in FLOATS else dtype


def in_float32(argument: Any) -> Any:
    """An argument of an operation that works in float32, whatever the network works in."""
    if isinstance(argument, torch.dtype):
        return torch.float32 if argument in FLOATS else argument
    if isinstance(argument, float) and LARGEST < abs(argument) < float("inf"):  # the lowest number of a float64 stands for "never"
        return LARGEST if argument > 0 else -LARGEST
    if isinstance(argument, dict):
        return {key: in_float32(item) for key, item in argument.items()}
    if isinstance(argument, list | tuple) and not hasattr(argument, "_fields"):
        return type(argument)(in_float32(item) for item in argument)
    return argument


def first_of(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value
