from __future__ import annotations

from pathlib import Path

import pytest

from skipvid.core.errors import SourceError
from skipvid.video.sources.specs import display_name, expand_specs, natural_key


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["f10.png", "f9.png", "F2.png", "f2b.png", "a"], key=natural_key) == ["a", "F2.png", "f2b.png", "f9.png", "f10.png"]


def test_names_of_digits_and_letters_sort_without_error() -> None:
    assert sorted(["b", "10", "a1", "9", ""], key=natural_key) == ["", "9", "10", "a1", "b"]


def test_plain_sources_stand_for_themselves_in_order() -> None:
    specs = ["-", "missing.mp4", "https://example.org/v*.mp4?x=[1]", "a.mp4", "missing.mp4"]
    assert expand_specs(specs) == ["-", "missing.mp4", "https://example.org/v*.mp4?x=[1]", "a.mp4"]


def test_glob_stands_for_its_videos_and_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path / "c10.mp4", tmp_path / "c9.mkv", tmp_path / "c1.txt", tmp_path / "deep" / "c2.avi")
    assert expand_specs([f"{tmp_path}/c*"]) == [f"{tmp_path}/c9.mkv", f"{tmp_path}/c10.mp4"]
    assert expand_specs([f"{tmp_path}/**/*.avi"]) == [f"{tmp_path}/deep/c2.avi"]


def test_existing_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path / "clip [1].mp4", tmp_path / "clip 1.mp4")
    assert expand_specs([f"{tmp_path}/clip [1].mp4"]) == [f"{tmp_path}/clip [1].mp4"]


def test_folder_of_videos_stands_for_them_and_a_folder_of_images_for_itself(tmp_path: Path) -> None:
    touch(tmp_path / "v" / "b.mp4", tmp_path / "v" / "a.mp4", tmp_path / "i" / "1.jpg", tmp_path / "i" / "labels.txt")
    assert expand_specs([f"{tmp_path}/v", f"{tmp_path}/i"]) == [f"{tmp_path}/v/a.mp4", f"{tmp_path}/v/b.mp4", f"{tmp_path}/i"]
    assert expand_specs([f"{tmp_path}/[iv]"]) == [f"{tmp_path}/i", f"{tmp_path}/v/a.mp4", f"{tmp_path}/v/b.mp4"]


@pytest.mark.parametrize(
    ("names", "spec", "words"),
    [
        ([], "*.mp4", "nothing matches"),
        (["a.txt"], "*", "none with the suffix"),
        (["a.mp4", "b.jpg"], ".", "holds 1 videos and 1 images"),
        (["a.txt"], ".", "holds neither videos nor images"),
    ],
)
def test_what_stands_for_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], spec: str, words: str
) -> None:
    touch(*(tmp_path / name for name in names))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=words) as caught:
        expand_specs([spec])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("-", "stdin"),
        ("a/b/clip.mp4", "clip.mp4"),
        ("scene/", "scene"),
        ("https://user:secret@cam.example:8443/live.ts?key=1", "https://user:***@cam.example:8443/live.ts?key=***"),
        ("rtsp://admin:p@ss/w:rd@cam:554/live", "rtsp://admin:***@cam:554/live"),
        ("rtsp://sometoken@cam/live", "rtsp://***@cam/live"),
        ("rtsp://cam:554/live@2x", "rtsp://cam:554/live@2x"),
        ("http://cam/mjpg?user=me&pwd=secret&size=2", "http://cam/mjpg?user=me&pwd=***&size=2"),
        ("http://[::1]:80/a?Access_Token=x#part", "http://[::1]:80/a?Access_Token=***#part"),
    ],
)
def test_display_name_is_short_and_hides_passwords(spec: str, name: str) -> None:
    assert display_name(spec) == name


def test_hidden_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    """Such as the "._clip.mp4" that a Mac leaves on a memory card beside each file."""
    for name in ("a.mp4", "._a.mp4", ".b.mp4"):
        (tmp_path / name).touch()
    assert expand_specs([str(tmp_path)]) == [str(tmp_path / "a.mp4")]
