"""Networks that come as files: their head, their preset where none has been written, and the network that ends where the head reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from skipvid.core.errors import PresetError, UsageError
from skipvid.core.labels import COCO_CATEGORIES, COCO_KEYPOINTS
from skipvid.core.network_outputs import NetworkFacts
from skipvid.models import DetectorSpec, ModelSpec, PoseSpec, SegmentSpec, WholePoseSpec
from skipvid.models.heads.base import Fit, HeadKind
from skipvid.models.heads.registry import recognise
from skipvid.presets.preset import FILE, Preset
from skipvid.presets.weights import file_sha256
from skipvid.skip.importers.files import NetworkFile, open_network
from skipvid.tasks.model_info import ModelInfo, read_fill, read_model_info

S = TypeVar("S", bound=ModelSpec)

SHOWN_FROM = 0.3
"""Score below which detections of a network are not shown, unless said otherwise."""
TYPICAL_THRESHOLD = 0.03
"""Of the norm gates of a network that nobody has calibrated."""
SIZE_MULTIPLE = 32
FULL_COCO = 90
ONE_CLASS = ("background", "foreground")
"""Of a network that tells two classes of pixels apart and does not name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChoice:
    """What a caller says of a network file; None = what the file, or its kind of head, says.

    size: (height, width), or (longer side,) for a file that takes any. mean, std: of values in 0..1, in the order of `channels`.
    """

    head: str | None = None
    labels: Path | None = None
    size: tuple[int, ...] | None = None
    channels: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class FileConfig:
    """The `config` of a spec that stands for a file."""

    name: str
    image_size: tuple[int, int]
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDetectorSpec(DetectorSpec):
    """A detector that was read from a file."""

    net: nn.Module

    def load(self, weights: str | Path | Mapping[str, Any], num_outputs: int | None = None) -> nn.Module:
        return self.net


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWholePoseSpec(WholePoseSpec):
    """A pose network for all people in the picture that was read from a file."""

    net: nn.Module

    def load(self, weights: str | Path | Mapping[str, Any], num_outputs: int | None = None) -> nn.Module:
        return self.net


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePoseSpec(PoseSpec):
    """A pose network that was read from a file."""

    net: nn.Module

    def load(self, weights: str | Path | Mapping[str, Any], num_outputs: int | None = None) -> nn.Module:
        return self.net


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSegmentSpec(SegmentSpec):
    """A network for class maps that was read from a file."""

    net: nn.Module

    def load(self, weights: str | Path | Mapping[str, Any], num_outputs: int | None = None) -> nn.Module:
        return self.net


_read: dict[tuple[Path, int, int], NetworkFile] = {}
"""The file that a preset was made of last: the engine that follows need not read it again."""


def _key(path: Path) -> tuple[Path, int, int]:
    """What a file is told by from another one, and from what it was before."""
    if not path.is_file():
        return path, 0, 0  # opening it says what is wrong
    status = path.stat()
    return path.resolve(), status.st_mtime_ns, status.st_size


def open_net(preset: Preset, weights: Path) -> nn.Module:
    """The network of a file, ending where the preset's head reads. Raises what `open_spec` raises."""
    return _ending(preset, weights)[0]


def open_spec(preset: Preset, kind: type[S], weights: Path) -> S:
    """What stands for the network of a file, ending where the preset's head reads: a spec that loads it.

    Raises UsageError where the head does not fit, and what `open_network` raises.
    """
    net, found, fit, size, fill = _ending(preset, weights)
    fields: dict[str, Any] = {
        "config": FileConfig(preset.name, size, fit.classes),
        "network": "",
        "outputs": "classes",
        "size_multiple": preset.size_multiple,
        "head": fit.make,
        "net": net,
    }
    if issubclass(kind, WholePoseSpec):
        return FileWholePoseSpec(**fields, fill=fill)  # type: ignore[return-value]
    if issubclass(kind, DetectorSpec):
        return FileDetectorSpec(**fields, fill=fill)  # type: ignore[return-value]
    if issubclass(kind, SegmentSpec):
        return FileSegmentSpec(**fields, fill=fill)  # type: ignore[return-value]
    return FilePoseSpec(**fields)  # type: ignore[return-value]


def _ending(preset: Preset, weights: Path) -> tuple[nn.Module, HeadKind, Fit, tuple[int, int], int | None]:
    size = preset.image_size if not isinstance(preset.image_size, int) else (preset.image_size, preset.image_size)
    file = _read.pop(_key(weights), None)
    file = open_network(weights, size) if file is None else file.sized(size)
    count = FULL_COCO if isinstance(preset.labels, str) else len(preset.labels)
    found, fit = recognise(_facts(file, count), str(weights), preset.task, preset.head)
    fill = read_fill(file.metadata, str(weights))
    net = file.ending_at(fit.outputs).requires_grad_(False)
    return net, found, fit, size, found.pixels.fill if fill is None else fill


