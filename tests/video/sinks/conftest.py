from __future__ import annotations

import sys
from pathlib import Path

# The clips of the sources' tests serve here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
