"""Class maps as COCO's run lengths in JSON lines and as PNGs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from run_making import header, result, summary

from skipvid.core.class_maps import ClassMap
from skipvid.core.errors import OutputError
from skipvid.video.sinks.json_files import JsonlSink
from skipvid.video.sinks.masks import MaskSink
from skipvid.video.sinks.rle import run_lengths

NAMES = ("background", "road", "person", "tram")
DECODES = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def class_map(cells: np.ndarray, size: tuple[int, int], names: tuple[str, ...] = NAMES) -> ClassMap:
    rows, columns = ((np.arange(side) * cells.shape[axis] // side) for axis, side in enumerate(size))
    return ClassMap(cells.astype(np.uint16), rows, columns, names)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)))
def test_run_lengths_are_those_of_pycocotools(pixels: np.ndarray) -> None:
    for number, mask in run_lengths(pixels, range(4)).items():
        own = np.asfortranarray(pixels == number)
        assert mask["counts"].encode() == coco.encode(own.astype(np.uint8))["counts"]
        assert mask["size"] == list(pixels.shape) and mask["area"] == own.sum()


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840)])
def test_long_runs_are_packed_as_pycocotools_packs_them(size: tuple[int, int]) -> None:
    pixels = np.zeros(size, np.uint8)
    pixels[size[0] // 2 :, 7 : size[1] // 2] = 1
    pixels[5, -1] = 1
    for number, mask in run_lengths(pixels, (0, 1)).items():
        assert mask["counts"].encode() == coco.encode(np.asfortranarray(pixels == number).astype(np.uint8))["counts"]


@DECODES
def test_json_lines_list_the_classes_that_stand_for_something(tmp_path: Path) -> None:
    cells = np.array([[0, 0, 1], [2, 2, 1]])
    found = class_map(cells, (40, 60))
    with JsonlSink(tmp_path / "o.jsonl", header()) as sink:
        sink.write(result(0, class_map=found))
        sink.finish(summary())
    segments = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[1])["segments"]
    assert [(each["label"], each["category_id"], each["area"]) for each in segments] == [("road", 1, 800), ("person", 2, 800)]
    for each in segments:
        mask = coco.decode(each["segmentation"])
        assert (mask.astype(bool) == (found.pixels == each["category_id"])).all()


@pytest.mark.parametrize(("names", "dtype"), [(NAMES, np.uint8), (tuple(f"class {n}" for n in range(300)), np.uint16)])
def test_masks_are_pngs_of_class_numbers(names: tuple[str, ...], dtype: type, tmp_path: Path) -> None:
    cells = np.array([[0, 3], [len(names) - 1, 2]])
    images = result(1, class_map=class_map(cells, (9, 13), names))
    images = replace(images, frame=replace(images.frame, file="day/one.jpg"))
    with MaskSink(tmp_path / "masks") as sink:
        sink.write(result(17, class_map=class_map(cells, (9, 13), names)))
        sink.write(images)
        sink.finish(summary())
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["000017.png", "one.png"]
    mask = cv2.imread(str(tmp_path / "masks" / "000017.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == dtype and (mask == class_map(cells, (9, 13), names).pixels).all()


def test_folder_of_masks_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").write_text("mine")
    with pytest.raises(OutputError, match="full is not empty; give --overwrite, or choose another folder"):
        MaskSink(tmp_path / "full")
    MaskSink(tmp_path / "full", overwrite=True)
    with pytest.raises(OutputError, match=r"a\.png is no folder"):
        MaskSink(tmp_path / "full" / "a.png")
    with pytest.raises(OutputError, match="none is no folder; make the folder first"):
        MaskSink(tmp_path / "none" / "masks")
    with pytest.raises(OutputError, match=r"a\.png is no folder; choose another folder"):
        MaskSink(tmp_path / "full" / "a.png" / "masks")
