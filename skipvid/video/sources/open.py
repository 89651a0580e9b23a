"""From what the user wrote to a Source."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from skipvid.core.errors import SourceError
from skipvid.core.text import printable
from skipvid.video.sources.base import Source
from skipvid.video.sources.containers import Pipe
from skipvid.video.sources.content import STILL, content_of, is_series
from skipvid.video.sources.images import ImageSource
from skipvid.video.sources.network import open_address, open_live_pipe
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.specs import IMAGE_SUFFIXES, STDIN, VIDEO_SUFFIXES, display_name, files_in, images_below, is_url
from skipvid.video.sources.video import VideoSource
from skipvid.video.sources.webcam import open_webcam

WEBCAM = "webcam"


def open_source(spec: str, options: ReadOptions | None = None) -> Source:
    """Open a video file, an image, a folder of images, an address (rtsp, rtmp, http, ...), webcam://N, or `-` (stdin).

    Globs and folders of videos: expand_specs first.

    Raises SourceError, in one line, where there is nothing that can be decoded.
    """
    options = options or ReadOptions()
    name = display_name(spec)
    if spec == STDIN:
        return open_live_pipe(_stdin(), name, options) if options.live else VideoSource(_stdin(), name, options)
    if is_url(spec):
        scheme, _, rest = spec.partition("://")
        if scheme.lower() == WEBCAM and rest.isdecimal():
            return open_webcam(int(rest), options)
        return open_address(spec, name, options)
    path = Path(spec)
    shown = printable(spec)
    if os.path.isdir(path):  # os.path: no error for a name that is too long
        return ImageSource(_images(path), name, options, path)
    if not os.path.exists(path):
        raise SourceError(f"{shown} does not exist", "check the path")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{shown} cannot be read", "check its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{shown} is empty", "the recording or download failed; get the file again")
    return _open_file(path, name, options)


def _open_file(path: Path, name: str, options: ReadOptions) -> Source:
    """By content, not by suffix; where the two disagree, a note says so."""
    kind = content_of(path) if path.is_file() else None
    claims_image = path.suffix.lower() in IMAGE_SUFFIXES
    if kind == "HEIF":
        raise SourceError(f"{name} is a HEIC or AVIF image, which is not read", "convert it to JPEG or PNG")
    if kind == "JPEG" and not claims_image and (path.suffix.lower() in (".mjpeg", ".mjpg") or is_series(path)):
        kind = None
    if kind in STILL:
        source: Source = ImageSource([path], name, options, path)
    elif claims_image and kind is None:
        try:
            source = _video(path, name, options)
        except SourceError:
            raise SourceError(f"{name} holds no image that can be decoded", "give JPEG, PNG, BMP, TIFF or WebP images") from None
        kind = "video"
    else:
        source = _video(path, name, options)
    if claims_image == (kind not in STILL) and kind != "animated PNG" and (claims_image or kind in STILL):
        source.note(f"by its content it is a {kind}, in spite of its suffix {printable(path.suffix) or 'that is missing'}")
    return source


def _video(path: Path, name: str, options: ReadOptions) -> VideoSource:
    # libav takes a file name with a colon for a protocol unless told otherwise.
    return VideoSource(f"file:{path}", name, options, path)


def _stdin() -> Pipe:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError(
            "nothing is piped into stdin", "for example: ffmpeg -i /dev/video0 -c:v libx264 -f matroska - | skipvid detect --live -"
        )
    return Pipe(sys.stdin.buffer)


def _images(folder: Path) -> list[Path]:
    images = images_below(folder)
    if images:
        return images
    shown = printable(str(folder))
    if videos := files_in(folder, VIDEO_SUFFIXES):
        raise SourceError(f"{shown} holds {len(videos)} videos and no images", f"give them one by one, or '{shown}/*{videos[0].suffix}'")
    raise SourceError(f"{shown} holds no images", "give a folder of JPEG, PNG, BMP, TIFF or WebP images")
