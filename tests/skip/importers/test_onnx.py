"""ONNX files: at threshold 0 a converted one gives what ONNX Runtime gives, and has the layers that it was made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx  # noqa: E402
from onnx import TensorProto  # noqa: E402
from onnx_graphs import (  # noqa: E402
    EXPORTED,
    GRAPHS,
    Builder,
    Residual,
    Segmenter,
    convolutions,
    export,
    focus,
    runtime,
    settled,
    third_frame,
    written_out,
)

import skipvid  # noqa: E402
from skipvid.core.errors import WeightsError  # noqa: E402
from skipvid.skip.importers.exported import import_exported  # noqa: E402
from skipvid.skip.importers.files import open_network  # noqa: E402
from skipvid.skip.importers.tracing import export as torch_export  # noqa: E402
from skipvid.skip.ir.passes import optimise  # noqa: E402


def compare(path: Path, shape: tuple[int, ...] = (1, 3, 32, 48)) -> None:
    results, wanted = third_frame(path, shape)
    assert len(results) == len(wanted)
    for ours, theirs in zip(results, wanted, strict=True):
        assert tuple(ours.shape) == theirs.shape
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-4 * max(float(np.abs(theirs).max()), 1e-6))


@pytest.mark.parametrize(("graph", "opset"), GRAPHS, ids=lambda item: getattr(item, "__name__", str(item)))
def test_graph_equals_onnx_runtime(graph: Callable[[Builder], list[str]], opset: int, tmp_path: Path) -> None:
    builder = Builder(opset)
    compare(builder.save(tmp_path / "net.onnx", *graph(builder)))


@pytest.mark.parametrize(("kind", "opset"), EXPORTED, ids=lambda item: getattr(item, "__name__", str(item)))
def test_exported_network_equals_onnx_runtime(kind: type[nn.Module], opset: int, tmp_path: Path) -> None:
    compare(export(settled(kind()), tmp_path / "net.onnx", opset))


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (1, 3, 48, 40)])
def test_open_size_is_that_of_the_example(shape: tuple[int, ...], tmp_path: Path) -> None:
    net = settled(Segmenter())
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    path = export(net, tmp_path / "net.onnx", 17, input_names=["x"], dynamic_axes=axes)
    compare(path, shape)


def test_one_model_serves_several_sizes_of_an_open_file(tmp_path: Path) -> None:
    path = export(settled(Segmenter()), tmp_path / "net.onnx", 17, input_names=["x"], dynamic_axes={"x": {2: "height", 3: "width"}})
    model, _ = skipvid.convert(path, torch.zeros(1, 3, 32, 48), skipvid.SkipConfig(threads=1))
    x = torch.rand(1, 3, 64, 32)
    np.testing.assert_allclose(model.dense(x).numpy(), runtime(path, x.numpy())[0], rtol=1e-4, atol=1e-5)


def test_fixed_size_needs_no_example(tmp_path: Path) -> None:
    path = export(settled(Residual()), tmp_path / "net.onnx", 13)
    model, report = skipvid.convert(str(path))
    assert model.dense(torch.rand(1, 3, 32, 48)).shape == (1, 10)
    assert report.dense_macs > 0


def test_half_precision_file_is_computed_in_float32(tmp_path: Path) -> None:
    builder = Builder(17)
    y = builder.node("Relu", builder.node("Conv", builder.node("Cast", "x", to=TensorProto.FLOAT16), *_half(builder), pads=[1] * 4))
    path = builder.save(tmp_path / "net.onnx", builder.node("Cast", y, to=TensorProto.FLOAT))
    x = torch.rand(1, 3, 32, 48)
    model, _ = skipvid.convert(path, config=skipvid.SkipConfig(threads=1))
    np.testing.assert_allclose(model.dense(x).numpy(), runtime(path, x.numpy())[0], rtol=0.01, atol=0.01)
    assert model.dense(x).dtype == torch.float32


def _half(builder: Builder) -> tuple[str, str]:
    random = builder.random
    return builder.constant(random.normal(0, 0.2, (4, 3, 3, 3)), np.float16), builder.constant(random.normal(0, 1, 4), np.float16)


def test_weights_in_another_file_are_read(tmp_path: Path) -> None:
    builder = Builder(17)
    path = builder.save(tmp_path / "net.onnx", *convolutions(builder))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert (tmp_path / "net.data").is_file()
    compare(path)
    (tmp_path / "net.data").unlink()
    with pytest.raises(WeightsError, match=r"net\.onnx: its weights lie in another file.*; put that file beside it"):
        skipvid.convert(path)


def test_pictures_of_bytes_are_an_input(tmp_path: Path) -> None:
    builder = Builder(17)
    y = builder.conv(builder.node("Div", builder.node("Cast", "x", to=TensorProto.FLOAT), builder.constant(255.0)), 3, 4)
    path = builder.save(tmp_path / "net.onnx", y, dtype=TensorProto.UINT8)
    x = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8)
    model, _ = skipvid.convert(path, config=skipvid.SkipConfig(threads=1))
    np.testing.assert_allclose(model.session()(x).numpy(), runtime(path, x.numpy())[0], rtol=1e-4, atol=1e-4)


def test_weights_that_are_listed_as_inputs_are_weights(tmp_path: Path) -> None:
    builder = Builder(11)
    path = builder.save(tmp_path / "net.onnx", *convolutions(builder))
    proto = onnx.load(path)
    for weight in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    onnx.save(proto, path)
    compare(path)


@pytest.mark.parametrize("chosen", [True, False])
def test_condition_that_is_known_takes_its_branch(chosen: bool, tmp_path: Path) -> None:
    builder = Builder(17)
    x = builder.conv("x", 3, 4)
    branches = {}
    for name, kind in (("then_branch", "Relu"), ("else_branch", "Abs")):
        node = onnx.helper.make_node(kind, [x], [f"{kind}_out"])
        result = onnx.helper.make_tensor_value_info(f"{kind}_out", TensorProto.FLOAT, None)
        branches[name] = onnx.helper.make_graph([node], name, [], [result])
    count = builder.node("Size", x)
    condition = builder.node("Greater" if chosen else "Less", count, builder.constant(5, np.int64))
    compare(builder.save(tmp_path / "net.onnx", builder.conv(builder.node("If", condition, **branches), 4, 4)))


def test_exported_program_file_is_a_network(tmp_path: Path) -> None:
    net = settled(Residual())
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 32, 48),)), path)
    x = torch.rand(1, 3, 32, 48)
    for example in (None, torch.zeros(1, 3, 32, 48)):
        model, _ = skipvid.convert(path, example)
        torch.testing.assert_close(model.dense(x), net(x), rtol=1e-4, atol=1e-5)


def operations(path: Path) -> tuple[Counter[str], list[Any]]:
    file = open_network(path)
    graph = optimise(import_exported(torch_export(file.net, file.examples)))
    return Counter(node.op for node in graph), list(graph)


def test_first_layer_that_moves_pixels_is_convolutions(tmp_path: Path) -> None:
    builder = Builder(11)
    counts, _ = operations(builder.save(tmp_path / "net.onnx", *focus(builder)))
    assert counts == {"input": 1, "conv": 2}


def test_activations_that_are_written_out_are_recognised(tmp_path: Path) -> None:
    builder = Builder(11)
    counts, nodes = operations(builder.save(tmp_path / "net.onnx", *written_out(builder)))
    kinds = Counter(node.activation.kind for node in nodes if node.op == "conv" and node.activation is not None)
    assert (kinds["silu"], kinds["hardswish"]) == (1, 3)
    assert not counts["aten"] and counts["conv"] == 8


def test_batch_norm_is_folded_and_layers_have_the_names_of_their_modules(tmp_path: Path) -> None:
    path = export(settled(Residual()), tmp_path / "net.onnx", 17, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    counts, nodes = operations(path)
    assert not counts["affine"] and counts["conv"] == 5
    assert {"stem.0", "depthwise.0", "squeeze.1", "last"} <= {node.layer for node in nodes}


def test_layers_without_named_weights_have_the_names_of_their_nodes(tmp_path: Path) -> None:
    _, nodes = operations(export(settled(Residual()), tmp_path / "net.onnx", 17))
    assert {"stem.0", "depthwise.0", "squeeze.1", "squeeze.3", "last"} <= {node.layer for node in nodes}
