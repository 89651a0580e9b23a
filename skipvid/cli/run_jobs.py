"""Running the pipeline over the sources of a command, one after the other: open, analyse, write. One that fails stops no other."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.cli.app import print_traceback
from skipvid.cli.jobs import Job, expected_frames
from skipvid.cli.shared_file import SharedFile, shared_costs
from skipvid.cli.talk import Progress, Talk
from skipvid.core import interrupts
from skipvid.core.errors import SkipvidError
from skipvid.core.files import left_behind
from skipvid.core.text import printable, without_secrets
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.specs import display_name

if TYPE_CHECKING:
    from threading import Event

    from skipvid.core.results import FrameResult, RunHeader, RunSummary, SourceInfo
    from skipvid.pipeline.turns import Turn
    from skipvid.tasks.engine import Engine, Stream
    from skipvid.video.sources.base import Source
    from skipvid.video.sources.options import ReadOptions


@dataclass(frozen=True, slots=True)
class Done:
    """One analysed source and the files that were written."""

    summary: RunSummary
    written: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """One source of several that could not be analysed. error: one line. exit_code: what it alone would have ended with."""

    source: str
    error: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all sources. stopped: a signal ended the work before the last of them was done. seconds: that all took together."""

    done: tuple[Done, ...]
    failed: tuple[Failed, ...] = ()
    stopped: bool = False
    seconds: float = 0.0


MakeSinks = Callable[[Job, "RunHeader"], Iterable[Sink]]
"""Opens the outputs of a job, one after the other."""

MakeStream = Callable[["Engine", "RunHeader"], "Stream"]
MakeWatchers = Callable[[Job, "Source", "Stream", "RunHeader"], Iterable[Sink]]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a run needs that is one of several at a time; as in skipvid.pipeline.run.run. The default: it is the only one."""

    turn: Turn | None = None
    stopped: Event | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with each source.

    make_watchers: what shows a source while it is analysed, a window or a page; used in the thread that analyses it alone.
    on_failure: told of one of several sources that failed, and why.
    """

    command: str
    engine: Engine
    read: ReadOptions
    talk: Talk
    make_sinks: MakeSinks
    make_stream: MakeStream
    make_watchers: MakeWatchers | None = None
    on_failure: Callable[[Job, str], None] | None = None


def run_jobs(work: Work, jobs: Sequence[Job], csv: str | None = None) -> Outcome:
    """Analyse all jobs. csv: the cost CSV of all of them together.

    Raises the error of a single job. One of several that fails, for whatever reason, is told and does not stop the others; nor is what
    is done lost where a signal ends the work.
    """
    done: list[Done] = []
    failed: list[Failed] = []
    stopped = False
    begin = time.perf_counter()
    with ExitStack() as stack:
        costs = shared_costs(csv, stack)
        for job in jobs:
            try:
                interrupts.check()
                done.append(run_job(work, job, costs))
                stopped = done[-1].summary.interrupted
            except KeyboardInterrupt:
                if not done and not failed:
                    raise
                stopped = True
            except Exception as error:
                if len(jobs) == 1:
                    raise
                failed.append(told_failure(work, job, error))
            if stopped:
                break
        if costs is not None:
            costs.finish()
    return Outcome(tuple(done), tuple(failed), stopped, time.perf_counter() - begin)


def told_failure(work: Work, job: Job, error: Exception) -> Failed:
    """A source of several failed, and the user was told. To be called where the error is handled."""
    if work.talk.verbose:
        print_traceback()
    failed = _failure(job, error)
    work.talk.complain(failed.error)
    if work.on_failure is not None:
        work.on_failure(job, failed.error)
    return failed


def _failure(job: Job, error: Exception) -> Failed:
    name = display_name(job.spec)
    if isinstance(error, SkipvidError):
        text, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        text, code = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""), SkipvidError.exit_code
    else:
        text, code = f"internal error: {type(error).__name__}: {error}", SkipvidError.exit_code
    text = without_secrets(printable(" ".join(text.split())))
    return Failed(name, text if name in text else f"{name}: {text}", code)


