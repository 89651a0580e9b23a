"""Names: outputs of any name that a disk takes, and results that lead back to the files they came from."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import pytest
from clip_making import number_of, numbered_picture
from run_making import header, result, summary, two_objects

from skipvid.core.results import FrameResult, SourceInfo
from skipvid.video.sinks.open import open_sink
from skipvid.video.sources.open import open_source

SUFFIXES = [".mp4", ".mkv", ".webm", ".jsonl", ".json", ".csv", ".coco.json", ".mot.txt"]
STEMS = ["cam1:front", "http:x", "50%d", "[1]", "a#b?c", "two words", "-x", "é" * 100, os.fsdecode(b"caf\xe9"), "line\nbreak"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_output_may_have_any_name(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names that begin with a scheme or a dash, as they are typed
    of = header(SourceInfo("clip.mp4", 160, 96, fps=30))
    for stem in STEMS:
        with open_sink(f"{stem}{suffix}", of, None, lambda r: r.frame.image) as sink:
            for index in range(3):
                sink.write(result(index, two_objects(), numbered_picture(index)))
            sink.finish(summary(of))
    assert sorted(os.listdir()) == sorted(f"{stem}{suffix}" for stem in STEMS)
    for stem in STEMS:
        path = tmp_path / f"{stem}{suffix}"
        if suffix in (".mp4", ".mkv", ".webm"):
            with av.open(f"file:{path}") as container:
                assert [number_of(f.to_ndarray(format="bgr24")) for f in container.decode(video=0)] == [0, 1, 2]
        else:
            assert path.read_text().count("\n") >= 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 2, 3, 5 and 10 of a camera; the third cannot be read, the last one is smaller."""
    place = tmp_path / "monday[1]"
    place.mkdir()
    for number in (2, 5):
        cv2.imwrite(str(place / f"cam:1 frame_{number}.png"), numbered_picture(number))
    (place / "cam:1 frame_3.png").write_bytes(b"broken")
    cv2.imwrite(str(place / "cam:1 frame_10.png"), numbered_picture(9, 80, 48))
    return place


def results(folder: Path) -> tuple[SourceInfo, list[FrameResult]]:
    with open_source(str(folder)) as source:
        return source.info, [replace(result(0, two_objects(ids=True)), frame=frame) for frame in source]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files_by_frame(folder: Path, out: Path) -> Sequence[tuple[int, str]]:
    """(frame from 0, file) as an output tells it."""
    name = out.name
    if name.endswith(".coco.json"):
        document = json.loads(out.read_text())
        named = {image["id"]: image["file_name"] for image in document["images"]}
        assert {a["image_id"] for a in document["annotations"]} == set(named)
        return [(number - 1, file) for number, file in named.items()]
    if name.endswith(".mot.txt"):
        frames = {int(line.split(",")[0]) for line in out.read_text().splitlines()}
        files = {int(row["frame"]): row["file"] for row in rows(out.with_name("out.mot.files.csv"))}
        assert frames == set(files)
        return [(number - 1, file) for number, file in files.items()]
    if name.endswith(".csv"):
        return list(dict.fromkeys((int(row["frame"]), row["file"]) for row in rows(out)))
    records = json.loads(out.read_text())["frames"] if name.endswith(".json") else [json.loads(x) for x in out.read_text().splitlines()]
    return [(record["frame"], record["file"]) for record in records if record["type"] == "frame"]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".coco.json", ".mot.txt"])
@pytest.mark.parametrize("below", [False, True], ids=["folder", "folder of folders"])
def test_results_of_pictures_name_their_files_whatever_is_missing(tmp_path: Path, folder: Path, suffix: str, below: bool) -> None:
    source, prefix = (folder.parent / "week", f"{folder.name}/") if below else (folder, "")
    if below:
        source.mkdir()
        folder.rename(source / folder.name)
    info, found = results(source)
    of, out = header(info), tmp_path / f"out{suffix}"
    with open_sink(str(out), of) as sink:
        for one in found:
            sink.write(one)
        sink.finish(summary(of))
    named = files_by_frame(source, out)
    assert [file for _, file in named] == [f"{prefix}cam:1 frame_{number}.png" for number in (2, 5, 10)]
    for _, file in named:
        assert cv2.imread(str(source / file)) is not None
