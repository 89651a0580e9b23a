"""Networks in files: ONNX, and programs that torch.export has saved."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skipvid.core.errors import BackendError, UsageError, WeightsError
from skipvid.core.network_outputs import NetworkFacts, NetworkOutput, Values
from skipvid.core.text import one_line
from skipvid.skip.importers.onnx_file import LONGEST_REASON, OnnxFile, input_shapes, read_onnx
from skipvid.skip.importers.onnx_network import OnnxNetwork
from skipvid.skip.importers.onnx_tail import describe_output, last_maps

SUFFIXES = (".onnx", ".pt2")


class NetworkFile(ABC):
    """A network that was read from a file. net: as it is. examples: of its inputs. open_size: the file leaves the picture's size open."""

    path: Path
    net: nn.Module
    examples: tuple[Tensor, ...]
    open_size: bool = False
    metadata: Mapping[str, str]

    @abstractmethod
    def facts(self, image_size: tuple[int, int], classes: int | None) -> NetworkFacts:
        """What is known of it for a picture of (height, width) and so many classes. Raises BackendError where it does not run."""

    def sized(self, size: tuple[int, int]) -> NetworkFile:
        """The same for a picture of (height, width), without the file being read again. Raises UsageError where it fixes another one."""
        return self

    def literal(self, key: str) -> Any:
        """A value of its metadata, in Python's notation; None where it is not there."""
        return None

    @abstractmethod
    def ending_at(self, names: Sequence[str]) -> nn.Module:
        """The network with these outputs, or maps of its outputs, in this order."""


def open_network(path: str | Path, size: tuple[int, int] | None = None) -> NetworkFile:
    """Read a network file. size: (height, width) of the picture where the file leaves it open.

    Raises UsageError for another kind of file or a size that is missing, WeightsError for a file that is missing or damaged, BackendError
    for a network that cannot be converted.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return _OnnxNetworkFile(read_onnx(path), size)
    if path.suffix == ".pt2":
        return _ExportedFile(path)
    raise UsageError(f"{path} is no network file: it must end in {' or '.join(SUFFIXES)}", "export the network to ONNX")


class _OnnxNetworkFile(NetworkFile):
    def __init__(self, file: OnnxFile, size: tuple[int, int] | None) -> None:
        self._file, self.path, self.metadata = file, file.path, file.metadata
        self.net: OnnxNetwork = OnnxNetwork(file)
        pairs = zip(input_shapes(file, size), file.inputs, strict=True)
        self.examples = tuple(torch.zeros(shape, dtype=_dtype(entry.dtype)) for shape, entry in pairs)
        self.open_size = any(axis in entry.open for entry in file.inputs for axis in (2, 3))

    def facts(self, image_size: tuple[int, int], classes: int | None) -> NetworkFacts:
        with torch.no_grad():
            values = self.net.run(_random(self.examples))
        shapes = {name: tuple(value.shape) for name, value in values.items() if isinstance(value, Tensor)}
        for name in self.net.outputs:
            shapes.setdefault(name, tuple(values[name].shape))
        ops = self._file.block.ops
        outputs = tuple(describe_output(name, ops, shapes) for name in self.net.outputs)
        maps = tuple(last_maps(self.net.outputs, ops, shapes, image_size))
        sample = {each.name: np.asarray(values[each.name]) for each in (*outputs, *maps)}
        return NetworkFacts(outputs, image_size, classes, self.metadata, maps, sample)

    def sized(self, size: tuple[int, int]) -> NetworkFile:
        return self if tuple(self.examples[0].shape[2:]) == size else _OnnxNetworkFile(self._file, size)

    def literal(self, key: str) -> Any:
        return self._file.literal(key)

    def ending_at(self, names: Sequence[str]) -> nn.Module:
        return OnnxNetwork(self._file, names)


class _ExportedFile(NetworkFile):
    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise WeightsError(f"network file {path} is {'not a file' if path.exists() else 'missing'}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of its own format
                program = torch.export.load(path)
        except Exception as error:  # a damaged archive provokes anything
            reason = one_line(error, LONGEST_REASON)
            raise WeightsError(f"{path} is no exported program of torch's, or of another version: {reason}", "export it again") from None
        arguments, keywords = program.example_inputs or ((), {})
        if keywords or not arguments or not all(isinstance(item, Tensor) for item in arguments):
            raise UsageError(f"{path}: it takes other arguments than tensors", "export a network that takes the picture alone")
        self.path, self.net, self.examples, self.metadata = path, program.module(), tuple(arguments), {}

    def facts(self, image_size: tuple[int, int], classes: int | None) -> NetworkFacts:
        try:
            with torch.no_grad():
                leaves = tree_leaves(self.net(*_random(self.examples)))
        except Exception as error:
            raise BackendError(f"{self.path}: it does not run: {one_line(error, LONGEST_REASON)}", "export it again") from error
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise BackendError(f"{self.path}: it returns other values than tensors", "export it with tensors alone")
        kinds: list[Values] = ["" if leaf.is_floating_point() else "numbers" for leaf in leaves]
        outputs = tuple(NetworkOutput(f"output{n}", tuple(leaf.shape), values=kinds[n]) for n, leaf in enumerate(leaves))
        return NetworkFacts(outputs, image_size, classes, self.metadata)

    def ending_at(self, names: Sequence[str]) -> nn.Module:
        return _Selected(self.net, [int(name.removeprefix("output")) for name in names])


class _Selected(nn.Module):
    """Some of what a network returns."""

    def __init__(self, net: nn.Module, numbers: Sequence[int]) -> None:
        super().__init__()
        self.net, self.numbers = net, tuple(numbers)
        self.training = False  # by hand: an exported program refuses eval()

    def forward(self, *inputs: Tensor) -> Any:
        leaves = tree_leaves(self.net(*inputs))
        return tuple(leaves[number] for number in self.numbers)


def _random(examples: Sequence[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(item.shape, generator=generator) if item.is_floating_point() else torch.zeros_like(item) for item in examples]


def _dtype(name: str) -> torch.dtype:
    """Of an input; all floating-point numbers are float32 here."""
    return torch.float32 if name.startswith(("float", "bfloat")) else getattr(torch, name)
