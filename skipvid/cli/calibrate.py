"""`skipvid calibrate`: thresholds of single maps for one's own camera, written as a preset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import Fraction, Threshold, network_options, option, read_options, source_argument, talk_options
from skipvid.cli.pose import check_people, load_engine, people_options

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame
    from skipvid.pipeline.calibrate import Calibration
    from skipvid.presets.preset import Preset
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.video.sources.options import ReadOptions


@click.command()
@source_argument
@option("-o", "--output", required=True, metavar="FILE.yaml", help="The preset to write.")
@option("--saving", type=Fraction(), help="Fraction of the MACs to save on this material.  [what the preset saves there, more exactly]")
@option(
    "--floor",
    type=Threshold(),
    default=0.0,
    metavar="T",
    help="No map gets a lower threshold; about 0.05 keeps a noisy camera from opening everything.  [default: 0]",
)
@option("--inputs", type=click.IntRange(min=2), default=200, metavar="N", help="Frames (or persons in frames) to use.  [default: 200]")
@network_options("efficientdet-nano")
@people_options
@read_options
@option("--overwrite", is_flag=True, help="Replace an existing preset.")
@talk_options
def calibrate(**options: Any) -> int:
    """Give every map of a network a threshold of its own, and write them as a preset.

    SOURCE is material like that to come: a few seconds with movement, no labels. Maps on which the result depends little get higher
    thresholds, others lower ones, so that the error for the same saving is smaller. The options about persons are for pose presets.
    """
    from skipvid.cli.setup import check_options, chosen_preset, read_options
    from skipvid.cli.talk import Talk
    from skipvid.core.errors import OutputError
    from skipvid.pipeline.calibrate import calibrate as run
    from skipvid.presets.preset import DEFAULT_DETECT, save_preset
    from skipvid.video.sinks.targets import check_path
    from skipvid.video.sources.specs import expand_specs

    check_options(options)
    check_people(options)
    target = Path(options["output"])
    if target.suffix not in (".yaml", ".yml"):
        raise OutputError(f"{target}: a preset is a YAML file", "choose a name that ends in .yaml")
    specs = expand_specs(options["sources"])
    check_path(str(target), specs, options["overwrite"])
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        preset = chosen_preset(options, DEFAULT_DETECT)
        engine = load_engine(options, preset, talk)
        sources = [_frames(spec, read_options(options)) for spec in specs]
        result = run(engine, sources, options["saving"], options["inputs"], options["floor"], talk.say)
        save_preset(_preset(preset, engine, result, target.stem, options["weights"]), target)
        _tell(result, target, options, talk)
    return 0


def _frames(spec: str, wanted: ReadOptions) -> Iterator[Frame]:
    """Opened when its turn comes."""
    from skipvid.video.sources.open import open_source

    with open_source(spec, wanted) as source:
        yield from source


def _preset(preset: Preset, engine: DetectEngine | PoseEngine, result: Calibration, name: str, weights: str | None) -> Preset:
    """The preset with what was found, usable from anywhere: a weights file is named by its whole path."""
    from dataclasses import replace

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


def _tell(result: Calibration, target: Path, options: Mapping[str, Any], talk: Talk) -> None:
    numbers = {
        "inputs": result.frames,
        "maps": len(result.thresholds),
        "saving": round(result.measured.saving, 4),
        "error": round(result.measured.error, 4),
        "before": {"saving": round(result.before.saving, 4), "error": round(result.before.error, 4)},
        "preset": str(target.resolve()),
    }
    if options["as_json"]:
        click.echo(json.dumps(numbers, indent=2))
    elif not options["quiet"]:
        values = result.thresholds.values()
        click.echo(f"{len(values)} thresholds from {min(values):g} to {max(values):g}, measured on {result.frames} inputs of the network:")
        for name, measured in (("before", result.before), ("calibrated", result.measured)):
            click.echo(f"  {name:<10}  {measured.saving:6.1%} of the MACs saved, outputs off by {measured.error:.1%} of their size")
    talk.say(f"wrote {target.resolve()}")
