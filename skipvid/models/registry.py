"""Networks by name. A new family is a file of its own with a tuple SPECS, and a line here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from skipvid.core.errors import PresetError
from skipvid.models import efficientdet, hrnet, tinypose, yolox
from skipvid.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for family in (
        efficientdet.SPECS,
        hrnet.SPECS,
        tinypose.SPECS,
        yolox.SPECS,
    )
    for spec in family
}


def model_names() -> tuple[str, ...]:
    """Every name that `build_model` knows."""
    return tuple(SPECS)


def find_spec(name: str) -> ModelSpec:
    """The network of that name. Raises PresetError, which tells the known ones."""
    if name not in SPECS:
        close = difflib.get_close_matches(name, SPECS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(SPECS)}"
        raise PresetError(f"unknown network '{name}'", hint)
    return SPECS[name]


def build_model(name: str, image_size: tuple[int, int] | None = None, num_classes: int | None = None) -> nn.Module:
    """A dense network in eval mode with random weights.

    image_size: (height, width) in pixels that it will be fed, each a multiple of 32; None = the size it was designed for.
    The network itself takes any such size; the argument is checked here, so that a wrong size is found before any work starts.
    num_classes: outputs of the class head, or joints of a pose network; None = as published.
    Raises PresetError for an unknown name, UsageError for a bad size.
    """
    return find_spec(name).build(num_classes, image_size)
