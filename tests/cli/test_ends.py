"""Every way a run can end, with a real process: signals, streams that are closed, full or without a reader, and a disk that fills up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import pytest
from clips import write_clip

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "long.mp4", frames=1500)
    write_clip(folder / "short.mp4", frames=4)
    return folder


@pytest.fixture
def place(tmp_path: Path, clips: Path) -> Path:
    for clip in clips.iterdir():
        (tmp_path / clip.name).symlink_to(clip)
    return tmp_path


def program(words: Sequence[str], before: str = "") -> list[str]:
    return [sys.executable, "-c", f"{before}\nfrom skipvid.cli import main; main()", *words, "--threads", "1"]


def start(place: Path, words: Sequence[str], before: str = "", **options: Any) -> subprocess.Popen[str]:
    def as_in_a_terminal() -> None:
        # Tests that run in the background, or under nohup, inherit ignored signals, which stay ignored.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options}
    return subprocess.Popen(program(words, before), cwd=place, text=True, preexec_fn=as_in_a_terminal, **options)


def wait_for_frames(process: subprocess.Popen[str], output: Path, count: int = 5) -> None:
    """Until the JSONL output that the process is writing has so many lines."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if any(part.read_text().count("\n") > count for part in output.parent.glob(f"{output.name}.*.part")):
            return
        time.sleep(0.05)


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_polite_stop_leaves_whole_files_of_every_source_so_far(place: Path, name: str, code: int) -> None:
    outputs = ["-o", "o_{stem}.mp4", "-o", "o_{stem}.jsonl", "-o", "o_{stem}.coco.json", "--csv", "cost.csv"]
    process = start(place, ["detect", "short.mp4", "long.mp4", *outputs, "--json"])
    wait_for_frames(process, place / "o_long.jsonl")
    process.send_signal(getattr(signal, name))
    out, error = process.communicate(timeout=200)
    assert process.returncode == code, error
    assert f"stopped by {name}" in error and "Traceback" not in error
    assert [run["interrupted"] for run in json.loads(out)["runs"]] == [False, True]
    lines = records(place / "o_long.jsonl")
    assert lines[-1]["type"] == "summary" and lines[-1]["interrupted"] is True
    assert frames_of(place / "o_long.mp4") == len(lines) - 2 == len(json.loads((place / "o_long.coco.json").read_text())["images"])
    assert frames_of(place / "o_short.mp4") == 4 and (place / "cost.csv").read_text().count(",total,") == 2
    assert not list(place.glob("*.part"))


