"""Presets: one flat YAML file each, from the network to the thresholds, read into a frozen dataclass. Nothing is inherited."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from skipvid.core.errors import PresetError
from skipvid.core.files import write_text
from skipvid.core.folders import own_presets
from skipvid.core.labels import COCO_LABELS, LabelSet, label_set
from skipvid.presets.keys import KEYS

DEFAULT_DETECT = "efficientdet-nano"
"""The preset that `detect` uses when none is named; its weights come with the package."""

DEFAULT_POSE = "hrnet-nano"
"""The preset that `pose` uses when none is named; its weights come with the package, too."""

FILE = "file"
"""As `model`: the weights are a network of their own, in a file (.onnx, .pt2), whose results `head` reads."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One way of running a network. The fields are the keys of the YAML file, except `folder`."""

    name: str
    description: str  # one line
    task: str  # detect | pose | segment
    model: str  # a name that skipvid.build_model knows, or "file": the weights are a network of their own
    labels: str | tuple[str, ...]  # "coco" = one output for each number 1..90; else the name of each output, in order
    image_size: int | tuple[int, int]  # longer side of the input, the other follows the source; or exactly (height, width); pixels
    size_multiple: int  # both sides of the input are multiples of this, pixels
    channels: str  # rgb | bgr, order of the input's channels
    mean: tuple[float, float, float]  # subtracted from values in 0..1, in the order of `channels`
    std: tuple[float, float, float]  # divided by afterwards
    weights: str  # URL, "bundled:FILE", or a path relative to the preset file
    sha256: str  # first 8 to 64 hexadecimal digits of the weights' SHA-256; may be "" for a file that is not downloaded
    score_threshold: float  # detections below are not shown, 0..1
    gate: str  # norm | norm-smooth | norm-output | gumbel | none
    threshold: float  # gate threshold τ, relative to each map's mean magnitude
    block: int  # gates decide for blocks of this many pixels squared: 1, 2, 4, 8 or 16
    licence: str  # of the weights
    source: str  # where the weights come from
    scales: Mapping[str, float] = field(default_factory=dict)  # mean magnitude of a map by name, calibrated
    thresholds: Mapping[str, float] = field(default_factory=dict)  # τ of a map by name, instead of `threshold`; norm-output: of a layer
    reference: str = "accumulated"  # or previous: changes are measured from frame to frame, as in the paper
    p: float = 1.0  # norm of norm-output gates: 1, 2 or .inf
    input_threshold: float | None = None  # τ of the norm gates that stand before norm-output gates
    dense_above: float = 0.75  # share of the MACs above which gates cost more time than they save: keyframes follow such a frame
    precision: str = "auto"  # of maps and weights: f32, bf16 (half the memory), or auto: bf16 where the processor multiplies it
    motion: str = "none"  # where the camera moves: auto, none, canvas, shift, or warp (detectors)
    denoise: str = "none"  # where the camera is noisy: auto or none (detectors)
    head: str = ""  # what reads the results of a network from a file
    gate_weights: str = ""  # of gumbel gates: URL, "bundled:FILE", or a path relative to the preset file
    gate_sha256: str = ""  # as sha256, of gate_weights
    folder: Path | None = None  # where the file lies; no key of it

    @property
    def label_set(self) -> LabelSet:
        """Names and category numbers of the class head's outputs."""
        return COCO_LABELS if isinstance(self.labels, str) else label_set(self.labels)

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the joints that a pose network finds, one for each heat map; () for other tasks."""
        return self.labels if self.task == "pose" and not isinstance(self.labels, str) else ()

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the network's input for a source of that size, pixels.

        With one number as image_size the longer side gets it and the shorter becomes the smallest multiple of size_multiple that holds
        the whole picture at that scale. The picture lies at the top left; the rest is filled with the mean colour.
        """
        if not isinstance(self.image_size, int):
            return self.image_size
        long, short = max(height, width), min(height, width)
        side = -(-short * self.image_size // (long * self.size_multiple)) * self.size_multiple
        return (side, self.image_size) if height < width else (self.image_size, side)


def load_preset(name_or_path: str | Path) -> Preset:
    """A preset that comes with the package or that the user has added, by name, or one from a YAML file, by a path in .yaml or .yml.

    Raises PresetError with one line that names the file, the key and what is allowed.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return _read(Path(text))
    known = preset_names()
    if text not in known:
        close = difflib.get_close_matches(text, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise PresetError(f"unknown preset '{text}'", f"{meant}known: {', '.join(known)}, or the path of a .yaml file")
    folder = preset_folder() if text in bundled_names() else own_presets()
    return _read(folder / f"{text}.yaml")


def list_presets() -> tuple[Preset, ...]:
    """All presets that can be had by name, in the order of `preset_names`."""
    return tuple(load_preset(name) for name in preset_names())


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with the package, the default first, and then of those that the user has added."""
    bundled = bundled_names()
    own = (path.stem for path in own_presets().glob("*.yaml"))
    return (*bundled, *sorted(name for name in own if name not in bundled))


def bundled_names() -> tuple[str, ...]:
    """Names of the presets that come with the package, the default first."""
    names = (path.stem for path in preset_folder().glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_DETECT, name)))


