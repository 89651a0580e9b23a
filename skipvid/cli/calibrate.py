"""`skipvid calibrate`: thresholds of single maps for one's own camera, written as a preset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.calibrate import CalibrateSettings
from skipvid.cli.settings.command import command
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame
    from skipvid.evaluate.found import Goal
    from skipvid.pipeline.calibrate import Calibration
    from skipvid.video.sources.options import ReadOptions


@command(CalibrateSettings)
def calibrate(settings: CalibrateSettings) -> int:
    """Give every map of a network a threshold of its own, and write them as a preset.

    SOURCE is material like that to come: a few seconds with movement; it needs no labels. Maps on which the result depends little get
    higher thresholds, others lower ones, so that the error for the same saving is smaller.

    With a goal (--max-drop, --saving or --budget) all frames are used, and the preset says what it promises: what was measured on blocks of
    time that were left out. A page beside it shows the frontier. It takes 30 passes over the frames; a run that was broken off goes on
    where it ended. Where nothing meets the goal, the frontier is shown, nothing is written, and the exit code is 2.

    The options about persons are for pose presets.
    """
    from skipvid.cli.calibrate_goal import by_goal
    from skipvid.cli.calibrated_preset import check_gates, described, loaded
    from skipvid.cli.networks import network_preset
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
    if (goal := _goal(settings)) is not None:
        return by_goal(settings, goal, target, specs)
    read = settings.read.options()
    with Talk(settings.talk) as talk:
        preset = network_preset(settings.network, DEFAULT_DETECT)
        check_gates(preset, settings.motion)
        engine = loaded(settings.network, settings.motion, preset, talk)
        sources = [_frames(spec, read) for spec in specs]
        result = run(engine, sources, settings.inputs, settings.floor, talk.say)
        about = f"{result.measured.saving:.0%} of the MACs saved on {result.frames} inputs"
        save_preset(described(settings, preset, engine, target.stem, about, result.threshold, result.thresholds), target)
        _tell(result, target, settings.talk.as_json, talk)
    return 0


def _goal(settings: CalibrateSettings) -> Goal | None:
    """The goal that is set. Raises UsageError for more than one, or for settings that need one."""
    from skipvid.evaluate.found import Goal

    kinds: tuple[Literal["drop", "saving", "budget"], ...] = ("drop", "saving", "budget")
    values = (settings.max_drop, settings.saving, settings.budget)
    goals = [Goal(kind, value) for kind, value in zip(kinds, values, strict=True) if value is not None]
    if len(goals) > 1:
        raise UsageError("there is more than one goal", "give one of --max-drop, --saving and --budget")
    if not goals and (settings.truth or settings.html or settings.classes):
        raise UsageError("--truth, --class and --html are for a goal", "add --max-drop, --saving or --budget")
    return goals[0] if goals else None


def _frames(spec: str, wanted: ReadOptions) -> Iterator[Frame]:
    """Opened when its turn comes."""
    from skipvid.video.sources.open import open_source

    with open_source(spec, wanted) as source:
        yield from source


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
