"""MOT text (MOTChallenge's gt.txt): frame, id, x, y, width, height, flag, class, visibility."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from skipvid.core.errors import SourceError
from skipvid.evaluate.truth import FrameTruth, LabelledClip

PERSON = 1
MOT_CLASSES = {1: 1, 2: 1, 3: 3, 4: 2, 5: 4, 7: 1}
"""MOTChallenge's class numbers (MOT16, section 3.2) to COCO's: pedestrian, person on vehicle, car, bicycle, motorbike, static person."""

NOT_COUNTED = frozenset({2, 7, 8, 12})
"""Classes that MOT16's evaluation neither wants nor punishes: person on vehicle, static person, distractor, reflection."""


MOST_FRAMES = 10_000_000
"""A row with a greater number than this is damaged: no clip is as long."""


def read_mot(path: Path, source: str, first: int = 1, category: int | None = None, least_visible: float = 0.0) -> LabelledClip:
    """A MOT ground-truth file.

    first: the number that the file gives to the source's first frame. category: COCO's number for all boxes; None = by the class column,
    or persons where there is none. least_visible: boxes whose visibility (the last column, or a share in the class column's place) is
    less are regions that do not count; so are rows with flag 0. Frames between the first and the last that are named count as labelled
    even where they hold nothing.
    Raises SourceError naming the line.
    """
    rows: defaultdict[int, list[tuple[float, float, float, float, int, bool]]] = defaultdict(list)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            words = [float(word) for word in line.split(",")]
            x, y, width, height = words[2:6]
            if not abs(words[0]) < MOST_FRAMES:
                raise ValueError("every frame between the first and the last would be made")
            rows[int(words[0]) - first].append((x, y, x + width, y + height, *_kind(words, category, least_visible)))
        except (ValueError, IndexError, OverflowError) as error:
            raise SourceError(
                f"{path}, line {number}: not a row of a MOT file", "its rows are frame, id, x, y, width, height, …"
            ) from error
    if not rows:
        raise SourceError(f"{path}: no box in it")
    return LabelledClip(Path(source).stem, source, {frame: FrameTruth.of(rows[frame]) for frame in range(min(rows), max(rows) + 1)})


def _kind(words: list[float], category: int | None, least_visible: float) -> tuple[int, bool]:
    """COCO's number of a row, and whether it does not count."""
    flag = words[6] if len(words) > 6 else 1
    kind = int(words[7]) if len(words) > 7 and words[7] == int(words[7]) and words[7] > 0 else 1
    visibility = words[8] if len(words) > 8 and words[8] >= 0 else words[7] if len(words) > 7 and 0 < words[7] < 1 else 1.0
    number = category if category is not None else MOT_CLASSES.get(kind, 0)
    return number, flag == 0 or visibility < least_visible or (category is None and (kind in NOT_COUNTED or number == 0))
