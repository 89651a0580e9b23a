"""Calibration by a goal: thresholds that keep a promise on frames that were left out, and what says so."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.groups import PeopleSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.settings.calibrate import CalibrateSettings
    from skipvid.cli.talk import Talk
    from skipvid.core.results import Frame, FrameResult
    from skipvid.evaluate.found import Found, Goal
    from skipvid.evaluate.labels import Labels
    from skipvid.evaluate.material import Material
    from skipvid.evaluate.truth import LabelledClip
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine
    from skipvid.video.sources.options import ReadOptions


def by_goal(settings: CalibrateSettings, goal: Goal, target: Path, specs: list[str]) -> int:
    """Write a preset whose thresholds meet a goal, and the page beside it. Raises OutputError before any work where they could not be."""
    import datetime

    import skipvid
    from skipvid.cli.calibrated_preset import check_gates, described, loaded
    from skipvid.cli.networks import network_preset
    from skipvid.cli.talk import Talk
    from skipvid.core.files import write_texts
    from skipvid.core.text import printable, without_secrets
    from skipvid.evaluate.frontier import comment, document, lines, page, promise, with_options
    from skipvid.evaluate.labels import FAINTEST
    from skipvid.evaluate.material import Material
    from skipvid.presets.preset import DEFAULT_DETECT, dump_preset
    from skipvid.skip.sensitivity import check_calibrated
    from skipvid.video.sinks.targets import check_path

    html = Path(settings.html) if settings.html is not None else target.with_suffix(".html")
    if os.path.realpath(html) == os.path.realpath(target):
        raise UsageError(f"{html} would be the preset and the page", "choose another name for one of them")
    for path in (target, html):
        check_path(str(path), [*specs, *settings.truth], settings.overwrite)
    preset = network_preset(settings.network, DEFAULT_DETECT)
    if preset.task == "segment":
        raise UsageError(f"preset {preset.name} makes class maps: no goal can be measured on them", "calibrate without a goal")
    clips, labels = _labelled(settings, preset, specs)
    network = settings.network
    if labels is not None and not labels.keypoints and network.conf is None:
        network = replace(network, conf=FAINTEST)
    names, options = [printable(without_secrets(clip.name)) for clip in clips], _options(settings, preset, goal)
    with Talk(settings.talk) as talk:
        check_gates(preset, settings.motion)
        engine = loaded(network, settings.motion, preset, talk)
        check_calibrated(engine.model.config)
        material = Material.read(clips, lambda clip: _again(clip.source, settings.read.options()), labels)
        keep = target.with_name(f"{target.stem}-calibration")
        found = _found(engine, material, goal, keep / _key(settings, engine, specs), settings.floor, talk)
        text = described(settings, preset, engine, target.stem, promise(found), found.threshold, found.thresholds)
        about = comment(goal, found, names, datetime.date.today().isoformat(), skipvid.__version__, options)
        write_texts({html: page(goal, found, names, skipvid.__version__, options), target: about + dump_preset(text)})
        _clear(keep)
        if settings.talk.as_json:
            paths = {"preset": str(target.resolve()), "html": str(html.resolve())}
            click.echo(json.dumps({**document(goal, found), "options": options, **paths}, indent=2))
        elif not talk.quiet:
            click.echo("\n".join([*lines(goal, found), *([with_options(options)] if options else [])]))
        talk.say(f"wrote {target.resolve()} and {html.resolve()}")
    return 0


def _found(engine: Engine, material: Material, goal: Goal, keep: Path, floor: float, talk: Talk) -> Found:
    """What meets the goal; where nothing does, what there is is said before the error."""
    from skipvid.cli.run_jobs import cores_for
    from skipvid.cli.talk import Progress
    from skipvid.core.files import output_errors
    from skipvid.evaluate.found import GoalNotMet
    from skipvid.evaluate.frontier import table
    from skipvid.evaluate.goal import calibrate_by_goal

    with output_errors(keep):  # before any pass
        keep.mkdir(parents=True, exist_ok=True)
    talk.say(f"what is measured is kept in {keep.parent} until the preset is written: a run that was broken off goes on there")
    with ExitStack() as stack:
        stack.enter_context(cores_for(engine))

        def watch(frames: int) -> Callable[[FrameResult], None]:
            progress = Progress(talk, "calibration", frames)
            stack.callback(progress.close)
            return progress

        try:
            return calibrate_by_goal(engine, material, goal, keep=keep, floor=floor, tell=talk.say, watch=watch)
        except GoalNotMet as missed:
            for line in table(missed.frontier):
                talk.say(line)
            raise


def _clear(keep: Path) -> None:
    """Take what was kept away, of runs with other settings, too; what is not ours stays."""
    for folder in keep.iterdir():
        if re.fullmatch(r"[0-9a-f]{16}", folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        keep.rmdir()


def _options(settings: CalibrateSettings, preset: Preset, goal: Goal) -> str:
    """Those that change what is promised, and that no preset holds: what is found or saved, and of a budget the time."""
    from skipvid.tasks.detect import finds_people

    people, words = settings.network.people, list[str]()
    if preset.task == "pose":
        words += ["--full-frame"] if people.full_frame else []
        words += [f"--detector {people.detector}"] if people.detector else []
        words += [f"--detector-weights {people.detector_weights}"] if people.detector_weights else []
        words += [f"--detect-every {people.detect_every}"] if people.detect_every > 1 else []
        words += [f"--max-persons {people.max_persons}"] if people.max_persons != PeopleSettings().max_persons else []
        if not finds_people(preset) and not people.full_frame:  # "none" in a preset leaves it to that of the detector
            words += ["--motion none"] if settings.motion.motion == "none" else []
            words += ["--denoise none"] if settings.motion.denoise == "none" else []
    words += [f"--refresh {settings.network.refresh}"] if settings.network.refresh else []
    words += [f"--stride {settings.read.stride}"] if settings.read.stride > 1 else []
    if goal.kind == "budget":
        words += [f"--threads {settings.network.threads}"] if settings.network.threads else []
        words += [f"--backend {settings.network.backend}"] if settings.network.backend != "auto" else []
    return " ".join(words)


def _labelled(settings: CalibrateSettings, preset: Preset, specs: list[str]) -> tuple[list[LabelledClip], Labels | None]:
    """The clips, and what is compared with their truth, if they have one."""
    from skipvid.evaluate.labels import known_classes, labels_for
    from skipvid.evaluate.layouts import open_clips
    from skipvid.evaluate.truth import LabelledClip
    from skipvid.report.units import plural
    from skipvid.video.sources.specs import display_name

    if not settings.truth:
        return told_apart([LabelledClip(display_name(spec), spec) for spec in specs]), None
    if len(settings.truth) != len(specs):
        counts = f"{plural(len(settings.truth), 'file')} of truth for {plural(len(specs), 'source')}"
        raise UsageError(f"{counts} given", "give one --truth for each, in order")
    known = known_classes(preset)
    clips = [
        clip
        for spec, truth in zip(specs, settings.truth, strict=True)
        for clip in open_clips(spec, truth, settings.layout, first=settings.first_frame, known=known)
    ]
    return told_apart(clips), labels_for(preset, clips, settings.classes)


def told_apart(clips: list[LabelledClip]) -> list[LabelledClip]:
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
    import skipvid

    detector = getattr(engine, "detector", None)
    engines = (engine,) if detector is None else (engine, detector)
    parts = (
        skipvid.__version__,
        platform.node(),  # another machine takes another time, and may round otherwise: precision "auto"
        [(each.preset, each.model.config, each.weights_sha256, each.motion, each.denoise) for each in engines],
        [(spec, _state(Path(spec))) for spec in specs],
        settings.network,
        settings.read,
        settings.floor,
        bool(settings.truth),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _state(path: Path) -> list[tuple[str, int, int]]:
    """What tells a file, or the files of a folder, from what they were before; nothing of a URL."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:
        return []
