"""How far a gated stream is from what it promises: every map of its state against the exact one (docs/gates.md).

Looks into the memory of the native executor, as its own tests do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skipvid.skip.cpu.compiled import as_floats, shaped
from skipvid.skip.cpu.program import NativeProgram, NativeState
from skipvid.skip.ir.graph import Node
from skipvid.skip.picture import Input, as_tensors
from skipvid.skip.reference.operations import evaluate
from skipvid.skip.session import Session


class Watched:
    """A session that remembers its last inputs."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.inputs: tuple[Input, ...] = ()

    def __call__(self, *inputs: Input) -> Any:
        """Run a frame."""
        self.inputs = inputs
        return self.session(*inputs)

    def maps(self, *inputs: Input) -> Any:
        """The same by the way that engines take."""
        self.inputs = inputs
        return self.session.maps(*inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


def watch_sessions(model: Any) -> list[Watched]:
    """The sessions that a SkipModel makes from now on, in a list that grows with them."""
    made: list[Watched] = []
    make = model.session

    def session() -> Watched:
        made.append(Watched(make()))
        return made[-1]

    model.session = session
    return made


@torch.no_grad()
def worst_shares(watched: Watched) -> tuple[float, float] | None:
    """(the largest share of its bound that any gated map uses up, the largest relative error of any other map); None after a keyframe.

    A share of 1 is τ·s in mean-abs per pixel.
    """
    session = watched.session
    program, state = session._program, session._state
    if session.keyframe or not session._current or not isinstance(program, NativeProgram) or not isinstance(state, NativeState):
        return None
    inputs = dict(zip((node.name for node in program.plan.graph.inputs), as_tensors(watched.inputs), strict=True))
    values: dict[str, Tensor] = {}
    share = error = 0.0
    for node in program.plan.graph:
        exact = inputs[node.name] if node.op == "input" else evaluate(node, values)
        values[node.name] = value = _published(program, state, node, exact)
        size = float(exact.abs().max()) if exact.numel() else 0.0
        distance = (exact - value).abs()
        if node.name in program.plan.gates:
            most = float((distance.mean(1) if node.is_map else distance.mean()).max())
            share = max(share, (most - 1e-5 * size) / max(_limit(program, state, node), 1e-30))
        elif exact.is_floating_point() and size:
            error = max(error, float(distance.max()) / size)
    return share, error


def _published(program: NativeProgram, state: NativeState, node: Node, exact: Tensor) -> Tensor:
    if node.name in program._lowered.maps:
        return torch.from_numpy(as_floats(shaped(state.core.rows(program._lowered.maps[node.name]), node.shape)).copy())
    return state.fallback.values.get(node.name, exact)  # what is absorbed into another operation has no memory


def _limit(program: NativeProgram, state: NativeState, node: Node) -> float:
    if node.name in state.fallback.scales:
        return program.plan.gates[node.name].threshold * state.fallback.scales[node.name]
    return float(state.core.limit(program._lowered.maps[node.name])) / node.channels
