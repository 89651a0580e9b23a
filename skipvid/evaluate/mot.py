"""MOT text (MOTChallenge's gt.txt): frame, id, x, y, width, height, flag, class, visibility."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

from skipvid.core.errors import SourceError
from skipvid.evaluate.truth import FrameTruth, LabelledClip, picture_number
from skipvid.video.sources.specs import IMAGE_SUFFIXES, files_in

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
    even where they hold nothing. Of a folder whose numbered pictures have gaps, or begin with a later frame, each picture is the frame of
    its number.
    Raises SourceError naming the line.
    """
    rows: defaultdict[int, list[tuple[float, float, float, float, int, bool]]] = defaultdict(list)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
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
            if not all(math.isfinite(word) for word in words[2:6]):
                raise ValueError("no finite number")
            rows[int(words[0]) - first].append((x, y, x + width, y + height, *_kind(words, category, least_visible)))
        except (ValueError, IndexError, OverflowError) as error:
            raise SourceError(
                f"{path}, line {number}: not a row of a MOT file", "its rows are frame, id, x, y, width, height, …"
            ) from error
    if not rows:
        raise SourceError(f"{path}: no box in it")
    if min(rows) < 0:
        raise SourceError(f"{path}: frame {min(rows) + first} comes before the first, {first}", f"add --first-frame {min(rows) + first}")
    frames = {frame: FrameTruth.of(rows[frame]) for frame in range(min(rows), max(rows) + 1)}
    return LabelledClip(Path(source).stem, source, frames, first_picture=_first_picture(Path(source), first, max(rows)))


def _first_picture(folder: Path, first: int, last: int) -> int | None:
    """The number of frame 0's picture where names tell more than places do. first: as for read_mot. last: 0-based labelled frame."""
    if not folder.is_dir():
        return None
    numbers = [picture_number(path.name) for path in files_in(folder, IMAGE_SUFFIXES)]
    known = sorted(number for number in numbers if number is not None)
    if len(known) < len(numbers) or len(set(known)) < len(known) or not known:
        return None
    gaps = known[-1] - known[0] >= len(known)
    begins_later = known[0] > first and last >= len(known)
    return min(first, known[0]) if gaps or begins_later else None


def _kind(words: list[float], category: int | None, least_visible: float) -> tuple[int, bool]:
    """COCO's number of a row, and whether it does not count."""
    flag = words[6] if len(words) > 6 else 1
    kind = int(words[7]) if len(words) > 7 and words[7] == int(words[7]) and words[7] > 0 else 1
    visibility = words[8] if len(words) > 8 and words[8] >= 0 else words[7] if len(words) > 7 and 0 < words[7] < 1 else 1.0
    number = category if category is not None else MOT_CLASSES.get(kind, 0)
    return number, flag == 0 or visibility < least_visible or (category is None and (kind in NOT_COUNTED or number == 0))
