"""`skipvid report`: gated against dense on the same frames, by threshold, layer and frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli import options as shared
from skipvid.cli.options import Threshold, model_options, option, talk_options
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.core.results import RunHeader, RunSummary
    from skipvid.pipeline.compare import ComparedStream
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.video.draw import GateMaps

INTERRUPTED = 130


class ThresholdList(click.ParamType[tuple[float, ...]]):
    """Numbers of 0 or more, with commas between them."""

    name = "t,t,..."

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, list | tuple):
            parts: Sequence[Any] = value
        else:
            parts = str(value).split(",")
        return tuple(Threshold().convert(part, parameter, context) for part in parts)


@click.command()
@click.argument("source")
@option("--thresholds", type=ThresholdList(), metavar="T,T,...", help="Compare these thresholds; the first one's layers are shown.")
@option("--csv", metavar="FILE", help="Write the report: per frame, layer and stage.")
@option("--html", metavar="FILE", help="Write the report as a page with curves.")
@option("--gate-maps", metavar="FILE.png", help="Draw what the gates of each layer let through, and list it inside and outside of boxes.")
@option("--layers", is_flag=True, help="Show every layer.")
@option("--overwrite", is_flag=True, help="Replace existing outputs.")
@model_options
@shared.read_options
@talk_options
def report(**options: Any) -> int:
    """Measure what gating saves on a video: MACs, time, and agreement with the dense network.

    Every frame goes through the dense network and through the gated one, in turns, on the same machine and back end.
    """
    from skipvid.cli.jobs import Job, check_openable, check_options, read_options
    from skipvid.cli.networks import chosen_preset, load_detect_engine
    from skipvid.cli.run_jobs import run_jobs
    from skipvid.cli.talk import Talk
    from skipvid.pipeline.compare import ComparedStream
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.video.draw import GateMaps
    from skipvid.video.sinks.targets import check_path

    check_options(options)
    for target in (options["csv"], options["html"], options["gate_maps"]):
        if target is not None:
            check_path(target, [options["source"]], options["overwrite"])
    check_openable([options["source"]], read_options(options))
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        if options["thresholds"]:
            options["threshold"] = None  # all in proportion to the preset's
        engine = load_detect_engine(options, chosen_preset(options, DEFAULT_DETECT), talk)
        if engine.model.config.gate == "none":
            raise UsageError("there is nothing to compare without gates", "leave out --gate none")
        engines = [engine.regated(engine.model.config.at(t)) for t in options["thresholds"] or ()] or [engine]
        compared: list[ComparedStream] = []
        maps = GateMaps() if options["gate_maps"] else None

        def stream(_: DetectEngine, header: RunHeader) -> ComparedStream:
            compared.append(ComparedStream(engines, header, maps))
            return compared[0]

        done = run_jobs("report", [Job(options["source"], ())], engines[0], options, talk, lambda job, header: [], stream)
        _show(done[0].summary, compared[0], options)
        if maps is not None:
            _show_gates(maps, done[0].summary, options)
        for path in [*done[0].written, *(Path(options[kind]).resolve() for kind in ("html", "gate_maps") if options[kind])]:
            talk.say(f"wrote {path}")
        return INTERRUPTED if done[0].summary.interrupted else 0


def _show(summary: RunSummary, compared: ComparedStream, options: dict[str, Any]) -> None:
    """Print and write the report of a finished run."""
    from rich.console import Console

    from skipvid.report import render_report, summary_document, write_html

    rows = compared.rows if options["thresholds"] else []
    if options["html"]:
        write_html(Path(options["html"]), summary, comparison=compared.comparison, thresholds=rows, curve=compared.curve)
    if options["as_json"]:
        click.echo(json.dumps(summary_document(summary, compared.comparison, rows), indent=2))
    elif not options["quiet"]:
        render_report(summary, compared.comparison, console=Console(), thresholds=rows, layers=options["layers"])


def _show_gates(maps: GateMaps, summary: RunSummary, options: dict[str, Any]) -> None:
    """Print and draw what the gates let through."""
    import cv2
    from rich.console import Console

    from skipvid.core.files import PartFile, output_errors
    from skipvid.report import render_gates

    if not maps.shares:
        raise UsageError("there are no gate maps: every frame was a keyframe", "give a clip of two frames or more")
    if not options["as_json"] and not options["quiet"]:
        render_gates(maps.shares, console=Console())
    header = summary.header
    path = Path(options["gate_maps"])
    _, data = cv2.imencode(
        ".png", maps.render(f"{header.source.name}: {header.preset}, gate {header.gate}, threshold {header.threshold:g}")
    )
    file = PartFile(path)
    with output_errors(path):
        file.part.write_bytes(data.tobytes())
    file.commit()
