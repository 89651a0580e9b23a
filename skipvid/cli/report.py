"""`skipvid report`: gated against dense on the same frames, by threshold, layer and frame."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, setting
from skipvid.cli.settings.follow import AreaSettings
from skipvid.cli.settings.groups import NetworkSettings, ReadSettings, TalkSettings
from skipvid.cli.settings.motion import MotionSettings
from skipvid.cli.settings.types import Thresholds
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.core.results import RunHeader, RunSummary
    from skipvid.pipeline.compare import ComparedStream
    from skipvid.tasks.engine import Engine
    from skipvid.video.draw import GateMaps


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Settings of `report`."""

    source: str = argument()
    thresholds: tuple[float, ...] | None = setting(
        "--thresholds",
        default=None,
        type=Thresholds(),
        metavar="T,T,...",
        help="Compare these thresholds; the first one's layers are shown.",
    )
    csv: str | None = setting("--csv", default=None, metavar="FILE", help="Write the report: per frame, layer and stage.")
    html: str | None = setting("--html", default=None, metavar="FILE", help="Write the report as a page with curves.")
    gate_maps: str | None = setting(
        "--gate-maps",
        default=None,
        metavar="FILE.png",
        help="Draw what the gates of each layer let through, and list it inside and outside of boxes.",
    )
    layers: bool = flag("--layers", help="Show every layer.")
    overwrite: bool = flag("--overwrite", help="Replace existing outputs.")
    network: NetworkSettings = field(default_factory=NetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    area: AreaSettings = field(default_factory=AreaSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    talk: TalkSettings = field(default_factory=TalkSettings)


@command(ReportSettings)
def report(settings: ReportSettings) -> int:
    """Measure what gating saves on a video: MACs, time, and agreement with the dense network.

    Every frame goes through the dense network and through the gated one, in turns, on the same machine and back end; with areas left out,
    through the gated one without areas, too.
    """
    from skipvid.cli.app import INTERRUPTED
    from skipvid.cli.jobs import Job, check_openable
    from skipvid.cli.networks import compared_preset, load_picture_engine
    from skipvid.cli.run_jobs import Work, run_jobs
    from skipvid.cli.talk import Talk
    from skipvid.pipeline.compare import ComparedStream
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.video.draw import GateMaps
    from skipvid.video.sinks.targets import check_path

    read = settings.read.options()
    for target in (settings.csv, settings.html, settings.gate_maps):
        if target is not None:
            check_path(target, [settings.source], settings.overwrite)
    areas = settings.area.areas()
    check_openable([settings.source], read)
    with Talk(settings.talk) as talk:
        # Several thresholds are all in proportion to the preset's.
        network = replace(settings.network, threshold=None) if settings.thresholds else settings.network
        engine = load_picture_engine(network, compared_preset(network, DEFAULT_DETECT), talk)
        settings.motion.set_on(engine)
        engine.areas = areas
        if engine.model.config.gate == "none":
            raise UsageError("there is nothing to compare without gates", "leave out --gate none")
        if engine.warps and (settings.thresholds or settings.gate_maps):
            raise UsageError("--motion warp has neither thresholds nor gates", "leave out --thresholds and --gate-maps")
        engines = [engine.regated(engine.model.config.at(t), keep=True) for t in settings.thresholds or ()] or [engine]
        compared: list[ComparedStream] = []
        maps = GateMaps() if settings.gate_maps else None

        def stream(_: Engine, header: RunHeader) -> ComparedStream:
            compared.append(ComparedStream(engines, header, maps))
            return compared[0]

        job = Job(settings.source, ())
        work = Work("report", engines[0], read, talk, lambda job, header: [], stream)
        (done,) = run_jobs(work, [job], settings.csv).done
        _show(done.summary, compared[0], settings)
        if maps is not None and settings.gate_maps is not None:
            _show_gates(maps, done.summary, Path(settings.gate_maps), silent=settings.talk.as_json or settings.talk.quiet)
        for path in [*done.written, *(Path(file).resolve() for file in (settings.html, settings.gate_maps) if file)]:
            talk.say(f"wrote {path}")
        return INTERRUPTED if done.summary.interrupted else 0


def _show(summary: RunSummary, compared: ComparedStream, settings: ReportSettings) -> None:
    """Print and write the report of a finished run."""
    from rich.console import Console

    from skipvid.report import render_report, summary_document, write_html

    rows = compared.rows if settings.thresholds else []
    if settings.html:
        write_html(Path(settings.html), summary, comparison=compared.comparison, thresholds=rows, curve=compared.curve)
    if settings.talk.as_json:
        click.echo(json.dumps(summary_document(summary, compared.comparison, rows), indent=2))
    elif not settings.talk.quiet:
        render_report(summary, compared.comparison, console=Console(), thresholds=rows, layers=settings.layers)


def _show_gates(maps: GateMaps, summary: RunSummary, path: Path, silent: bool) -> None:
    """Draw what the gates let through into a file, and print it unless silent."""
    import cv2
    from rich.console import Console

    from skipvid.core.files import write_bytes
    from skipvid.report import render_gates

    if not maps.shares:
        raise UsageError("there are no gate maps: every frame was a keyframe", "give a clip of two frames or more")
    if not silent:
        render_gates(maps.shares, console=Console())
    header = summary.header
    _, data = cv2.imencode(
        ".png", maps.render(f"{header.source.name}: {header.preset}, gate {header.gate}, threshold {header.threshold:g}")
    )
    write_bytes(path, data.tobytes())
