"""`convert`: a dense network becomes a SkipModel, whose sessions run streams of frames and compute only what changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from skipvid.core.errors import BackendError, UsageError
from skipvid.skip.backend import Backend, Program
from skipvid.skip.backends import make_backend
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.registry import attach_gates
from skipvid.skip.importers.exported import export, import_exported
from skipvid.skip.ir.graph import Graph
from skipvid.skip.ir.passes import optimise
from skipvid.skip.picture import Input, Shapes, shapes_of
from skipvid.skip.plan import ConversionReport, Plan, describe, make_plan
from skipvid.skip.session import Session

MOST_PLANS = 4
"""Input sizes whose plans are kept; a stream whose size changes often pays for a new export now and then."""


def convert(net: nn.Module, example: Tensor | tuple[Tensor, ...], config: SkipConfig | None = None) -> tuple[SkipModel, ConversionReport]:
    """Convert any network that torch.export accepts.

    example: (1, C, H, W) float32 of the size of the frames to come, or a tuple of inputs. The network must be in eval mode and is not
    changed; changes made to it later do not reach the sizes converted so far. Returns the model and a report of what runs sparsely and
    what does not and why. Raises BackendError where the network cannot be exported or the batch is not 1, UsageError where it is in
    training mode.
    """
    model = SkipModel(net, config or SkipConfig())
    examples = example if isinstance(example, tuple) else (example,)
    return model, describe(model.program(shapes_of(examples)).plan)


T = TypeVar("T")


class SkipModel:
    """A converted network: plans for each input size, shared by all sessions. Made by `convert`; safe to use from several threads."""

    def __init__(self, net: nn.Module, config: SkipConfig) -> None:
        if net.training and not isinstance(net, GraphModule):  # a traced graph has its mode built in
            raise UsageError(f"the network {type(net).__name__} is in training mode", "call its eval() first")
        self.config = config
        self.backend: Backend = make_backend(config)
        self._net = net
        self._graphs: dict[Shapes, Graph] = {}
        self._programs: dict[Shapes, Program] = {}
        self._dense_ran: set[Shapes] = set()
        self._lock = threading.RLock()

    def regated(self, config: SkipConfig) -> SkipModel:
        """The same network with other gates; what was exported is shared, so that this costs little."""
        other = SkipModel(self._net, config)
        other._graphs, other._lock = self._graphs, self._lock
        return other

    def session(self) -> Session:
        """A new stream."""
        return Session(self)

    def dense(self, *inputs: Input) -> Any:
        """The network without gates on the same back end: what a session is measured against. Returns what the network returns."""
        program = self.program(shapes_of(inputs))
        return program.plan.restore(program.run_dense(inputs))

    def dense_ms(self, *inputs: Input) -> float:
        """How many milliseconds dense() takes, by all threads or by one where that is left to us: whichever is faster, as in a session.

        The first run on inputs of these shapes is not counted: it has its memory to fetch.
        """
        shapes = shapes_of(inputs)
        if shapes not in self._dense_ran:
            self.dense(*inputs)
            self._dense_ran.add(shapes)
        program, taken = self.program(shapes), []
        for alone in (False, True) if self.config.threads == 0 else (False,):
            begin = time.perf_counter()
            program.run_dense(inputs, alone)
            taken.append((time.perf_counter() - begin) * 1e3)
        return min(taken)

    def program(self, shapes: Shapes) -> Program:
        """The compiled plan for inputs of these shapes; exported when first asked for."""
        with self._lock:
            return _remember(self._programs, shapes, lambda: self.backend.compile(self._plan(shapes)))

    def _plan(self, shapes: Shapes) -> Plan:
        if any(not shape or shape[0] != 1 for shape in shapes):
            raise BackendError(f"inputs have shapes {list(shapes)}", "a session runs one stream: the first extent must be 1")
        examples = tuple(torch.zeros(shape) for shape in shapes)
        graph = _remember(self._graphs, shapes, lambda: optimise(import_exported(export(self._net, examples))))
        return make_plan(attach_gates(graph, self.config))


def _remember(cache: dict[Shapes, T], shapes: Shapes, make: Callable[[], T]) -> T:
    """cache[shapes], made when missing; the oldest of MOST_PLANS entries goes."""
    if shapes not in cache:
        made = make()
        while len(cache) >= MOST_PLANS:
            cache.pop(next(iter(cache)))
        cache[shapes] = made
    return cache[shapes]
