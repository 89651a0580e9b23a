"""Where skipvid keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """$SKIPVID_CACHE/PART, or PART in skipvid's folder of the XDG cache. Nothing is made."""
    own = os.environ.get("SKIPVID_CACHE")
    if own:
        return Path(own).expanduser() / part
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "skipvid" / part
