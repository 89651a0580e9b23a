"""The tables of RESULTS.md: each is printed by one script, and with --write put in its place there, with command, machine and date.

A place is what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a Markdown file. Nobody edits a table by hand.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from skipvid.bench.machine import machine_line
from skipvid.evaluate.bootstrap import Interval

RESULTS = Path(__file__).with_name("RESULTS.md")


def add_write_option(parser: argparse.ArgumentParser, default: Path = RESULTS) -> None:
    """--write [FILE]: put the table into this Markdown file."""
    help_text = f"put the table into this Markdown file, at its place [default: {default.name}]"
    parser.add_argument("--write", nargs="?", type=Path, const=default, metavar="FILE", help=help_text)


class ResultTable:
    """Prints a Markdown table row by row; at the end of the `with` block, if no exception came, puts it into `target`, if there is one.

    name: of the place. note: printed and written below the caption. The caption names command, machine and date.
    Raises ValueError where the target has no such place.
    """

    def __init__(self, name: str, columns: Sequence[str], target: Path | None, note: str = "") -> None:
        if target is not None:
            split_place(target.read_text(encoding="utf-8"), name)  # before hours of measuring
        self._name, self._columns, self._target = name, len(columns), target
        self._lines = [caption(sys.argv), *([note] if note else []), ""]
        self._lines += [_line(columns), "|" + "---|" * len(columns)]

    def __enter__(self) -> Self:
        print("\n".join(self._lines), flush=True)
        return self

    def row(self, *cells: object) -> None:
        """Print a row and keep it. Raises ValueError where the number of cells is not that of the columns."""
        if len(cells) != self._columns:
            raise ValueError(f"{len(cells)} cells for {self._columns} columns: {cells}")
        self._lines.append(_line(cells))
        print(self._lines[-1], flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._target is not None:
            head, tail = split_place(self._target.read_text(encoding="utf-8"), self._name)
            body = "\n".join(self._lines)
            self._target.write_text(f"{head}\n{body}\n{tail}", encoding="utf-8")


def split_place(text: str, name: str) -> tuple[str, str]:
    """What stands before and behind a place, its marks included."""
    found = re.fullmatch(rf"(.*<!-- {re.escape(name)} -->)\n.*?(<!-- /{re.escape(name)} -->.*)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"there is no place <!-- {name} --> … <!-- /{name} -->")
    return found[1], found[2]


def caption(arguments: Sequence[str]) -> str:
    """Command, machine and date. Files and folders of this machine are given by their names alone."""
    words: list[str] = []
    for word in arguments[1:]:
        if word == "--write":
            continue
        words.append(Path(word).name if os.sep in word and Path(word).exists() else word)
    command = " ".join(["python", f"benchmarks/{Path(arguments[0]).name}", *words])
    return f"`{command}`: {machine_line()}; {datetime.date.today():%d %B %Y}."


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def interval_text(found: Interval, digits: int = 2) -> str:
    """A value and its interval, where there is one; nothing where there was nothing to measure."""
    if math.isnan(found.value):
        return ""
    if math.isinf(found.low):
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} … {found.high:.{digits}f})"
