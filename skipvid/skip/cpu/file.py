"""Compiled programs on disk: the description, and the little that Python needs beside it. Reading takes neither torch nor the network.

A file is the same for every processor: weights are packed for an instruction set when C++ builds the program, which takes a fraction of a
second. So one file serves all machines that share a folder, and a processor that is exchanged finds no stale one.

Layout: magic, SHA-256 of all that follows, length of the head, head (JSON), description. The digest tells damage apart from a program;
C++ checks the description all the same, since a digest proves no good will.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from skipvid.core.errors import BackendError
from skipvid.core.files import write_bytes
from skipvid.skip.cost_model import CostModel, GateUnit, Layer
from skipvid.skip.cpu._native import Program, ThreadPool
from skipvid.skip.cpu.description import read_table

MAGIC = b"skipvid program\n"
FORMAT = 2
"""Of the head; the description has a version of its own. The number changes when the layout does."""
HINT = "remove it; it is made again when the network is converted"
_DIGEST, _LENGTH = 32, 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the network in the program. map: its number there. shape: in the network; a (1, C, H, W) map lies as (H, W, C)."""

    name: str
    map: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MeasuredUnit:
    """A gate whose unit keyframes measure. name: of its map or layer. map: whose mean magnitude the unit is.

    step: of an output gate, else -1. limit: what the gate lets pass, summed over channels, for a unit of 1; infinite where it has none.
    offsets: taken off each channel before the magnitudes, or none.
    """

    name: str
    map: int
    step: int
    limit: float
    offsets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """What is kept of a compiled network.

    inputs: in the order in which they are given. outputs: in the order of the network's leaves. structure: the structure in which the
    network returns them, as torch writes it. costs: what is counted. layer_maps: map of each layer's result. segments: run in turn for each
    frame. gates: map of each gate by name. changes, output_gates: step of each measured map, and of each layer with an output gate.
    units: in the order in which they are checked. about: whatever tells files apart (network, weights).
    """

    description: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    structure: str
    costs: CostModel
    layer_maps: tuple[int, ...]
    segments: tuple[int, ...]
    gates: Mapping[str, int]
    changes: Mapping[str, int]
    output_gates: Mapping[str, int]
    units: tuple[MeasuredUnit, ...]
    about: Mapping[str, str]

    def build(self, pool: ThreadPool, instruction_set: str = "") -> Program:
        """The program. Raises BackendError for a description that C++ refuses, and where this processor lacks the instruction set."""
        return build(self.description, pool, instruction_set)


def check(content: ProgramFile) -> None:
    """Raises BackendError where a file does not fit its description, which C++ has accepted: numbers of maps, sizes, steps."""
    maps, steps = read_table(content.description, "maps"), read_table(content.description, "steps")
    segments = read_table(content.description, "segments")
    sizes = [(int(row["height"]), int(row["width"]), int(row["channels"])) for row in maps]
    numbers = [*content.layer_maps, *content.gates.values(), *(unit.map for unit in content.units)]
    numbers += [item.map for item in (*content.inputs, *content.outputs)]
    at_steps = [*content.changes.values(), *content.output_gates.values(), *(unit.step for unit in content.units if unit.step != -1)]
    fits = (
        all(0 <= number < len(sizes) for number in numbers)
        and all(0 <= step < len(steps) for step in at_steps)
        and sorted(content.segments) == list(range(len(segments)))
        and len(content.layer_maps) == len(content.costs.layers)
        and all(sizes[item.map] == _size(item.shape) for item in (*content.inputs, *content.outputs))
        and all(sizes[number][:2] == layer.size for number, layer in zip(content.layer_maps, content.costs.layers, strict=True))
        and all(len(unit.offsets) in (0, sizes[unit.map][2]) for unit in content.units)
    )
    if not fits:
        raise BackendError("the head of a compiled program does not fit its description", HINT)


