"""Plain dense networks with upstream's parameter names. They do not know that they can skip."""

from skipvid.models.checkpoint import load_weights
from skipvid.models.registry import build_model, model_names

__all__ = ["build_model", "load_weights", "model_names"]
