"""`skipvid presets`: what can be run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, optional_argument, required, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, SourceSettings, TalkSettings
from skipvid.cli.settings.model_file import FileSettings

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
        click.echo(f"{preset.name:{width}}  {preset.task:7}  {preset.description}")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSettings:
    """Settings of `presets add`."""

    name: str = argument()
    model: Path = required("--model", metavar="FILE", help="The network: an .onnx file, or a .pt2 of torch.export. It stays where it is.")
    file: FileSettings = field(default_factory=FileSettings)
    calibrate: tuple[str, ...] = setting(
        "--calibrate", default=(), metavar="CLIP", help="Give its maps thresholds of their own on this material; repeatable."
    )
    overwrite: bool = flag("--overwrite", help="Replace a preset of that name.")
    quiet: bool = flag("-q", "--quiet", help="Only errors.")


@command(AddSettings)
def add(settings: AddSettings) -> None:
    """Make a preset of a network file, which every command then knows by NAME.

    Its head is recognised from the names and shapes of its outputs; what stands in the preset can be changed there: skipvid presets path.
    """
    from skipvid.core.errors import OutputError, UsageError
    from skipvid.core.folders import own_presets
    from skipvid.presets.preset import bundled_names, save_preset
    from skipvid.tasks.network_files import preset_of_file

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", settings.name) or settings.name.endswith((".yaml", ".yml")):
        raise UsageError(f"'{settings.name}' is no name for a preset", "use letters, digits, '-', '_' and '.'")
    if settings.name in bundled_names():
        raise UsageError(f"the preset {settings.name} comes with skipvid", "choose another name")
    target = own_presets() / f"{settings.name}.yaml"
    if target.exists() and not settings.overwrite:
        raise OutputError(f"{target} exists", "give another name, or --overwrite")
    preset = preset_of_file(settings.model, None, settings.file.choice(settings.file.size))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target.parent} cannot be made: {error.strerror}", "point SKIPVID_PRESETS elsewhere") from None
    save_preset(replace(preset, name=settings.name), target)
    if settings.calibrate:
        _calibrate(target, settings)
    if not settings.quiet:
        what = f"{preset.description}, {len(preset.label_set.outputs)} {'joints' if preset.task == 'pose' else 'classes'}"
        click.echo(f"{what}\nwrote {target}\nuse it with: skipvid {preset.task} SOURCE --preset {settings.name}", err=True)


def _calibrate(target: Path, settings: AddSettings) -> None:
    """As `skipvid calibrate` does, in place."""
    from skipvid.cli.calibrate import calibrate
    from skipvid.cli.settings.calibrate import CalibrateSettings

    calibrate.run(
        CalibrateSettings(
            source=SourceSettings(sources=settings.calibrate),
            output=str(target),
            network=PeopleNetworkSettings(preset=str(target)),
            overwrite=True,
            talk=TalkSettings(quiet=settings.quiet),
        )
    )


@click.group(invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List, inspect and add networks that can be run."""
    if context.invoked_subcommand is None:
        show_list.run(ListSettings())


for each in (show_list, show, path, add):
    presets.add_command(each)


def _count(preset: Preset) -> list[str]:
    """Lines about the size of a preset's network for a 16:9 source."""
    import torch

    from skipvid.models import build_model
    from skipvid.presets.preset import FILE
    from skipvid.presets.weights import resolve_weights
    from skipvid.skip.api import convert
    from skipvid.skip.config import SkipConfig
    from skipvid.tasks.network_files import open_net

    if preset.model == FILE:
        net = open_net(preset, resolve_weights(preset).path)
    else:
        net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    height, width = preset.input_size(1080, 1920)
    model, report = convert(net, torch.zeros(1, 3, height, width), SkipConfig(gate="norm"))
    session = model.session()
    session(torch.zeros(1, 3, height, width))
    weights = net.buffers() if preset.model == FILE else net.parameters()  # nothing of a network file is to be trained
    parameters = sum(weight.numel() for weight in weights)
    return [
        f"{parameters / 1e6:.2f} M parameters",
        f"input {width}x{height} for a 16:9 source",
        *str(report).splitlines(),
        f"state of one stream: {session.memory_bytes / 2**20:.1f} MiB",
    ]
