"""Whether a network is a function of its inputs: one that remembers calls, or draws numbers by a way of its own, cannot be converted.

torch.export records one call. What a network keeps in an attribute, a list or a variable outside would be frozen without a word. A cache
that changes no result does no harm, so results decide, not attributes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.utils._pytree import tree_leaves

from skipvid.core.errors import BackendError
from skipvid.nn.adaptive_convert import adaptive_layers

TOLERANCE = 1e-3
"""Relative to the largest value: sums in another order differ by less, memory by more."""

REPEATS = 4
"""Further calls where two results differ at all: two random numbers are near each other once in some hundred times."""


def check_function(net: nn.Module, examples: Sequence[Tensor]) -> None:
    """Call `net`, which the caller owns, on one input, another, and the first again, several times where it is in doubt.

    Raises BackendError where the results differ.

    examples: on the CPU; floating-point ones are replaced by random numbers from 0 to 1, as integers may be indices.
    """
    generator = torch.Generator().manual_seed(0)
    one, other = (tuple(_drawn(item, generator) for item in examples) for _ in range(2))
    before = _attributes(net)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = _call(net, one)
            _call(net, other)
            again = [_call(net, one)]
            if not all(map(_identical, first, again[0])):
                again += [_call(net, one) for _ in range(REPEATS)]
    except Exception:  # a network may refuse random inputs; whether it can be exported is not decided here
        return
    if all(len(first) == len(each) and all(map(_same, first, each)) for each in again):
        return
    after = _attributes(net)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    name = type(net).__name__
    if changed:
        raise BackendError(
            f"the network {name} remembers earlier frames in {', '.join(changed[:4])}: its result for one input differs from call to call",
            "make the memory an input and an output of the network, or convert the part without it",
        )
    raise BackendError(
        f"the network {name} gives two results for one input: it draws random numbers, or remembers earlier calls outside its modules",
        "convert a network whose result depends on its inputs alone",
    )


def _drawn(example: Tensor, generator: torch.Generator) -> Tensor:
    if not example.dtype.is_floating_point:
        return example
    return torch.rand(example.shape, generator=generator, dtype=torch.float32, device="cpu").to(example.dtype)


def _call(net: nn.Module, inputs: Sequence[Tensor]) -> list[Any]:
    for _, layer in adaptive_layers(net):
        layer.reset()  # of a stream it has a memory, which is taken over into the session's
    # Copies: what it returns may be its memory, which the next call writes to; and what it is given may be written to as well.
    return [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in tree_leaves(net(*(item.clone() for item in inputs)))]


def _identical(first: Any, again: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(again, Tensor) and not isinstance(first, FakeTensor) and not isinstance(again, FakeTensor):
        return torch.equal(first, again)
    return False


def _same(first: Any, again: Any) -> bool:
    if not isinstance(first, Tensor) or not isinstance(again, Tensor):
        return bool(first == again)
    if isinstance(first, FakeTensor) or isinstance(again, FakeTensor):  # of torch.export's, kept from the call that it recorded
        return False
    if first.shape != again.shape or first.dtype != again.dtype:
        return False
    if not first.dtype.is_floating_point:
        return torch.equal(first, again)
    finite = first[first.isfinite()]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(first.double(), again.double(), rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True)


def _attributes(net: nn.Module) -> dict[str, object]:
    """Something of every attribute that is another when the attribute was changed; by its path."""
    return {
        f"{path}.{name}" if path else name: _trace(value)
        for path, module in net.named_modules()
        for name, value in {**vars(module), **dict(module.named_buffers(recurse=False))}.items()
        if not name.startswith("_") or isinstance(value, Tensor | int | float)
    }


def _trace(value: Any) -> object:
    if isinstance(value, Tensor):
        return (id(value), value._version)
    if isinstance(value, list | tuple):
        return tuple(_trace(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _trace(item)) for key, item in value.items())
    return value if isinstance(value, int | float | str | bool | None) else id(value)
