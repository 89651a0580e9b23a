"""Which sources are to be analysed and what is to be written of each; all that can be wrong is found here, before any frame is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.core.results import SourceInfo
    from skipvid.video.sinks.options import SinkOptions
    from skipvid.video.sources.options import ReadOptions


@dataclass(frozen=True, slots=True)
class Job:
    """One source and the outputs wanted of it."""

    spec: str
    targets: tuple[str, ...]


def read_options(options: Mapping[str, Any]) -> ReadOptions:
    """The frames that are wanted. Raises UsageError for what cannot be meant."""
    from skipvid.video.sources.options import ReadOptions

    wanted = {"start": options["start"], "end": options["end"], "max_frames": options["max_frames"], "stride": options["stride"]}
    return ReadOptions(**wanted) if options["fps"] is None else ReadOptions(**wanted, fps=options["fps"])


def sink_options(options: Mapping[str, Any]) -> SinkOptions:
    """How outputs are written."""
    from skipvid.video.sinks.options import SinkOptions

    return SinkOptions(audio=not options["no_audio"], to_end=options["end"] is None and options["max_frames"] is None)


def check_options(options: Mapping[str, Any]) -> None:
    """Combinations that cannot be meant. Raises UsageError."""
    if options["quiet"] and options["verbose"]:
        raise UsageError("-q and -v contradict each other")
    if options.get("overwrite") and options.get("skip_existing"):
        raise UsageError("--overwrite and --skip-existing contradict each other")
    read_options(options)


def plan_jobs(
    options: Mapping[str, Any],
    ending: str,
    suffixes: Sequence[str] = (),
    companion: Callable[[str], str | None] | None = None,
    check: bool = True,
) -> list[Job]:
    """Sources and their outputs, every output checked before any work starts.

    ending: of the output's name in the working directory where none is given. suffixes: those that make sense, () = all that sinks know.
    companion: names a file that is written beside an output. Raises SourceError, UsageError or OutputError.
    """
    from skipvid.video.sinks.targets import check_path, plan_outputs
    from skipvid.video.sources.specs import expand_specs

    specs = expand_specs(options["sources"])
    if len(specs) > 1 and "-" in specs:
        raise UsageError("standard input cannot be one of several sources", "give - alone")
    for target in options["output"]:
        if suffixes and not target.lower().endswith((*suffixes, "/")) and "." in Path(target).name:
            raise UsageError(f"{target}: this command writes {', '.join(suffixes)}")
    overwrite = options["overwrite"] or not check
    jobs = []
    for plan in plan_outputs(options["output"], specs, overwrite=overwrite, skip_existing=options["skip_existing"], ending=ending):
        beside = [other for target in plan.targets if companion is not None and (other := companion(target)) is not None]
        for other in beside:
            check_path(other, specs, overwrite)
        if plan.targets:
            jobs.append(Job(plan.source, (*plan.targets, *beside)))
    if options.get("csv"):
        check_path(options["csv"], specs, overwrite)
    check_openable(specs, read_options(options))
    return jobs


def check_openable(specs: Sequence[str], wanted: ReadOptions) -> None:
    """Find out before the network is loaded that a single local source cannot be opened; of several, the others shall still be done."""
    from skipvid.video.sources.open import open_source
    from skipvid.video.sources.specs import is_url

    if len(specs) == 1 and specs[0] != "-" and not is_url(specs[0]):
        open_source(specs[0], wanted).close()


def expected_frames(info: SourceInfo, wanted: ReadOptions) -> int | None:
    """About how many frames will be delivered, for a progress bar."""
    total = info.frames
    if total is None and info.duration and info.fps:
        total = round(info.duration * info.fps)
    if total is None or info.live:
        return wanted.max_frames
    fps = info.fps or wanted.fps
    last = total if wanted.end is None else min(total, round(wanted.end * fps))
    count = max(0, -(-(last - round(wanted.start * fps)) // wanted.stride))
    return count if wanted.max_frames is None else min(count, wanted.max_frames)
