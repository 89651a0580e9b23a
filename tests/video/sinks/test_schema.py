"""The records are as the shipped JSON Schema says, and the readers of others take the files."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from run_making import header, result, summary, two_objects

from skipvid.core.class_maps import ClassMap
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.results import SCHEMA_VERSION, Detections, FrameResult
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.coco import CocoSink
from skipvid.video.sinks.json_files import JsonlSink, JsonSink
from skipvid.video.sinks.records import schema


def strict(document: Any) -> Any:
    """The schema, but a field that it does not describe is an error."""
    if isinstance(document, dict):
        closed = {key: strict(value) for key, value in document.items()}
        return {**closed, "additionalProperties": False} if isinstance(document.get("properties"), dict) else closed
    return [strict(item) for item in document] if isinstance(document, list) else document


VALID = Draft202012Validator(strict(copy.deepcopy(schema())))

NOT_FINITE = Detections(np.array([[np.nan, 0, np.inf, 5]], np.float32), np.array([np.nan], np.float32), np.array([1]), ("person",))
ROAD = ClassMap(np.array([[0, 1]], np.uint16), np.zeros(720, int), np.arange(1280) // 640, ("background", "road"))
RUNS: dict[str, tuple[tuple[str, ...], Sequence[FrameResult]]] = {
    "boxes": ((), [result(0, two_objects()), result(1)]),
    "tracks": ((), [result(0, two_objects(ids=True))]),
    "poses": (COCO_KEYPOINTS, [result(0, two_objects(ids=True, joints=17))]),
    "no gates": ((), [result(0, two_objects(), cost=None)]),
    "not finite": ((), [result(0, NOT_FINITE)]),
    "class maps": ((), [result(0, class_map=ROAD), result(1, class_map=ROAD)]),
    "no frames": ((), []),
}


def write(sink: Sink, results: Sequence[FrameResult]) -> None:
    with sink:
        for each in results:
            sink.write(each)
        sink.finish(summary(problems=("read 2 of about 9 frames",)))


@pytest.mark.parametrize("name", RUNS)
def test_every_record_is_described_by_the_schema(tmp_path: Path, name: str) -> None:
    keypoints, results = RUNS[name]
    write(JsonlSink(tmp_path / "o.jsonl", header(keypoints=keypoints)), results)
    records = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [record["type"] for record in records] == ["header", *["frame"] * len(results), "summary"]
    for record in records:
        VALID.validate(record)


def test_schema_has_the_version_of_the_records_and_refuses_what_is_none() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$defs"]["header"]["properties"]["schema"]["const"] == SCHEMA_VERSION
    assert schema()["$id"].endswith(f":{SCHEMA_VERSION}")
    for wrong in ({}, {"type": "frame"}, {"type": "other"}, []):
        assert not VALID.is_valid(wrong)


@pytest.mark.parametrize("frames", [1, 40])
def test_json_of_a_killed_run_is_a_document_without_a_summary(tmp_path: Path, frames: int) -> None:
    sink = JsonSink(tmp_path / "o.json", header())
    for index in range(frames):
        sink.write(result(index, two_objects()))
        (part,) = tmp_path.glob("*.part")
        document = json.loads(part.read_text())
        assert document["summary"] is None and len(document["frames"]) <= index + 1
    sink.close()


def test_coco_file_is_read_by_pycocotools_whole_and_after_a_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    results = [result(index, replace(two_objects(ids=True), scores=np.array([0.9, 0.5], np.float32))) for index in range(300)]
    sink = CocoSink(tmp_path / "o.coco.json", header())
    for each in results:
        sink.write(each)
    images = COCO(next(tmp_path.glob("o.coco.json.skipvid-*.part")))
    found = images.loadRes(str(next(tmp_path.glob("o.coco.json.annotations.skipvid-*.part"))))
    assert 0 < len(found.getAnnIds()) <= 600 and {1, 3} == set(images.getCatIds())
    sink.finish(summary())
    whole = COCO(tmp_path / "o.coco.json")
    assert len(whole.getImgIds()) == 300 and len(whole.getAnnIds()) == 600
    assert whole.loadAnns(whole.getAnnIds(imgIds=[18], catIds=[3]))[0]["bbox"] == [0.0, 0.0, 33.33, 44.44]
    assert [path.name for path in tmp_path.iterdir()] == ["o.coco.json"]
