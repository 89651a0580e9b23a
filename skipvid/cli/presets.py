"""`skipvid presets`: what can be run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, optional_argument

if TYPE_CHECKING:
    from skipvid.presets.preset import Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """Settings of `presets list`."""

    as_json: bool = flag("--json", help="Print one JSON document.")


@command(ListSettings, "list")
def show_list(settings: ListSettings) -> None:
    """Names and descriptions; the first is the default."""
    from skipvid.presets.preset import list_presets

    known = list_presets()
    if settings.as_json:
        click.echo(json.dumps([{"name": p.name, "task": p.task, "description": p.description} for p in known], indent=2))
        return
    width = max(len(preset.name) for preset in known)
    for preset in known:
        click.echo(f"{preset.name:{width}}  {preset.task:6}  {preset.description}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSettings:
    """Settings of `presets show`."""

    name: str = argument()
    cost: bool = flag("--cost", help="Count the network, too (takes some seconds).")


@command(ShowSettings)
def show(settings: ShowSettings) -> None:
    """One preset as YAML, ready to be changed and used with --preset FILE."""
    from skipvid.presets.preset import dump_preset, load_preset

    preset = load_preset(settings.name)
    click.echo(dump_preset(preset), nl=False)
    if settings.cost:
        click.echo("\n".join(f"# {line}" for line in _count(preset)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """Settings of `presets path`."""

    name: str | None = optional_argument(default=None)


@command(PathSettings)
def path(settings: PathSettings) -> None:
    """Where a preset's file is; without a name, where all of them are, and where weights and compiled programs are kept."""
    from skipvid.core.folders import cache_folder
    from skipvid.presets.preset import load_preset, preset_folder
    from skipvid.skip.kept import kept_bytes

    if settings.name is None:
        programs = cache_folder("programs")
        click.echo(f"presets: {preset_folder()}\nweights: {cache_folder('weights')}")
        click.echo(f"programs: {programs} ({kept_bytes(programs) / 2**20:.1f} MiB)")
        return
    preset = load_preset(settings.name)
    assert preset.folder is not None
    click.echo(preset.folder / f"{preset.name}.yaml")


@click.group(invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List and inspect the networks that can be run."""
    if context.invoked_subcommand is None:
        show_list.run(ListSettings())


for each in (show_list, show, path):
    presets.add_command(each)


def _count(preset: Preset) -> list[str]:
    """Lines about the size of a preset's network for a 16:9 source."""
    import torch

    from skipvid.models import build_model
    from skipvid.skip.api import convert
    from skipvid.skip.config import SkipConfig

    net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    height, width = preset.input_size(1080, 1920)
    model, report = convert(net, torch.zeros(1, 3, height, width), SkipConfig(gate="norm"))
    session = model.session()
    session(torch.zeros(1, 3, height, width))
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return [
        f"{parameters / 1e6:.2f} M parameters",
        f"input {width}x{height} for a 16:9 source",
        *str(report).splitlines(),
        f"state of one stream: {session.memory_bytes / 2**20:.1f} MiB",
    ]
