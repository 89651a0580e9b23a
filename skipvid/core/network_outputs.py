"""What a network file returns, in names and shapes: what its head is recognised from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Shape = tuple[int, ...]
Values = Literal["", "scores", "chances", "numbers"]


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """One output of a network. shape: for the picture's size at hand.

    maps: names and shapes (1, C, h, w) of the feature maps whose cells, map after map and row after row, are the output's rows, where it
    is nothing else; () where it is more than that. channels_last: it is (1, rows, C), not (1, C, rows).
    values: what its numbers are: "chances" from 0 to 1, "numbers" of channels (whole ones), other "scores"; "" where that is not known.
    channels: name and shape (1, C, h, w) of the map whose largest channels the numbers are, where the file shows it.
    """

    name: str
    shape: Shape
    maps: tuple[tuple[str, Shape], ...] = ()
    channels_last: bool = True
    values: Values = ""
    channels: tuple[str, Shape] | None = None


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What is known of a network file before anybody reads its results.

    image_size: (height, width) of the picture that the shapes are for. classes: how many names the labels have; None = not said.
    metadata: what the exporter wrote into the file. last_maps: the convolutions' feature maps that the outputs are computed from.
    sample: outputs and maps for one random picture, NumPy arrays by name; {} where none was looked at.
    """

    outputs: tuple[NetworkOutput, ...]
    image_size: tuple[int, int]
    classes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    last_maps: tuple[NetworkOutput, ...] = ()
    sample: Mapping[str, Any] = field(default_factory=dict)

    def may_have(self, classes: int) -> bool:
        """Whether a network with so many classes, or joints, agrees with what the labels say."""
        return classes >= 1 and self.classes in (None, classes)
