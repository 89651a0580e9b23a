"""The keys of a preset's file, and what the value of each must be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from skipvid.core.denoising import DENOISING
from skipvid.core.gate_kinds import KINDS
from skipvid.core.motions import MOTIONS

BUNDLED = "bundled:"
"""Before the name of a weights file that comes with the package."""

Parser = Callable[[Any], Any]
"""From a YAML value to a field's value, or None where it is not allowed."""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() and "\n" not in value.strip() else None


def _one_of(*allowed: str | int) -> tuple[str, Parser]:
    return "one of " + ", ".join(
        str(item) for item in allowed
    ), lambda value: value if value in allowed and type(value) is not bool else None


def _number(low: float, high: float = math.inf, above: bool = False) -> Parser:
    def parse(value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value) if (low < value if above else low <= value) and value <= high else None

    return parse


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _triple(number: Parser) -> Parser:
    def parse(value: Any) -> tuple[Any, ...] | None:
        numbers = tuple(number(item) for item in value) if isinstance(value, list) else ()
        return numbers if len(numbers) == 3 and None not in numbers else None

    return parse


def _size(value: Any) -> int | tuple[int, int] | None:
    if isinstance(value, list):
        sides = [_count(item) for item in value]
        return (sides[0], sides[1]) if len(sides) == 2 and sides[0] and sides[1] else None
    return _count(value)


def _labels(value: Any) -> str | tuple[str, ...] | None:
    if value == "coco":
        return "coco"
    names = tuple(value) if isinstance(value, list) and all(_text(item) for item in value) else ()
    return names if names and len(set(names)) == len(names) else None


def _hash(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"([0-9a-f]{8,64})?", value) else None


def _mapping(number: Parser) -> Parser:
    def parse(value: Any) -> Mapping[str, float] | None:
        if not isinstance(value, dict) or not all(_text(key) for key in value):
            return None
        numbers = {key: number(item) for key, item in value.items()}
        return None if None in numbers.values() else numbers

    return parse


KEYS: Mapping[str, tuple[str, Parser]] = {
    "name": ("a line of text", _text),
    "description": ("a line of text", _text),
    "task": _one_of("detect", "pose", "segment"),
    "model": ("the name of a network", _text),
    "labels": ("'coco' or a list of different names", _labels),
    "image_size": ("a number of pixels, or [height, width]", _size),
    "size_multiple": ("a positive whole number", _count),
    "channels": _one_of("rgb", "bgr"),
    "mean": ("three numbers from 0 to 1", _triple(_number(0, 1))),
    "std": ("three numbers above 0", _triple(_number(0, above=True))),
    "weights": (f"a URL, '{BUNDLED}FILE' or a path", _text),
    "sha256": ("8 to 64 hexadecimal digits in quotes", _hash),
    "score_threshold": ("a number from 0 to 1", _number(0, 1)),
    "gate": _one_of(*KINDS),
    "threshold": ("a number from 0 on", _number(0)),
    "block": _one_of(1, 2, 4, 8, 16),
    "licence": ("a line of text", _text),
    "source": ("a line of text", _text),
    "reference": _one_of("accumulated", "previous"),
    "p": ("1, 2 or .inf", lambda value: float(value) if value in (1, 2, math.inf) and type(value) is not bool else None),
    "input_threshold": ("a number from 0 on", _number(0)),
    "dense_above": ("a number from 0 to 1", _number(0, 1)),
    "precision": _one_of("f32", "bf16", "auto"),
    "motion": _one_of(*MOTIONS),
    "denoise": _one_of(*DENOISING),
    "head": ("the name of a head", _text),
    "gate_weights": (f"a URL, '{BUNDLED}FILE' or a path", _text),
    "gate_sha256": ("8 to 64 hexadecimal digits in quotes", _hash),
    "scales": ("a mapping from map names to numbers above 0", _mapping(_number(0, above=True))),
    "thresholds": ("a mapping from map names to numbers from 0 on", _mapping(_number(0))),
}
"""For every key what its value must be, in words and as a parser. The order is that of the files."""
