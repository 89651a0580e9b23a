"""Small networks in ONNX files with the outputs of real families, for tests of all that runs network files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

sys.path.append(str(Path(__file__).parents[1] / "skip" / "importers"))

from onnx_graphs import Builder  # noqa: E402

SIZE = (64, 96)


def _levels(b: Builder) -> list[str]:
    """Maps of 16 channels at strides 8, 16 and 32."""
    y = b.node("Relu", b.conv("x", 3, 8, strides=[2, 2]))
    y = b.node("Relu", b.conv(y, 8, 16, strides=[2, 2]))
    maps = []
    for _ in range(3):
        y = b.node("Relu", b.conv(y, 16, 16, strides=[2, 2]))
        maps.append(y)
    return maps


def _rows(b: Builder, y: str, channels: int) -> str:
    return str(b.node("Reshape", y, b.ints(1, channels, -1)))


def yolox_file(path: Path, size: tuple[Any, Any] = SIZE, classes: int = 3) -> Path:
    """(1, N, 5 + classes) as YOLOX's authors export it."""
    b = Builder(11, seed=5)
    rows = []
    for y in _levels(b):
        boxes = b.conv(y, 16, 4, 1)
        sure, classes_ = (b.node("Sigmoid", b.conv(y, 16, count, 1)) for count in (1, classes))
        rows.append(_rows(b, b.node("Concat", boxes, sure, classes_, axis=1), 5 + classes))
    output = b.node("Transpose", b.node("Concat", *rows, axis=2), perm=[0, 2, 1])
    return b.save(path, output, shape=(1, 3, *size))


def ultralytics_file(path: Path, size: tuple[Any, Any] = SIZE, classes: int = 3, **metadata: str) -> Path:
    """(1, 4 + classes, N); boxes are near the middle of the picture."""
    b = Builder(17, seed=6)
    rows = []
    for y in _levels(b):
        boxes = b.node("Mul", b.node("Sigmoid", b.conv(y, 16, 4, 1)), b.constant([[[[60.0]], [[60.0]], [[20.0]], [[20.0]]]]))
        rows.append(_rows(b, b.node("Concat", boxes, b.node("Sigmoid", b.conv(y, 16, classes, 1)), axis=1), 4 + classes))
    b.save(path, b.node("Concat", *rows, axis=2), shape=(1, 3, *size))
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def heat_map_file(path: Path, size: tuple[int, int] = SIZE, joints: int = 17) -> Path:
    """(1, joints, height / 4, width / 4)."""
    b = Builder(13, seed=7)
    y = b.node("Relu", b.conv(b.node("Relu", b.conv("x", 3, 8, strides=[2, 2])), 8, 16, strides=[2, 2]))
    return b.save(path, b.node("Sigmoid", b.conv(y, 16, joints)), shape=(1, 3, *size))


def runtime(path: Path, x: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))
