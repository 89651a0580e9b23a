"""`convert`: a dense network becomes a SkipModel, whose sessions run streams of frames and compute only what changed."""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import BackendError, UsageError
from skipvid.core.ratios import NARROWER, feature_count
from skipvid.skip.backend import Backend, PlannedProgram, Program, as_arrays
from skipvid.skip.backends import make_backend, precision_of
from skipvid.skip.config import SkipConfig
from skipvid.skip.dense_runs import DenseRuns
from skipvid.skip.devices import in_main_memory
from skipvid.skip.kept import KeptPrograms
from skipvid.skip.picture import Input, Shapes, prepared, shapes_of
from skipvid.skip.session import Session
from skipvid.skip.source import Source, remember
from skipvid.skip.warp.session import SplitPrograms, WarpSession
from skipvid.skip.widths import WidthsProgram

if TYPE_CHECKING:  # PyTorch is imported where a network is converted: a program that was kept on disk does without
    import torch
    from torch import Tensor, nn

    from skipvid.skip.conversion import ConversionReport
    from skipvid.skip.plan import Plan


def convert(
    net: nn.Module | str | Path, example: Tensor | tuple[Tensor, ...] | None = None, config: SkipConfig | None = None
) -> tuple[SkipModel, ConversionReport]:
    """Convert any network that torch.export accepts, or one from a file.

    net: in eval mode; it is copied, so that it is not changed and no later change of it reaches the model. An exported program will do,
    and so will the path of a file: ONNX (.onnx; needs the extra skipvid[onnx]) or an exported program (.pt2).
    example: (1, C, H, W) of the size and type of the frames to come, or a tuple of inputs; None = what a file says. Networks of other
    floating-point types are computed in float32, and return what they return in their own type; those in ONNX files return float32.

    Returns the model and a report of what runs sparsely and what does not and why. Raises BackendError where the network cannot be
    exported, is no function of its inputs (memory, random numbers, sizes that depend on values) or the batch is not 1; UsageError where
    it is in training mode, or where the arguments are no network and no tensors; WeightsError for a file that is missing or damaged.
    """
    import torch

    from skipvid.skip.conversion import describe
    from skipvid.skip.importers.arguments import check_examples, module_of
    from skipvid.skip.importers.probing import check_function
    from skipvid.skip.verdict import measured

    if isinstance(net, str | Path):
        net, example = _from_file(net, example)
    examples = check_examples(example)
    module = module_of(net)
    model = SkipModel(module, config or SkipConfig(), tuple(item.dtype for item in examples))
    program = model.planned(shapes_of(examples))
    # Values of integer inputs may be indices; they are taken as they are.
    check_function(model.source.load(), tuple(item if item.is_meta else item.detach().cpu() for item in examples))
    report = describe(program.plan, program)
    maps = all(node.is_map and node.attrs.get("given", torch.float32).is_floating_point for node in program.plan.graph.inputs)
    if program.interrupted and maps and model.config.gate != "none":
        with in_main_memory():
            report = replace(report, verdict=measured(program, shapes_of(examples)))
    return model, report


def _from_file(path: str | Path, example: Any) -> tuple[nn.Module, Any]:
    from skipvid.skip.importers.arguments import check_examples
    from skipvid.skip.importers.files import open_network

    pictures = check_examples(example) if example is not None else ()
    size = next(((item.shape[2], item.shape[3]) for item in pictures if item.dim() == 4), None)
    file = open_network(path, size)
    return file.net, file.examples if example is None else example


