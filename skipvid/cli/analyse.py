"""Running the pipeline over the sources of a command: open, analyse, write, report; one failed source does not stop the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.setup import cores_for, expected_frames, make_header, read_options
from skipvid.cli.talk import Progress, Talk
from skipvid.core.errors import SkipvidError, SomeSourcesFailed
from skipvid.video.sinks.base import Sink

if TYPE_CHECKING:
    from skipvid.core.results import FrameResult, RunHeader, RunSummary
    from skipvid.report import CostCsv
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.engine import Stream
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.video.draw.text import Image
    from skipvid.video.sources.base import Source

DENSE_EVERY = 50
"""The dense network is timed beside the gated one in every so many frames of a recording: enough for a median, at most 2 % more time."""

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Job:
    """One source and the outputs wanted of it."""

    spec: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """One analysed source and the files that were written."""

    summary: RunSummary
    written: tuple[Path, ...]


MakeSinks = Callable[[Job, "RunHeader"], Sequence[Sink]]
MakeStream = Callable[[Any, "RunHeader"], "Stream"]
MakeWindow = Callable[["Source", "RunHeader"], Sink | None]


def run_jobs(
    command: str,
    jobs: Sequence[Job],
    engine: DetectEngine | PoseEngine,
    options: Mapping[str, Any],
    talk: Talk,
    make_sinks: MakeSinks,
    make_stream: MakeStream,
    make_window: MakeWindow | None = None,
) -> list[Done]:
    """Analyse all jobs. make_window: a window that is wanted beside the outputs; it is used from the calling thread alone.

    Raises the error of a single job; of several, SomeSourcesFailed in the end, after the others are done.
    """
    done: list[Done] = []
    failed = 0
    with ExitStack() as stack:
        costs = _SharedCosts(options["csv"], stack) if options.get("csv") else None
        for job in jobs:
            try:
                done.append(_run_job(command, job, engine, options, talk, make_sinks, make_stream, make_window, costs))
            except SkipvidError as error:
                if len(jobs) == 1:
                    raise
                talk.complain(str(error))
                failed += 1
            if done and done[-1].summary.interrupted:
                break
        if costs is not None and done:
            costs.finish()
    if failed:
        raise SomeSourcesFailed(f"{failed} of {len(jobs)} sources failed", "the others are done; see the messages above")
    return done


def _run_job(
    command: str,
    job: Job,
    engine: DetectEngine | PoseEngine,
    options: Mapping[str, Any],
    talk: Talk,
    make_sinks: MakeSinks,
    make_stream: MakeStream,
    make_window: MakeWindow | None,
    costs: _SharedCosts | None,
) -> Done:
    from skipvid.pipeline.run import run
    from skipvid.report import SummaryBuilder
    from skipvid.video.sources.open import open_source

    wanted = read_options(options)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(job.spec, wanted))
        info = source.info
        talk.say(f"{info.name}: {info.width}x{info.height}, {info.fps:.4g} fps", detail=True)
        header = make_header(command, engine, info)
        sinks = [stack.enter_context(sink) for sink in make_sinks(job, header)]
        if costs is not None:
            sinks.append(costs.next_run(header))
        engine.prepare(info.height, info.width)
        progress = Progress(talk, info.name, expected_frames(info, wanted))
        stack.callback(progress.close)
        window = make_window(source, header) if make_window is not None else None
        if window is not None:
            stack.enter_context(window)

        def on_frame(result: FrameResult) -> None:
            progress(result)
            if window is not None:
                window.write(result)

        with cores_for(engine):
            summary = run(source, make_stream(engine, header), sinks, SummaryBuilder(header), on_frame)
    for problem in (*summary.problems, *(sink.problem for sink in sinks if sink.problem)):
        talk.warn(f"{info.name}: {problem}")
    return Done(summary, tuple(sink.path.resolve() for sink in sinks if sink.path is not None))


class _SharedCosts:
    """The cost CSV of all sources together: one file, finished after the last of them."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._path, self._stack = Path(path), stack
        self._csv: CostCsv | None = None
        self._last: RunSummary | None = None

    def next_run(self, header: RunHeader) -> Sink:
        """The sink of one source."""
        from skipvid.report import CostCsv

        if self._csv is None:
            self._csv = self._stack.enter_context(CostCsv(self._path, header))
        elif self._last is not None:
            self._csv.next_run(self._last, header)
            self._last = None
        return _Run(self, self._csv)

    def end_run(self, summary: RunSummary) -> None:
        """Note the totals of a source."""
        self._last = summary

    def finish(self) -> None:
        """Complete the file."""
        if self._csv is not None and self._last is not None:
            self._csv.finish(self._last)


class _Run(Sink):
    """Passes one source's frames on to the shared file and leaves it open."""

    def __init__(self, costs: _SharedCosts, csv: CostCsv) -> None:
        self.path = csv.path
        self._costs, self._csv = costs, csv

    def write(self, result: FrameResult) -> None:
        self._csv.write(result)

    def finish(self, summary: RunSummary) -> None:
        self._costs.end_run(summary)

    def close(self) -> None:
        """The shared file is closed with the command."""


