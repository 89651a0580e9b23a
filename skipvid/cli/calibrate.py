"""`skipvid calibrate`: thresholds of single maps for one's own camera, written as a preset."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag, required, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, SourceSettings, TalkSettings
from skipvid.cli.settings.types import Milliseconds, Points, Saving, Threshold
from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame
    from skipvid.evaluate.goal import Goal
    from skipvid.evaluate.labels import Labels
    from skipvid.evaluate.truth import LabelledClip
    from skipvid.pipeline.calibrate import Calibration
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine
    from skipvid.video.sources.options import ReadOptions


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
    read: ReadSettings = field(default_factory=ReadSettings)
    overwrite: bool = flag("--overwrite", help="Replace an existing preset.")
    talk: TalkSettings = field(default_factory=TalkSettings)


@command(CalibrateSettings)
def calibrate(settings: CalibrateSettings) -> int:
    """Give every map of a network a threshold of its own, and write them as a preset.

    SOURCE is material like that to come: a few seconds with movement, no labels. Maps on which the result depends little get higher
    thresholds, others lower ones, so that the error for the same saving is smaller. With a goal, all frames are used: what is promised is
    measured on blocks of time that were left out; a run that was broken off goes on where it ended. The options about persons are for pose
    presets.
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
    if (goal := _goal(settings)) is not None:
        return _by_goal(settings, goal, target, specs)
    network, read = settings.network, settings.read.options()
    with Talk(settings.talk) as talk:
        preset = network_preset(network, DEFAULT_DETECT)
        _check_gates(preset)
        engine = load_engine(network, preset, talk)
        sources = [_frames(spec, read) for spec in specs]
        result = run(engine, sources, settings.inputs, settings.floor, talk.say)
        save_preset(_preset(preset, engine, result, target.stem, network.weights), target)
        _tell(result, target, settings.talk.as_json, talk)
    return 0


def _goal(settings: CalibrateSettings) -> Goal | None:
    """The goal that is set. Raises UsageError for more than one, or for settings that need one."""
    from skipvid.evaluate.goal import Goal

    kinds: tuple[Literal["drop", "saving", "budget"], ...] = ("drop", "saving", "budget")
    values = (settings.max_drop, settings.saving, settings.budget)
    goals = [Goal(kind, value) for kind, value in zip(kinds, values, strict=True) if value is not None]
    if len(goals) > 1:
        raise UsageError("there is more than one goal", "give one of --max-drop, --saving and --budget")
    if not goals and (settings.truth or settings.html or settings.classes):
        raise UsageError("--truth, --class and --html are for a goal", "add --max-drop, --saving or --budget")
    return goals[0] if goals else None


def _by_goal(settings: CalibrateSettings, goal: Goal, target: Path, specs: list[str]) -> int:
    """Thresholds that keep a promise on frames that were left out."""
    import datetime
    import shutil

    import skipvid
    from skipvid.cli.networks import load_engine, network_preset
    from skipvid.cli.run_jobs import cores_for
    from skipvid.cli.talk import Talk
    from skipvid.core.files import write_text
    from skipvid.evaluate.frontier import comment, document, lines, promise, write_page
    from skipvid.evaluate.goal import calibrate_by_goal
    from skipvid.evaluate.labels import FAINTEST
    from skipvid.evaluate.material import Material
    from skipvid.presets.preset import DEFAULT_DETECT, dump_preset
    from skipvid.skip.sensitivity import check_calibrated
    from skipvid.video.sinks.targets import check_path

    page = Path(settings.html) if settings.html is not None else target.with_suffix(".html")
    check_path(str(page), specs, settings.overwrite)
    preset = network_preset(settings.network, DEFAULT_DETECT)
    if preset.task == "segment":
        raise UsageError(f"preset {preset.name} makes class maps: no goal can be measured on them", "calibrate without a goal")
    clips, labels = _labelled(settings, preset, specs)
    network = settings.network
    if labels is not None and not labels.keypoints and network.conf is None:
        network = replace(network, conf=FAINTEST)
    names = [Path(spec).name for spec in specs]
    with Talk(settings.talk) as talk:
        _check_gates(preset)
        engine = load_engine(network, preset, talk)
        check_calibrated(engine.model.config)
        keep = target.with_name(f"{target.stem}-calibration")
        with cores_for(engine):
            material = Material.read(clips, lambda clip: _again(clip.source, settings.read.options()), labels)
            own = keep / _key(settings, engine, specs)
            found = calibrate_by_goal(engine, material, goal, keep=own, floor=settings.floor, tell=talk.say)
        calibrated = _described(
            preset, engine, target.stem, network.weights, f"calibrated: {promise(found)}", found.threshold, found.thresholds
        )
        about = comment(goal, found, names, datetime.date.today().isoformat(), skipvid.__version__)
        write_text(target, about + dump_preset(calibrated))
        write_page(page, goal, found, names, skipvid.__version__)
        shutil.rmtree(own, ignore_errors=True)
        if not any(keep.iterdir()):
            keep.rmdir()
        if settings.talk.as_json:
            paths = {"preset": str(target.resolve()), "html": str(page.resolve())}
            click.echo(json.dumps({**document(goal, found), **paths}, indent=2))
        elif not talk.quiet:
            click.echo("\n".join(lines(goal, found)))
        talk.say(f"wrote {target.resolve()} and {page.resolve()}")
    return 0


