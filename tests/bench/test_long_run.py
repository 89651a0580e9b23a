"""The long run, short: what it looks at must hold, and a broken promise must be seen."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def long_run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("long_run")  # type: ignore[misc]
    for name in ("long_run", "memory", "tables"):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "frames"), [("0", 160), ("0.05", 400)])  # memory and stamps do not depend on the threshold
def test_short_run_keeps_every_promise(threshold: str, frames: int) -> None:
    # In a process of its own, whose memory is nobody else's.
    words = ["--frames", str(frames), "--input", "96", "--threshold", threshold, "--check", str(frames // 10)]
    done = subprocess.run([sys.executable, str(BENCHMARKS / "long_run.py"), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{frames} frames, {frames} records" in done.stdout


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"memory": [100.0] * 50 + [140.0] * 50}, "memory grew"),
        ({"memory": [100.0] * 50 + [140.0] * 50, "index": 1 << 19}, None),  # bytes a frame of a container's index
        ({"shares": [0.2, 1.01]}, "farther from its exact value"),
        ({"last": 3.9}, "last frame"),
        ({"distances": [(0, 0.0), (1, 0.001)]}, "threshold 0"),
        ({"threshold": 0.1, "distances": [(i, 0.02 * i) for i in range(20)]}, "grew from"),
        ({}, None),
    ],
)
def test_broken_promise_is_named(long_run: ModuleType, changes: dict[str, object], complaint: str | None) -> None:
    found = {"memory": [100.0] * 100, "distances": [(i, 0.0) for i in range(20)], "threshold": 0.0, "last": 3.96, "frames": 100}
    found |= {"index": 0, "shares": [0.5, 1.0]}
    broken = long_run.verdicts(**{**found, **changes})
    assert (complaint is None and not broken) or any(complaint in line for line in broken)
