"""`benchmarks/kernels.py` runs and measures what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_kernels_of_a_layer_are_measured_whole_and_in_part() -> None:
    pytest.importorskip("skipvid.skip.cpu._native", exc_type=ImportError)
    command = [sys.executable, str(ROOT / "benchmarks/kernels.py"), "--rounds", "1", "--only", "hrnet 256"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert found.returncode == 0, found.stderr
    (row,) = (line for line in found.stdout.splitlines() if line.startswith("| hrnet 256"))
    numbers = [float(number) for number in re.findall(r"[\d.]+(?= of|%| \|)", row.split("8x6")[1])]
    assert len(numbers) >= 7 and all(number > 0 for number in numbers), row
    reductions = [float(number) for number in re.findall(r"of ([\d.]+)", row)]
    assert reductions == sorted(reductions) and reductions[0] > 1, row
