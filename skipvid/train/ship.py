"""What a training leaves behind: a weights file for shipping and a preset that uses it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skipvid.core.errors import OutputError
from skipvid.core.ratios import NARROWER
from skipvid.presets.preset import Preset, save_preset
from skipvid.train.imagenet import MEAN, STD
from skipvid.train.loop import Trainer


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """weights: the file to use. grades: what was measured when it was chosen, by name; empty where nothing was held out."""

    weights: Path
    grades: Mapping[str, float]


def export_weights(state: Mapping[str, Tensor], path: Path, about: Mapping[str, Any], narrower: Mapping[str, Any] | None = None) -> str:
    """Write a state dict for shipping: convolutions in half precision (BatchNorms stay as they are), `about` beside it.

    narrower: what skipvid.models.widths reads of other widths. Returns the file's SHA-256. Raises OutputError.
    """
    content: dict[str, Any] = {"state_dict": _smaller(state), "about": dict(about)}
    if narrower is not None:
        content[NARROWER] = {**narrower, "adds": [_smaller(each) for each in narrower["adds"]]}
    try:
        torch.save(content, path)
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}", "check the folder and the space left") from error


def _smaller(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.ndim >= 2 else tensor.clone() for name, tensor in state.items()}


def ship(trainer: Trainer, best: Path, measure: str, about: Mapping[str, Any]) -> Trained:
    """Write `weights.pt` beside a finished run. best: the state dict chosen. measure: by which grade it was. about: goes into the file."""
    grades = max(trainer.history, key=lambda row: row[measure], default={})
    weights = trainer.folder / "weights.pt"
    run = {"steps": trainer.step, "batch": trainer.schedule.batch, "grades": dict(grades)}
    export_weights(torch.load(best, weights_only=True), weights, {**about, **run})
    return Trained(weights, {name: value for name, value in grades.items() if name != "step"})


def write_preset(
    trained: Trained,
    path: Path,
    *,
    task: str,
    network: str,
    labels: tuple[str, ...],
    image_size: int | tuple[int, int],
    threshold: float,
    measure: str,
    source: str,
) -> Path:
    """A preset file that uses the trained weights, by a path relative to it. measure: the grade to quote. Raises OutputError."""
    grade = f"{measure} {trained.grades[measure]:.3f} held out" if trained.grades else "not measured"
    preset = Preset(
        name=path.stem,
        description=f"{network} trained with skipvid, {grade}",
        task=task,
        model=network,
        labels=labels,
        image_size=image_size,
        size_multiple=32,
        channels="rgb",
        mean=MEAN,
        std=STD,
        weights=os.path.relpath(trained.weights, path.parent),
        sha256=hashlib.sha256(trained.weights.read_bytes()).hexdigest(),
        score_threshold=0.3,
        gate="norm",
        threshold=threshold,
        block=1,
        licence="as the material it was trained on",
        source=source,
    )
    return save_preset(preset, path)


def write_narrowed_preset(base: Preset, what: str, folder: Path, name: str, digest: str) -> Path:
    """A preset like `base` that uses NAME.pt beside it, whose channels are fewer: thresholds and scales of its maps no longer fit.

    what: how it differs from the base, for its description. digest: the weights' SHA-256. Raises OutputError.
    """
    preset = replace(
        base,
        name=name,
        description=f"{base.name} with {what}",
        weights=os.path.basename(f"{name}.pt"),
        sha256=digest,
        thresholds={},
        scales={},
        source=f"learned from clips by skipvid, out of {base.name}",
    )
    return save_preset(preset, folder / f"{name}.yaml")
