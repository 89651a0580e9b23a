"""Which sources are to be analysed and what is to be written of each; all that can be wrong is found here, before any frame is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.cli.settings.groups import ReadSettings, WriteSettings
from skipvid.core.errors import SkipvidError, SourceError, UsageError

if TYPE_CHECKING:
    from skipvid.core.results import SourceInfo
    from skipvid.video.sinks.options import SinkOptions
    from skipvid.video.sources.options import ReadOptions


@dataclass(frozen=True, slots=True)
class Job:
    """One source and the outputs wanted of it. problem: why a source of several cannot be analysed, known from its name alone."""

    spec: str
    targets: tuple[str, ...]
    problem: SkipvidError | None = None


def sink_options(read: ReadSettings, write: WriteSettings) -> SinkOptions:
    """How outputs are written."""
    from skipvid.video.sinks.options import SinkOptions

    return SinkOptions(speed=write.speed, audio=not write.no_audio, to_end=read.end is None and read.max_frames is None)


def plan_jobs(
    sources: Sequence[str],
    outputs: Sequence[str],
    csv: str | None,
    write: WriteSettings,
    read: ReadOptions,
    ending: str,
    suffixes: Sequence[str] = (),
    companion: Callable[[str], str | None] | None = None,
    check: bool = True,
) -> list[Job]:
    """Sources and their outputs, every output checked before any work starts.

    outputs, csv: as they are given. ending: of the output's name in the working directory where none is given. suffixes: those that
    make sense, () = all that sinks know. companion: names a file that is written beside an output. check: outputs must not exist yet.
    Raises SourceError, UsageError or OutputError.
    """
    from skipvid.video.sinks.targets import check_path, plan_outputs

    specs, failed = expand_each(sources)
    if len(specs) > 1 and "-" in specs:
        raise UsageError("standard input cannot be one of several sources", "give - alone")
    for target in outputs:
        if suffixes and not target.lower().endswith((*suffixes, "/")) and "." in Path(target).name:
            raise UsageError(f"{target}: this command writes {', '.join(suffixes)}")
    overwrite = write.overwrite or not check
    jobs = []
    for plan in plan_outputs(outputs, specs, overwrite=overwrite, skip_existing=write.skip_existing, ending=ending):
        beside = [other for target in plan.targets if companion is not None and (other := companion(target)) is not None]
        for other in beside:
            check_path(other, specs, overwrite)
        if plan.targets:
            jobs.append(Job(plan.source, (*plan.targets, *beside)))
    jobs += failed
    if csv:
        check_path(csv, specs, overwrite)
    check_openable(specs, read)
    return jobs


def expand_each(sources: Sequence[str]) -> tuple[list[str], list[Job]]:
    """What the sources stand for; of several, those that stand for nothing do not stop the others. Raises the error of a single one."""
    from skipvid.video.sources.specs import expand_specs

    specs: list[str] = []
    failed = []
    for source in sources:
        try:
            specs += expand_specs([source])
        except SourceError as error:
            if len(sources) == 1:
                raise
            failed.append(Job(source, (), error))
    if not specs and failed and failed[0].problem is not None:
        raise failed[0].problem
    return list(dict.fromkeys(specs)), failed


def check_openable(specs: Sequence[str], read: ReadOptions) -> None:
    """Find out before the network is loaded that a single local source cannot be opened; of several, the others shall still be done."""
    from skipvid.video.sources.open import open_source
    from skipvid.video.sources.specs import is_url

    if len(specs) == 1 and specs[0] != "-" and not is_url(specs[0]):
        open_source(specs[0], read).close()


def expected_frames(info: SourceInfo, read: ReadOptions) -> int | None:
    """About how many frames will be delivered, for a progress bar."""
    total = info.frames
    if total is None and info.duration and info.fps:
        total = round(info.duration * info.fps)
    if total is None or info.live:
        return read.max_frames
    fps = info.fps or read.fps
    last = total if read.end is None else min(total, round(read.end * fps))
    count = max(0, -(-(last - round(read.start * fps)) // read.stride))
    return count if read.max_frames is None else min(count, read.max_frames)
