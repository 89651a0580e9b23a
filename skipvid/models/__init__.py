"""Plain dense networks with upstream's parameter names. They do not know that they can skip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skipvid.models.registry import build_model, find_spec, model_names
from skipvid.models.spec import DetectorSpec, ModelSpec, PoseSpec, SegmentSpec, WholePoseSpec

if TYPE_CHECKING:
    from skipvid.models.checkpoint import load_weights

__all__ = [
    "DetectorSpec",
    "ModelSpec",
    "PoseSpec",
    "SegmentSpec",
    "WholePoseSpec",
    "build_model",
    "find_spec",
    "load_weights",
    "model_names",
]


def __getattr__(name: str) -> Any:
    if name == "load_weights":  # reading weights takes PyTorch
        from skipvid.models.checkpoint import load_weights

        return load_weights
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