def test_stdin_that_stops_half_way_can_be_stopped_and_what_came_is_kept(place: Path) -> None:
    write_clip(place / "live.mkv", frames=600)
    with (place / "live.mkv").open("rb") as file:
        data = file.read()
    process = start(place, ["detect", "-", "-o", "o.jsonl", "-q"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    os.write(process.stdin.fileno(), data[: len(data) // 2])
    wait_for_frames(process, place / "o.jsonl")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)
    assert process.returncode == 143
    assert records(place / "o.jsonl")[-1]["interrupted"] is True and not list(place.glob("*.part"))


def test_run_under_nohup_goes_on(place: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = start(place, ["detect", "long.mp4", "-o", "o.jsonl", "--max-frames", "40", "-q"], ignoring)
    wait_for_frames(process, place / "o.jsonl", 2)
    process.send_signal(signal.SIGHUP)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert records(place / "o.jsonl")[-1]["frames"] == 40


def test_reader_of_stdout_that_goes_away_ends_the_run_and_keeps_the_files(place: Path) -> None:
    process = start(place, ["detect", "long.mp4", "-o", "-", "-o", "o.mp4"])
    assert process.stdout is not None
    first = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    assert process.wait(200) == 141 and "stdout's reader has ended" in error and "Traceback" not in error
    assert [record["type"] for record in first] == ["header", "frame", "frame"] and frames_of(place / "o.mp4") >= 2
    process.stderr.close()


STREAMS = [
    # what is wrong, command, exit code, in stderr
    ("> /dev/full", ["detect", "short.mp4", "-o", "o.csv"], 6, "No space left"),
    ("> /dev/full", ["detect", "short.mp4", "-o", "-"], 6, "No space left"),
    ("> /dev/full", ["presets", "list"], 6, "No space left"),
    (">&-", ["detect", "short.mp4", "-o", "-"], 6, "stdout cannot be written"),
    (">&-", ["detect", "short.mp4", "-q", "-o", "o.csv"], 0, ""),
    ("<&-", ["detect", "-", "-o", "o.csv"], 3, "nothing is piped into stdin"),
    ("2>&-", ["detect", "short.mp4", "-o", "o.csv"], 0, ""),
    ("2>&-", ["detect", "gone.mp4"], 3, ""),
    ("| a reader that has ended", ["presets", "list"], 141, "its reader has ended"),
]


@pytest.mark.parametrize(("how", "words", "code", "says"), STREAMS, ids=[f"{case[1][0]} {case[0]} {case[2]}" for case in STREAMS])
def test_streams_that_cannot_be_used_have_their_exit_code_and_one_line(
    place: Path, how: str, words: list[str], code: int, says: str
) -> None:
    command = [sys.executable, "-c", "from skipvid.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "TERM": "dumb"}
    reading, writing = os.pipe()
    os.close(reading)
    output, how = (writing, "") if how == "| a reader that has ended" else (None, how)
    shell = ["bash", "-c", f'exec "$@" 2>err {how}', "bash", *command]
    done = subprocess.run(shell, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=output, timeout=240)
    os.close(writing)
    error = (place / "err").read_text()
    assert done.returncode == code, error
    assert says in error and "Traceback" not in error and "Exception ignored" not in error
    if code and how != "2>&-":
        assert error.count("\n") == 1
    assert not list(place.glob("*.part")) and (place / "o.csv").exists() == (
        code == 0 or (how, words[0]) == ("> /dev/full", "detect") and "o.csv" in words
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB; needs the right to mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("output", ["o.mp4", "o.jsonl", "o.csv", "o.coco.json", "cost.csv"])
def test_disk_that_fills_up_is_one_line_exit_code_6_and_leaves_nothing(
    place: Path, small_disk: Path, output: str, random_weights: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes(388_000))  # three pages are left
    target = ["--csv", f"small/{output}", "-o", "other.jsonl"] if output == "cost.csv" else ["-o", f"small/{output}"]
    process = start(place, ["detect", "long.mp4", *target, "-q", "--weights", str(random_weights), "--max-frames", "150"])
    _, error = process.communicate(timeout=280)
    assert process.returncode == 6, error
    assert error.count("\n") == 1 and output in error and "No space left" in error
    assert [path.name for path in small_disk.iterdir()] == ["ballast"] and not list(place.glob("*.part"))


def test_cache_and_home_that_cannot_be_written_do_not_matter_until_they_are_needed(place: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME", "SKIPVID_CACHE")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": "/proc/nowhere"}
    process = start(place, ["detect", "short.mp4", "-q"], env=environment)
    _, error = process.communicate(timeout=240)
    assert (process.returncode, error) == (0, "")
    process = start(place, ["detect", "short.mp4", "--preset", "tf_efficientdet_d0", "--overwrite"], env=environment)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 4 and error.count("\n") == 1 and "/proc/nowhere" in error


def test_two_runs_for_one_output_end_with_one_video_and_one_clear_line(place: Path) -> None:
    (place / "t.mp4.part").write_text("mine")
    first = start(place, ["detect", "long.mp4", "-o", "t.mp4", "-o", "t.jsonl", "--overwrite"])
    wait_for_frames(first, place / "t.jsonl")
    first.send_signal(signal.SIGSTOP)  # so that it is at work for as long as the other takes
    second = start(place, ["detect", "short.mp4", "-o", "t.mp4", "-o", "t.jsonl", "--overwrite"])
    _, error = second.communicate(timeout=240)
    assert second.returncode == 6 and "is being written already" in error
    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=200)
    assert frames_of(place / "t.mp4") == records(place / "t.jsonl")[-1]["frames"] and records(place / "t.jsonl")[0]["source"] == "long.mp4"
    assert (place / "t.mp4.part").read_text() == "mine" and len(list(place.glob("*.part"))) == 1
