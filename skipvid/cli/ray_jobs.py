"""--ray: whole files for the workers of a Ray cluster. What is finished is kept, what a lost worker had begun is done again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from skipvid.cli.jobs import Job
from skipvid.cli.run_jobs import Done, Failed, Outcome, Work, run_job, told_failure
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.talk import Talk
from skipvid.core.errors import BackendError, UsageError
from skipvid.video.sources.specs import STDIN, is_url

if TYPE_CHECKING:
    from skipvid.core.results import RunHeader
    from skipvid.tasks.engine import Engine
    from skipvid.video.sinks.base import Sink

RETRIES = 10
"""Workers that may be lost over one file before it fails."""

S = TypeVar("S", bound=AnalysisSettings)
Load = Callable[[Any, Talk], "Engine"]
MakeSinks = Callable[[Job, "RunHeader", Any, Talk], "Iterable[Sink]"]


def for_ray(settings: S) -> S:
    """Settings for work that is handed out: what is there already is kept, each file has a thread. Raises UsageError for what only one
    machine can do."""
    single = {
        "--csv": settings.csv,
        "--show": settings.live.show,
        "--web": settings.live.web,
        "--webcam": settings.live.webcam is not None,
        "--live": settings.live.stream.newest,
        "--segment": settings.live.stream.segment,
        "--jobs": settings.jobs > 1,
        "-o -": STDIN in settings.output,
    }
    if given := next((name for name, value in single.items() if value), None):
        raise UsageError(f"{given} and --ray contradict each other", "leave one of them out")
    if others := [source for source in settings.live.sources if source == STDIN or is_url(source)]:
        raise UsageError(f"--ray is for files, not for {others[0]}", "give files that all workers can read")
    write = settings.write if settings.write.overwrite else replace(settings.write, skip_existing=True)
    return replace(settings, write=write, network=replace(settings.network, threads=settings.network.threads or 1))


def run_on_ray(command: str, settings: AnalysisSettings, load: Load, make_sinks: MakeSinks, jobs: Sequence[Job], talk: Talk) -> Outcome:
    """Analyse all jobs on the cluster that settings.ray names; "local" starts one on this machine for as long as it takes.

    Raises UsageError where Ray is not installed, BackendError where there is no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise UsageError("--ray needs ray, which is not installed", "pip install 'skipvid[ray]'") from None
    from skipvid.core.cores import usable_cores

    local = {"num_cpus": usable_cores(), "include_dashboard": False} if settings.ray == "local" else {}
    begin = time.perf_counter()
    stack = ExitStack()
    stack.enter_context(redirect_stdout(sys.stderr))  # what Ray has to say is no data
    try:
        ray.init(address=settings.ray, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        stack.close()
        raise BackendError(f"there is no Ray cluster at {settings.ray}: {error}", "check the address, or say --ray local") from None
    work = Work(command, None, None, talk, lambda job, header: (), lambda engine, header: None)  # type: ignore[arg-type, return-value]
    results: dict[int, Done | Failed] = {}
    stopped = False
    try:
        task = ray.remote(num_cpus=settings.network.threads, max_retries=RETRIES)(_analyse_file)
        quiet = replace(settings, talk=replace(settings.talk, quiet=True, verbose=False, log_file=None))
        waiting = {task.remote(command, quiet, load, make_sinks, _absolute(job)): number for number, job in enumerate(jobs)}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting))
            number = waiting.pop(ready)
            try:
                results[number] = ray.get(ready)
                talk.say(f"{len(results)} of {len(jobs)} files done")
            except Exception as error:
                cause = getattr(error, "cause", None)
                results[number] = told_failure(work, jobs[number], cause if isinstance(cause, Exception) else error)
    except KeyboardInterrupt:
        if not results:
            raise
        stopped = True
    finally:
        ray.shutdown()  # what was begun is left beside its place, and done again next time
        stack.close()
    done = tuple(result for _, result in sorted(results.items()) if isinstance(result, Done))
    failed = tuple(result for _, result in sorted(results.items()) if isinstance(result, Failed))
    return Outcome(done, failed, stopped, time.perf_counter() - begin)


def _absolute(job: Job) -> Job:
    """Workers have working directories of their own."""
    return Job(str(Path(job.spec).absolute()), tuple(str(Path(target).absolute()) for target in job.targets), job.problem)


def _analyse_file(command: str, settings: AnalysisSettings, load: Load, make_sinks: MakeSinks, job: Job) -> Done:
    """One file, in a worker. Raises whatever keeps it from being analysed."""
    from skipvid.cli.live import read_options

    with Talk(settings.talk) as talk:
        engine = _engine(settings, load)
        sinks = partial(_sinks, make_sinks, settings, talk)
        return run_job(Work(command, engine, read_options(settings), talk, sinks, lambda engine, header: engine.stream()), job, None)


def _sinks(make_sinks: MakeSinks, settings: AnalysisSettings, talk: Talk, job: Job, header: RunHeader) -> Iterable[Sink]:
    return make_sinks(job, header, settings, talk)


@lru_cache(maxsize=1)
def _engine(settings: AnalysisSettings, load: Load) -> Engine:
    """A worker takes one file after the other: the network is loaded once."""
    with Talk(settings.talk) as talk:
        return load(settings, talk)