def _check_gates(preset: Preset) -> None:
    """Raises UsageError where a preset has no gates whose thresholds could be chosen."""
    if preset.motion == WARP:
        raise UsageError(f"the preset {preset.name} says 'motion: {WARP}', which has no thresholds", "take that line out of it")


def _labelled(settings: CalibrateSettings, preset: Preset, specs: list[str]) -> tuple[list[LabelledClip], Labels | None]:
    """The clips, and what is compared with their truth, if they have one."""
    from skipvid.evaluate.labels import known_classes, labels_for
    from skipvid.evaluate.layouts import open_clips
    from skipvid.evaluate.truth import LabelledClip

    if not settings.truth:
        return _told_apart([LabelledClip(Path(spec).name, spec) for spec in specs]), None
    if len(settings.truth) != len(specs):
        raise UsageError(f"there are {len(settings.truth)} files of truth for {len(specs)} sources", "give one --truth for each, in order")
    known = known_classes(preset)
    clips = [clip for spec, truth in zip(specs, settings.truth, strict=True) for clip in open_clips(spec, truth, None, known=known)]
    return _told_apart(clips), labels_for(preset, clips, settings.classes)


def _told_apart(clips: list[LabelledClip]) -> list[LabelledClip]:
    """Those of one name by their sources: the bootstrap would take them for one camera."""
    names = [clip.name for clip in clips]
    return [replace(clip, name=clip.source) if names.count(clip.name) > 1 else clip for clip in clips]


@contextmanager
def _again(spec: str, wanted: ReadOptions) -> Iterator[Iterator[Frame]]:
    """The frames of a source, which is read many times. Raises UsageError for one that can be read once."""
    from skipvid.video.sources.open import open_source

    if spec == "-":
        raise UsageError("a goal needs a source that can be read again, not stdin", "write it to a file first")
    with open_source(spec, wanted) as source:
        if source.info.live:
            raise UsageError(f"a goal needs a source that can be read again, not {spec}", "record some of it first")
        yield iter(source)


def _key(settings: CalibrateSettings, engine: Engine, specs: list[str]) -> str:
    """What kept passes depend on, so that others are never taken for them."""
    import hashlib

    import skipvid

    files = [(spec, os.stat(spec).st_size, os.stat(spec).st_mtime_ns) for spec in specs if os.path.exists(spec)]
    parts = (
        skipvid.__version__,
        engine.preset,
        engine.model.config,
        engine.weights_sha256,
        files,
        specs,
        settings.network,
        settings.read,
        settings.floor,
    )
    return hashlib.sha256(repr((*parts, bool(settings.truth))).encode()).hexdigest()[:16]


def _frames(spec: str, wanted: ReadOptions) -> Iterator[Frame]:
    """Opened when its turn comes."""
    from skipvid.video.sources.open import open_source

    with open_source(spec, wanted) as source:
        yield from source


def _preset(preset: Preset, engine: Engine, result: Calibration, name: str, weights: str | None) -> Preset:
    about = f"calibrated: {result.measured.saving:.0%} of the MACs saved on {result.frames} inputs"
    return _described(preset, engine, name, weights, about, result.threshold, result.thresholds)


def _described(
    preset: Preset, engine: Engine, name: str, weights: str | None, about: str, threshold: float, thresholds: Mapping[str, float]
) -> Preset:
    """The preset with what was found, usable from anywhere: a weights file is named by its whole path."""
    from skipvid.presets.weights import movable

    config = engine.model.config
    return replace(
        movable(preset, weights),
        name=name,
        description=f"{preset.description}; {about}",
        gate=config.gate,
        block=config.block,
        threshold=threshold,
        thresholds=dict(thresholds),
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
