"""--ray: two workers on this machine, one of which is killed; and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import write_clip

from skipvid.cli.app import run

ROOT = Path(__file__).parents[2]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is an extra: skipvid[ray]")


def start(place: Path, words: list[str]) -> subprocess.Popen[str]:
    # Workers are as nice as can be to others, which on a busy machine is too nice for a test.
    environment = {**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    program = [sys.executable, "-c", "from skipvid.cli import main; main()", *words]
    return subprocess.Popen(program, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def workers() -> list[int]:
    """Processes in which Ray analyses a file."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and b"_analyse_file" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_files_of_a_worker_that_is_killed_are_done_again_and_what_is_done_is_kept(tmp_path: Path) -> None:
    for number in range(4):
        write_clip(tmp_path / f"{number}.mp4", frames=120)
    words = ["detect", *(f"{number}.mp4" for number in range(4)), "-o", "{stem}.jsonl", "--ray", "local", "--json", "--offline"]
    process = start(tmp_path, words)
    end = time.monotonic() + 300
    while not (parts := list(tmp_path.glob("*.part"))) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    busy = workers()
    assert parts and busy
    os.kill(busy[0], signal.SIGKILL)
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert output.startswith("{"), output[:300]
    document = json.loads(output)
    assert [run["source"]["name"] for run in document["runs"]] == [f"{number}.mp4" for number in range(4)]
    assert document["all"]["frames"] == 480 and "failed" not in document
    for number in range(4):
        lines = (tmp_path / f"{number}.jsonl").read_text().splitlines()
        assert len(lines) == 122 and json.loads(lines[-1])["type"] == "summary"
    assert not list(tmp_path.glob("*.part"))
    (tmp_path / "2.jsonl").unlink()
    before = (tmp_path / "1.jsonl").stat().st_mtime_ns
    again = start(tmp_path, words)
    output, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert [run["source"]["name"] for run in json.loads(output)["runs"]] == ["2.mp4"]
    assert (tmp_path / "1.jsonl").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "--csv", "c.csv"], "--csv and --ray contradict each other"),
        (["a.mp4", "-o", "-"], "-o - and --ray contradict each other"),
        (["rtsp://10.0.0.1/live"], "--ray is for files, not for rtsp://10.0.0.1/live"),
        (["-"], "--ray is for files, not for -"),
        (["--webcam", "1"], "--webcam and --ray contradict each other"),
        (["a.mp4", "--web", "8090"], "--web and --ray contradict each other"),
        (["a.mp4", "--jobs", "2"], "--jobs and --ray contradict each other"),
    ],
)
def test_what_only_one_machine_can_do_is_refused(
    words: list[str], message: str, empty_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(empty_place / "a.mp4", frames=2)
    assert run(["detect", *words, "--ray", "local"]) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra_one_line_says_how_to_get_ray(
    empty_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_clip(empty_place / "a.mp4", frames=2)
    assert run(["detect", "a.mp4", "--ray", "local"]) == 2
    assert capsys.readouterr().err == "skipvid: --ray needs ray, which is not installed; pip install 'skipvid[ray]'\n"
