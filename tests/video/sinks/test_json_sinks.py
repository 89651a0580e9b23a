from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_making import cost, header, result, summary, two_objects

from skipvid.core.errors import OutputError
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.results import Detections
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.coco import CocoSink
from skipvid.video.sinks.json_files import JsonlSink, JsonSink
from skipvid.video.sinks.records import dumps, frame_record, header_record, number
from skipvid.video.sinks.tables import CsvSink, MotSink


def strict(text: str) -> Any:
    """JSON without the NaN and Infinity that Python lets pass."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def written(sink: Sink, *results: object, **changes: object) -> None:
    with sink:
        for each in results:
            sink.write(each)  # type: ignore[arg-type]
        sink.finish(summary(**changes))


def test_jsonl_has_a_header_a_record_per_frame_and_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    written(JsonlSink(path, header()), result(0, two_objects()), result(17), interrupted=True, problems=("read 2 of about 9 frames",))
    first, *frames, last = [strict(line) for line in path.read_text().splitlines()]
    assert first["type"] == "header" and first["schema"] == 1 and first["version"] == "0.1.0"
    assert (first["command"], first["source"], first["preset"], first["gate"]) == ("detect", "clip.mp4", "effdet-d0", "norm")
    assert (first["threshold"], first["weights_sha256"], first["categories"]) == (0.03, "ab" * 32, {"1": "person", "3": "car"})
    assert frames[1] == {
        "type": "frame",
        "source": "clip.mp4",
        "frame": 17,
        "time": 0.567234,
        "width": 1280,
        "height": 720,
        "keyframe": False,
        "detections": [],
        "cost": {"macs": 520, "dense_macs": 1000, "gate_ops": 37, "saving": 0.48, "skip_ratio": 0.625},
        "ms": {"decode": 1.23, "model": 20.5},
    }
    assert frames[0]["detections"] == [
        {"label": "person", "category_id": 1, "score": 0.9123, "box": [10.12, 20.46, 110.5, 220.25], "id": None},
        {"label": "car", "category_id": 3, "score": 0.5, "box": [0.0, 0.0, 33.33, 44.44], "id": None},
    ]
    assert last["type"] == "summary" and last["interrupted"] is True and last["problems"] == ["read 2 of about 9 frames"]
    assert (last["frames"], last["fps"], last["wall_seconds"], last["median_ms"]) == (3, 6.0, 0.5, {"model": 20.0})


def test_poses_have_identities_and_keypoints() -> None:
    person = frame_record(result(0, two_objects(ids=True, joints=2)))["detections"][1]
    assert person["id"] == 8
    assert person["keypoints"] == [[0.86, 1.0, 1.1429], [1.29, 1.43, 1.5714]]


def test_the_header_names_the_joints_of_poses_and_of_poses_only() -> None:
    assert header_record(header(keypoints=("nose", "tail")))["keypoints"] == ["nose", "tail"]
    assert "keypoints" not in header_record(header())


def test_a_record_names_the_file_of_an_image_and_of_nothing_else() -> None:
    plain = result(3)
    assert "file" not in frame_record(plain)
    image = frame_record(replace(plain, frame=replace(plain.frame, file="night/12.png")))
    assert (image["file"], image["frame"], image["source"]) == ("night/12.png", 3, "clip.mp4")


def test_run_without_gates_has_no_cost() -> None:
    assert frame_record(result(cost=None))["cost"] is None


def test_numbers_that_are_not_finite_become_null() -> None:
    found = Detections(np.array([[np.nan, 0, np.inf, 5]], np.float32), np.array([np.nan], np.float32), np.array([1]), ("person",))
    record = frame_record(result(0, found, ms={"model": float("inf")}))
    assert record["detections"][0]["box"] == [None, 0.0, None, 5.0] and record["detections"][0]["score"] is None
    assert record["ms"] == {"model": None}


def test_jsonl_can_be_followed_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with JsonlSink(path, header()) as sink:
        for count in range(1, 4):
            sink.write(result(count))
            (part,) = tmp_path.glob("out.jsonl.*.part")
            assert len(part.read_text().splitlines()) == count + 1


def test_jsonl_on_stdout_streams_and_leaves_stdout_open(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonlSink(None, header())
    sink.write(result())
    assert len(capsys.readouterr().out.splitlines()) == 2
    sink.finish(summary())
    sink.close()
    print("still open")
    assert capsys.readouterr().out.endswith("still open\n")


def test_reader_of_stdout_that_went_away_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        monkeypatch.setattr("sys.stdout", gone)
        with pytest.raises(OutputError, match="stdout cannot be written"):
            JsonlSink(None, header())
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # closing flushes once more


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_json_is_one_document_of_the_same_records(tmp_path: Path, frames: int) -> None:
    results = [result(i, two_objects()) for i in range(frames)]
    written(JsonSink(tmp_path / "a.json", header()), *results)
    written(JsonlSink(tmp_path / "a.jsonl", header()), *results)
    document = strict((tmp_path / "a.json").read_text())
    lines = [strict(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [document["header"], *document["frames"], document["summary"]] == lines


def test_labels_in_any_script_survive(tmp_path: Path) -> None:
    found = replace(two_objects(), labels=('quote " and \\', "чело\nвек"))
    written(JsonlSink(tmp_path / "a.jsonl", header()), result(0, found))
    line = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()[1]
    assert [d["label"] for d in strict(line)["detections"]] == ['quote " and \\', "чело\nвек"]


SINKS = {
    "jsonl": lambda path: JsonlSink(path, header()),
    "json": lambda path: JsonSink(path, header()),
    "coco.json": lambda path: CocoSink(path, header()),
    "csv": lambda path: CsvSink(path, header(keypoints=COCO_KEYPOINTS)),
    "mot.txt": MotSink,
}


@pytest.mark.parametrize("kind", SINKS)
def test_file_appears_only_when_it_is_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    path.write_text("the one before")
    with SINKS[kind](path) as sink:
        sink.write(result(0, two_objects()))
        assert path.read_text() == "the one before"
    assert os.listdir(tmp_path) == [path.name] and path.read_text() == "the one before"
    sink.close()
    with SINKS[kind](path) as sink:
        sink.write(result(0, two_objects()))
        sink.finish(summary())
    sink.close()
    assert path.read_text() != "the one before"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


@pytest.mark.parametrize("kind", SINKS)
def test_folder_that_is_gone_is_an_output_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        SINKS[kind](tmp_path / "gone" / f"out.{kind}")


@pytest.mark.parametrize("kind", SINKS)
def test_full_disk_is_an_output_error_and_leaves_nothing(
    tmp_path: Path, kind: str, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / f"out.{kind}"
    with full_disk(20_000), pytest.raises(OutputError, match="cannot be written: File too large"), SINKS[kind](path) as sink:
        for i in range(1000):
            sink.write(result(i, two_objects(ids=True)))
        sink.finish(summary())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", SINKS)
def test_memory_does_not_grow_with_the_video(tmp_path: Path, kind: str) -> None:
    shared = result(0, two_objects(joints=17), cost=cost())
    with SINKS[kind](tmp_path / f"out.{kind}") as sink:
        tracemalloc.start()
        for _ in range(20):
            sink.write(shared)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(300):
            sink.write(shared)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sink.finish(summary())
    assert after - before < 10_000


@pytest.mark.parametrize(
    ("value", "text"), [(-0.001, "0.0"), (-0.0, "0.0"), (-0.006, "-0.01"), (1.005, "1.0"), (float("nan"), "null"), (float("-inf"), "null")]
)
def test_numbers_are_rounded_without_a_negative_zero_and_never_break_json(value: float, text: str) -> None:
    assert dumps({"x": number(value, 2)}) == f'{{"x": {text}}}'


def test_names_stay_readable_in_every_script() -> None:
    assert dumps({"source": "Straße 東京.mp4"}) == '{"source": "Straße 東京.mp4"}'