def run_job(
    work: Work,
    job: Job,
    costs: SharedFile | None,
    beside: Callable[[Source], AbstractContextManager[Beside]] | None = None,
) -> Done:
    """Analyse one source. beside: called with it once it is open, where other sources are analysed meanwhile."""
    from skipvid.pipeline.run import run
    from skipvid.report import SummaryBuilder
    from skipvid.video.sources.open import open_source

    if job.problem is not None:
        raise job.problem
    engine, talk = work.engine, work.talk
    with ExitStack() as stack:
        source = stack.enter_context(open_source(job.spec, work.read))
        place = stack.enter_context(beside(source)) if beside is not None else Beside()
        info = source.info
        source.tell = talk.warn
        talk.say(f"{info.name}: {info.width}x{info.height}, {info.fps:.4g} fps", detail=True)
        header = make_header(work.command, engine, info)
        for left in [path for target in job.targets if target != "-" for path in left_behind(Path(target))]:
            talk.say(f"a run that was killed left {left}: it is removed when this run is done; move it to keep it")
        sinks = [stack.enter_context(sink) for sink in work.make_sinks(job, header)]
        if costs is not None:
            sinks.append(stack.enter_context(costs.next_run(header)))
        programs = engine.prepare(info.height, info.width)
        progress = Progress(talk, info.name, expected_frames(info, work.read))
        stack.callback(progress.close)
        stream = work.make_stream(engine, header)
        made = work.make_watchers(job, source, stream, header) if work.make_watchers is not None else ()
        watchers = [stack.enter_context(watcher) for watcher in made]

        def on_frame(result: FrameResult) -> None:
            progress(result)
            for watcher in watchers:
                watcher.write(result)

        with cores_for(engine), settled_heap():
            summary = run(source, stream, sinks, SummaryBuilder(header), on_frame, place.turn, place.stopped, at_once=bool(watchers))
        del programs
    for problem in (*summary.problems, *(sink.problem for sink in sinks if sink.problem)):
        talk.warn(f"{info.name}: {problem}")
    for note in summary.notes:
        talk.say(f"{info.name}: {note}", detail=True)  # the report has it, too
    return Done(summary, tuple(sink.path.resolve() for sink in sinks if sink.path is not None))


@contextmanager
def cores_for(engine: Engine) -> Iterator[None]:
    """While frames run on native kernels, OpenCV and PyTorch keep to one thread.

    They have little to do then, but after each of their operations their threads wait for the next one by spinning, and take a core from
    the network's own threads: on two cores, PETS 2009, PyTorch's made the dense network take 1.46 times as long, the gated one 1.24 times.
    """
    import cv2

    libraries = [(cv2.setNumThreads, cv2.getNumThreads())]
    if (torch := sys.modules.get("torch")) is not None:  # where nothing has loaded it, nothing needs it
        libraries.append((torch.set_num_threads, torch.get_num_threads()))
    if engine.backend == "cpu":
        for limit, _ in libraries:
            limit(1)
    try:
        yield
    finally:
        for limit, before in libraries:
            limit(before)


@contextmanager
def settled_heap() -> Iterator[None]:
    """While frames run, the garbage collector passes over what is there now: modules, the network, its costs.

    Going through all of that again and again took 0.2 ms of each frame's 4.6 on PETS 2009, in the thread that computes the network.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def make_header(command: str, engine: Engine, info: SourceInfo) -> RunHeader:
    """The description of a run."""
    from skipvid import __version__
    from skipvid.core.motions import WARP
    from skipvid.core.results import RunHeader

    config = engine.model.config
    gate = config.gate if config.reference == "accumulated" or config.gate == "none" else f"{config.gate}-previous"
    return RunHeader(
        command=command,
        source=info,
        preset=engine.preset.name,
        gate=WARP if engine.warps else gate,
        threshold=config.threshold,
        block=config.block,
        backend=engine.backend,
        weights_sha256=engine.weights_sha256,
        version=__version__,
        categories=engine.categories,
        keypoints=engine.preset.keypoints,
        precision=engine.model.precision,
    )
