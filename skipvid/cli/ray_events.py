"""--events with --ray: each worker writes the events of its file as a piece beside the file of all, which is put together at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.core.files import output_errors
from skipvid.video.sinks.events import EventSink
from skipvid.video.sources.specs import display_name

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.cli.run_jobs import MakeSinks
    from skipvid.core.results import RunHeader


def events_of_each(files: Mapping[str, str]) -> MakeSinks:
    """What opens a source's own file of events, where it has one, in a worker. files: by source."""
    return partial(_event_sinks, {str(Path(source).absolute()): os.path.abspath(file) for source, file in files.items()}, None)


@contextmanager
def events_of_all(file: str, sources: Sequence[str], overwrite: bool) -> Iterator[MakeSinks]:
    """What opens the events of a source, in a worker; at the end, however it comes, the file of all is made of what is finished.

    Events of sources that the run before had finished are kept, unless all is to be made anew (overwrite); so are the pieces of a run that
    was killed. Raises OutputError where there is no place for them.
    """
    path = Path(file).absolute()
    folder = path.with_name(f"{path.name}.pieces")
    with output_errors(folder):
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
    pieces = {str(Path(source).absolute()): str(folder / f"{number}{path.suffix}") for number, source in enumerate(sources)}
    try:
        yield partial(_event_sinks, pieces, path)
    finally:
        _put_together(path, {display_name(source): Path(piece) for source, piece in pieces.items()}, overwrite)
        shutil.rmtree(folder, ignore_errors=True)


def _event_sinks(files: Mapping[str, str], reported: Path | None, job: Job, header: RunHeader) -> tuple[EventSink, ...]:
    """reported: the path that the report names in place of the one that is written."""
    if not files:
        return ()
    sink = EventSink(Path(files[job.spec]))
    if reported is not None:
        sink.path = reported
    return (sink,)


def _put_together(path: Path, pieces: Mapping[str, Path], overwrite: bool) -> None:
    """pieces: by the name of their source; those that are there are newer than what the file says of these sources."""
    finished = {name: piece for name, piece in pieces.items() if piece.is_file()}
    if not finished:
        return
    with EventSink(path) as whole:
        if path.is_file() and not overwrite:
            whole.take_over(path)
            for name in finished:
                whole.drop_source(name)
        for piece in finished.values():
            whole.take_over(piece)
        whole.complete()
