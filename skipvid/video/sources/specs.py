"""What a user may write for a source, and what it stands for. Looks at names and folders only; opens nothing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from skipvid.core.errors import SourceError
from skipvid.core.text import printable, without_secrets

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .3gp .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .wmv .flv .ogv .mjpeg .mjpg .gif".split(),
)
STDIN = "-"


def is_url(spec: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", spec) is not None


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts frame_2 before frame_10: runs of digits compare as numbers."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name)
    return [(0, int(digits), "") if digits else (1, 0, text.casefold()) for digits, text in parts]


def files_in(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The folder's files with one of the suffixes, in natural order, without hidden ones. Raises SourceError where it cannot be read."""
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}", "check its permissions") from error
    return sorted(found, key=lambda p: natural_key(p.name))


def images_below(folder: Path) -> list[Path]:
    """A folder's images in natural order; where it has none itself, those of its sub-folders, folder by folder."""
    images = files_in(folder, IMAGE_SUFFIXES)
    if images:
        return images
    try:
        folders = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise SourceError(f"{printable(str(folder))} cannot be read: {error.strerror}", "check its permissions") from error
    return [image for inner in folders if not inner.is_symlink() for image in images_below(inner)]


def expand_specs(specs: Sequence[str]) -> list[str]:
    """The sources that the user's words stand for, each once, in the order given.

    A glob that the shell left alone stands for the files it matches (`**` enters folders), a folder of videos for its videos; everything
    else (file, folder of images, URL, `-`) stands for itself. Brackets in the name of a folder that exists mean themselves.
    Raises SourceError where a glob matches nothing or a folder holds neither videos nor images, or both.
    """
    found: list[str] = []
    for spec in specs:
        if spec == STDIN or is_url(spec) or os.path.isfile(spec):  # os.path: no error for a name that is too long
            found.append(spec)
        elif os.path.isdir(spec):
            found += _expand_folder(spec)
        elif glob.has_magic(spec):
            found += _expand_glob(spec)
        else:
            found.append(spec)
    return list(dict.fromkeys(found))


def display_name(spec: str) -> str:
    """The name that messages and results use: the last part of a path, a URL without its password; always `printable`."""
    if spec == STDIN:
        return "stdin"
    if not is_url(spec):
        return printable(Path(spec).name or Path(spec).resolve().name)
    return printable(without_secrets(spec))


def _expand_glob(pattern: str) -> list[str]:
    matches = sorted(_matches(pattern), key=natural_key)
    files = [m for m in matches if Path(m).is_file() and Path(m).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES]
    folders = [m for m in matches if Path(m).is_dir()]
    if not matches:
        raise SourceError(f"nothing matches {pattern}", "check the pattern and the folder it starts from")
    if not files and not folders:
        raise SourceError(f"{pattern} matches {len(matches)} files, none with the suffix of a video or an image", "give the files by name")
    expanded = list(files)
    if not files:
        for folder in folders:
            expanded += _expand_folder(folder)
    return expanded


def _matches(pattern: str) -> list[str]:
    """What a glob matches. Cameras and download folders are called `cam[1]`: the beginning that exists as it stands is no pattern."""
    there, rest = Path(), list(Path(pattern).parts)
    while rest and (there / rest[0]).is_dir():
        there /= rest.pop(0)
    start = glob.escape(str(there)) if there.parts else ""
    found = glob.glob(os.path.join(start, *rest), recursive=True)
    # Brackets that match nothing as a choice of letters are meant as they stand.
    return found or glob.glob(pattern.replace("[", "[[]"), recursive=True)


def _expand_folder(spec: str) -> list[str]:
    folder = Path(spec)
    videos, images = files_in(folder, VIDEO_SUFFIXES), files_in(folder, IMAGE_SUFFIXES)
    if videos and images:
        message = f"{folder} holds {len(videos)} videos and {len(images)} images"
        raise SourceError(message, f"say which, for example '{folder}/*{videos[0].suffix}'")
    if not videos and not images and not images_below(folder):
        raise SourceError(f"{folder} holds neither videos nor images", "give a folder of images, a folder of videos, or a file")
    return [str(v) for v in videos] or [spec]
