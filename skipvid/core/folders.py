"""Folders of the user's own: of what skipvid can make or fetch again, and of what it is told to keep."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """$SKIPVID_CACHE/PART, or PART in skipvid's folder of the XDG cache. Nothing is made."""
    own = os.environ.get("SKIPVID_CACHE")
    return Path(own).expanduser() / part if own else _xdg("XDG_CACHE_HOME", ".cache") / part


def own_presets() -> Path:
    """$SKIPVID_PRESETS, or the folder of presets in skipvid's folder of the XDG configuration. Nothing is made."""
    own = os.environ.get("SKIPVID_PRESETS")
    return Path(own).expanduser() if own else _xdg("XDG_CONFIG_HOME", ".config") / "presets"


def _xdg(variable: str, usual: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / usual) / "skipvid"
