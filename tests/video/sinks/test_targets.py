from __future__ import annotations

import os
from pathlib import Path

import pytest

from skipvid.core.errors import OutputError, UsageError
from skipvid.video.sinks.targets import OutputPlan, check_target, default_output, plan_outputs, suffix_of


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(b"a video")
    Path("out").mkdir()


@pytest.mark.parametrize(
    ("target", "suffix"),
    [
        ("a.mp4", ".mp4"),
        ("A.MP4", ".mp4"),
        ("x/a.coco.json", ".coco.json"),
        ("a.json", ".json"),
        ("a.b.mot.txt", ".mot.txt"),
        ("a.csv", ".csv"),
    ],
)
def test_longest_suffix_counts(target: str, suffix: str) -> None:
    assert suffix_of(target) == suffix


@pytest.mark.parametrize("target", ["a.avi", "a", "a.txt", "mp4", "a.mp4.part"])
def test_unknown_suffix_is_answered_with_the_known_ones(target: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_target(target, [], overwrite=True)
    assert target in str(caught.value) and ".mp4" in str(caught.value) and ".mot.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("clip.mp4", "clip_skipvid.mp4"),
        ("/data/a.b.mkv", "a.b_skipvid.mp4"),
        ("-", "stdin_skipvid.mp4"),
        ("out", "out_skipvid.mp4"),
        ("out/", "out_skipvid.mp4"),
        ("https://u:p@example.org/x/my%20clip.mp4?k=1", "my_clip_skipvid.mp4"),
        ("https://example.org", "example.org_skipvid.mp4"),
    ],
)
def test_default_name_comes_from_the_source(source: str, name: str) -> None:
    assert default_output(source) == name
    assert default_output(source, "_heat.png") == name.replace("_skipvid.mp4", "_heat.png")


@pytest.mark.parametrize("target", ["-", "new.mp4", "out/new.jsonl", "./new.png"])
def test_free_name_passes(target: str) -> None:
    check_target(target, ["clip.mp4", "-", "https://example.org/a.mp4"], overwrite=False)


def test_input_is_never_overwritten_whatever_it_is_called() -> None:
    Path("link.mp4").symlink_to("clip.mp4")
    os.link("clip.mp4", "hard.mp4")
    for target in ("clip.mp4", "./out/../clip.mp4", "link.mp4", "hard.mp4"):
        with pytest.raises(OutputError, match="also the input"):
            check_target(target, ["other.mp4", "clip.mp4"], overwrite=True)


def test_existing_file_needs_overwrite() -> None:
    Path("old.mp4").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        check_target("old.mp4", ["clip.mp4"], overwrite=False)
    check_target("old.mp4", ["clip.mp4"], overwrite=True)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gone/a.mp4", "is no folder; make the folder first"),
        ("clip.mp4/a.mp4", "is no folder; choose another folder"),
        ("d.mp4", "is a folder"),
    ],
)
def test_place_that_cannot_be_written_is_found_before_the_work(target: str, words: str) -> None:
    Path("d.mp4").mkdir()
    with pytest.raises(OutputError, match=words):
        check_target(target, [], overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_found_before_the_work() -> None:
    Path("out").chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_target("out/a.mp4", [], overwrite=False)


def test_folder_without_permission_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "out")
    with pytest.raises(OutputError, match="no permission to write in out"):
        check_target("out/a.mp4", [], overwrite=False)


def test_file_that_is_no_regular_one_is_refused() -> None:
    os.mkfifo("pipe.mp4")
    with pytest.raises(OutputError, match="no regular file"):
        check_target("pipe.mp4", [], overwrite=True)


def test_without_targets_every_source_gets_its_default() -> None:
    assert plan_outputs([], ["clip.mp4", "b/other.mkv"]) == [
        OutputPlan("clip.mp4", ("clip_skipvid.mp4",)),
        OutputPlan("b/other.mkv", ("other_skipvid.mp4",)),
    ]


def test_folders_and_placeholders_name_the_outputs_of_many() -> None:
    plans = plan_outputs(["out/", "out/{stem}.jsonl", "{n}.csv", "-"], ["clip.mp4", "b/other.mkv"])
    assert [p.targets for p in plans] == [
        ("out/clip_skipvid.mp4", "out/clip.jsonl", "1.csv", "-"),
        ("out/other_skipvid.mp4", "out/other.jsonl", "2.csv", "-"),
    ]
    assert plan_outputs(["out"], ["clip.mp4"])[0].targets == ("out/clip_skipvid.mp4",)


@pytest.mark.parametrize(
    ("targets", "sources"),
    [
        (["x.mp4"], ["clip.mp4", "b.mp4"]),
        ([], ["a/clip.mp4", "b/clip.mkv"]),
        (["x.mp4", "./x.mp4"], ["clip.mp4"]),
        (["out/{stem}.json"], ["a/c.mp4", "b/c.mp4"]),
    ],
)
def test_two_outputs_of_one_name_are_refused(targets: list[str], sources: list[str]) -> None:
    with pytest.raises(UsageError, match="would be written"):
        plan_outputs(targets, sources)


def test_unknown_placeholder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\{name\} stands for nothing"):
        plan_outputs(["{name}.mp4"], ["clip.mp4"])


def test_skip_existing_leaves_alone_what_is_there_and_makes_the_rest() -> None:
    for name in ("out/clip.mp4", "out/clip.json", "out/other.mp4"):
        Path(name).touch()
    plans = plan_outputs(["out/{stem}.mp4", "out/{stem}.json"], ["clip.mp4", "other.mp4", "third.mp4"], skip_existing=True)
    assert [p.targets for p in plans] == [(), ("out/other.json",), ("out/third.mp4", "out/third.json")]


def test_one_existing_output_stops_the_whole_batch_before_it_starts() -> None:
    Path("out/b.mp4").touch()
    with pytest.raises(OutputError, match=r"out/b\.mp4 exists"):
        plan_outputs(["out/{stem}.mp4"], ["clip.mp4", "b.mp4"])
    assert plan_outputs(["out/{stem}.mp4"], ["clip.mp4", "b.mp4"], overwrite=True)


def test_output_that_is_another_source_is_refused() -> None:
    Path("a.mkv").touch()
    with pytest.raises(OutputError, match="also the input"):
        plan_outputs(["{stem}.mp4"], ["a.mkv", "clip.mp4"], overwrite=True)


def test_cameras_whose_addresses_end_alike_get_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        "rtsp://a:se/cr@et@10.0.0.1:554/live",
        "rtsp://10.0.0.2/live",
        "rtsp://10.0.0.2/yard/live",
        "webcam://1",
        "rtsp://10.0.0.3/door",
    ]
    targets = [plan.targets[0] for plan in plan_outputs(["{stem}.jsonl"], sources)]
    assert targets == ["10.0.0.1_554_live.jsonl", "10.0.0.2_live.jsonl", "10.0.0.2_yard_live.jsonl", "webcam1.jsonl", "door.jsonl"]