def preset_folder() -> Path:
    """The package's folder of presets: inside it when installed, beside it in a checkout."""
    # Not importlib.resources: an editable install spreads the package over two folders.
    package = Path(__file__).parents[1]
    inside = package / "_presets"
    return inside if inside.is_dir() else package.parent / "presets"


def dump_preset(preset: Preset) -> str:
    """The YAML text of a preset; reading it gives an equal one."""
    content: dict[str, Any] = {}
    for spec in fields(Preset):
        value = getattr(preset, spec.name)
        if spec.name == "folder" or (isinstance(value, Mapping) and not value):
            continue
        if spec.default is not MISSING and value == spec.default:
            continue
        content[spec.name] = list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=140, default_flow_style=None)


def save_preset(preset: Preset, path: Path) -> Path:
    """Write a preset file; returns its path. Raises OutputError."""
    write_text(path, dump_preset(preset))
    return path


def _read(path: Path) -> Preset:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PresetError(f"preset file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PresetError(f"preset file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise PresetError(f"preset file {path} is not valid YAML{where}: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
    if not isinstance(content, dict):
        raise PresetError(f"preset file {path} is not a list of 'key: value' lines")
    return _build(content, path)


def _build(content: dict[Any, Any], path: Path) -> Preset:
    for key in content:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            meant = f"did you mean '{close[0]}'? " if close else ""
            raise PresetError(f"preset file {path}: unknown key '{key}'", f"{meant}allowed: {', '.join(KEYS)}")
    optional = {spec.name for spec in fields(Preset) if spec.default is not MISSING or spec.default_factory is not MISSING}
    missing = [key for key in KEYS if key not in content and key not in optional]
    if missing:
        raise PresetError(f"preset file {path}: '{missing[0]}' is missing", f"it must be {KEYS[missing[0]][0]}")
    values = {}
    for key, value in content.items():
        wanted, parse = KEYS[key]
        parsed = parse(value)
        if parsed is None:
            raise PresetError(f"preset file {path}: '{key}' must be {wanted}, got {value!r}")
        values[key] = parsed
    preset = Preset(**values, folder=path.resolve().parent)
    _check_together(preset, path)
    return preset


def _check_together(preset: Preset, path: Path) -> None:
    """Rules that join several keys."""
    if preset.task != "detect" and isinstance(preset.labels, str):
        what = "joints" if preset.task == "pose" else "classes"
        text = f"preset file {path}: 'labels' must be a list of the {what}' names where 'task' is {preset.task}, got {preset.labels!r}"
        raise PresetError(text)
    sides = (preset.image_size,) if isinstance(preset.image_size, int) else preset.image_size
    if any(side % preset.size_multiple for side in sides):
        raise PresetError(
            f"preset file {path}: 'image_size' must be a multiple of 'size_multiple' ({preset.size_multiple}), got {preset.image_size}"
        )
    if is_url(preset.weights) and not PurePosixPath(urlsplit(preset.weights).path).name:
        raise PresetError(f"preset file {path}: the URL of 'weights' must end in a file name, got {preset.weights}")
    if (preset.model == FILE) != bool(preset.head):
        wrong = "is missing, which 'model: file' needs" if preset.model == FILE else f"is for 'model: {FILE}' only, got {preset.head}"
        raise PresetError(f"preset file {path}: 'head' {wrong}", "make the preset with: skipvid presets add")
    if preset.gate == "gumbel" and not preset.gate_weights:
        raise PresetError(f"preset file {path}: 'gate_weights' is missing, which gate gumbel needs", "train some: skipvid train gates")
    if is_url(preset.weights) and not preset.sha256:
        raise PresetError(f"preset file {path}: 'sha256' must not be empty where 'weights' is a URL", "at least the first 8 digits")


def is_url(weights: str) -> bool:
    """Whether a preset's weights have to be downloaded."""
    return weights.startswith(("http://", "https://"))
