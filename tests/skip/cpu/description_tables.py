"""The bytes of a description taken apart and put together again, and programs run as they are, without the network that they came from."""

from __future__ import annotations

from functools import cache
from typing import Any

import adaptive_networks as adaptive
import native_plans as plans
import numpy as np
import torch
from numpy.typing import NDArray
from sample_networks import NETWORKS, converted

from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu._native import TABLES, Program, State, StepKind, ThreadPool
from skipvid.skip.cpu.description import NAME_BYTES
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.plan import Plan

OWN = "learned and output gates"
ADAPTIVE = "adaptive layers"
HEAD = 16
"""Bytes of the magic and the version."""
CONSTANTS = {"integers": "<i4", "numbers": "<f4"}
Tables = dict[str, NDArray[Any]]


def plan_of(name: str, **settings: Any) -> Plan:
    config = SkipConfig(**{"threshold": 0.05, "backend": "cpu", "threads": 1, **settings})
    return converted(name)[1].regated(config).program((NETWORKS[name][1],)).plan


@cache
def sample(name: str, gate: str = "norm") -> bytes:
    """The description of a sample network, or of OWN or ADAPTIVE."""
    if name == ADAPTIVE:
        plan = adaptive.converted(adaptive.two_layers(10), (1, 3, 9, 12), threshold=0.05, gate=gate).planned(((1, 3, 9, 12),)).plan
        return lower(plan).description.to_bytes()
    return lower(own_plan() if name == OWN else plan_of(name, gate=gate)).description.to_bytes()


def own_plan() -> Plan:
    """A convolution and a depthwise one that has an output gate, behind a learned and a norm gate."""
    depthwise = plans.conv("z", "y", 4, 4, 3, groups=4)
    gates = [LearnedGate(torch.tensor([0.5, 1.0, -1.0, 0.25]), -0.3, True, "y"), NormGate("x", 0.1, 0.5)]
    nodes = [plans.image(3, 9, 8), plans.conv("y", "x", 3, 4, 3), depthwise]
    return plans.plan_of(nodes, gates, output_gates={"z": {"threshold": 0.1, "block": 2}})


def take_apart(data: bytes) -> Tables:
    tables, at = {}, HEAD
    for name in (*TABLES, *CONSTANTS):
        dtype = np.dtype(list(TABLES[name])) if name in TABLES else np.dtype(CONSTANTS[name])
        count = int.from_bytes(data[at + NAME_BYTES + 8 : at + NAME_BYTES + 16], "little")
        at += NAME_BYTES + 16
        tables[name] = np.frombuffer(data, dtype, count, at).copy()
        at += -(-tables[name].nbytes // 8) * 8
    assert at == len(data)
    return tables


def put_together(head: bytes, tables: Tables) -> bytes:
    chunks = [head[:HEAD]]
    for name, rows in tables.items():
        sizes = rows.itemsize.to_bytes(8, "little") + len(rows).to_bytes(8, "little")
        chunks += [name.encode().ljust(NAME_BYTES, b"\0"), sizes, rows.tobytes(), bytes(-rows.nbytes % 8)]
    return b"".join(chunks)


def run_frames(data: bytes, seed: int = 0, instruction_set: str = "", count: int = 3) -> list[NDArray[np.float32]]:
    """Build a description and run frames on a state that remembers and on one that forgets; returns all kept maps after each frame."""
    program = Program(data, _pool(), instruction_set)
    tables = take_apart(data)
    steps, maps = tables["steps"], tables["maps"]
    given = {int(step["details"]): maps[step["map"]] for step in steps if step["kind"] == StepKind.INPUT}
    shapes = [tuple(int(given[number][key]) for key in ("channels", "height", "width")) for number in sorted(given)]
    generator = np.random.default_rng(seed)
    state, dense = State(program, False), State(program, True)
    inputs = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    results = []
    for frame in range(count):
        for segment in range(len(tables["segments"])):
            program.run(state, inputs, segment, frame == 0, True)
            program.run(dense, inputs, segment, True, False)
        results += [state.rows(int(row["map"])).copy() for row in tables["kept"]]
        for index, own in enumerate(inputs):
            moved = generator.random(own.shape[1:]) < 0.2
            inputs[index] = np.where(moved, generator.normal(size=own.shape), own).astype(np.float32)
    return results


@cache
def _pool() -> ThreadPool:
    return ThreadPool(2)
