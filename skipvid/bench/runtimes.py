"""Dense runtimes to be measured against, all from the same torch module: PyTorch, ONNX Runtime, OpenVINO in f32, bf16 and int8."""

from __future__ import annotations

import copy
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Run = Callable[[Tensor], object]
Frames = Callable[[], Iterable[Tensor]]
"""Makes inputs like those to be measured, for a runtime that must see some first."""

CALIBRATION_FRAMES = 100
"""Inputs that int8 finds its ranges on, at most."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A network ready to be run. run: takes (1, 3, h, w) float32 and returns when the outputs are there; None where `missing` says why."""

    name: str
    run: Run | None
    missing: str = ""


def open_runtime(name: str, net: nn.Module, example: Tensor, threads: int, frames: Frames | None = None) -> Runtime:
    """Bring a network in eval mode into a runtime. A runtime that is not there, or refuses, says so instead.

    name: a key of RUNTIMES. example: an input. frames: None = the example alone.
    """
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return Runtime(name, RUNTIMES[name](net, example, threads, frames or (lambda: (example,))))
    except ImportError as error:
        return Runtime(name, None, f"{error.name or name} is not installed")
    except Exception as error:  # exporters fail in their own ways; the other columns are still worth having
        return Runtime(name, None, " ".join(f"{type(error).__name__}: {error}".split())[:200])


def _torch(net: nn.Module, example: Tensor, threads: int, frames: Frames) -> Run:
    fast = copy.deepcopy(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(x: Tensor) -> object:
        with torch.inference_mode():
            return fast(x.contiguous(memory_format=torch.channels_last))

    return run


def _onnxruntime(net: nn.Module, example: Tensor, threads: int, frames: Frames) -> Run:
    import onnx  # noqa: F401  torch's exporter needs it, and says so less clearly
    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(net, (example,), file, dynamo=False, input_names=["x"])  # type: ignore[arg-type]  # takes files, though not by its type
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x.numpy()})


def _openvino(precision: str) -> Callable[[nn.Module, Tensor, int, Frames], Run]:
    def load(net: nn.Module, example: Tensor, threads: int, frames: Frames) -> Run:
        import openvino

        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise RuntimeError("this processor has no bf16 arithmetic")
        network = openvino.convert_model(net, example_input=example, input=[list(example.shape)])
        if precision == "int8":
            network = _quantised(network, frames)
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # What int8 leaves out runs in the next best.
            "INFERENCE_PRECISION_HINT": "f32" if precision == "f32" or not has_bf16 else "bf16",
        }
        request = core.compile_model(network, "CPU", settings).create_infer_request()
        return lambda x: request.infer([np.ascontiguousarray(x.numpy())], share_inputs=True, share_outputs=True)

    return load


def _quantised(network: Any, frames: Frames) -> Any:
    """An OpenVINO network in int8, as NNCF's post-training quantisation makes it by default."""
    os.environ.setdefault("NNCF_CI", "1")  # else it tells its makers that it is in use
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = [sample.numpy() for sample in islice(frames(), CALIBRATION_FRAMES)]
    return nncf.quantize(network, nncf.Dataset(samples), subset_size=len(samples))


RUNTIMES: Mapping[str, Callable[[nn.Module, Tensor, int, Frames], Run]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino("f32"),
    "openvino-bf16": _openvino("bf16"),
    "openvino-int8": _openvino("int8"),
}
"""What loads a network, by the runtime's name."""
