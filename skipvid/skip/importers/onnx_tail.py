"""The end of an ONNX network: outputs that only arrange the cells of feature maps as rows. A head can read the maps themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skipvid.core.network_outputs import NetworkOutput, Shape, Values
from skipvid.skip.importers.onnx_file import Op

SAME = {"Identity", "Dropout"}
ARRANGING = SAME | {"Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
"""What keeps each number and the order of all."""
STRIDES = (4, 8, 16, 32, 64, 128)
"""Pixels of the picture per cell of the maps that heads read."""


def last_maps(outputs: Sequence[str], ops: Sequence[Op], shapes: Mapping[str, Shape], image_size: tuple[int, int]) -> list[NetworkOutput]:
    """The feature maps of convolutions that the outputs are computed from, in the order of the network. Behind them only a head works."""
    sizes = {tuple(-(-side // stride) for side in image_size) for stride in STRIDES}
    wanted, found = set(outputs), []
    for op in reversed(ops):
        if not wanted & set(op.outputs):
            continue
        shape = shapes.get(op.outputs[0], ())
        if op.kind == "Conv" and len(shape) == 4 and shape[2:] in sizes:
            found.append(NetworkOutput(op.outputs[0], shape))
        else:
            wanted.update(op.inputs)
    return found[::-1]


def describe_output(name: str, ops: Sequence[Op], shapes: Mapping[str, Shape]) -> NetworkOutput:
    """An output with the maps whose cells are its rows, or what its numbers are. shapes: of all that depends on the picture, by name."""
    makers = {result: op for op in ops for result in op.outputs}
    values, channels = _values(name, makers, shapes)
    for channels_last in (True, False):
        maps = _maps(name, channels_last, makers, shapes) if len(shapes[name]) == 3 else None
        if maps:
            return NetworkOutput(name, shapes[name], tuple((each, shapes[each]) for each in maps), channels_last, values)
    return NetworkOutput(name, shapes[name], values=values, channels=channels)


def _values(name: str, makers: Mapping[str, Op], shapes: Mapping[str, Shape]) -> tuple[Values, tuple[str, Shape] | None]:
    """What the numbers of an output are; of numbers of channels the map that they are of, where that is (1, C, h, w)."""
    op = makers.get(name)
    while op is not None and op.kind in ARRANGING and op.inputs[0] in shapes:
        op = makers.get(op.inputs[0])
    if op is None:
        return "", None
    if op.kind == "ArgMax":
        source = op.inputs[0]
        along, last = op.attributes.get("axis", 0) % 4, op.attributes.get("select_last_index", 0)
        whole = len(shapes.get(source, ())) == 4 and along == 1 and not last
        return "numbers", (source, shapes[source]) if whole else None
    while op is not None and op.kind in ARRANGING | {"Resize", "Upsample"} and op.inputs[0] in shapes:
        op = makers.get(op.inputs[0])
    return ("chances" if op is not None and op.kind in ("Sigmoid", "Softmax", "HardSigmoid") else "scores"), None


def _maps(name: str, channels_last: bool, makers: Mapping[str, Op], shapes: Mapping[str, Shape]) -> list[str] | None:
    """The maps that a value (1, rows, C), or (1, C, rows), is made of; None where it is made of anything else."""
    op = makers.get(name)
    if op is None or not op.inputs or op.inputs[0] not in shapes:
        return None
    source, shape = op.inputs[0], shapes[name]
    before = shapes[source]
    if op.kind in SAME:
        return _maps(source, channels_last, makers, shapes)
    if op.kind == "Transpose" and list(op.attributes.get("perm", ())) == [0, 2, 1]:
        return _maps(source, not channels_last, makers, shapes)
    if op.kind == "Concat" and op.attributes.get("axis", 1) % 3 == (1 if channels_last else 2):
        parts = [_maps(each, channels_last, makers, shapes) for each in op.inputs if each in shapes]
        whole = len(parts) == len(op.inputs) and all(part is not None for part in parts)
        return [item for part in parts if part is not None for item in part] if whole else None
    if op.kind not in ("Reshape", "Flatten") or len(before) != 4:
        return None
    if not channels_last:
        return [source] if shape == (1, before[1], before[2] * before[3]) else None
    turn = makers.get(source)
    turned = turn is not None and turn.kind == "Transpose" and list(turn.attributes.get("perm", ())) == [0, 2, 3, 1]
    return [turn.inputs[0]] if turn is not None and turned and shape == (1, before[1] * before[2], before[3]) else None
