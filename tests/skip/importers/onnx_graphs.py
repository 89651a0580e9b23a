"""ONNX files made for tests: graphs of onnx.helper's in many opsets, and networks that torch's exporter wrote."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

import skipvid


class Builder:
    """A graph with one input x, (1, 3, 32, 48) float32, that grows node by node."""

    def __init__(self, opset: int, seed: int = 0) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.random = np.random.default_rng(seed)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        fan = max(int(np.prod(shape[1:])), 1)
        return self.constant(self.random.normal(0, fan**-0.5, shape))

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def node(self, kind: str, *inputs: str, results: int = 1, **attributes: Any) -> Any:
        names = [f"v{len(self.nodes)}_{number}" for number in range(results)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names[0] if results == 1 else names

    def conv(self, x: str, inputs: int, outputs: int, side: int = 3, **attributes: Any) -> str:
        attributes.setdefault("pads", [side // 2] * 4)
        if "auto_pad" in attributes:
            del attributes["pads"]
        groups = attributes.get("group", 1)
        return str(self.node("Conv", x, self.weight(outputs, inputs // groups, side, side), self.weight(outputs), **attributes))

    def save(self, path: Path, *outputs: str, shape: tuple[Any, ...] = (1, 3, 32, 48), dtype: int = TensorProto.FLOAT) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 10
        onnx.save(model, path)
        return path


def _clip(b: Builder, x: str, low: float, high: float) -> str:
    return str(b.node("Clip", x, b.constant(low), b.constant(high)))


def activations(b: Builder) -> list[str]:
    x = b.conv("x", 3, 16)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("Relu", {}), ("LeakyRelu", {"alpha": 0.1}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), ("HardSigmoid", {}), ("Elu", {}),
        ("Selu", {}), ("Softplus", {}), ("Softsign", {}), ("Tanh", {}), ("Erf", {}), ("Celu", {"alpha": 2.0}), ("ThresholdedRelu", {}),
    ]  # fmt: skip
    if b.opset >= 14:
        kinds.append(("HardSwish", {}))
    if b.opset >= 18:
        kinds.append(("Mish", {}))
    if b.opset >= 20:
        kinds += [("Gelu", {}), ("Gelu", {"approximate": "tanh"})]
    parts = [b.node(kind, x, **attributes) for kind, attributes in kinds]
    parts += [_clip(b, x, 0, 6), _clip(b, x, -0.5, 0.5), b.node("Clip", x, "", b.constant(0.3)), b.node("PRelu", x, b.weight(16, 1, 1))]
    return [b.conv(b.node("Concat", *parts, axis=1), 16 * len(parts), 4, 1)]


def written_out(b: Builder) -> list[str]:
    """Activations as exporters write them for lack of an operation."""
    x = b.conv("x", 3, 8)
    silu = b.node("Mul", x, b.node("Sigmoid", x))
    y = b.conv(silu, 8, 8)
    erf = b.node("Add", b.node("Erf", b.node("Div", y, b.constant(2**0.5))), b.constant(1.0))
    y = b.conv(b.node("Mul", b.node("Mul", y, erf), b.constant(0.5)), 8, 8)
    erf = b.node("Add", b.node("Erf", b.node("Mul", y, b.constant(2**-0.5))), b.constant(1.0))
    y = b.conv(b.node("Mul", b.node("Mul", y, b.constant(0.5)), erf), 8, 8)
    y = b.conv(b.node("Mul", y, b.node("Tanh", b.node("Softplus", y))), 8, 8)
    y = b.conv(b.node("Mul", y, b.node("Div", _clip(b, b.node("Add", y, b.constant(3.0)), 0, 6), b.constant(6.0))), 8, 8)
    y = b.conv(b.node("Div", b.node("Mul", y, _clip(b, b.node("Add", y, b.constant(3.0)), 0, 6)), b.constant(6.0)), 8, 8)
    return [b.conv(b.node("Mul", y, b.node("HardSigmoid", y, alpha=1 / 6, beta=0.5)), 8, 4)]


def convolutions(b: Builder) -> list[str]:
    y = b.node("Relu", b.conv("x", 3, 8, auto_pad="SAME_UPPER", strides=[2, 2]))
    y = b.node("Relu", b.conv(y, 8, 8, auto_pad="SAME_LOWER", strides=[2, 2]))
    y = b.node("Relu", b.conv(y, 8, 8, auto_pad="VALID"))
    y = b.node("Relu", b.conv(y, 8, 8, pads=[0, 1, 2, 1], dilations=[1, 1]))
    y = b.node("Relu", b.conv(y, 8, 16, group=4, dilations=[2, 2], pads=[2, 2, 2, 2]))
    norm = [b.constant(b.random.uniform(0.5, 1.5, 16)) for _ in range(4)]
    y = b.node("Relu", b.node("BatchNormalization", y, *norm, epsilon=1e-3))
    up = b.node("ConvTranspose", y, b.weight(16, 4, 3, 3), b.weight(8), group=2, strides=[2, 2], pads=[1, 1, 0, 0])
    same = b.node("ConvTranspose", up, b.weight(8, 4, 4, 4), strides=[2, 2], auto_pad="SAME_UPPER")
    return [b.node("ConvTranspose", same, b.weight(4, 4, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])]


def pools(b: Builder) -> list[str]:
    x = b.conv("x", 3, 8)
    parts = [
        b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]),
        b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        b.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        b.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
        b.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        b.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    ]
    joined = b.node("Concat", *parts, axis=1)
    scale = b.node("Sigmoid", b.conv(b.node("GlobalAveragePool", joined), 72, 72, 1))
    return [b.node("Mul", joined, scale), b.node("GlobalMaxPool", x)]


def resizes(b: Builder) -> list[str]:
    x = b.conv("x", 3, 4)
    none = "" if b.opset >= 13 else b.constant([])
    parts = []
    for mode, place, rounding, scale in (
        ("nearest", "asymmetric", "floor", 2.0), ("nearest", "half_pixel", "round_prefer_floor", 2.0),
        ("nearest", "asymmetric", "ceil", 2.0), ("nearest", "half_pixel", "round_prefer_ceil", 1.5),
        ("nearest", "align_corners", "floor", 2.0),
        ("linear", "half_pixel", "", 2.0), ("linear", "pytorch_half_pixel", "", 1.5), ("linear", "align_corners", "", 2.0),
        ("linear", "asymmetric", "", 2.0), ("cubic", "half_pixel", "", 2.0),
    ):  # fmt: skip
        extra = {"nearest_mode": rounding} if rounding else {}
        y = b.node("Resize", x, none, b.constant([1, 1, scale, scale]), mode=mode, coordinate_transformation_mode=place, **extra)
        parts.append(b.conv(y, 4, 4, strides=[2, 2] if scale == 2 else [1, 1]))
    parts.append(b.node("Resize", x, none, none, b.ints(1, 4, 40, 50), mode="linear"))
    return parts


def upsample(b: Builder) -> list[str]:
    y = b.node("Upsample", b.conv("x", 3, 4), b.constant([1, 1, 2, 2]), mode="nearest")
    return [b.conv(y, 4, 4)]


def rearrangements(b: Builder) -> list[str]:
    x = b.conv("x", 3, 16)
    shuffled = b.node(
        "Reshape", b.node("Transpose", b.node("Reshape", x, b.ints(1, 2, 8, 32, 48)), perm=[0, 2, 1, 3, 4]), b.ints(0, -1, 32, 48)
    )
    if b.opset >= 13:
        one, other = b.node("Split", b.conv(shuffled, 16, 16), b.ints(8, 8), results=2, axis=1)
    else:
        one, other = b.node("Split", b.conv(shuffled, 16, 16), results=2, axis=1, split=[8, 8])
    third = b.node("Slice", one, b.ints(0), b.ints(4), b.ints(1), b.ints(1))
    every = b.node("Slice", other, b.ints(-1, 0), b.ints(-(2**31), 2**31), b.ints(2, 1), b.ints(-2, 2))
    picked = b.node("Gather", other, b.ints(3, -1, 0), axis=1)
    deep = b.node("DepthToSpace", b.node("SpaceToDepth", picked, blocksize=2), blocksize=2, mode="CRD")
    padded = b.node("Pad", third, b.ints(0, 0, 1, 2, 0, 0, 3, 0), mode="reflect")
    zero = b.node("Pad", b.node("Concat", deep, third, axis=1), b.ints(0, 0, 1, 1, 0, 0, 0, 0), b.constant(0.5))
    row = b.node("Gather", x, b.constant(3, np.int64), axis=2)
    if b.opset >= 13:
        thin = b.node("Squeeze", b.node("Unsqueeze", row, b.ints(0)), b.ints(1))
    else:
        thin = b.node("Squeeze", b.node("Unsqueeze", row, axes=[0]), axes=[1])
    return [every, padded, b.conv(zero, 7, 4), b.node("Flatten", thin), b.node("Tile", thin, b.ints(1, 1, 2)), deep]


def shape_arithmetic(b: Builder) -> list[str]:
    """What exporters write for x.view(n, c // 2, -1), for interpolation to another map's size and for a grid of cells."""
    x = b.conv("x", 3, 8, strides=[2, 2])
    size = b.node("Shape", x)
    count = b.node("Div", b.node("Gather", size, b.constant(1, np.int64)), b.constant(2, np.int64))
    first, half = (b.node("Reshape", value, b.ints(1)) for value in (b.node("Gather", size, b.constant(0, np.int64)), count))
    flat = b.node("Reshape", x, b.node("Concat", first, half, b.ints(-1), axis=0))
    big = b.node("Shape", "x")
    sides = b.node("Slice", big, b.ints(2), b.ints(4), b.ints(0))
    wanted = b.node("Concat", b.node("Slice", size, b.ints(0), b.ints(2), b.ints(0)), sides, axis=0)
    grown = b.node("Resize", x, "", "", wanted, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    width = b.node("Gather", size, b.constant(3, np.int64))
    line = b.node("Range", b.constant(0, np.int64), width, b.constant(1, np.int64))
    cells = b.node("Expand", b.node("Cast", line, to=TensorProto.FLOAT), b.node("Slice", size, b.ints(2), b.ints(4), b.ints(0)))
    even = b.node("Equal", b.node("Mod", width, b.constant(2, np.int64)), b.constant(0, np.int64))
    moved = b.node("Where", even, b.node("Add", x, cells), x)
    return [flat, b.conv(grown, 8, 4), moved]


def attention(b: Builder) -> list[str]:
    x = b.node("Relu", b.conv("x", 3, 32, 4, strides=[4, 4], pads=[0] * 4))
    tokens = b.node("Transpose", b.node("Reshape", x, b.ints(1, 32, 96)), perm=[0, 2, 1])
    if b.opset >= 17:
        tokens = b.node("LayerNormalization", tokens, b.weight(32), b.weight(32), axis=-1)
    q, k, v = (b.node("Add", b.node("MatMul", tokens, b.weight(32, 32)), b.weight(32)) for _ in range(3))
    scores = b.node("Softmax", b.node("MatMul", q, b.node("Transpose", k, perm=[0, 2, 1])), axis=2)
    y = b.node("Add", tokens, b.node("MatMul", scores, v))
    if b.opset >= 18:
        mean = b.node("ReduceMean", y, b.ints(1), keepdims=0)
    else:
        mean = b.node("ReduceMean", y, axes=[1], keepdims=0)
    return [b.node("Gemm", mean, b.weight(10, 32), b.weight(10), transB=1), b.node("Gemm", mean, b.weight(32, 5), alpha=0.5)]


def arithmetic(b: Builder) -> list[str]:
    x = b.conv("x", 3, 8)
    y = b.node("Div", b.node("Sub", x, b.weight(8, 1, 1)), b.constant(b.random.uniform(1, 2, (1, 8, 1, 1))))
    z = b.node("Sqrt", b.node("Add", b.node("Pow", y, b.constant(2.0)), b.constant(1e-3)))
    w = b.node("Min", b.node("Max", z, b.constant(0.2), y), b.constant(2.0))
    kept = b.node("Mul", w, b.node("Cast", b.node("Greater", w, b.constant(0.5)), to=TensorProto.FLOAT))
    if b.opset >= 13:
        total = b.node("ReduceSum", kept, b.ints(1), keepdims=1)
    else:
        total = b.node("ReduceSum", kept, axes=[1], keepdims=1)
    largest = b.node("ReduceMax", kept, b.ints(2, 3)) if b.opset >= 18 else b.node("ReduceMax", kept, axes=[2, 3])
    norm = b.node("ReduceL2", kept, b.ints(1)) if b.opset >= 18 else b.node("ReduceL2", kept, axes=[1])
    return [b.node("Mul", kept, largest), b.node("Reciprocal", b.node("Add", total, b.constant(1.0))), norm, b.node("Sum", x, y, z, w)]


def focus(b: Builder) -> list[str]:
    """The first layer of YOLOX and of YOLOv5 before its version 6."""
    corners = []
    for column in (0, 1):
        for row in (0, 1):
            rows = b.node("Slice", "x", b.ints(row), b.ints(2**63 - 1), b.ints(2), b.ints(2))
            corners.append(b.node("Slice", rows, b.ints(column), b.ints(2**63 - 1), b.ints(3), b.ints(2)))
    return [b.node("Relu", b.conv(b.node("Concat", *corners, axis=1), 12, 8))]


GRAPHS: list[tuple[Callable[[Builder], list[str]], int]] = [
    (activations, 12), (activations, 17), (activations, 20), (written_out, 11), (written_out, 21), (convolutions, 11), (convolutions, 21),
    (pools, 11), (pools, 19), (resizes, 11), (resizes, 19), (upsample, 9), (rearrangements, 11), (rearrangements, 13), (rearrangements, 18),
    (shape_arithmetic, 13), (shape_arithmetic, 21), (attention, 13), (attention, 18), (arithmetic, 11), (arithmetic, 18), (focus, 11),
]  # fmt: skip


class Residual(nn.Module):
    """A small classifier: BatchNorm, depthwise layers, squeeze-and-excite, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 5, 1, 2, groups=16), nn.BatchNorm2d(16), nn.ReLU6())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        y = x + y * self.squeeze(y)
        return self.last(y.mean((2, 3)))  # type: ignore[no-any-return]


class Segmenter(nn.Module):
    """An encoder and a decoder that grows its maps to those of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.act, self.up, self.side = nn.PReLU(16), nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 1)
        self.last = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = F.silu(self.down1(x))
        two = self.act(self.down2(one))
        wide = F.interpolate(self.side(two), size=one.shape[2:], mode="bilinear", align_corners=False)
        y = self.last(torch.cat([self.up(two) + wide, one], 1))
        return F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=True).softmax(1)


