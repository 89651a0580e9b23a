"""Types of values that click has none for. Each can write its values as the text that it reads."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import click

T = TypeVar("T")


class Described(click.ParamType[T], Generic[T]):
    """A type that can say what it takes. wanted: in words, behind "give"."""

    wanted: str


class Number(Described[float]):
    """A number in a range. example: what a complaint adds to what is wanted."""

    example = ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = self.read(value)
        if not self.holds(number):
            self.fail(f"{value!r} is not {self.wanted}{self.example}", param, ctx)
        return number

    def read(self, value: Any) -> float:
        """The number that is written; NaN where there is none."""
        return _number(value)

    @abstractmethod
    def holds(self, number: float) -> bool:
        """Whether a number is in the range; NaN is in none."""


class Threshold(Number):
    """A finite number of 0 or more."""

    name = "number"
    wanted = "a number of 0 or more"
    example = ", such as 0.03"

    def holds(self, number: float) -> bool:
        return math.isfinite(number) and number >= 0


class Points(Threshold):
    """Points of an accuracy in per cent, 0 or more."""

    example = ", such as 0.5"


class Fraction(Number):
    """A number from 0 to 1."""

    name = "0..1"
    wanted = "a number from 0 to 1"

    def holds(self, number: float) -> bool:
        return 0 <= number <= 1


class AboveZero(Number):
    """A finite number above 0."""

    def holds(self, number: float) -> bool:
        return math.isfinite(number) and number > 0


class Duration(AboveZero):
    """Seconds above 0, written as 90, 90s, 10m, 2h or 1d."""

    name = "duration"
    wanted = "a time such as 90s, 10m or 2h"
    _UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def read(self, value: Any) -> float:
        text = str(value).strip().lower()
        unit = self._UNITS.get(text[-1:])
        return _number(text if unit is None else text[:-1]) * (unit or 1)


class Saving(AboveZero):
    """How many times fewer MACs, more than 1; a fraction of them that is saved, less than 1, is taken as that."""

    name = "times"
    wanted = "a number of times above 1, such as 4, or a fraction below 1, such as 0.75"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        return number if number > 1 else 1 / (1 - number)

    def holds(self, number: float) -> bool:
        return super().holds(number) and number != 1


class Milliseconds(AboveZero):
    """A time, with or without its unit."""

    name = "ms"
    wanted = "a number of milliseconds above 0, such as 20ms"

    def read(self, value: Any) -> float:
        return _number(str(value).removesuffix("ms"))


class TupleType(Described[tuple[T, ...]], Generic[T]):
    """Several values in one text; a settings file may also give them as a list."""

    @abstractmethod
    def text(self, values: Sequence[T]) -> str:
        """The values as they are written on a command line."""


class Commas(TupleType[T]):
    """Values with commas between them. one: reads one of them, and raises ValueError. what: one of them in words."""

    def __init__(self, name: str, one: Callable[[str], T], what: str) -> None:
        self.name, self._one, self._what = name, one, what
        self.wanted = f"{what}, several of them with commas between, or a list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[T, ...]:
        parts = value if isinstance(value, list | tuple) else str(value).split(",")
        return tuple(self._convert(str(part).strip(), param, ctx) for part in parts)

    def _convert(self, part: str, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self._one(part)
        except ValueError:
            self.fail(f"{part!r} is not {self._what}", param, ctx)

    def text(self, values: Sequence[T]) -> str:
        return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


class Thresholds(Commas[float]):
    """Finite numbers of 0 or more."""

    def __init__(self) -> None:
        super().__init__("t,t,...", _at_least_zero, "a number of 0 or more, such as 0.03")


class Levels(Commas[float]):
    """Percentages with commas between them, or "none"."""

    def __init__(self) -> None:
        super().__init__("p,p,...", _at_least_zero, "a percentage from 0 to 100")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        levels = () if value == "none" else super().convert(value, param, ctx)
        if any(level > 100 for level in levels):
            self.fail(f"{value!r} names more than 100 %", param, ctx)
        return levels

    def text(self, values: Sequence[float]) -> str:
        return super().text(values) or "none"


class Names(Commas[str]):
    """Names with commas between them; an empty text has none."""

    def __init__(self) -> None:
        super().__init__("name,...", str, "a name")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(name for name in super().convert(value, param, ctx) if name)


class Sides(Commas[int]):
    """Whole numbers of pixels."""

    def __init__(self) -> None:
        super().__init__("px,...", int, "a whole number of pixels")


class InputSize(TupleType[int]):
    """Height and width of a network's input, as 256x192."""

    name = "HxW"
    wanted = "HEIGHTxWIDTH, for example 256x192"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        parts = [str(part) for part in value] if isinstance(value, list | tuple) else str(value).lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            self.fail(f"{value!r} is not {self.wanted}", param, ctx)
        return int(parts[0]), int(parts[1])

    def text(self, values: Sequence[int]) -> str:
        return "x".join(str(value) for value in values)


class PictureSize(TupleType[int]):
    """Height and width of a picture, as 360x640, or its longer side."""

    name = "HxW|PX"
    wanted = "HEIGHTxWIDTH, for example 360x640, or the longer side"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            value = (value,)
        parts = [str(part) for part in value] if isinstance(value, list | tuple) else str(value).lower().split("x")
        if len(parts) not in (1, 2) or not all(part.isdecimal() and int(part) for part in parts):
            self.fail(f"{'x'.join(parts)!r} is not {self.wanted}", param, ctx)
        return tuple(int(part) for part in parts)

    def text(self, values: Sequence[int]) -> str:
        return "x".join(str(value) for value in values)


class Triple(Commas[float]):
    """One number for each colour."""

    def __init__(self) -> None:
        super().__init__("A,B,C", _at_least_zero, "a number of 0 or more")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        numbers = super().convert(value, param, ctx)
        if len(numbers) != 3:
            self.fail(f"{self.text(numbers)!r} is not three numbers with commas between, one for each colour", param, ctx)
        return numbers


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _at_least_zero(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError
    return number
