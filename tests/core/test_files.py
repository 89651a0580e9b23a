from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from skipvid.core.errors import OutputError
from skipvid.core.files import PartFile, cut_name, left_behind, write_bytes, write_text, write_texts
from skipvid.core.text import printable

LATIN = os.fsdecode(b"caf\xe9 ")


def complete(path: Path, text: str = "new") -> None:
    file = PartFile(path)
    file.part.write_text(text)
    file.commit()


@pytest.mark.parametrize("name", ["out.mp4", LATIN + ".csv", "a\nb\x1b[31m.json", "x" * 251 + ".mp4", "é" * 125 + ".mp4", "cam1:front.mkv"])
def test_file_of_any_name_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path, name: str) -> None:
    complete(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "new"


def test_two_long_names_with_the_same_beginning_do_not_meet(tmp_path: Path) -> None:
    first, second = (PartFile(tmp_path / ("x" * 250 + f"{n}.csv")) for n in (1, 2))
    for file in (first, second):
        file.part.write_text(file.path.name)
        file.commit()
        assert file.path.read_text() == file.path.name


def test_files_of_the_user_with_part_names_are_left_alone(tmp_path: Path) -> None:
    others = ["t.mp4.part", "t.mp4.skipvid-.part", "t.mp4.skipvid-0123456789.part", "s.mp4.skipvid-01234567.part"]
    for name in others:
        (tmp_path / name).write_text("mine")
    complete(tmp_path / "t.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "t.mp4"])
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def test_second_writer_of_an_output_is_refused_under_every_name(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to("t.mp4")
    file = PartFile(tmp_path / "t.mp4")
    for name in ("t.mp4", "link.mp4"):
        with pytest.raises(OutputError, match="is being written already"):
            PartFile(tmp_path / name)
    file.discard()
    complete(tmp_path / "link.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.mp4", "t.mp4"]


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "there.csv").write_text("old")
    (tmp_path / "a.csv").symlink_to("far/there.csv")
    (tmp_path / "b.csv").symlink_to("far/new.csv")
    for name, target in (("a.csv", "there.csv"), ("b.csv", "new.csv")):
        complete(tmp_path / name)
        assert (tmp_path / name).is_symlink() and (tmp_path / "far" / target).read_text() == "new"
    assert len(list((tmp_path / "far").iterdir())) == 2


def test_permissions_of_the_file_before_are_kept_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "old.csv").touch()
    (tmp_path / "old.csv").chmod(0o640)
    before = os.umask(0o027)
    try:
        for name in ("old.csv", "new.csv"):
            complete(tmp_path / name)
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_other_name_of_a_replaced_file_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("old")
    os.link(tmp_path / "old.csv", tmp_path / "copy.csv")
    complete(tmp_path / "old.csv")
    assert (tmp_path / "copy.csv").read_text() == "old"


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("sync"), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("rename"), replace(*names)))
    complete(tmp_path / "t.mp4")
    assert order == ["sync", "rename", "sync"]  # and the folder after it


def test_content_can_be_exchanged_for_another_form_of_it(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "out.bin")
    file.part.write_bytes(b"first")
    before = file.part
    with file.exchanged() as (old, new):
        assert old.read() == b"first" and before.exists()
        new.write(b"second")
        with pytest.raises(OutputError, match="being written already"):
            PartFile(tmp_path / "out.bin")
    assert not before.exists() and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="being written already"):
        PartFile(tmp_path / "out.bin")
    file.commit()
    assert (tmp_path / "out.bin").read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1


def test_exchange_that_fails_leaves_the_content_as_it_was(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "out.bin")
    file.part.write_bytes(b"first")
    with pytest.raises(OSError), file.exchanged() as (_, new):
        new.write(b"half of the sec")
        raise OSError
    assert list(tmp_path.iterdir()) == [file.part]
    file.commit()
    assert (tmp_path / "out.bin").read_bytes() == b"first"


def test_part_file_that_somebody_removed_or_replaced_is_an_error(tmp_path: Path) -> None:
    for disturb in (Path.unlink, lambda path: (path.unlink(), path.write_text("of somebody else"))):
        file = PartFile(tmp_path / "t.mp4")
        disturb(file.part)
        with pytest.raises(OutputError, match="somebody removed"):
            file.commit()
        file.discard()
        assert not (tmp_path / "t.mp4").exists()


def test_file_that_nobody_completes_goes_away(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "t.mp4")
    assert len(list(tmp_path.iterdir())) == 1
    del file
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_nothing(tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]) -> None:
    with full_disk(1000), pytest.raises(OutputError, match="File too large"):
        write_bytes(tmp_path / "a.png", bytes(2000))
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_nothing_while_its_error_is_still_held(tmp_path: Path) -> None:
    """Whoever holds the error holds what the frames of its traceback name, the file among them."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError) as held:
        write_bytes(tmp_path / "taken", b"content")
    assert held.tb is not None and [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_text_with_bytes_of_a_file_name_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "page.html", f"<h1>{LATIN}é</h1>")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<h1>caf\\udce9 é</h1>"


KILLED = """
import sys, time
from pathlib import Path
from skipvid.core.files import PartFile
file = PartFile(Path(sys.argv[1]))
file.part.write_text(sys.argv[2])
print("ready", flush=True)
time.sleep(60)
"""


def killed_run(path: Path, text: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), text], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    with pytest.raises(OutputError, match="is being written already"):
        PartFile(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_what_killed_runs_left_is_named_does_not_pile_up_and_goes_with_the_next_whole_output(tmp_path: Path) -> None:
    path = tmp_path / "t.mp4"
    for number in range(3):
        killed_run(path, f"run {number}")
        time.sleep(0.01)
        (left, *_) = reversed(left_behind(path))
        assert left.read_text() == f"run {number}"
        assert len(list(tmp_path.iterdir())) <= 2
    file = PartFile(path)
    file.discard()
    assert [left.read_text() for left in left_behind(path)] == ["run 2"]  # a run that fails takes nothing away
    complete(path)
    assert [left.name for left in tmp_path.iterdir()] == ["t.mp4"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 世界.mp4", "plain é 世界.mp4"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        (LATIN, "caf\\xe9 "),
        ("\ud800", "\\ud800"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)
def test_names_are_shown_in_one_line_without_commands_to_the_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()


@pytest.mark.parametrize("name", ["a" * 300, "é" * 200, LATIN * 60])
def test_names_are_cut_by_whole_characters_and_stay_different(name: str) -> None:
    cut = cut_name(name, 255)
    assert 240 < len(os.fsencode(cut)) <= 255
    assert cut != cut_name(name + "x", 255) and cut_name("short", 255) == "short"
    assert name.startswith(cut.rpartition("~")[0])


def test_files_that_belong_together_appear_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a.html", tmp_path / "b.yaml"
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith("b.yaml"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match=r"b\.yaml cannot be written: No space left"):
        patch.setattr(Path, "write_bytes", full)
        write_texts({first: "one", second: "two"})
    assert not list(tmp_path.iterdir())
    write_texts({first: "one", second: "two"})
    assert (first.read_text(), second.read_text()) == ("one", "two") and len(list(tmp_path.iterdir())) == 2