class Shuffled(nn.Module):
    """A shuffle unit, a GELU, a LayerNorm over channels, and outputs of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.wide, self.narrow = (
            nn.Conv2d(3, 16, 3, 1, 1),
            nn.LayerNorm(16),
            nn.Conv2d(16, 32, 1),
            nn.Conv2d(32, 16, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        one, other = x.chunk(2, 1)
        x = torch.stack([one, other], 2).flatten(1, 2)
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = x + self.narrow(F.gelu(self.wide(y)))
        return y, F.max_pool2d(y, 3, 2, 1).flatten(2).transpose(1, 2)


EXPORTED: list[tuple[type[nn.Module], int]] = [
    (Residual, 11),
    (Residual, 17),
    (Segmenter, 11),
    (Segmenter, 16),
    (Shuffled, 12),
    (Shuffled, 17),
]


def export(net: nn.Module, path: Path, opset: int, shape: tuple[int, ...] = (1, 3, 32, 48), **options: Any) -> Path:
    """Write a network by torch's older exporter, which needs no package beside onnx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so
        torch.onnx.export(net.eval(), (torch.zeros(shape),), str(path), opset_version=opset, dynamo=False, **options)
    return path


def settled(net: nn.Module) -> nn.Module:
    """With statistics and weights that are no starting values, so that a mistaken BatchNorm shows."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in (
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
                (module.weight.data, 0.5),
                (module.bias.data, -0.5),
            ):
                assert tensor is not None
                tensor.uniform_(low, low + 1, generator=generator)
    return net.eval()


def third_frame(path: Path, shape: tuple[int, ...] = (1, 3, 32, 48)) -> tuple[Any, list[np.ndarray]]:
    """What a session at threshold 0 returns for the last of three frames, which is gated, and what ONNX Runtime does."""
    model, _ = skipvid.convert(path, torch.zeros(shape), skipvid.SkipConfig(threshold=0.0, threads=1))
    session = model.session()
    generator = torch.Generator().manual_seed(3)
    frame = torch.randn(shape, generator=generator)
    session(torch.randn(shape, generator=generator))
    session(frame)
    frame = frame.clone()
    frame[:, :, 4:9, 5:12] += 1
    result = session(frame)
    return (result if isinstance(result, tuple) else (result,)), runtime(path, frame.numpy())


def runtime(path: Path, x: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime computes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))
