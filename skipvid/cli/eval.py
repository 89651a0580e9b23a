"""`skipvid eval`: accuracy against ground truth, dense beside gated, with intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, TalkSettings
from skipvid.cli.settings.motion import MotionSettings
from skipvid.cli.settings.types import Commas, Thresholds
from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.evaluate.labels import Labels
    from skipvid.evaluate.run import Pass
    from skipvid.evaluate.show import Row
    from skipvid.evaluate.truth import LabelledClip
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine, Stream


def _at_least_two(text: str) -> int:
    number = int(text)
    if number < 2:
        raise ValueError
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """Settings of `eval`."""

    source: str = argument()
    truth: str | None = setting(
        "--truth", default=None, metavar="FILE", help="Where the objects are: COCO JSON (.json) or MOT text (.txt) for a video or a folder."
    )
    layout: Literal["coco", "mot", "detrac", "jhmdb", "joints"] | None = setting(
        "--layout",
        default=None,
        help="How the truth is written; of UA-DETRAC and JHMDB, SOURCE is the folder as published.  [by what is there]",
    )
    classes: tuple[str, ...] = setting(
        "--class",
        default=(),
        metavar="NAME",
        help='Class to measure; repeatable. "vehicle" takes cars, motorcycles, buses and trucks as one.  [those that the truth has]',
    )
    thresholds: tuple[float, ...] | None = setting(
        "--thresholds", default=None, type=Thresholds(), metavar="T,T,...", help="Gate thresholds to measure.  [the preset's]"
    )
    every: tuple[int, ...] | None = setting(
        "--every",
        default=None,
        type=Commas("k,k,...", _at_least_two, "a whole number of 2 or more"),
        metavar="K,K,...",
        help="Measure the dense network in every K-th frame, too, its boxes held and moved in between.",
    )
    boxes: Literal["detector", "truth"] = setting(
        "--boxes", default="detector", help="Where a pose network's persons come from.  [default: detector]"
    )
    first_frame: int = setting(
        "--first-frame", default=1, type=click.IntRange(min=0), metavar="N", help="Number of the first frame in a MOT file.  [default: 1]"
    )
    split: Literal["1", "2", "3", "all"] = setting("--split", default="1", help="JHMDB: whose test clips.  [default: 1]")
    block_frames: int = setting(
        "--block-frames",
        default=25,
        type=click.IntRange(min=0),
        metavar="N",
        help="Frames that the bootstrap draws together; 0 = whole clips.  [default: 25]",
    )
    draws: int = setting("--draws", default=1000, type=click.IntRange(min=10), metavar="N", help="Of the bootstrap.  [default: 1000]")
    csv: str | None = setting("--csv", default=None, metavar="FILE", help="Write the table as CSV.")
    overwrite: bool = flag("--overwrite", help="Replace an existing file.")
    network: PeopleNetworkSettings = field(default_factory=PeopleNetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    talk: TalkSettings = field(default_factory=TalkSettings)


@command(EvalSettings)
def eval(settings: EvalSettings) -> int:
    """Measure accuracy against ground truth: the dense network, and gated ones, on the same frames.

    AP50, AP (COCO's mean over IoU, or OKS, 0.5 … 0.95) and, for poses, PCK@0.2, with what is lost against dense and a 95 % interval of the
    loss by bootstrap over blocks of frames. Where 0 lies in the interval, the data show no difference.
    """
    from rich.console import Console

    from skipvid.cli.networks import network_preset
    from skipvid.cli.talk import Talk
    from skipvid.evaluate.labels import VEHICLES, known_classes
    from skipvid.evaluate.layouts import open_clips
    from skipvid.evaluate.show import document, render_rows, write_csv
    from skipvid.evaluate.true_boxes import TrueBoxes
    from skipvid.presets.preset import DEFAULT_DETECT, DEFAULT_POSE
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.video.sinks.targets import check_path

    if settings.csv is not None:
        check_path(settings.csv, [settings.source], settings.overwrite)
    split = None if settings.split == "all" else int(settings.split)
    vehicle = VEHICLES[0] if settings.classes == ("vehicle",) else None
    default = DEFAULT_POSE if settings.layout in ("jhmdb", "joints") or settings.boxes == "truth" else DEFAULT_DETECT
    preset = network_preset(settings.network, default)
    clips = open_clips(
        settings.source,
        settings.truth,
        settings.layout,
        first=settings.first_frame,
        split=split,
        category=vehicle,
        known=known_classes(preset),
    )
    with Talk(settings.talk) as talk:
        engine = _engine(settings, preset, talk)
        settings.motion.set_on(engine)
        if settings.boxes == "truth" and isinstance(engine, PoseEngine):
            engine.detector = TrueBoxes()
        rows = _measure(settings, engine, preset, clips, talk)
        frames = len(rows[0].outcome.groups)
        if settings.csv is not None:
            write_csv(Path(settings.csv), rows)
            talk.say(f"wrote {Path(settings.csv).resolve()}")
        if settings.talk.as_json:
            click.echo(json.dumps(document(rows, frames, settings.block_frames), indent=2))
        elif not talk.quiet:
            render_rows(rows, frames, settings.block_frames, Console())
    return 0


def _engine(settings: EvalSettings, preset: Preset, talk: Talk) -> Engine:
    """The network; faint detections are kept. For poses the true boxes may take a detector's place; then there is none."""
    from skipvid.cli.networks import load_detect_engine, load_people_engine, load_pose_engine
    from skipvid.evaluate.labels import FAINTEST
    from skipvid.tasks.detect import finds_people

    if preset.task == "segment":
        raise UsageError(f"preset {preset.name} makes class maps, and there is no layout of truth for them", "compare with dense: report")
    if preset.task == "detect":
        if settings.boxes == "truth":
            raise UsageError(f"preset {preset.name} finds boxes itself", "leave out --boxes truth, or choose a pose preset")
        conf = FAINTEST if settings.network.conf is None else settings.network.conf
        return load_detect_engine(replace(settings.network, conf=conf), preset, talk)
    if settings.every:
        raise UsageError("--every is for detection presets", f"preset {preset.name} is for poses")
    if finds_people(preset):
        if settings.boxes == "truth":
            raise UsageError(f"preset {preset.name} finds people itself", "leave out --boxes truth")
        conf = FAINTEST if settings.network.conf is None else settings.network.conf
        return load_people_engine(replace(settings.network, conf=conf), preset, talk)
    network = settings.network
    if settings.boxes == "truth":
        network = replace(network, people=replace(network.people, full_frame=True))
    return load_pose_engine(network, preset, talk)


def _measure(settings: EvalSettings, engine: Engine, preset: Preset, clips: list[LabelledClip], talk: Talk) -> list[Row]:
    """A row for the dense network, for each threshold, and for what people do instead of gates."""
    from skipvid.evaluate.labels import labels_for
    from skipvid.evaluate.run import compare
    from skipvid.evaluate.show import Row

    labels = labels_for(preset, clips, settings.classes, settings.layout)
    config = engine.model.config
    ways: list[tuple[str, Engine, int, bool]] = [("dense", engine, 1, False)]
    if engine.warps:
        if settings.thresholds:
            who = f"--motion {WARP} has" if settings.motion.motion else f"the preset {preset.name} says 'motion: {WARP}', which has"
            raise UsageError(f"{who} no thresholds", "leave out --thresholds")
        ways.append((f"{WARP}, no bound", engine, 0, False))
    for threshold in settings.thresholds or ((config.threshold,) if config.gate != "none" and not engine.warps else ()):
        gated = engine.regated(config.at(threshold))
        ways.append((_called(gated), gated, 0, False))
    for every in settings.every or ():
        ways += [(f"every {every}: held", engine, every, False), (f"every {every}: moved", engine, every, True)]
    rows: list[Row] = []
    for name, own, every, moved in ways:
        outcome = _pass(settings, name, own, every, moved, clips, labels, talk)
        dense = rows[0].outcome if rows else outcome
        rows.append(Row(name, outcome, compare(outcome, dense, settings.block_frames, settings.draws), not rows))
    return rows


def _called(engine: Engine) -> str:
    """The name of a row: its gates, and what is done where the camera moves."""
    from skipvid.tasks.auto_canvas import motion_in_use

    config = engine.model.config
    motion = motion_in_use(engine.motion, config)
    return f"{config.gate} {config.threshold:g}" + (f", {motion}" if motion != "none" else "")


def _pass(
    settings: EvalSettings, name: str, engine: Engine, every: int, moved: bool, clips: list[LabelledClip], labels: Labels, talk: Talk
) -> Pass:
    """One way of running over all clips. every: 0 = gated, 1 = dense, more = dense in every so many frames."""
    from skipvid.cli.run_jobs import cores_for
    from skipvid.evaluate.baselines import EveryKth
    from skipvid.evaluate.run import Pass, run_clip
    from skipvid.evaluate.true_boxes import TrueBoxes
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.video.sources.open import open_source

    outcome, missing = Pass(name), list[str]()
    with cores_for(engine):
        for clip in clips:
            talk.say(f"{name}: {clip.name}", detail=True)
            if isinstance(engine, PoseEngine) and isinstance(engine.detector, TrueBoxes):
                engine.detector.clip = clip
            with open_source(clip.source, settings.read.options()) as source:
                info = source.info
                macs = engine.dense_macs(info.height, info.width)
                stream: Stream = engine.stream() if every == 0 else engine.dense_stream()
                before = len(outcome.groups)
                run_clip(outcome, stream if every < 2 else EveryKth(stream, every, moved), source, clip, labels, macs)
            unread = clip.labelled - (len(outcome.groups) - before)
            if every == 1 and unread > 0 and replace(settings.read, fps=None) == ReadSettings():
                hint = "" if clip.by_file else " (does the truth count from another first frame?)"
                missing.append(f"{clip.name}: {unread} of {clip.labelled} labelled frames are not among those that were read{hint}")
    if not outcome.groups:
        raise UsageError("no frame that was read has a label", "check --truth, --first-frame and the frames chosen")
    for line in missing:
        talk.warn(line)
    return outcome
