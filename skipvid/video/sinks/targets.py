"""Where outputs go: what a target's suffix means, which names many sources get, and what would be overwritten. Opens no file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skipvid.core.errors import OutputError, UsageError
from skipvid.core.files import cut_name, longest_name, no_folder, output_errors
from skipvid.core.text import without_secrets

STDOUT = "-"
SUFFIXES = {
    ".mp4": "H.264 video",
    ".mkv": "H.264 video",
    ".webm": "VP9 video",
    ".png": "picture of the whole run",
    ".jsonl": "one JSON record per frame",
    ".json": "one JSON document",
    ".csv": "table of detections",
    ".coco.json": "COCO data set",
    ".mot.txt": "MOT challenge text",
}
VIDEO_SUFFIXES = tuple(suffix for suffix, content in SUFFIXES.items() if content.endswith("video"))


def suffix_of(target: str) -> str:
    """The longest known suffix of a target's name, in lower case. Raises OutputError where there is none."""
    name = Path(target).name.lower()
    known = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    if not known:
        raise OutputError(f"{target}: no output is known by this suffix", f"use one of {' '.join(SUFFIXES)}, or - for JSONL on stdout")
    return max(known, key=len)


def default_output(source: str, ending: str = "_skipvid.mp4", folder: str = ".", stem: str | None = None) -> str:
    """The name of a source's output where the user gave none, in the working directory: clip.mp4 -> clip_skipvid.mp4.

    stem: where it is not the source's own. One that is too long for a name in that folder is cut, and gets a number made of all of it.
    """
    return cut_name(_stem(source) if stem is None else stem, longest_name(Path(folder)) - len(os.fsencode(ending))) + ending


def check_target(target: str, sources: Sequence[str], overwrite: bool) -> None:
    """Find out before any work starts that an output cannot be written. Raises OutputError.

    sources: the inputs as the user gave them; none of them is ever overwritten. `-` (stdout) always passes.
    """
    if target == STDOUT:
        return
    suffix_of(target)
    check_path(target, sources, overwrite)


def check_path(target: str, sources: Sequence[str], overwrite: bool) -> None:
    """check_target for a file that no sink writes, whatever its suffix."""
    _check_name(target)
    with output_errors(target):
        _check_path(target, sources, overwrite)


def _check_name(target: str) -> None:
    if "\0" in target:
        raise OutputError(f"{target} cannot be written: there is a zero byte in its name", "choose another name")


def _check_path(target: str, sources: Sequence[str], overwrite: bool) -> None:
    # Where a link leads, because that file will be written.
    path = Path(os.path.realpath(target))
    if path.is_symlink():
        raise OutputError(f"{target} cannot be written: its links lead in a circle", "choose another name")
    if path.is_dir():
        raise OutputError(f"{target} is a folder", "give a file name")
    if not path.parent.is_dir():
        folder = Path(target).parent if not Path(target).parent.is_dir() else path.parent
        raise no_folder(target, folder)
    longest, length = longest_name(path.parent), len(os.fsencode(path.name))
    if length > longest:
        raise OutputError(f"{target} cannot be written: its name has {length} bytes, {longest} are possible there", "choose a shorter name")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        folder = Path(target).parent if os.path.samefile(Path(target).parent, path.parent) else path.parent
        raise OutputError(f"{target} cannot be written: no permission to write in {folder}", "choose another folder")
    if not path.exists():
        return
    if any(_reads(source, path) for source in sources):
        raise OutputError(f"{target} is also the input", "choose another name for the output")
    if not path.is_file():
        raise OutputError(f"{target} is no regular file", "choose another name")
    if not overwrite:
        raise OutputError(f"{target} exists already", "give --overwrite to replace it, or choose another name")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{target} is write-protected", "take its protection away, or choose another name")


