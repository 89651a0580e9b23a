"""`skipvid probe`: what a source is, before anything is done with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag
from skipvid.cli.settings.groups import SourceSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """Settings of `probe`."""

    source: SourceSettings
    count: bool = flag("--count", help="Decode everything: count the frames and find damage.")
    as_json: bool = flag("--json", help="Print one JSON document.")


@command(ProbeSettings)
def probe(settings: ProbeSettings) -> None:
    """Container, codec, size, rotation, frame rate, duration, sound and damage of sources."""
    from skipvid.video.sources.probe import probe as examine
    from skipvid.video.sources.specs import expand_specs

    reports = [dataclasses.asdict(examine(spec, count=settings.count)) for spec in expand_specs(settings.source.sources)]
    if settings.as_json:
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
