"""The command line. This package stays light: a command imports torch, cv2 and the rest only when it runs."""

from __future__ import annotations

from skipvid.cli.app import main

__all__ = ["main"]
