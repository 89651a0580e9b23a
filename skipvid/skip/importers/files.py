"""Networks in files: ONNX, and programs that torch.export has saved."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError, WeightsError
from skipvid.skip.importers.onnx_file import input_shapes, read_onnx
from skipvid.skip.importers.onnx_network import OnnxNetwork

SUFFIXES = (".onnx", ".pt2")


def open_network(path: str | Path, size: tuple[int, int] | None = None) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A network from a file, and examples of its inputs. size: (height, width) of the picture where the file leaves it open.

    Raises UsageError for another kind of file or a size that is missing, WeightsError for a file that is missing or damaged, BackendError
    for a network that cannot be converted.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        file = read_onnx(path)
        network = OnnxNetwork(file)
        pairs = zip(input_shapes(file, size), file.inputs, strict=True)
        return network, tuple(torch.zeros(shape, dtype=_dtype(entry.dtype)) for shape, entry in pairs)
    if path.suffix == ".pt2":
        return _exported(path)
    raise UsageError(f"{path} is no network file: it must end in {' or '.join(SUFFIXES)}", "export the network to ONNX")


def _dtype(name: str) -> torch.dtype:
    """Of an input; all floating-point numbers are float32 here."""
    return torch.float32 if name.startswith(("float", "bfloat")) else getattr(torch, name)  # type: ignore[no-any-return]


def _exported(path: Path) -> tuple[nn.Module, tuple[Tensor, ...]]:
    if not path.is_file():
        raise WeightsError(f"network file {path} is {'not a file' if path.exists() else 'missing'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own format
            program = torch.export.load(path)
    except Exception as error:  # a damaged archive provokes anything
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path} is no exported program of torch's, or of another version: {reason}", "export it again") from None
    arguments, keywords = program.example_inputs or ((), {})
    if keywords or not all(isinstance(item, Tensor) for item in arguments):
        raise UsageError(f"{path}: it takes other arguments than tensors", "export a network that takes the picture alone")
    return program.module(), tuple(arguments)