class SkipModel:
    """A converted network: plans for each input size, shared by all sessions. Made by `convert`; safe to use from several threads.

    dtypes: of the inputs; none where all are float32, however many. kept: the network's programs on disk, or None.
    """

    def __init__(
        self, net: nn.Module | Source, config: SkipConfig, dtypes: tuple[torch.dtype, ...] = (), kept: KeptPrograms | None = None
    ) -> None:
        self._kept = kept
        self.source = net if isinstance(net, Source) else _source_of(net, dtypes)
        self.config = config
        self.backend: Backend = make_backend(config)
        self.precision = precision_of(config)
        self._programs: dict[Shapes, Program] = {}
        self._in_use: weakref.WeakValueDictionary[Shapes, Program] = weakref.WeakValueDictionary()
        self._planned: dict[Shapes, PlannedProgram] = {}
        self._splits: dict[Shapes, SplitPrograms] = {}
        self._dense_runs: dict[Shapes, DenseRuns] = {}

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        return self.source.dtypes

    def regated(self, config: SkipConfig, keep: bool = False) -> SkipModel:
        """The same network with other gates; what was exported is shared, so that this costs little.

        keep: find programs on disk, and keep them there, where this model does; not for gates that are only tried.
        """
        return SkipModel(self.source, config, kept=self._kept if keep else None)

    def __deepcopy__(self, memo: dict[int, Any]) -> SkipModel:
        return self.regated(self.config)  # nothing that a caller could change is shared

    def __reduce__(self) -> NoReturn:
        raise UsageError("a converted network cannot be pickled", "pickle the network, and convert it where it is used")

    def session(self) -> Session:
        """A new stream."""
        return Session(self)

    def warp_session(self) -> WarpSession:
        """A new stream by activation motion compensation in place of gates: for comparison, as its results have no bound."""
        return WarpSession(self)

    def dense(self, *inputs: Input) -> Any:
        """The network without gates on the same back end: what a session is measured against. Returns what the network returns."""
        inputs = prepared(inputs, self.dtypes)
        program = self.program(shapes_of(inputs))
        with in_main_memory():
            return program.restore(program.run_dense(inputs))

    def dense_maps(self, *inputs: Input) -> tuple[NDArray[np.float32], ...]:
        """As `dense`, by as many threads as pay, and returns all output maps as float32 arrays, in the order of the network's leaves."""
        inputs = prepared(inputs, self.dtypes)
        shapes = shapes_of(inputs)
        program = self.program(shapes)
        with in_main_memory():
            return as_arrays(self._runs(shapes).run(program, inputs))

    def dense_ms(self, *inputs: Input) -> float:
        """How many milliseconds dense() takes, by all threads or by one where that is left to us: whichever is faster, as in a session.

        The calling thread's own, without those in which it waits for a core: of a few runs most may be held up, or none.
        """
        inputs = prepared(inputs, self.dtypes)
        shapes = shapes_of(inputs)
        return self._runs(shapes).own_ms(self.program(shapes), inputs)

    def _runs(self, shapes: Shapes) -> DenseRuns:
        return self._dense_runs.setdefault(shapes, DenseRuns(chooses=self.config.threads == 0))

    def program(self, shapes: Shapes) -> Program:
        """What runs inputs of these shapes: kept on disk, or compiled when first asked for, and then kept."""
        with self.source.lock, in_main_memory():
            program = remember(self._programs, shapes, lambda: self._in_use.get(shapes) or self._found(shapes) or self._compiled(shapes))
            self._in_use[shapes] = program
            return program

    def planned(self, shapes: Shapes) -> PlannedProgram:
        """The same, compiled here from the network, so that its plan can be asked for."""
        with self.source.lock, in_main_memory():
            return remember(self._planned, shapes, lambda: self.backend.compile(self._plan(shapes)))

    def split(self, shapes: Shapes) -> SplitPrograms:
        """The network without gates in two parts, compiled when first asked for. Raises UsageError for one that cannot be split."""
        from skipvid.skip.warp.split import split_graph

        def compiled() -> SplitPrograms:
            if self.source.narrower is not None:
                raise UsageError("activation motion compensation takes networks of one width", "leave --motion warp out")
            parts = split_graph(self.source.graph(shapes, self.precision), self.precision)
            return SplitPrograms(self.backend.compile(parts.prefix), self.backend.compile(parts.suffix), parts.whole.costs, parts.behind)

        with self.source.lock, in_main_memory():
            return remember(self._splits, shapes, compiled)

    def _found(self, shapes: Shapes) -> Program | None:
        return None if self._kept is None else self._kept.find(self.backend, self.config, self.precision, shapes)

    @property
    def adaptive(self) -> bool:
        """Whether its frames run at several widths; known when a program is there."""
        with self.source.lock:
            return any(isinstance(program, WidthsProgram) for program in self._programs.values())

    def at_width(self, number: int) -> SkipModel:
        """The network at one of its ratios, as one that has no other; 0 = in full. Gates of single maps are those of the full network, and
        are left out of the narrower ones. Raises UsageError where there are learned gates, or there is no such width."""
        if not 0 <= number <= len(self.source.narrow):
            raise UsageError(f"the network has no width {number}", f"it has {len(self.source.narrow) + 1}, counted from 0")
        if number == 0:
            return SkipModel(Source(partial(_full_width, self.source.load()), self.dtypes), self.config)
        if self.config.learned_gates:
            raise UsageError("a network that has several widths cannot have learned gates", "use norm gates: --gate norm")
        other = SkipModel(self.source.narrow[number - 1], replace(self.config, thresholds={}, scales={}))
        other.backend = self.backend  # one pool of threads for all widths
        return other

    def _compiled(self, shapes: Shapes) -> Program:
        program = self.planned(shapes)
        narrower = self.source.narrower
        if narrower is not None:  # not kept: what is on disk is of one network
            seen, channels = narrower.policy.inner.shape[1], shapes[0][1] if len(shapes[0]) == 4 else 0
            if not channels or seen != feature_count(channels):
                raise BackendError(
                    f"the policy that chooses the network's width takes {seen} features, which inputs {shapes[0]} do not have",
                    "train it again: skipvid train adaptive",
                )
            others = [self.at_width(number).planned(shapes) for number in range(1, len(narrower.nets) + 1)]
            return WidthsProgram((1.0, *narrower.ratios), (program, *others), narrower.renamed, narrower.policy)
        if self._kept is not None:
            self._kept.keep(program, self.config, self.precision, shapes)
        return program

    def _plan(self, shapes: Shapes) -> Plan:
        from skipvid.skip.gates.passing import without_passing
        from skipvid.skip.gates.registry import attach_gates
        from skipvid.skip.plan import make_plan

        gated = attach_gates(self.source.graph(shapes, self.precision), self.config)
        return make_plan(without_passing(gated) if self.precision == "bf16" else gated, self.precision)


def _full_width(net: nn.Module) -> nn.Module:
    """A network without its narrower forms."""
    alone = copy.copy(net)
    vars(alone).pop(NARROWER, None)
    return alone


def _source_of(net: nn.Module, dtypes: tuple[torch.dtype, ...]) -> Source:
    from skipvid.skip.importers.arguments import own_copy

    copied = own_copy(net)
    return Source(lambda: copied, dtypes)