def _reads(source: str, path: Path) -> bool:
    """Whether a source is this file, under whatever name, or a folder that holds it."""
    if not os.path.exists(source):
        return False
    if os.path.samefile(source, path):
        return True
    if not os.path.isdir(source):
        return False
    number = path.stat().st_ino
    with os.scandir(source) as entries:
        alike = [entry for entry in entries if entry.is_symlink() or entry.inode() == number]
    return any(entry.is_file() and os.path.samefile(entry.path, path) for entry in alike)


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """The outputs of one source. An empty tuple: all of them exist and are to be left alone (--skip-existing)."""

    source: str
    targets: tuple[str, ...]


def plan_outputs(
    targets: Sequence[str], sources: Sequence[str], *, overwrite: bool = False, skip_existing: bool = False, ending: str = "_skipvid.mp4"
) -> list[OutputPlan]:
    """Name the outputs of every source and check all of them, before any work starts.

    A target may be a folder (the default name is used in it) or contain {stem} (the source's name without suffix) and {n} (its number,
    from 1). Without targets each source gets its default output. skip_existing: outputs that exist are not made again.
    Raises OutputError (see check_target), and UsageError where two outputs would have the same name.
    """
    plans: list[OutputPlan] = []
    taken: dict[str, str] = {}
    for n, (source, stem) in enumerate(zip(sources, _stems(sources), strict=True), start=1):
        wanted: list[str] = []
        for pattern in targets or [default_output(source, ending, stem=stem)]:
            target = _fill(pattern, stem, n, ending)
            if target != STDOUT:
                _check_name(target)
                _claim(target, source, taken)
                if skip_existing and os.path.isfile(target):
                    continue
            check_target(target, sources, overwrite)
            wanted.append(target)
        plans.append(OutputPlan(source, tuple(wanted)))
    return plans


def has_placeholder(target: str) -> bool:
    """Whether a name holds what stands for a source, such as {stem}."""
    return re.search(r"\{[^{}]*\}", target) is not None


def _fill(pattern: str, stem: str, n: int, ending: str) -> str:
    if pattern == STDOUT:
        return pattern
    if pattern.endswith(("/", os.sep)) or os.path.isdir(pattern):
        return str(Path(pattern) / default_output("", ending, pattern, stem))
    values = {"stem": stem, "n": str(n)}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(f"{pattern}: {{{match[1]}}} stands for nothing", "only {stem} and {n} do")
        return values[match[1]]

    return re.sub(r"\{([^{}]*)\}", value, pattern)


def _claim(target: str, source: str, taken: dict[str, str]) -> None:
    key = os.path.realpath(target)
    if key not in taken:
        taken[key] = source
        return
    both = f"twice for {source}" if taken[key] == source else f"for {taken[key]} and for {source}"
    raise UsageError(f"{target} would be written {both}", "give -o a folder, or a name with {stem} or {n}")


def _stems(sources: Sequence[str]) -> list[str]:
    """The stem of each. Cameras of one make have addresses that end alike: where two would have one stem, the whole address makes it."""
    stems = [_stem(source) for source in sources]
    counts = Counter(stems)
    return [_long_stem(source) if "://" in source and counts[stem] > 1 else stem for source, stem in zip(sources, stems, strict=True)]


def _long_stem(source: str) -> str:
    parts = urlsplit(without_secrets(source))
    host = parts.netloc.rpartition("@")[2]
    return re.sub(r"[^\w.+-]+", "_", host + str(Path(unquote(parts.path)).with_suffix("") if parts.path.strip("/") else ""))


def _stem(source: str) -> str:
    """The source's name without folders and suffix, fit for a file name."""
    if source == "-":
        return "stdin"
    if "://" in source:
        source = without_secrets(source)
        if source.lower().startswith("webcam://"):
            return source.lower().replace("://", "")
        name = unquote(Path(urlsplit(source).path).stem) or urlsplit(source).hostname or "stream"
        return re.sub(r"[^\w.+-]+", "_", name)
    path = Path(source)
    return path.resolve().name if os.path.isdir(path) else path.stem
