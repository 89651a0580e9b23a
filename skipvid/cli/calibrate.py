"""`skipvid calibrate`: thresholds of single maps for one's own camera, written as a preset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag, required, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, SourceSettings, TalkSettings
from skipvid.cli.settings.types import Fraction, Threshold

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame
    from skipvid.pipeline.calibrate import Calibration
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine
    from skipvid.video.sources.options import ReadOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """Settings of `calibrate`."""

    source: SourceSettings
    output: str = required("-o", "--output", metavar="FILE.yaml", help="The preset to write.")
    saving: float | None = setting(
        "--saving",
        default=None,
        type=Fraction(),
        help="Fraction of the MACs to save on this material.  [what the preset saves there, more exactly]",
    )
    floor: float = setting(
        "--floor",
        default=0.0,
        type=Threshold(),
        metavar="T",
        help="No map gets a lower threshold; about 0.05 keeps a noisy camera from opening everything.  [default: 0]",
    )
    inputs: int = setting(
        "--inputs", default=200, type=click.IntRange(min=2), metavar="N", help="Frames (or persons in frames) to use.  [default: 200]"
    )
    network: PeopleNetworkSettings = field(default_factory=PeopleNetworkSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    overwrite: bool = flag("--overwrite", help="Replace an existing preset.")
    talk: TalkSettings = field(default_factory=TalkSettings)


@command(CalibrateSettings)
def calibrate(settings: CalibrateSettings) -> int:
    """Give every map of a network a threshold of its own, and write them as a preset.

    SOURCE is material like that to come: a few seconds with movement, no labels. Maps on which the result depends little get higher
    thresholds, others lower ones, so that the error for the same saving is smaller. The options about persons are for pose presets.
    """
    from skipvid.cli.networks import load_engine, network_preset
    from skipvid.cli.talk import Talk
    from skipvid.core.errors import OutputError
    from skipvid.pipeline.calibrate import calibrate as run
    from skipvid.presets.preset import DEFAULT_DETECT, save_preset
    from skipvid.video.sinks.targets import check_path
    from skipvid.video.sources.specs import expand_specs

    target = Path(settings.output)
    if target.suffix not in (".yaml", ".yml"):
        raise OutputError(f"{target}: a preset is a YAML file", "choose a name that ends in .yaml")
    specs = expand_specs(settings.source.sources)
    check_path(str(target), specs, settings.overwrite)
    network, read = settings.network, settings.read.options()
    with Talk(settings.talk) as talk:
        preset = network_preset(network, DEFAULT_DETECT)
        engine = load_engine(network, preset, talk)
        sources = [_frames(spec, read) for spec in specs]
        result = run(engine, sources, settings.saving, settings.inputs, settings.floor, talk.say)
        save_preset(_preset(preset, engine, result, target.stem, network.weights), target)
        _tell(result, target, settings.talk.as_json, talk)
    return 0


def _frames(spec: str, wanted: ReadOptions) -> Iterator[Frame]:
    """Opened when its turn comes."""
    from skipvid.video.sources.open import open_source

    with open_source(spec, wanted) as source:
        yield from source


def _preset(preset: Preset, engine: Engine, result: Calibration, name: str, weights: str | None) -> Preset:
    """The preset with what was found, usable from anywhere: a weights file is named by its whole path."""
    from skipvid.presets.weights import movable

    config = engine.model.config
    about = f"{preset.description}; calibrated: {result.measured.saving:.0%} of the MACs saved on {result.frames} inputs"
    return replace(
        movable(preset, weights),
        name=name,
        description=about,
        gate=config.gate,
        block=config.block,
        threshold=result.threshold,
        thresholds=dict(result.thresholds),
    )


def _tell(result: Calibration, target: Path, as_json: bool, talk: Talk) -> None:
    numbers = {
        "inputs": result.frames,
        "maps": len(result.thresholds),
        "saving": round(result.measured.saving, 4),
        "error": round(result.measured.error, 4),
        "before": {"saving": round(result.before.saving, 4), "error": round(result.before.error, 4)},
        "preset": str(target.resolve()),
    }
    if as_json:
        click.echo(json.dumps(numbers, indent=2))
    elif not talk.quiet:
        values = result.thresholds.values()
        click.echo(f"{len(values)} thresholds from {min(values):g} to {max(values):g}, measured on {result.frames} inputs of the network:")
        for name, measured in (("before", result.before), ("calibrated", result.measured)):
            click.echo(f"  {name:<10}  {measured.saving:6.1%} of the MACs saved, outputs off by {measured.error:.1%} of their size")
    talk.say(f"wrote {target.resolve()}")
