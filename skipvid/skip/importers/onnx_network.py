"""An ONNX file as a torch.nn.Module: node by node with torch's functions, so that torch.export and all passes see what they know.

What depends on the file and the picture's size alone (weights, shape arithmetic, grids) is computed in NumPy, by ONNX's own reference
evaluator; the rest is one torch call a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from skipvid.core.errors import BackendError
from skipvid.core.text import one_line
from skipvid.skip.importers.onnx_call import FLOAT_KINDS, Call, Table, Value, as_tensor
from skipvid.skip.importers.onnx_file import LONGEST_REASON, Array, Block, OnnxFile, Op, walk
from skipvid.skip.importers.onnx_layers import LAYERS
from skipvid.skip.importers.onnx_patterns import PATTERNS, recognise
from skipvid.skip.importers.onnx_pointwise import POINTWISE
from skipvid.skip.importers.onnx_resize import RESIZES
from skipvid.skip.importers.onnx_shapes import SHAPES

OPERATIONS: Table = {**POINTWISE, **LAYERS, **SHAPES, **RESIZES, **PATTERNS}
"""Every operation on tensors that can be converted."""
SIZES = {"Shape", "Size"}
WEIGHT_NAMES = {1: "weight", 2: "bias"}
ADVICE = {
    "NonMaxSuppression": "export the detector without NMS (Ultralytics: nms=False); it is done here, natively",
    "RoiAlign": "only detectors of one stage can be converted",
    "Loop": "export it without loops",
    "Scan": "export it without loops",
    "LSTM": "networks with memory cannot be converted",
    "GRU": "networks with memory cannot be converted",
    "RNN": "networks with memory cannot be converted",
}


class OnnxNetwork(nn.Module):
    """A network in eval mode with the inputs of the file. Of several outputs it returns a tuple, in the file's order.

    outputs: names of tensors in the file to return instead of its own, so that a network can end before its own decoding.
    Raises BackendError where it uses an operation that cannot be converted.
    """

    def __init__(self, file: OnnxFile, outputs: Sequence[str] | None = None) -> None:
        super().__init__()
        self.path: Path = file.path
        self.inputs = tuple(entry.name for entry in file.inputs)
        self.outputs = tuple(outputs if outputs is not None else file.block.outputs)
        ops = _needed(file.block.ops, self.outputs)
        constants = dict(file.block.constants)
        ops = recognise(_without_constants(ops, constants), constants, set(self.outputs))
        self._constants: dict[str, Array] = constants
        self._ops = tuple(ops)
        self._paths: dict[str, str] = {}  # constant -> path of its buffer
        self._evaluators: dict[int, Any] = {}
        self._check()
        self._register()
        self.eval()

    def forward(self, *inputs: Tensor) -> Any:
        values = self.run(inputs)
        returned = tuple(self._returned(values, name) for name in self.outputs)
        return returned[0] if len(returned) == 1 else returned

    def run(self, inputs: Sequence[Tensor]) -> dict[str, Value]:
        """Everything that the network computes of these inputs, by name."""
        values: dict[str, Value] = dict(self._constants)
        values.update(zip(self.inputs, inputs, strict=True))
        self._run(self._ops, values)
        return values

    def _returned(self, values: Mapping[str, Value], name: str) -> Tensor:
        value = values[name]
        return value if isinstance(value, Tensor) else as_tensor(value)

    def _run(self, ops: Iterable[Op], values: dict[str, Value]) -> None:
        for op in ops:
            given = [values[name] if name else None for name in op.inputs]
            if op.kind == "If":
                self._branch(op, given[0], values)
            elif op.kind in SIZES and isinstance(given[0], Tensor):
                values[op.outputs[0]] = _size(op, given[0])
            elif any(isinstance(value, Tensor) for value in given):
                results = self._compute(op, given)
                for name, result in zip(op.outputs, results, strict=False):
                    values[name] = result
            else:
                for name, array in zip(op.outputs, self._fold(op, given), strict=True):
                    if name:
                        values[name] = array

    def _compute(self, op: Op, given: Sequence[Value | None]) -> Sequence[Tensor]:
        call = Call(op, given, self._parameter)
        if op.kind not in OPERATIONS:
            raise call.refused("it depends on the picture", "only its use on sizes and constants can be converted")
        try:
            result = OPERATIONS[op.kind](call)
        except BackendError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shapes = ", ".join(str(tuple(value.shape)) for value in given if value is not None)
            reason = one_line(error, LONGEST_REASON)
            raise call.refused(
                f"it does not take inputs of shapes {shapes}: {reason}", "was the file exported for another size?"
            ) from error
        return (result,) if isinstance(result, Tensor) else result

    def _branch(self, op: Op, condition: Value | None, values: dict[str, Value]) -> None:
        if condition is None or isinstance(condition, Tensor):
            raise BackendError(f"{op.title}: what it does depends on the picture", "export it without conditions")
        block: Block = op.attributes["then_branch" if bool(condition.reshape(())) else "else_branch"]
        values.update(block.constants)
        self._run(block.ops, values)
        for name, inner in zip(op.outputs, block.outputs, strict=True):
            values[name] = values[inner]

    def _fold(self, op: Op, given: Sequence[Value | None]) -> Sequence[Array]:
        if op.proto is None:
            raise BackendError(f"{op.title}: its input is a constant", "export the network again")
        evaluator = self._evaluators.get(id(op))
        if evaluator is None:
            from onnx.reference import ReferenceEvaluator

            evaluator = self._evaluators[id(op)] = ReferenceEvaluator(op.proto, opsets={"": op.opset})
        feeds = {name: value for name, value in zip(op.inputs, given, strict=True) if name}
        try:
            with np.errstate(all="ignore"):
                results: Any = evaluator.run(None, feeds)
        except Exception as error:  # whatever the evaluator's operations raise
            raise BackendError(f"{op.title}: it cannot be computed: {one_line(error, LONGEST_REASON)}", "export it again") from error
        return [np.asarray(result) for result in results]

    def _parameter(self, name: str) -> Tensor | None:
        path = self._paths.get(name)
        return self.get_buffer(path) if path is not None else None

    def _check(self) -> None:
        """Refuse what cannot be converted before anything is computed."""
        fixed = set(self._constants)
        for op in walk(self._ops):
            constant = all(name in fixed or not name for name in op.inputs)
            if constant or op.kind in SIZES:
                fixed.update(op.outputs)
            elif op.kind not in OPERATIONS and op.kind != "If":
                hint = ADVICE.get(op.kind, f"known are {len(OPERATIONS)} operations; export the network without it, or end it before")
                raise BackendError(f"{self.path}: the operation {op.title} cannot be converted", hint)

    def _register(self) -> None:
        """Constants that go into operations on tensors become buffers, by the names of their layers."""
        read_elsewhere = {name for op in self._ops if op.kind not in LAYERS for name in op.inputs}
        for op in self._ops:
            if all(name in self._constants or not name for name in op.inputs):
                continue
            for position, name in enumerate(op.inputs):
                constant = self._constants.get(name)
                if constant is None or name in self._paths or constant.dtype.name not in FLOAT_KINDS:
                    continue
                layer = _layer(op)
                path = f"{layer}.{WEIGHT_NAMES.get(position, f'input{position}')}" if op.kind in LAYERS else f"{layer}.constant{position}"
                self._paths[name] = self._add(path, as_tensor(constant))
                if name not in read_elsewhere:
                    self._constants[name] = np.broadcast_to(np.zeros((), np.float32), constant.shape)  # the buffer holds it

    def _add(self, path: str, tensor: Tensor) -> str:
        *parents, name = path.split(".")
        module: nn.Module = self
        for number, parent in enumerate(parents):
            if not isinstance(module._modules.get(parent), nn.Module):
                if hasattr(module, parent):  # a name of nn.Module's own
                    parent = parents[number] = f"{parent}_"
                if parent not in module._modules:
                    module.add_module(parent, nn.Module())
            module = module.get_submodule(parent)
        while hasattr(module, name):
            name += "_"
        module.register_buffer(name, tensor)
        return ".".join([*parents, name])


def _size(op: Op, x: Tensor) -> Array:
    shape = np.array([int(extent) for extent in x.shape], np.int64)
    if op.kind == "Size":
        return np.array(shape.prod(), np.int64)
    return shape[slice(op.attributes.get("start", 0), op.attributes.get("end", None))]


def _needed(ops: Sequence[Op], outputs: Iterable[str]) -> list[Op]:
    wanted, kept = set(outputs), []
    for op in reversed(ops):
        if any(name in wanted for name in op.outputs):
            kept.append(op)
            wanted.update(name for inner in walk([op]) for name in inner.inputs)
            wanted.update(name for value in op.attributes.values() if isinstance(value, Block) for name in value.outputs)
    return kept[::-1]


def _without_constants(ops: Iterable[Op], constants: dict[str, Array]) -> list[Op]:
    """The nodes without Constants and Identities of constants, which are taken up among the constants."""
    kept = []
    for op in ops:
        if op.kind == "Constant":
            constants[op.outputs[0]] = _constant(op)
        elif op.kind == "Identity" and op.inputs[0] in constants:
            constants[op.outputs[0]] = constants[op.inputs[0]]
        else:
            kept.append(op)
    return kept


def _constant(op: Op) -> Array:
    for name, kind in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64), ("value_ints", np.int64)):
        if name in op.attributes:
            return np.array(op.attributes[name], kind)
    if "value" not in op.attributes:
        raise BackendError(f"{op.title}: a constant that is no dense tensor of numbers", "export the network again")
    return np.asarray(op.attributes["value"])


def _layer(op: Op) -> str:
    """A layer's name in reports: its weight's, where that has a path, else its node's without the operation's name at the end."""
    weight = op.inputs[1] if len(op.inputs) > 1 else ""
    if weight.endswith(".weight"):
        parts = weight.removesuffix(".weight").split(".")
    else:
        scopes: list[str] = []
        for scope in filter(None, (op.name or op.outputs[0]).split("/")):
            if scopes and scope.startswith(f"{scopes[-1]}."):  # torch names the parts of a list with the list's name: stem/stem.0
                scopes.pop()
            scopes.append(scope)
        if len(scopes) > 1 and re.fullmatch(rf"{op.kind}(_\d+)?", scopes[-1]):
            scopes.pop()
        parts = [part for scope in scopes for part in scope.split(".") if part]
    return ".".join(re.sub(r"\W", "_", part) or "_" for part in parts)
