"""tools/kill.py on one kill: what is left plays or parses, and the next run is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "kill.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_run_leaves_every_kind_of_output_readable() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--times", "1", "--seed", "3", "--longest", "4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kills, 0 faults" in done.stdout
