"""Reading ONNX files: what is wrong with one is said here, in one line, before anything is made of it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import BackendError, UsageError, WeightsError
from skipvid.core.text import one_line

Array = NDArray[Any]

LONGEST_REASON = 200
"""Characters of another package's message that are passed on."""
OLDEST_OPSET = 7
"""Of the standard operations; before it, shapes were broadcast by rules of their own."""
STANDARD_DOMAINS = ("", "ai.onnx")
QUANTISED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One node of a file. inputs: names, "" for one that is left out. proto: the node as it was read, for the reference evaluator.

    attributes: of Python's types, arrays (tensors) or Blocks (graphs).
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    proto: Any = None

    @property
    def title(self) -> str:
        """The node as a message names it."""
        return f"{self.kind} (node {self.name or self.outputs[0]})"


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A graph: its constants by name, its nodes in order, the names of what it returns."""

    constants: Mapping[str, Array]
    ops: tuple[Op, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileInput:
    """An input of a network file. shape: None for an extent that the file leaves open. open: the file's names for those, by axis."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    open: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """An ONNX file as it was read. metadata: what its exporter wrote beside the network (Ultralytics: names, stride, imgsz)."""

    path: Path
    inputs: tuple[FileInput, ...]
    block: Block
    opset: int
    metadata: Mapping[str, str]

    def literal(self, key: str) -> Any:
        """A value of the metadata as Ultralytics writes it, in Python's notation; None where it is not there, or is anything else."""
        try:
            return ast.literal_eval(self.metadata[key])
        except (KeyError, ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def read_onnx(path: str | Path) -> OnnxFile:
    """Read a file. Raises UsageError without the package onnx, WeightsError for a file that is missing or none, BackendError for one that
    cannot be converted whatever is done: quantised, of an opset before OLDEST_OPSET, with operations of others than ONNX.
    """
    path = Path(path)
    model = _load(path)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    opset = max((opsets.get(domain, 0) for domain in STANDARD_DOMAINS), default=0)
    if opset < OLDEST_OPSET:
        raise BackendError(f"{path}: opset {opset} is too old", f"export it again with opset {OLDEST_OPSET} or later, best 17")
    graph = model.graph
    if graph.sparse_initializer:
        raise BackendError(f"{path}: it has sparse weights", "export them as ordinary ones")
    block = _block(path, graph, opset)
    _check(path, block)
    inputs = tuple(_input(value) for value in graph.input if value.name not in block.constants)
    return OnnxFile(path, inputs, block, opset, {entry.key: entry.value for entry in model.metadata_props})


def _load(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"network file {path} is {'not a file' if path.exists() else 'missing'}")
    try:
        import onnx
        import onnx.inliner
    except ImportError:
        raise UsageError(f"{path}: reading ONNX files needs the package onnx", "pip install 'skipvid[onnx]'") from None
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors share no base class that onnx exports
        raise WeightsError(
            f"{path} is not an ONNX file, or it is damaged: {one_line(error, LONGEST_REASON)}", "export or copy it again"
        ) from None
    if not model.graph.node or not model.graph.output:
        raise WeightsError(f"{path} is not an ONNX file, or it is damaged: it holds no network", "export or copy it again")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise WeightsError(
            f"{path}: its weights lie in another file, which cannot be read: {one_line(error, LONGEST_REASON)}", "put that file beside it"
        ) from None
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _block(path: Path, graph: Any, opset: int) -> Block:
    from onnx import numpy_helper

    try:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: a weight cannot be read: {one_line(error, LONGEST_REASON)}", "export or copy it again") from None
    ops = tuple(_op(path, node, opset) for node in graph.node)
    return Block(constants, ops, tuple(value.name for value in graph.output))


def _op(path: Path, node: Any, opset: int) -> Op:
    from onnx import helper, numpy_helper

    if node.domain not in STANDARD_DOMAINS:
        raise BackendError(
            f"{path}: the operation {node.domain}.{node.op_type} (node {node.name or node.output[0]}) is none of ONNX's own",
            "export the network without a runtime's or a converter's own operations",
        )
    attributes = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == attribute.TENSOR:
            value = numpy_helper.to_array(value)
        elif attribute.type == attribute.GRAPH:
            value = _block(path, value, opset)
        elif attribute.type == attribute.STRING:
            value = value.decode()
        attributes[attribute.name] = value
    return Op(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes, opset, node)


def _check(path: Path, block: Block) -> None:
    fixed = set(block.constants)
    for op in block.ops:
        constant = all(name in fixed or not name for name in op.inputs)
        if op.kind in QUANTISED and not constant:
            raise BackendError(f"{path}: the network is quantised: {op.title}", "export it in floating point, before quantisation")
        if constant:
            fixed.update(op.outputs)


def _input(value: Any) -> FileInput:
    from onnx import helper

    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise BackendError(f"input {value.name} is no tensor", "only networks on tensors can be converted")
    extents = list(kind.shape.dim) if kind.HasField("shape") else []
    shape = tuple(extent.dim_value if extent.dim_value > 0 else None for extent in extents)
    names = {axis: extent.dim_param or "?" for axis, extent in enumerate(extents) if extent.dim_value <= 0}
    return FileInput(value.name, shape, str(np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))), names)


def walk(ops: Iterable[Op]) -> Iterator[Op]:
    """All nodes, those of inner graphs among them."""
    for op in ops:
        yield op
        for value in op.attributes.values():
            if isinstance(value, Block):
                yield from walk(value.ops)


def input_shapes(file: OnnxFile, size: tuple[int, int] | None = None) -> tuple[tuple[int, ...], ...]:
    """The shapes of a network's inputs for a picture of size (height, width), one stream; without one, for that in its metadata.

    Raises UsageError where the file leaves the size open and none is given, or fixes another one; BackendError for a fixed batch.
    """
    own = file.literal("imgsz") if size is None else None
    if isinstance(own, list) and len(own) == 2 and all(type(side) is int and side > 0 for side in own):
        fixed = [side for entry in file.inputs if len(entry.shape) == 4 for side in entry.shape[2:]]
        size = (own[0], own[1]) if None in fixed else None
    return tuple(_shape(file.path, entry, size) for entry in file.inputs)


def _shape(path: Path, entry: FileInput, size: tuple[int, int] | None) -> tuple[int, ...]:
    shape: list[int | None] = list(entry.shape)
    if not shape:
        raise BackendError(f"{path}: input {entry.name} has no shape", "export it with one")
    if shape[0] is None:
        shape[0] = 1
    elif shape[0] != 1:
        raise BackendError(f"{path}: input {entry.name} holds {shape[0]} pictures at once", "export it for a batch of 1, or an open one")
    if len(shape) == 4:
        wanted: Sequence[int | None] = size or (None, None)
        for axis, side in zip((2, 3), wanted, strict=True):
            if shape[axis] is not None and side is not None and shape[axis] != side:
                fixed = f"{shape[2] or '?'}x{shape[3] or '?'}"
                raise UsageError(f"{path}: input {entry.name} is {fixed} (height x width), not {size[0]}x{size[1]}" if size else "")
            shape[axis] = shape[axis] or side
        shape[1] = shape[1] or 3
    if None in shape:
        extents = ", ".join(str(extent or entry.open.get(axis, "?")) for axis, extent in enumerate(entry.shape))
        raise UsageError(
            f"{path}: input {entry.name} is ({extents}): its size is open", "give one: --size 640x640 (height x width), or an example"
        )
    return tuple(extent for extent in shape if extent is not None)