def preset_of_file(path: Path, task: str | None, choice: FileChoice) -> Preset:
    """A preset for a network file: what its metadata, its kind of head and the caller say. task: the only one that will do.

    Raises UsageError where that is not enough, or contradicts itself, and what `open_network` raises.
    """
    wanted = choice.size if choice.size is None or len(choice.size) == 2 else (choice.size[0],) * 2
    file = open_network(path, (wanted[0], wanted[1]) if wanted is not None else None)
    height, width = _picture(file)
    info = read_model_info(file.metadata, str(path), _overruled(choice))
    names = _names(file, choice, info)
    found, fit = recognise(_facts(file, None if names is None else len(names)), str(path), task, choice.head)
    pixels = found.pixels
    image_size: int | tuple[int, int] = (height, width)
    if file.open_size and (found.task != "pose" or found.whole) and (choice.size is None or len(choice.size) == 1):
        image_size = max(height, width)
    elif choice.size is not None and len(choice.size) == 1 and (height, width) != wanted:
        raise UsageError(f"{path}: its input is {height}x{width} (height x width)", "leave out --size")
    _read.clear()
    _read[_key(path)] = file
    return Preset(
        name=path.stem,
        description=f"{path.name}, read as {found.name}",
        task=found.task,
        model=FILE,
        labels=names if names is not None else _usual_names(fit, found.task, str(path)),
        image_size=image_size,
        size_multiple=_multiple(file, height, width),
        channels=choice.channels or info.channels or pixels.channels,
        mean=choice.mean or info.mean or pixels.mean,
        std=choice.std or info.std or pixels.std,
        weights=str(path.resolve()),
        sha256=file_sha256(path),
        score_threshold=SHOWN_FROM if info.score is None else info.score,
        gate="norm",
        threshold=TYPICAL_THRESHOLD,
        block=1,
        licence="that of the file",
        source=str(path.resolve()),
        head=found.name,
    )


def _facts(file: NetworkFile, classes: int | None) -> NetworkFacts:
    return file.facts(_picture(file), classes)


def _picture(file: NetworkFile) -> tuple[int, int]:
    """(height, width) of the one input, which must be a picture. Raises UsageError."""
    if len(file.examples) != 1:
        raise UsageError(f"{file.path}: it has {len(file.examples)} inputs", "only networks whose one input is the picture can be run")
    example = file.examples[0]
    if example.dim() != 4 or example.shape[:2] != (1, 3):
        raise UsageError(f"{file.path}: its input is {tuple(example.shape)}", "only networks on colour pictures (1, 3, H, W) can be run")
    if example.dtype != torch.float32:
        kind = str(example.dtype).removeprefix("torch.")
        raise UsageError(f"{file.path}: its input is of the type {kind}", "export it with an input of floating-point numbers")
    return int(example.shape[2]), int(example.shape[3])


def _multiple(file: NetworkFile, height: int, width: int) -> int:
    stride = file.literal("stride")
    multiple = math.lcm(stride, SIZE_MULTIPLE) if isinstance(stride, int) and stride > 0 else SIZE_MULTIPLE
    return multiple if file.open_size and height % multiple == width % multiple == 0 else math.gcd(height, width, multiple)


def _overruled(choice: FileChoice) -> set[str]:
    """Keys of a file's metadata in whose place a caller says something."""
    given = {
        "labels": choice.labels,
        "reverse_input_channels": choice.channels,
        "mean_values": choice.mean,
        "scale_values": choice.mean,
    }
    return {key for key, value in given.items() if value is not None}


def _names(file: NetworkFile, choice: FileChoice, info: ModelInfo) -> tuple[str, ...] | None:
    """Names of the classes: those that the caller gives, else those in the file (OpenVINO's Model API, Ultralytics), else None."""
    if choice.labels is not None:
        return read_labels(choice.labels)
    if info.labels is not None and len(set(info.labels)) == len(info.labels):
        return info.labels
    if file.metadata.get("task") == "pose":
        return None  # those in the file name what has the joints
    names = file.literal("names")
    values = list(names.values()) if isinstance(names, dict) else names
    if not isinstance(values, list) or not values:
        return None
    texts = tuple(str(value).strip() for value in values)
    return texts if len(set(texts)) == len(texts) and all(texts) else None


def _usual_names(fit: Fit, task: str, file: str) -> str | tuple[str, ...]:
    """Of a network that does not name what it finds: COCO's where the number says so."""
    if task == "segment":
        if fit.classes == len(ONE_CLASS):
            return ONE_CLASS
    elif task == "pose":
        if fit.classes == len(COCO_KEYPOINTS):
            return COCO_KEYPOINTS
    elif fit.classes == len(COCO_CATEGORIES):
        return tuple(COCO_CATEGORIES.values())
    elif fit.classes == FULL_COCO:
        return "coco"
    what = "joints" if task == "pose" else "classes"
    raise UsageError(f"{file}: it has {fit.classes or ''} {what} without names".replace("  ", " "), "give them, one a line: --labels FILE")


def read_labels(path: Path) -> tuple[str, ...]:
    """Names from a text file, one a line; empty lines at the end do not count. Raises PresetError."""
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise PresetError(f"labels file {path} cannot be read: {reason}") from None
    names = tuple(line.strip() for line in lines)
    for number, name in enumerate(names, 1):
        if not name or name in names[: number - 1]:
            raise PresetError(f"labels file {path}, line {number}: {'an empty name' if not name else f'{name} is there twice'}")
    if not names:
        raise PresetError(f"labels file {path} is empty", "write one name a line, in the order of the network's classes")
    return names
