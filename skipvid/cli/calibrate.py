"""`skipvid calibrate`: thresholds of single maps for one's own camera, written as a preset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag, required, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, SourceSettings, TalkSettings
from skipvid.cli.settings.motion import MotionSettings
from skipvid.cli.settings.types import Milliseconds, Points, Saving, Threshold
from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame
    from skipvid.evaluate.found import Goal
    from skipvid.pipeline.calibrate import Calibration
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine
    from skipvid.video.sources.options import ReadOptions


CALIBRATED = "; calibrated: "
"""Before what a calibration says of itself in a preset's description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """Settings of `calibrate`."""

    source: SourceSettings
    output: str = required("-o", "--output", metavar="FILE.yaml", help="The preset to write.")
    max_drop: float | None = setting(
        "--max-drop", default=None, type=Points(), metavar="POINTS", help="Goal: lose at most so many points on frames left out."
    )
    saving: float | None = setting(
        "--saving", default=None, type=Saving(), metavar="TIMES", help="Goal: so many times fewer MACs, or (0.75) this fraction saved."
    )
    budget: float | None = setting(
        "--budget", default=None, type=Milliseconds(), metavar="MS", help="Goal: at most so many milliseconds a frame for the network."
    )
    truth: tuple[str, ...] = setting(
        "--truth",
        default=(),
        metavar="FILE",
        help="Of a goal: where the objects are, COCO JSON or MOT text; one for each SOURCE, in order.  [agreement with the dense network]",
    )
    classes: tuple[str, ...] = setting(
        "--class", default=(), metavar="NAME", help="Class of the truth to measure; repeatable.  [those that the truth has]"
    )
    layout: Literal["coco", "mot"] | None = setting("--layout", default=None, help="How the truth is written.  [by its name: .json, .txt]")
    first_frame: int = setting(
        "--first-frame", default=1, type=click.IntRange(min=0), metavar="N", help="Number of the first frame in a MOT file.  [default: 1]"
    )
    html: str | None = setting(
        "--html", default=None, metavar="FILE", help="Of a goal: the page with the frontier.  [beside the preset, .html]"
    )
    floor: float = setting(
        "--floor",
        default=0.0,
        type=Threshold(),
        metavar="T",
        help="No map gets a lower threshold; about 0.05 keeps a noisy camera from opening everything.  [default: 0]",
    )
    inputs: int = setting(
        "--inputs",
        default=200,
        type=click.IntRange(min=2),
        metavar="N",
        help="Without a goal: frames (or persons in frames) to use.  [default: 200]",
    )
    network: PeopleNetworkSettings = field(default_factory=PeopleNetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    overwrite: bool = flag("--overwrite", help="Replace an existing preset, and its page.")
    talk: TalkSettings = field(default_factory=TalkSettings)


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


def check_gates(preset: Preset, motion: MotionSettings) -> None:
    """Raises UsageError where there are no gates whose thresholds could be chosen."""
    if motion.motion == WARP:
        raise UsageError(f"--motion {WARP} has no thresholds", "leave it out")
    if preset.motion == WARP and motion.motion is None:
        raise UsageError(f"the preset {preset.name} says 'motion: {WARP}', which has no thresholds", "take that line out of it")


def _frames(spec: str, wanted: ReadOptions) -> Iterator[Frame]:
    """Opened when its turn comes."""
    from skipvid.video.sources.open import open_source

    with open_source(spec, wanted) as source:
        yield from source


def loaded(network: PeopleNetworkSettings, motion: MotionSettings, preset: Preset, talk: Talk) -> Engine:
    """The network as the other commands run it under the preset that will be written."""
    from skipvid.cli.networks import load_engine

    engine = load_engine(network, preset, talk)
    engine.use_motion(motion.motion)
    engine.use_denoising(motion.denoise)
    return engine


def described(
    settings: CalibrateSettings,
    preset: Preset,
    engine: Engine,
    name: str,
    about: str,
    threshold: float,
    thresholds: Mapping[str, float],
) -> Preset:
    """The preset with what was found, and with all of the settings that it was found under and that a preset can hold.

    It is usable from anywhere: a weights file is named by its whole path. about: replaces what an earlier calibration said of itself.
    """
    from skipvid.presets.weights import movable

    config, network, motion = engine.model.config, settings.network, settings.motion
    return replace(
        movable(preset, network.weights),
        name=name,
        description=f"{preset.description.split(CALIBRATED)[0]}{CALIBRATED}{about}",
        score_threshold=network.over(preset).score_threshold,
        gate=config.gate,
        block=config.block,
        threshold=threshold,
        thresholds=dict(thresholds),
        scales=dict(config.scales),
        reference=config.reference,
        p=config.p,
        input_threshold=config.input_threshold,
        dense_above=config.dense_above,
        precision=config.precision,
        motion=motion.motion or preset.motion,
        denoise=motion.denoise or preset.denoise,
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
