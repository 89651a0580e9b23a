"""A second start: compiled programs are found on disk, and neither PyTorch nor the network is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import skipvid
from skipvid.skip import cpu as native

CLIP = Path(skipvid.__file__).parents[1] / "sample_videos" / "exercise.mp4"

pytestmark = [
    pytest.mark.skipif(not native.status().available, reason=native.status().reason),
    pytest.mark.skipif(not CLIP.is_file(), reason="the samples are not beside the package"),
]

RUN = """
import sys
from skipvid.cli.app import run
code = run(sys.argv[1:])
print("LOADED", "torch" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def start(words: Sequence[str], place: Path, **environment: str) -> tuple[str, bool]:
    """What a run of the command printed, and whether it loaded PyTorch."""
    own = {**os.environ, "SKIPVID_CACHE": str(place / "cache"), **environment}
    arguments = [sys.executable, "-c", RUN, *words, "--max-frames", "3", "--threads", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, cwd=place, env=own)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()[-1] == "LOADED True"


def records(text: str) -> list[dict[str, object]]:
    """Frames without what they took."""
    return [{key: value for key, value in json.loads(line).items() if key != "ms"} for line in text.splitlines() if '"frame"' in line]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["detect", str(CLIP), "-o", "-"], id="detect"),
        pytest.param(["pose", str(CLIP), "-o", "-"], id="pose"),
        pytest.param(["detect", str(CLIP), "-o", "-", "--gate", "norm-output", "--precision", "bf16"], id="norm-output"),
        pytest.param(["detect", str(CLIP), "-o", "-", "--gate", "norm-smooth"], id="norm-smooth"),
    ],
)
def test_a_second_run_loads_no_torch_and_finds_the_same(words: list[str], tmp_path: Path) -> None:
    first, cold = start(words, tmp_path)
    second, warm = start(words, tmp_path)
    assert (cold, warm) == (True, False)
    assert records(first) == records(second) and len(records(first)) >= 3


def test_video_output_and_the_report_start_from_the_same_programs(tmp_path: Path) -> None:
    assert start(["report", str(CLIP)], tmp_path)[1]
    assert not start(["report", str(CLIP)], tmp_path)[1]
    assert not start(["detect", str(CLIP), "-o", "out.mp4"], tmp_path)[1]
    assert (tmp_path / "out.mp4").is_file()


def test_what_has_to_be_loaded_again_is(tmp_path: Path) -> None:
    words = ["detect", str(CLIP), "-o", "-"]
    start(words, tmp_path)
    assert start([*words, "--threshold", "0.5"], tmp_path)[1]
    for path in (tmp_path / "cache" / "programs").iterdir():
        path.write_bytes(b"no program")
    assert start(words, tmp_path)[1]
    assert not start(words, tmp_path)[1]


def test_the_cache_is_told_by_name_and_size(tmp_path: Path) -> None:
    start(["detect", str(CLIP), "-o", "-"], tmp_path)
    (program,) = (tmp_path / "cache" / "programs").iterdir()
    told = "\n".join(
        subprocess.run(
            [sys.executable, "-c", RUN, *words],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "SKIPVID_CACHE": str(tmp_path / "cache")},
        ).stdout
        for words in (["presets", "path"], ["doctor"])
    )
    size = f"{program.stat().st_size / 2**20:.1f} MiB"
    assert f"programs: {program.parent} ({size})" in told
    assert f"{size} of compiled programs in {program.parent}" in told


def test_the_package_itself_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "skipvid", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == f"skipvid {skipvid.__version__}\n"