def _size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of the map of a value."""
    return (shape[2], shape[3], shape[1]) if len(shape) == 4 and shape[0] == 1 else (1, 1, math.prod(shape))


def build(description: bytes, pool: ThreadPool, instruction_set: str = "") -> Program:
    """The program of a description. Raises BackendError for one that is damaged, and where this processor lacks the instruction set."""
    try:
        return Program(description, pool, instruction_set)
    except ValueError as error:
        raise BackendError(
            f"the native program cannot be built: {error}", "convert the network again, or use the back end reference"
        ) from error


def write(path: Path, program: ProgramFile) -> None:
    """Write a file that appears when it is whole. Raises OutputError."""
    fields = {name: value for name, value in asdict(program).items() if name != "description"}
    head = json.dumps({"format": FORMAT, **fields}, separators=(",", ":")).encode()
    content = len(head).to_bytes(_LENGTH, "little") + head + program.description
    write_bytes(path, MAGIC + hashlib.sha256(content).digest() + content)


def read(path: Path) -> ProgramFile:
    """Read a file. Raises BackendError for one that is missing, damaged, of another version, or no program at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BackendError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error
    if not data.startswith(MAGIC):
        raise BackendError(f"{path} is no compiled program", "give the name of a file that skipvid wrote")
    content = data[len(MAGIC) + _DIGEST :]
    if hashlib.sha256(content).digest() != data[len(MAGIC) : len(MAGIC) + _DIGEST]:
        raise BackendError(f"{path} is damaged: its content is not what was written", HINT)
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    try:
        head = json.loads(content[_LENGTH:start])
        version = head["format"]
        if version == FORMAT:
            return _parse(head, content[start:])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BackendError(f"{path} is damaged: {error}", HINT) from error
    raise BackendError(f"{path} has format {version}, this version of skipvid reads format {FORMAT}", HINT)


Item = TypeVar("Item")


def _parse(head: Mapping[str, Any], description: bytes) -> ProgramFile:
    return ProgramFile(
        description,
        _all(head["inputs"], _tensor),
        _all(head["outputs"], _tensor),
        _text(head["structure"]),
        _costs(head["costs"]),
        _all(head["layer_maps"], _number),
        _all(head["segments"], _number),
        _table(head["gates"], _number),
        _table(head["changes"], _number),
        _table(head["output_gates"], _number),
        _all(head["units"], _measured_unit),
        _table(head["about"], _text),
    )


def _all(items: Any, parse: Callable[[Any], Item]) -> tuple[Item, ...]:
    if not isinstance(items, list):
        raise TypeError(f"{items!r:.40} is no list")
    return tuple(parse(item) for item in items)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is no number")
    return value


def _natural(value: Any) -> int:
    if _number(value) < 0:
        raise ValueError(f"{value} is less than 0")
    return int(value)


def _real(value: Any) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise TypeError(f"{value!r:.40} is no finite number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _table(items: Any, parse: Callable[[Any], Item]) -> dict[str, Item]:
    if not isinstance(items, dict):
        raise TypeError(f"{items!r:.40} is no table")
    return {_text(name): parse(value) for name, value in items.items()}


def _tensor(item: Any) -> Tensor:
    return Tensor(_text(item["name"]), _number(item["map"]), _all(item["shape"], _number))


def _layer(item: Any) -> Layer:
    node, name, stage, kind = (_text(item[key]) for key in ("node", "name", "stage", "kind"))
    height, width = _all(item["size"], _natural)
    return Layer(node, name, stage, kind, _natural(item["dense_macs"]), (height, width), _all(item["gates"], _text))


def _gate_unit(item: Any) -> GateUnit:
    return GateUnit(_text(item["name"]), _natural(item["row"]), _natural(item["macs"]), _natural(item["operations"]))


def _costs(item: Any) -> CostModel:
    gates, measured, candidates = (_all(item[key], _gate_unit) for key in ("gates", "measured", "candidates"))
    costs = CostModel(_all(item["layers"], _layer), gates, measured, candidates)
    if any(unit.row > len(costs.layers) for unit in (*gates, *measured, *candidates)):
        raise ValueError("a gate belongs to no layer")
    return costs


def _measured_unit(item: Any) -> MeasuredUnit:
    name, number, step = _text(item["name"]), _number(item["map"]), _number(item["step"])
    limit = item["limit"]
    if not isinstance(limit, float) or not limit > 0:
        raise ValueError(f"the limit {limit!r:.40} is no positive number")
    return MeasuredUnit(name, number, step, limit, _all(item["offsets"], _real))