class StatusLine:
    """What the picture's status line says: frames per second of the whole pipeline and MACs saved, both over the last second or so."""

    def __init__(self, header: RunHeader) -> None:
        self._header = header
        self._last: float | None = None
        self._seconds = 0.0
        self._saving: float | None = None

    def __call__(self, result: FrameResult) -> Any:
        """The status after this result."""
        from skipvid.video.draw import Status

        now = time.perf_counter()
        if self._last is not None:
            self._seconds += (now - self._last - self._seconds) / 12 if self._seconds else now - self._last
        self._last = now
        if result.cost is not None:
            # A keyframe saves nothing by design; it would only make the number jump.
            saving = result.cost.saving
            self._saving = saving if self._saving is None or result.keyframe else self._saving + (saving - self._saving) / 12
        threshold = self._header.threshold if self._header.gate != "none" else None
        return Status(1 / self._seconds if self._seconds else None, self._saving, self._header.preset, threshold)


class ResultDrawer:
    """Draws the results of one run for one of its outputs, frame by frame: the status line and the mask remember a little."""

    def __init__(self, header: RunHeader) -> None:
        from skipvid.video.draw import RecentActivity

        self._status = StatusLine(header)
        self._recent = RecentActivity()

    def __call__(self, result: FrameResult, mask: bool) -> Image:
        """(H, W, 3) uint8 BGR."""
        from skipvid.video.draw import draw_result

        return draw_result(self._recent(result), overlay="mask" if mask else "none", status=self._status(result))


def tell(done: Sequence[Done], options: Mapping[str, Any], talk: Talk, stdout_taken: bool = False) -> int:
    """Print the report (or the JSON document) and the written files. Returns the exit code."""
    from skipvid.report import summary_document

    if options["as_json"]:
        runs = [{**summary_document(d.summary), "outputs": [str(path) for path in d.written]} for d in done]
        click.echo(json.dumps({"runs": runs}, indent=2))
    elif not talk.quiet:
        print_reports([d.summary for d in done], bool(options.get("layers")), stderr=stdout_taken)
    for path in dict.fromkeys(path for d in done for path in d.written):
        talk.say(f"wrote {path}")
    if done and done[-1].summary.interrupted:
        talk.warn("interrupted; what was written so far is complete up to the last frame")
        return INTERRUPTED
    return 0


def print_reports(summaries: Sequence[RunSummary], layers: bool, stderr: bool) -> None:
    """The whole report of one source, a line each of several."""
    from rich.console import Console

    from skipvid.report import render_report

    if len(summaries) == 1:
        render_report(summaries[0], console=Console(stderr=stderr), layers=layers)
        return
    for summary in summaries:
        saved = f", {summary.cost.saving:.1%} MACs saved" if summary.cost is not None else ""
        click.echo(f"{summary.header.source.name}: {summary.frames} frames{saved}, {summary.fps:.1f} fps", err=stderr)


def print_dry_run(jobs: Sequence[Job], engine: DetectEngine | PoseEngine, options: Mapping[str, Any]) -> int:
    """What would be done, and what a frame costs densely; nothing is written. Returns the exit code."""
    plans = [_plan(job, engine, options) for job in jobs]
    if options["as_json"]:
        click.echo(json.dumps({"plan": plans}, indent=2))
        return 0
    for plan in plans:
        frames = "an unknown number of" if plan["frames"] is None else f"about {plan['frames']}"
        gate = f"{plan['gate']} gate, threshold {plan['threshold']:g}" if plan["gate"] != "none" else "no gates"
        click.echo(f"{plan['source']}: {frames} frames of {plan['size'][0]}x{plan['size'][1]}")
        inputs = [f"{network['preset']} at {network['input'][0]}x{network['input'][1]}" for network in plan["networks"]]
        click.echo(f"  {', '.join(inputs)}, {gate}, {plan['backend']} back end")
        frame = "a frame with one person" if plan["per_person"] else "a frame"
        macs, ms = plan["dense_macs_per_frame"] / 1e6, plan["dense_ms_per_frame"]
        click.echo(f"  at most {macs:.1f} M MACs, about {ms} ms {frame} without gates")
        click.echo(f"  would write {', '.join(plan['outputs']) or 'nothing'}")
    return 0


def _plan(job: Job, engine: DetectEngine | PoseEngine, options: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of one source as --json prints it."""
    import torch

    from skipvid.video.sources.open import open_source

    wanted = read_options(options)
    with open_source(job.spec, wanted) as source:
        info = source.info
    networks: list[dict[str, Any]] = []
    for preset, model, (height, width) in engine.networks(info.height, info.width):
        frame = torch.zeros(1, 3, height, width)
        model.dense(frame)  # exports and warms up
        begin = time.perf_counter()
        model.dense(frame)
        milliseconds = (time.perf_counter() - begin) * 1e3
        macs = model.program((tuple(frame.shape),)).plan.dense_macs
        networks.append({"preset": preset.name, "input": [width, height], "dense_macs": macs, "dense_ms": round(milliseconds, 1)})
    return {
        "source": info.name,
        "size": [info.width, info.height],
        "frames": expected_frames(info, wanted),
        "preset": engine.preset.name,
        "gate": engine.model.config.gate,
        "threshold": engine.model.config.threshold,
        "backend": engine.backend,
        "input": networks[-1]["input"],
        "networks": networks,
        "per_person": engine.preset.task == "pose",
        "dense_macs_per_frame": sum(network["dense_macs"] for network in networks),
        "dense_ms_per_frame": round(sum(network["dense_ms"] for network in networks), 1),
        "outputs": [target if target == "-" else str(Path(target).resolve()) for target in job.targets],
    }
