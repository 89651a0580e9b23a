"""Areas that were drawn on the page, in a file that a later run finds, and that --ignore reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from skipvid.core.errors import OutputError, UsageError
from skipvid.core.files import PartFile, output_errors
from skipvid.tasks.areas import Points, read_area

MOST_POLYGONS = 100
MOST_POINTS = 500


class KeptAreas:
    """The areas of one source. polygons: in shares of the picture. path: of the file; None: they are kept until the run ends.

    Raises UsageError where a file of that name is there and holds no areas.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.polygons: tuple[Points, ...] = ()
        if path is not None and path.is_file():
            self.polygons = read_area(str(path)).polygons

    def keep(self, polygons: tuple[Points, ...]) -> str:
        """Take these instead. Returns where they are, in words. Raises OutputError where the file cannot be written; they count still."""
        self.polygons = polygons
        if self.path is None:
            raise OutputError("there is no folder to write to", "start in another one")
        if not polygons:
            with output_errors(self.path):
                self.path.unlink(missing_ok=True)
            return f"{self.path.name} is removed"
        file = PartFile(self.path)
        try:
            with output_errors(self.path):
                file.part.write_text(json.dumps([[list(point) for point in polygon] for polygon in polygons]) + "\n", encoding="utf-8")
            file.commit()
        finally:
            file.discard()
        return f"kept in {self.path.name}, also for --ignore"


def polygons_of(content: Any) -> tuple[Points, ...]:
    """Polygons as a page sends them: a list of lists of [x, y], in shares of the picture. Raises UsageError."""
    if not isinstance(content, list) or len(content) > MOST_POLYGONS:
        raise UsageError("areas are a list of polygons")
    return tuple(_polygon(polygon) for polygon in content)


def _polygon(polygon: Any) -> Points:
    if not isinstance(polygon, list) or not 3 <= len(polygon) <= MOST_POINTS:
        raise UsageError("an area is a list of three points or more")
    return tuple(_point(point) for point in polygon)


def _point(point: Any) -> tuple[float, float]:
    fits = isinstance(point, list) and len(point) == 2
    if not fits or not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and 0 <= v <= 1 for v in point):
        raise UsageError("a point is two numbers from 0 to 1")
    return round(float(point[0]), 4), round(float(point[1]), 4)
