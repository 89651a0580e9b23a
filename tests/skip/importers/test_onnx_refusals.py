"""ONNX files that cannot be converted, and what is said of each: one line with the file, the node and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")

import onnx  # noqa: E402
from onnx import TensorProto  # noqa: E402
from onnx_graphs import Builder  # noqa: E402

import skipvid  # noqa: E402
from skipvid.core.errors import BackendError, SkipvidError, UsageError, WeightsError  # noqa: E402


def _quantised(b: Builder) -> str:
    low = b.node("QuantizeLinear", b.conv("x", 3, 4), b.constant(0.1), b.constant(0, np.uint8))
    return str(b.node("DequantizeLinear", low, b.constant(0.1), b.constant(0, np.uint8)))


def _nms(b: Builder) -> str:
    boxes, scores = b.node("Reshape", "x", b.ints(1, -1, 4)), b.node("Reshape", "x", b.ints(1, 1, -1))
    return str(b.node("Cast", b.node("NonMaxSuppression", boxes, scores), to=TensorProto.FLOAT))


def _own_domain(b: Builder) -> str:
    return str(b.node("FusedConv", "x", b.weight(4, 3, 3, 3), domain="com.microsoft"))


def _shape_from_values(b: Builder) -> str:
    return str(b.node("Reshape", "x", b.node("Cast", b.node("ReduceMax", "x", keepdims=0), to=TensorProto.INT64)))


def _positions(b: Builder) -> str:
    return str(b.node("Cast", b.node("NonZero", "x"), to=TensorProto.FLOAT))


def _wrong_shape(b: Builder) -> str:
    return str(b.node("Reshape", "x", b.ints(1, 7, -1)))


def _cropped(b: Builder) -> str:
    return str(b.node("Resize", "x", b.constant([0, 0, 0, 0, 1, 1, 1, 1]), b.constant([1, 1, 2, 2]),
                      coordinate_transformation_mode="tf_crop_and_resize"))  # fmt: skip


REFUSED: list[tuple[Callable[[Builder], str], str, str]] = [
    (_quantised, r"the network is quantised: QuantizeLinear \(node QuantizeLinear_1\)", "in floating point"),
    (_nms, r"the operation NonMaxSuppression \(node NonMaxSuppression_2\) cannot be converted", "without NMS"),
    (_own_domain, r"the operation com\.microsoft\.FusedConv \(node FusedConv_0\) is none of ONNX's own", "without a runtime's"),
    (_shape_from_values, r"Reshape \(node Reshape_2\): its shape is computed from the picture", "only sizes that follow"),
    (_positions, r"the operation NonZero \(node NonZero_0\) cannot be converted", "export the network without it"),
    (_wrong_shape, r"Reshape \(node Reshape_0\): it does not take inputs of shapes \(1, 3, 32, 48\), \(3,\)", "another size"),
    (_cropped, r"Resize \(node Resize_0\): its coordinate_transformation_mode is tf_crop_and_resize", "export it with one of"),
]


@pytest.mark.parametrize(("graph", "message", "hint"), REFUSED, ids=lambda item: getattr(item, "__name__", ""))
def test_what_cannot_be_converted_is_named(graph: Callable[[Builder], str], message: str, hint: str, tmp_path: Path) -> None:
    builder = Builder(17)
    path = builder.save(tmp_path / "net.onnx", graph(builder))
    with pytest.raises(BackendError, match=message) as caught:
        skipvid.convert(path, torch.zeros(1, 3, 32, 48))
    assert hint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "example", "error", "message"),
    [
        ((1, 3, "h", "w"), None, UsageError, r"input x is \(1, 3, h, w\): its size is open; give one: --size 640x640"),
        ((1, 3, None, 48), None, UsageError, r"input x is \(1, 3, \?, 48\): its size is open"),
        ((2, 3, 32, 48), None, BackendError, "input x holds 2 pictures at once; export it for a batch of 1"),
        ((1, 3, 32, 48), (1, 3, 64, 48), UsageError, r"input x is 32x48 \(height x width\), not 64x48"),
    ],
)
def test_size_that_does_not_fit_is_named(
    shape: tuple[object, ...], example: tuple[int, ...] | None, error: type[SkipvidError], message: str, tmp_path: Path
) -> None:
    builder = Builder(17)
    path = builder.save(tmp_path / "net.onnx", builder.conv("x", 3, 4), shape=shape)
    with pytest.raises(error, match=message):
        skipvid.convert(path, None if example is None else torch.zeros(example))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("net.onnx", None, WeightsError, r"network file .*net\.onnx is missing"),
        ("net.onnx", b"not a network at all", WeightsError, r"net\.onnx is not an ONNX file, or it is damaged"),
        ("net.onnx", b"", WeightsError, r"net\.onnx is not an ONNX file, or it is damaged"),
        ("net.pt2", None, WeightsError, r"network file .*net\.pt2 is missing"),
        ("net.pt2", b"nothing", WeightsError, r"net\.pt2 is no exported program of torch's"),
        ("net.tflite", b"", UsageError, r"net\.tflite is no network file: it must end in \.onnx or \.pt2"),
    ],
)
def test_file_that_is_none_is_named(name: str, content: bytes | None, error: type[SkipvidError], message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        skipvid.convert(tmp_path / name, torch.zeros(1, 3, 32, 48))


def test_damaged_file_is_named_wherever_it_breaks_off(tmp_path: Path) -> None:
    builder = Builder(17)
    whole = builder.save(tmp_path / "net.onnx", builder.conv("x", 3, 4)).read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "net.onnx").write_bytes(whole[:length])
        with pytest.raises(SkipvidError) as caught:
            skipvid.convert(tmp_path / "net.onnx", torch.zeros(1, 3, 32, 48))
        assert "\n" not in str(caught.value)


def test_old_opset_is_refused(tmp_path: Path) -> None:
    builder = Builder(6)
    path = builder.save(tmp_path / "net.onnx", builder.conv("x", 3, 4))
    with pytest.raises(BackendError, match=r"net\.onnx: opset 6 is too old; export it again with opset 7 or later"):
        skipvid.convert(path)


def test_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder(17)
    path = builder.save(tmp_path / "net.onnx", builder.conv("x", 3, 4))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"reading ONNX files needs the package onnx; pip install 'skipvid\[onnx\]'"):
        skipvid.convert(path)
    assert onnx.__version__
