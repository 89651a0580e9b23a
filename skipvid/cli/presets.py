"""`skipvid presets`: what can be run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from skipvid.presets.preset import Preset


@click.group(invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List and inspect the networks that can be run."""
    if context.invoked_subcommand is None:
        context.invoke(show_list)


@presets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_list(as_json: bool = False) -> None:
    """Names and descriptions; the first is the default."""
    from skipvid.presets.preset import list_presets

    known = list_presets()
    if as_json:
        click.echo(json.dumps([{"name": p.name, "task": p.task, "description": p.description} for p in known], indent=2))
        return
    width = max(len(preset.name) for preset in known)
    for preset in known:
        click.echo(f"{preset.name:{width}}  {preset.task:6}  {preset.description}")


@presets.command("show")
@click.argument("name")
@click.option("--cost", is_flag=True, help="Count the network, too (takes some seconds).")
def show(name: str, cost: bool) -> None:
    """One preset as YAML, ready to be changed and used with --preset FILE."""
    from skipvid.presets.preset import dump_preset, load_preset

    preset = load_preset(name)
    click.echo(dump_preset(preset), nl=False)
    if cost:
        click.echo("\n".join(f"# {line}" for line in _count(preset)))


@presets.command("path")
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Where a preset's file is; without a name, where all of them are and where weights are kept."""
    from skipvid.presets.preset import load_preset, preset_folder
    from skipvid.presets.weights import cache_folder

    if name is None:
        click.echo(f"presets: {preset_folder()}\nweights: {cache_folder()}")
        return
    preset = load_preset(name)
    assert preset.folder is not None
    click.echo(preset.folder / f"{preset.name}.yaml")


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
