"""--web: the page that shows a run, from what the user wrote to a server with a camera for each job."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from skipvid.cli.jobs import Job
from skipvid.core.errors import OutputError, UsageError
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.specs import display_name

if TYPE_CHECKING:
    from types import TracebackType

    from skipvid.core.results import FrameResult, RunHeader, RunSummary
    from skipvid.tasks.areas import Areas
    from skipvid.tasks.engine import Stream
    from skipvid.video.sources.base import Source
    from skipvid.web.board import Camera


class Page:
    """The page of a run, served while it is entered; it listens from the beginning.

    where: [HOST:]PORT. Raises UsageError where the extra is missing, the address cannot be used, or a file with areas holds none.
    """

    def __init__(self, where: str, jobs: Sequence[Job]) -> None:
        try:
            from skipvid.web.address import listen, read_address
            from skipvid.web.server import PageServer
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "anyio", "h11"):
                raise
            raise UsageError(f"--web needs {error.name}, which is not installed", "pip install 'skipvid[web]'") from None
        self._cameras = dict(zip(jobs, _cameras(jobs), strict=True))
        listening, self._address = listen(read_address(where))
        self._server = PageServer(list(self._cameras.values()), listening, self._address)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        # Past the log and its masks: nobody could open the page without the token, and this is the one time that it is told.
        click.echo(f"page: {self._address.link}", err=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def watch(self, job: Job, source: Source, stream: Stream, header: RunHeader, areas: Areas | None) -> Sink:
        """What shows a source on the page. Call its `write` in the thread that analyses it. areas: that the stream looks at."""
        camera = self._cameras[job]
        tell = source.tell

        def told(line: str) -> None:
            camera.said(line)
            tell(line)

        source.tell = told
        camera.opened(header, getattr(stream, "look_at", None), areas)
        return _Watching(camera, source)

    def failed(self, job: Job, error: str) -> None:
        """Show that a source cannot be analysed."""
        self._cameras[job].ended(error, failed=True)


class _Watching(Sink):
    def __init__(self, camera: Camera, source: Source) -> None:
        self._camera, self._source = camera, source

    def write(self, result: FrameResult) -> None:
        self._camera.update(result, self._source.dropped)

    def finish(self, summary: RunSummary) -> None:
        """The totals are in the report."""

    def close(self) -> None:
        self._camera.ended()


def _cameras(jobs: Sequence[Job]) -> list[Camera]:
    from skipvid.video.sinks.targets import plan_outputs
    from skipvid.web.board import Camera
    from skipvid.web.kept_areas import KeptAreas

    try:
        plans = plan_outputs((), [job.spec for job in jobs], overwrite=True, ending="_areas.json")
    except OutputError:  # a folder in which nothing can be written
        return [Camera(display_name(job.spec), KeptAreas(None)) for job in jobs]
    return [Camera(display_name(job.spec), KeptAreas(Path(plan.targets[0]))) for job, plan in zip(jobs, plans, strict=True)]
