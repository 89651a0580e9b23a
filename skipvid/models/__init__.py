"""Plain dense networks with upstream's parameter names. They do not know that they can skip."""

from skipvid.models.checkpoint import load_weights
from skipvid.models.registry import build_model, find_spec, model_names
from skipvid.models.spec import DetectorSpec, ModelSpec, PoseSpec

__all__ = ["DetectorSpec", "ModelSpec", "PoseSpec", "build_model", "find_spec", "load_weights", "model_names"]
