"""UA-DETRAC (Wen et al., CVIU 2020) in its published layout: a folder of pictures and an XML file for each sequence.

DETRAC-train-data/Insight-MVT_Annotation_Train/MVI_20011/img00001.jpg …
DETRAC-Train-Annotations-XML/MVI_20011.xml
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from skipvid.core.errors import SourceError
from skipvid.evaluate.truth import FrameTruth, LabelledClip

VEHICLE = 3
"""The benchmark has one class, vehicle; COCO's number for cars stands for it. See `merge_categories` in run.py."""

LATER = re.compile(r"_v\d+$")
"""What the names of corrected annotations end with."""

Row = tuple[float, float, float, float, int, bool]


def read_detrac_sequence(xml: Path, pictures: Path) -> LabelledClip:
    """One sequence. Frame `num` n is the picture of that number, counted from 1. Ignored regions hold for all. Raises SourceError."""
    try:
        root = ElementTree.parse(xml).getroot()
        if root.tag != "sequence":
            raise ValueError(f"its root is <{root.tag}>, not <sequence>")
        regions = [(*_box(box), 0, True) for box in root.findall("ignored_region/box")]
        frames: dict[int, FrameTruth] = {}
        for frame in root.findall("frame"):
            rows: list[Row] = [(*_box(_child(target, "box")), VEHICLE, False) for target in frame.findall("target_list/target")]
            if (number := int(frame.attrib["num"])) < 1:
                raise ValueError(f"frame {number}: they are counted from 1")
            frames[number - 1] = FrameTruth.of([*rows, *regions])
        if not frames:
            raise ValueError("it has no frame")
        last = max(frames)
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise SourceError(f"{xml}: not an annotation file of UA-DETRAC: {error}") from error
    # A frame without a vehicle is left out of the file; between labelled ones it is empty, not unlabelled.
    empty = FrameTruth.of(list(regions))
    whole = {number: frames.get(number, empty) for number in range(last + 1)}
    return LabelledClip(pictures.name, str(pictures), whole, first_picture=1, group=pictures.name)


def read_detrac(folder: Path) -> list[LabelledClip]:
    """Every sequence below a folder: each MVI_*.xml with the folder of pictures of its name. Raises SourceError where there is none.

    Of a sequence that was published twice the later file is read, MVI_20011_v3.xml before MVI_20011.xml.
    """
    folders = {path.name: path for path in sorted(folder.rglob("MVI_*")) if path.is_dir()}
    files = {LATER.sub("", path.stem): path for path in sorted(folder.rglob("MVI_*.xml"), key=lambda path: path.stem)}
    clips = [read_detrac_sequence(path, folders[name]) for name, path in sorted(files.items()) if name in folders]
    if not clips:
        hint = "it needs MVI_*.xml files and folders of pictures of the same names"
        raise SourceError(f"{folder}: no sequence of UA-DETRAC in it", hint)
    return clips


def _child(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"a <{element.tag}> without <{tag}>")
    return found


def _box(element: ElementTree.Element) -> tuple[float, float, float, float]:
    left, top, width, height = (float(element.attrib[name]) for name in ("left", "top", "width", "height"))
    return left, top, left + width, top + height
