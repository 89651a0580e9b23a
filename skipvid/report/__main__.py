"""Show the printed report, and write the HTML one where a file is named."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from skipvid.report.demonstration import demonstration
from skipvid.report.html import write_html
from skipvid.report.table import render_report


def main() -> None:
    builder, comparison, thresholds = demonstration()
    summary = builder.build(wall_seconds=9.31)
    render_report(summary, comparison, console=Console(), thresholds=thresholds)
    for name in sys.argv[1:2]:
        write_html(Path(name), summary, comparison=comparison, thresholds=thresholds, curve=builder.curve)


if __name__ == "__main__":
    main()
