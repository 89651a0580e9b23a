"""`skipvid probe`: what a source is, before anything is done with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--count", is_flag=True, help="Decode everything: count the frames and find damage.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def probe(sources: tuple[str, ...], count: bool, as_json: bool) -> None:
    """Container, codec, size, rotation, frame rate, duration, sound and damage of sources."""
    from skipvid.video.sources.probe import probe as examine
    from skipvid.video.sources.specs import expand_specs

    reports = [dataclasses.asdict(examine(spec, count=count)) for spec in expand_specs(sources)]
    if as_json:
        click.echo(json.dumps({"sources": reports}, indent=2, default=_plain))
        return
    for report in reports:
        name = report.pop("source")
        click.echo(name)
        for key, value in report.items():
            if value not in (None, "", (), []):
                click.echo(f"  {key.replace('_', ' '):14} {_text(value)}")


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, Path) else repr(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
