"""Checkpoints of upstream projects into our networks, strictly, and never executing what a file says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from skipvid.core.errors import WeightsError
from skipvid.core.ratios import NARROWER
from skipvid.core.text import one_line
from skipvid.models.narrow import narrow
from skipvid.models.widths import load_widths

_WRAPPERS = ("state_dict_ema", "state_dict", "model_ema", "model")
"""Keys under which training programs keep the parameters, the averaged ones first (timm, effdet, MMPose)."""

_PREFIXES = ("module.", "model.")
"""Put before every name by DataParallel and by effdet's training bench."""

_UNWANTED_MODULES = ("numpy", "mmengine")
"""MMPose stores its log and a description of its data set beside the parameters, as objects of these packages."""


def load_weights(net: nn.Module, weights: str | Path | Mapping[str, Any]) -> None:
    """Loads a checkpoint into a network in place, converting to the network's dtype; every parameter must be there and fit.

    weights: a file written by torch.save, or a state dict; parameters may lie under "state_dict", "model" and the like, with "module."
    before every name; a network with a method `adapt_keys` translates other names of upstream's. Layers that the file holds narrowed
    (skipvid.models.narrow) are narrowed first; where the file holds the network at several widths (skipvid.models.widths), `net` becomes
    the full one and holds the others. The file is read with weights_only, so that it cannot run code. Raises WeightsError with one
    line that names the file, the first key that does not fit and the network.
    """
    origin, content = ("state dict", weights) if isinstance(weights, Mapping) else (str(weights), _read(Path(weights)))
    state = _unwrap(content, origin)
    vars(net).pop(NARROWER, None)
    _load(net, state, origin)
    if isinstance(content.get(NARROWER), Mapping):
        load_widths(net, state, content[NARROWER], origin, _load)


def _load(net: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    adapt = getattr(net, "adapt_keys", None)
    if adapt is not None:
        state = adapt(state)
    narrow(net, state)
    expected = net.state_dict()
    name = _network_name(net)
    problem = _first_misfit(expected, state)
    if problem is not None:
        raise WeightsError(
            f"{origin} does not fit {name}: {problem}", f"give the weights of {name}, or choose the preset that belongs to the file"
        )
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{origin} cannot be loaded into {name}: {one_line(error)}") from None


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The parameters of a checkpoint file by name, on the CPU. Raises WeightsError where the file cannot be read or holds anything else."""
    return _unwrap(_read(Path(path)), str(path))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise WeightsError(f"weights file {path} does not exist")
    if not path.is_file():
        raise WeightsError(f"weights file {path} is not a file")
    try:
        with warnings.catch_warnings(action="ignore"), safe_globals(_placeholders(path)):  # torch warns of protocols that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {one_line(error)}") from None
    except Exception as error:  # a damaged archive or pickle provokes anything: UnpicklingError, EOFError, KeyError, RuntimeError, ...
        if re.search("unsupported (global|class)", str(error), re.IGNORECASE):
            raise WeightsError(f"{path} holds more than tensors and was refused: loading it could run code") from None
        raise WeightsError(f"{path} is not a PyTorch checkpoint of plain tensors, or it is damaged", "download or copy it again") from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


class _Placeholder:
    """Stands for an object in a checkpoint that is not wanted: takes everything, does nothing."""

    def __new__(cls, *arguments: object, **keywords: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **keywords: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _placeholders(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For torch.load: to put a placeholder wherever the file names a class or function of _UNWANTED_MODULES, instead of refusing it."""
    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # no archive (files of torch before 1.6, which cannot be looked through), or a damaged one: torch.load will tell
        return []
    return [(_Placeholder, name) for name in names if name.split(".")[0] in _UNWANTED_MODULES]


def _unwrap(content: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    """The mapping from names to tensors inside a checkpoint, without prefixes."""
    for key in _WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            content = inner
            break
    for prefix in _PREFIXES:
        if content and all(str(key).startswith(prefix) for key in content):
            content = {key[len(prefix) :]: value for key, value in content.items()}
    state = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{origin} is not a state dict: its entry '{key}' is a {type(value).__name__}, not a tensor")
        state[key] = value
    if not state:
        raise WeightsError(f"{origin} holds no parameters")
    return state


def _first_misfit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """What is wrong, in the network's order of parameters; counters of seen batches may be absent (old checkpoints have none)."""
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    if missing:
        return f"'{missing[0]}' is missing ({len(missing)} of {len(expected)} missing, {len(unexpected)} unexpected)"
    if unexpected:
        return f"'{unexpected[0]}' is unexpected ({len(unexpected)} unexpected)"
    for key, tensor in expected.items():
        if key in state and state[key].shape != tensor.shape:
            return f"'{key}' has shape {tuple(state[key].shape)}, the network has {tuple(tensor.shape)}"
    return None


def _network_name(net: nn.Module) -> str:
    name = getattr(getattr(net, "config", None), "name", None)
    return name if isinstance(name, str) else type(net).__name__
