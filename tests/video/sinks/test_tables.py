from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_making import header, result, summary, two_objects

from skipvid.core.results import Detections, FrameResult, SourceInfo
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.tables import CsvSink, MotSink


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(sink: Sink, *results: FrameResult, **changes: object) -> None:
    with sink:
        for each in results:
            sink.write(each)
        sink.finish(summary(**changes))


def test_csv_has_a_row_per_detection(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    written(CsvSink(path, header()), result(0), result(17, two_objects(ids=True)))
    assert path.read_text().splitlines() == [
        "source,frame,time,id,label,category_id,score,x1,y1,x2,y2",
        "clip.mp4,17,0.567234,7,person,1,0.9123,10.12,20.46,110.5,220.25",
        "clip.mp4,17,0.567234,8,car,3,0.5,0.0,0.0,33.33,44.44",
    ]


def test_csv_of_poses_names_its_columns_after_the_joints(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    written(CsvSink(path, header(keypoints=("nose", "tail"))), result(0), result(1, two_objects(joints=2)))
    table = rows(path)
    assert list(table[0])[-6:] == ["nose_x", "nose_y", "nose_score", "tail_x", "tail_y", "tail_score"]
    assert [table[1][c] for c in ("id", "nose_x", "nose_y", "nose_score", "tail_score")] == ["", "0.86", "1.0", "1.1429", "1.5714"]


def test_csv_of_nothing_has_its_header(tmp_path: Path) -> None:
    written(CsvSink(tmp_path / "a.csv", header()), result(0))
    assert (tmp_path / "a.csv").read_text() == "source,frame,time,id,label,category_id,score,x1,y1,x2,y2\n"
    written(CsvSink(tmp_path / "b.csv", header(keypoints=("nose",))), result(0))
    assert (tmp_path / "b.csv").read_text() == "source,frame,time,id,label,category_id,score,x1,y1,x2,y2,nose_x,nose_y,nose_score\n"


def test_csv_leaves_what_is_not_finite_empty(tmp_path: Path) -> None:
    found = Detections(np.array([[np.nan, 0, np.inf, 5]], np.float32), np.array([np.nan], np.float32), np.array([1]), ('a, "b"',))
    written(CsvSink(tmp_path / "a.csv", header()), result(0, found))
    row = rows(tmp_path / "a.csv")[0]
    assert [row[c] for c in ("label", "score", "x1", "y1", "x2", "y2")] == ['a, "b"', "", "", "0.0", "", "5.0"]


@pytest.mark.parametrize(("ids", "identities"), [(False, (-1, -1)), (True, (7, 8))])
def test_mot_counts_frames_from_one_and_boxes_by_width_and_height(tmp_path: Path, ids: bool, identities: tuple[int, int]) -> None:
    written(MotSink(tmp_path / "a.mot.txt"), result(0), result(4, two_objects(ids=ids)))
    assert (tmp_path / "a.mot.txt").read_text().splitlines() == [
        f"5,{identities[0]},10.12,20.46,100.38,199.79,0.9123,-1,-1,-1",
        f"5,{identities[1]},0.0,0.0,33.33,44.44,0.5,-1,-1,-1",
    ]


def test_mot_is_read_back_by_numpy_and_leaves_out_what_is_not_finite(tmp_path: Path) -> None:
    broken = Detections(np.array([[0, 0, np.inf, 5]], np.float32), np.array([0.5], np.float32), np.array([1]), ("person",))
    written(MotSink(tmp_path / "a.mot.txt"), result(0, broken), result(1, two_objects()))
    table = np.loadtxt(tmp_path / "a.mot.txt", delimiter=",")
    assert table.shape == (2, 10)
    assert table[0, 2:6] == pytest.approx([10.12, 20.46, 100.38, 199.79])


def of_file(name: str, index: int, found: Detections | None = None) -> FrameResult:
    """The result of an image that has a file of its own."""
    plain = result(index, found)
    return replace(plain, frame=replace(plain.frame, file=name))


def test_csv_of_images_names_their_files_in_a_last_column(tmp_path: Path) -> None:
    images = header(SourceInfo("pictures", 1280, 720, images=True))
    written(CsvSink(tmp_path / "a.csv", images), of_file("a/one.png", 0, two_objects()), of_file("a, b.png", 2, two_objects()))
    table = rows(tmp_path / "a.csv")
    assert [(row["frame"], row["file"]) for row in table] == [("0", "a/one.png")] * 2 + [("2", "a, b.png")] * 2
    assert list(table[0])[-1] == "file"


def test_mot_of_images_gets_a_second_file_that_counts_frames_as_the_first_does(tmp_path: Path) -> None:
    written(MotSink(tmp_path / "a.mot.txt"), of_file("one.png", 0), of_file("two#3.png", 4, two_objects()))
    assert rows(tmp_path / "a.mot.files.csv") == [{"frame": "1", "file": "one.png"}, {"frame": "5", "file": "two#3.png"}]
    assert {line.split(",")[0] for line in (tmp_path / "a.mot.txt").read_text().splitlines()} == {"5"}
    assert len(list(tmp_path.iterdir())) == 2


def test_mot_of_images_that_was_not_finished_leaves_neither_file(tmp_path: Path) -> None:
    with MotSink(tmp_path / "a.mot.txt") as sink:
        sink.write(of_file("one.png", 0, two_objects()))
    assert not list(tmp_path.iterdir())
