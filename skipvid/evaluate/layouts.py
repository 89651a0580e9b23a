"""From what a user names to labelled clips: which reader, and for which source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skipvid.core.errors import SourceError, UsageError
from skipvid.core.labels import COCO_LABELS
from skipvid.evaluate.coco import read_coco
from skipvid.evaluate.detrac import read_detrac
from skipvid.evaluate.jhmdb import read_jhmdb, read_joints_json
from skipvid.evaluate.mot import read_mot
from skipvid.evaluate.truth import LabelledClip

LAYOUTS = ("coco", "mot", "detrac", "jhmdb", "joints")
"""COCO JSON and MOT text, each beside a source; UA-DETRAC and JHMDB as published; a JSON file of joints with its clips beside it."""

WITH_TRUTH_FILE = frozenset({"coco", "mot"})


def open_clips(
    source: str,
    truth: str | None,
    layout: str | None,
    *,
    first: int = 1,
    split: int | None = 1,
    category: int | None = None,
    known: Mapping[int, str] = COCO_LABELS.categories,
) -> list[LabelledClip]:
    """The clips of a source. truth: the file that labels it, for coco and mot. layout: one of LAYOUTS, None = by what is there.

    first: the number of the first frame in a MOT file. split: of JHMDB. category: COCO's number for all boxes of a MOT file.
    known: names of the network's classes by number, which those of a COCO file are matched with.
    Raises UsageError where it cannot be told what is meant, SourceError for files that are not of their layout.
    """
    layout = layout or _guess(source, truth)
    if layout in WITH_TRUTH_FILE and truth is None:
        raise UsageError(f"the layout {layout} needs a file with the truth", "add --truth FILE")
    if layout == "coco":
        assert truth is not None
        return [read_coco(Path(truth), source, known)]
    if layout == "mot":
        assert truth is not None
        return [read_mot(Path(truth), source, first, category)]
    if truth is not None:
        raise UsageError(f"the layout {layout} names its own truth", "leave out --truth")
    if layout == "detrac":
        return read_detrac(Path(source))
    return read_jhmdb(Path(source), split) if layout == "jhmdb" else read_joints_json(Path(source))


def _guess(source: str, truth: str | None) -> str:
    if truth is not None:
        return {".json": "coco", ".txt": "mot"}.get(Path(truth).suffix.lower()) or _unknown(truth, "coco or mot")
    path = Path(source)
    if (path / "joint_positions").is_dir():
        return "jhmdb"
    if path.is_dir() and any(path.rglob("MVI_*.xml")):
        return "detrac"
    if path.suffix.lower() == ".json":
        return "joints"
    if not path.exists():
        raise SourceError(f"{source} does not exist")
    raise UsageError(f"{source}: nothing says where its objects are", "add --truth FILE (COCO JSON or MOT text)")


def _unknown(truth: str, layouts: str) -> str:
    raise UsageError(f"{truth}: its name does not tell the layout", f"add --layout {layouts}")
