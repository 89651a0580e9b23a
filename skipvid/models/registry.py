"""Dense networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from skipvid.core.errors import PresetError, UsageError
from skipvid.models.efficientdet import CONFIGS as EFFICIENTDETS
from skipvid.models.efficientdet import EfficientDet
from skipvid.models.hrnet import CONFIGS as HRNETS
from skipvid.models.hrnet import HRNet
from skipvid.models.tinypose import CONFIGS as TINYPOSES
from skipvid.models.tinypose import TinyPose

_FAMILIES: tuple[tuple[dict[str, Any], str, Callable[[Any], nn.Module]], ...] = (
    # networks by name, the field that says how many outputs a network has, and what builds it
    (EFFICIENTDETS, "num_classes", EfficientDet),
    (HRNETS, "joints", HRNet),
    (TINYPOSES, "joints", TinyPose),
)

SIZE_MULTIPLE = 32
"""The stride of the deepest backbone map; sides of an input must be multiples of it."""


def model_names() -> tuple[str, ...]:
    """Every name that `build_model` knows."""
    return tuple(name for configs, _, _ in _FAMILIES for name in configs)


def build_model(name: str, image_size: tuple[int, int] | None = None, num_classes: int | None = None) -> nn.Module:
    """A dense network in eval mode with random weights.

    image_size: (height, width) in pixels that it will be fed, each a multiple of 32; None = the size it was designed for.
    The network itself takes any such size; the argument is checked here, so that a wrong size is found before any work starts.
    num_classes: outputs of the class head, or joints of a pose network; None = as published.
    Raises PresetError for an unknown name, UsageError for a bad size.
    """
    family = next((family for family in _FAMILIES if name in family[0]), None)
    if family is None:
        close = difflib.get_close_matches(name, model_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(model_names())}"
        raise PresetError(f"unknown network '{name}'", hint)
    configs, outputs, build = family
    config = configs[name]
    if image_size is not None:
        check_image_size(image_size)
        config = replace(config, image_size=image_size)
    if num_classes is not None:
        if num_classes < 1:
            raise UsageError(f"a network needs at least one class, got {num_classes}")
        config = replace(config, **{outputs: num_classes})
    return build(config).eval()


def check_image_size(image_size: tuple[int, int]) -> None:
    """Raises UsageError where (height, width) is not a pair of positive multiples of 32."""
    height, width = image_size
    if any(side < SIZE_MULTIPLE or side % SIZE_MULTIPLE for side in (height, width)):
        raise UsageError(f"input size {height}x{width} (height x width) is not a multiple of {SIZE_MULTIPLE}")
