"""Learned gates in a file: what training writes and `detect` and `pose` read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skipvid.core.errors import OutputError, WeightsError
from skipvid.skip.gates.placement import Question

KIND = "skipvid gates 1"
"""Tells such a file from weights; the number changes when the layout does."""


def save_questions(questions: Mapping[str, Question], path: Path, about: Mapping[str, Any]) -> None:
    """Write learned gates by the parameter path of their layer. about: plain values about how they were made. Raises OutputError."""
    gates = {
        name: {"weight": question.weight.detach().float().clone(), "bias": question.bias, "magnitude": question.magnitude}
        for name, question in questions.items()
    }
    try:
        torch.save({"kind": KIND, "gates": gates, "about": dict(about)}, path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}", "check the folder and the space left") from error


def load_questions(path: Path | str) -> dict[str, Question]:
    """Learned gates by the parameter path of their layer; runs no code of the file. Raises WeightsError where it holds none."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"gate file {path} cannot be read: {error.strerror or error}") from None
    except Exception:  # a damaged archive or pickle provokes anything
        raise WeightsError(f"{path} is no file of learned gates, or it is damaged", "skipvid train gates writes such files") from None
    gates = content.get("gates") if isinstance(content, Mapping) and content.get("kind") == KIND else None
    if not isinstance(gates, Mapping) or not gates:
        raise WeightsError(f"{path} holds no learned gates", "skipvid train gates writes such files")
    return {str(name): _question(entry, f"{path}: the gate of {name}") for name, entry in gates.items()}


def _question(entry: Any, what: str) -> Question:
    weight, bias, magnitude = (entry.get(key) if isinstance(entry, Mapping) else None for key in ("weight", "bias", "magnitude"))
    if isinstance(weight, Tensor) and isinstance(bias, float) and isinstance(magnitude, bool):
        finite = math.isfinite(bias) and weight.dtype == torch.float32 and bool(weight.isfinite().all())
        if finite and weight.dim() == 1:
            return Question(weight, bias, magnitude)
    raise WeightsError(f"{what} is damaged", "train the gates anew, or take another file")
