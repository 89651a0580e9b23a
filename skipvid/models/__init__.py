"""Plain dense networks with upstream's parameter names. They do not know that they can skip."""

from skipvid.models.registry import build_model, model_names

__all__ = ["build_model", "model_names"]
