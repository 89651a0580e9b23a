"""tools/fuzz.py on thirty files of each kind: spoiled inputs never hang, crash, or end without one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "fuzz.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thirty_spoiled_files_of_each_kind_end_as_they_should() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--videos", "30", "--others", "30", "--seed", "20"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("30 cases") == done.stdout.count(" 0 faults") == 6
