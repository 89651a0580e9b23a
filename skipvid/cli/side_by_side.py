"""Several sources at a time: cameras all at once, recordings so many at a time; one engine and one budget of threads for all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from skipvid.cli.jobs import Job
from skipvid.cli.run_jobs import Beside, Done, Failed, Outcome, Work, cores_for, run_job, told_failure
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.shared_file import SharedFile, shared_costs
from skipvid.core import interrupts
from skipvid.core.errors import UsageError
from skipvid.pipeline.turns import Budget, Turns
from skipvid.video.sources.specs import STDIN, is_url

if TYPE_CHECKING:
    from skipvid.video.sources.base import Source

S = TypeVar("S", bound=AnalysisSettings)

CLOSING_SECONDS = 5.0
"""How long a stop waits for sources whose files are complete to close; one that hangs in a driver must not hold the program."""


@dataclass(frozen=True, slots=True)
class Share:
    """How sources run side by side. live: numbers of the jobs that begin at once. at_once: of the others. places: see Turns."""

    live: frozenset[int]
    at_once: int
    places: int


def share(settings: S, jobs: Sequence[Job]) -> tuple[S, Share | None]:
    """The settings, with the network's threads shared out, and how the jobs are run side by side; None: one after the other.

    Raises UsageError where what is wanted can be had of one source only.
    """
    from skipvid.core.cores import usable_cores

    live = frozenset(number for number, job in enumerate(jobs) if _at_its_own_pace(job.spec, settings))
    addresses = any(is_url(job.spec) for job in jobs) and not settings.live.stream.every
    if len(jobs) < 2 or (not addresses and settings.jobs == 1):
        return settings, None
    if settings.live.show:
        raise UsageError(f"--show is a window for one source, and there are {len(jobs)} at a time", "leave it out")
    streams = len(live) + min(settings.jobs, len(jobs) - len(live))
    budget = Budget.of(settings.network.threads or usable_cores(), streams)
    network = replace(settings.network, threads=budget.threads)
    return replace(settings, network=network), Share(live, settings.jobs, budget.places)


def _at_its_own_pace(spec: str, settings: AnalysisSettings) -> bool:
    """Whether a source has no end, as far as its name tells."""
    from skipvid.video.sources.network import ALWAYS_LIVE
    from skipvid.video.sources.open import WEBCAM

    if spec == STDIN or not is_url(spec):
        return False
    return settings.live.stream.newest or spec.partition("://")[0].lower() in {WEBCAM, *ALWAYS_LIVE}


def run_side_by_side(work: Work, jobs: Sequence[Job], how: Share, csv: str | None = None) -> Outcome:
    """Analyse all jobs, each in a thread of its own. csv: the cost CSV of all of them together.

    One that fails is told and does not stop the others. A signal ends all of them, with whole files.
    """
    begin = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(cores_for(work.engine))
        costs = shared_costs(csv, stack)
        runs = _Runs(work, jobs, how, costs)
        try:
            runs.start()
            runs.wait()
        except KeyboardInterrupt:
            with interrupts.shielded():
                runs.stop()
            if not any(runs.results):
                raise
        if costs is not None:
            costs.finish()
    done = tuple(result for result in runs.results if isinstance(result, Done))
    failed = tuple(result for result in runs.results if isinstance(result, Failed))
    return Outcome(done, failed, runs.stopped.is_set(), time.perf_counter() - begin)


class _TooLate(Exception):
    """A source was opened after the end of the work."""


class _Runs:
    """The threads of all jobs. results: by job, None where there is none yet."""

    def __init__(self, work: Work, jobs: Sequence[Job], how: Share, costs: SharedFile | None) -> None:
        self._work, self._jobs, self._how, self._costs = work, jobs, how, costs
        self._turns = Turns(how.places)
        self._lock = threading.Lock()
        self._queue = deque(number for number in range(len(jobs)) if number not in how.live)
        self._threads: list[threading.Thread] = []
        self._open: set[Source] = set()
        self._opened: set[int] = set()  # jobs that have a result, or will have one
        self.results: list[Done | Failed | None] = [None] * len(jobs)
        self.stopped = threading.Event()

    def start(self) -> None:
        """Begin with all that is live, and as many of the others as run at a time."""
        for number in sorted(self._how.live):
            self._begin([number])
        for _ in range(min(self._how.at_once, len(self._queue))):
            self._begin(self._queue)

    def wait(self) -> None:
        """Until all is done."""
        for thread in self._threads:  # it grows while it is gone through
            thread.join()

    def stop(self) -> None:
        """Let all that runs finish its files."""
        with self._lock:
            self.stopped.set()
            sources = list(self._open)
        for source in sources:
            source.close()
        # Not by joining the threads: Python 3.11 takes one whose join was interrupted for ended. What is still being opened has no files to
        # finish, and no result.
        while self._any_open():
            time.sleep(0.01)
        deadline = time.monotonic() + CLOSING_SECONDS
        while time.monotonic() < deadline and any(self.results[number] is None for number in self._opened):
            time.sleep(0.01)

    def _any_open(self) -> bool:
        with self._lock:
            return bool(self._open)

    def _begin(self, queue: deque[int] | list[int]) -> None:
        thread = threading.Thread(target=self._work_through, args=(queue,), name="skipvid-source", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work_through(self, queue: deque[int] | list[int]) -> None:
        while True:
            with self._lock:
                if not queue or self.stopped.is_set():
                    return
                number = queue.pop() if isinstance(queue, list) else queue.popleft()
            job = self._jobs[number]
            try:
                self.results[number] = run_job(self._work, job, self._costs, partial(self._beside, number))
            except _TooLate:
                return
            except Exception as error:
                self.results[number] = told_failure(self._work, job, error)

    @contextmanager
    def _beside(self, number: int, source: Source) -> Iterator[Beside]:
        with self._lock:
            if self.stopped.is_set():
                raise _TooLate
            self._open.add(source)
            self._opened.add(number)
        if source.info.live and number not in self._how.live:
            self._begin(self._queue)  # it has no end, and others wait behind it
        try:
            yield Beside(self._turns.turn(), self.stopped)
        finally:
            with self._lock:
                self._open.discard(source)
