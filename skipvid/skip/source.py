"""A network and the graphs that it was exported to, by the shapes of its inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from skipvid.core.errors import BackendError
from skipvid.core.ratios import NARROWER, Narrower
from skipvid.skip.picture import Shapes

if TYPE_CHECKING:  # PyTorch is imported where a network is exported: a program that was kept on disk does without
    import torch
    from torch import nn

    from skipvid.skip.ir.graph import Graph

MOST_PLANS = 4
"""Input sizes whose plans are kept where no stream runs them, those used last; a program that is in use is never built a second time."""

T = TypeVar("T")


class Source:
    """A network's own copy and what was made of it; shared by all models that differ in their gates alone.

    make: the network, made when it is first needed. dtypes: of its inputs; none where all are float32, however many.
    """

    def __init__(self, make: Callable[[], nn.Module], dtypes: tuple[torch.dtype, ...] = ()) -> None:
        self._make = make
        self._net: nn.Module | None = None
        self.dtypes = dtypes
        self._graphs: dict[Shapes, Graph] = {}
        self._half_graphs: dict[Shapes, Graph] = {}  # with weights rounded for half precision
        self.lock = threading.RLock()
        self._narrow: tuple[Source, ...] | None = None

    def load(self) -> nn.Module:
        """The network. Raises whatever making it raises."""
        with self.lock:
            if self._net is None:
                self._net = self._make()
            return self._net

    @property
    def narrower(self) -> Narrower | None:
        """The network's narrower forms, where it has some."""
        found = getattr(self.load(), NARROWER, None)
        return found if isinstance(found, Narrower) else None

    @property
    def narrow(self) -> tuple[Source, ...]:
        """Those as sources of their own, in the order of their ratios."""
        with self.lock:
            if self._narrow is None:
                found = self.narrower
                self._narrow = () if found is None else tuple(Source(partial(_itself, net), self.dtypes) for net in found.nets)
            return self._narrow

    def graph(self, shapes: Shapes, precision: str) -> Graph:
        """The network for inputs of these shapes, its weights rounded where the precision asks for it.

        Raises BackendError where the first extent of a shape is not 1, or the network cannot be exported for them.
        """
        from skipvid.skip.half_weights import half_weights

        for number, shape in enumerate(shapes, 1):
            if not shape or shape[0] != 1:
                which = f"input {number} is {shape}" if shape else f"input {number} is a single number, of shape ()"
                raise BackendError(
                    f"inputs have shapes {list(shapes)}: {which}",
                    "a session runs one stream: the first extent must be 1; give a number as a tensor of shape (1,)",
                )
        graph = remember(self._graphs, shapes, lambda: self._exported(shapes))
        # Weights are rounded before gates are attached: some know the layer that they stand on.
        if precision == "bf16":
            return remember(self._half_graphs, shapes, lambda: half_weights(graph))
        return graph

    def _exported(self, shapes: Shapes) -> Graph:
        import torch

        from skipvid.skip.importers.exported import import_exported
        from skipvid.skip.importers.tracing import export
        from skipvid.skip.ir.passes import optimise

        dtypes = self.dtypes or (torch.float32,) * len(shapes)
        examples = tuple(torch.zeros(shape, dtype=dtype, device="cpu") for shape, dtype in zip(shapes, dtypes, strict=True))
        return optimise(import_exported(export(self.load(), examples)))


def _itself(net: nn.Module) -> nn.Module:
    return net


def remember(cache: dict[Shapes, T], shapes: Shapes, make: Callable[[], T]) -> T:
    """cache[shapes], made when missing; of MOST_PLANS entries the one goes that was used longest ago."""
    made = cache.pop(shapes, None)
    if made is None:
        made = make()
        while len(cache) >= MOST_PLANS:
            cache.pop(next(iter(cache)))
    cache[shapes] = made
    return made
