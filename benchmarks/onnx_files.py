"""ONNX files of different exporters and opsets: threshold 0 against ONNX Runtime.

    python benchmarks/onnx_files.py [--folder DIR] [--write]

Makes the files (graphs written by hand, networks by torch's two exporters, with weights in half precision, in int8 or in another file, of
open size), converts each, runs three frames of which the last one is gated, and compares that one with ONNX Runtime: the largest
difference of any output, relative to its largest value. Ends with an error where one is above 1e-4. torch's newer exporter needs
onnxscript; its files are left out without it, which is told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto
from tables import ResultTable, add_write_option
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "tests" / "skip" / "importers"))

from onnx_graphs import GRAPHS, Builder, Residual, Segmenter, Shuffled, convolutions, export, settled, third_frame  # noqa: E402

LARGEST = 1e-4
SHAPE = (1, 3, 32, 48)
Made = tuple[str, str, Path]
"""What it is, what wrote it, and where it is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the files here")
    add_write_option(parser)
    options = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        with ResultTable("onnx_files", ("network", "written by", "opset", "nodes", "difference"), options.write) as table:
            for what, writer, path in files(options.folder or Path(folder)):
                model = onnx.load(path)
                found = difference(path)
                worst = max(worst, found)
                opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
                table.row(what, writer, opset, len(model.graph.node), f"{found:.1e}")
    if worst > LARGEST:
        raise SystemExit(f"a difference of {worst:.1e} is above {LARGEST:g}")


def files(folder: Path) -> Iterator[Made]:
    """Make all files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (graph, opset) in enumerate(GRAPHS):
        builder = Builder(opset)
        yield graph.__name__, "onnx.helper", builder.save(folder / f"graph{number}.onnx", *graph(builder))
    kinds: tuple[type[nn.Module], ...] = (Residual, Segmenter, Shuffled)
    for kind in kinds:
        for opset in (11, 13, 15, 17):
            path = folder / f"{kind.__name__}{opset}.onnx"
            if kind is not Shuffled or opset > 11:
                yield kind.__name__, "torch, older exporter", export(settled(kind()), path, opset)
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    open_size = export(settled(Segmenter()), folder / "open.onnx", 17, input_names=["x"], dynamic_axes=axes)
    yield "Segmenter, batch and size open", "torch, older exporter", open_size
    yield "convolutions, weights in another file", "onnx.helper", _outside(folder / "outside.onnx")
    yield "convolution, weights in half precision", "onnx.helper", _stored(folder / "half.onnx", _half)
    yield "convolution, weights in int8", "onnx.helper", _stored(folder / "int8.onnx", _int8)
    yield from _newer(folder, kinds)


def _newer(folder: Path, kinds: tuple[type[nn.Module], ...]) -> Iterator[Made]:
    """By torch's exporter that goes by way of torch.export."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        print("onnxscript is not installed: torch's newer exporter is left out", flush=True)
        return
    for kind in kinds:
        for opset in (18, 20):
            path = folder / f"{kind.__name__}-newer{opset}.onnx"
            with warnings.catch_warnings(action="ignore"):
                example = (torch.zeros(SHAPE),)
                torch.onnx.export(settled(kind()), example, str(path), opset_version=opset, dynamo=True, verbose=False)
            yield kind.__name__, "torch, newer exporter", path


def _outside(path: Path) -> Path:
    builder = Builder(17)
    builder.save(path, *convolutions(builder))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=0)
    return path


def _stored(path: Path, weight: Callable[[Builder], str]) -> Path:
    """A convolution whose weights are made from what is stored when the network runs."""
    builder = Builder(17)
    y = builder.node("Conv", "x", weight(builder), pads=[1] * 4)
    return builder.save(path, builder.conv(builder.node("Relu", y), 8, 4))


def _half(builder: Builder) -> str:
    values = builder.constant(builder.random.normal(0, 0.2, (8, 3, 3, 3)), np.float16)
    return str(builder.node("Cast", values, to=TensorProto.FLOAT))


def _int8(builder: Builder) -> str:
    values = builder.constant(builder.random.integers(-127, 128, (8, 3, 3, 3)), np.int8)
    scale, zero = builder.constant(builder.random.uniform(0.001, 0.002, 8)), builder.constant(np.zeros(8), np.int8)
    return str(builder.node("DequantizeLinear", values, scale, zero, axis=0))


def difference(path: Path) -> float:
    """Of the third frame's outputs from ONNX Runtime's, the largest, relative to the largest value of the output."""
    ours, theirs = third_frame(path, SHAPE)
    if [tuple(each.shape) for each in ours] != [each.shape for each in theirs]:
        raise SystemExit(f"{path}: other shapes than ONNX Runtime's")
    gaps = (np.abs(a.numpy() - b).max() / max(np.abs(b).max(), 1e-6) for a, b in zip(ours, theirs, strict=True))
    return float(max(gaps))


if __name__ == "__main__":
    main()
