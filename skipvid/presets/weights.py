"""The store of weights: finds a preset's file, downloading it once into the user's cache.

A file gets its final name in the cache only when its SHA-256 is the expected one. A download that broke off is continued; several
processes may ask for the same file at once. Nothing here opens a file's content: see models/checkpoint.py for that.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from filelock import FileLock

from skipvid import __version__
from skipvid.core.errors import WeightsError
from skipvid.core.folders import cache_folder
from skipvid.presets.keys import BUNDLED
from skipvid.presets.preset import Preset, is_url

Progress = Callable[[int, int | None], None]
"""Called during a download with the bytes that are there and the bytes of the whole file, None where the server does not say."""

CHUNK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte before the connection counts as lost
ATTEMPTS = 4  # connections in a row that bring nothing new before giving up
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file on this machine. sha256: 64 hexadecimal digits of its content."""

    path: Path
    sha256: str


def resolve_weights(preset: Preset, override: str | Path | None = None, offline: bool = False, progress: Progress | None = None) -> Weights:
    """The weights file of a preset; downloaded where the preset names a URL and the cache does not have it.

    override: a file to use instead, whatever its hash. offline: never connect (also with SKIPVID_OFFLINE=1 in the environment).
    Raises WeightsError with one line that says which file, which URL and hash, and where to put it by hand.
    """
    if override is not None:
        return _local(Path(override).expanduser(), "")
    if preset.weights.startswith(BUNDLED):
        path = Path(__file__).parents[1] / "data" / preset.weights.removeprefix(BUNDLED)
        return _local(path, preset.sha256)
    if not is_url(preset.weights):
        return _local((preset.folder or Path()) / Path(preset.weights).expanduser(), preset.sha256)
    return _cached(preset, offline or os.environ.get("SKIPVID_OFFLINE", "") not in ("", "0"), progress)


def resolve_gate_weights(
    preset: Preset, override: str | Path | None = None, offline: bool = False, progress: Progress | None = None
) -> Weights:
    """The file of a preset's learned gates, found as its weights are. Raises WeightsError, also where the preset has none."""
    if override is None and not preset.gate_weights:
        raise WeightsError(
            f"preset {preset.name} has no learned gates", "train some with skipvid train gates, or choose --gate norm or norm-output"
        )
    return resolve_weights(replace(preset, weights=preset.gate_weights, sha256=preset.gate_sha256), override, offline, progress)


def movable(preset: Preset, override: str | Path | None = None) -> Preset:
    """A preset that means the same wherever its file lies: weights in a file of their own, or given by `override`, by their whole path."""
    if override is None and (is_url(preset.weights) or preset.weights.startswith(BUNDLED)):
        return preset
    found = resolve_weights(preset, override)
    return replace(preset, weights=str(found.path.resolve()), sha256=found.sha256)


def file_sha256(path: Path) -> str:
    """64 hexadecimal digits of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local(path: Path, sha256: str) -> Weights:
    if not path.is_file():
        raise WeightsError(f"weights file {path} is {'not a file' if path.exists() else 'missing'}")
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror}") from None
    if not digest.startswith(sha256):
        raise WeightsError(f"weights file {path} is damaged or another one: its SHA-256 starts with {digest[:8]}, not {sha256[:8]}")
    return Weights(path, digest)


def _cached(preset: Preset, offline: bool, progress: Progress | None) -> Weights:
    url, sha256 = preset.weights, preset.sha256
    path = cache_folder("weights") / _file_name(url, sha256)
    digits = sha256 if len(sha256) == 64 else f"{sha256}…"
    by_hand = f"get {url} (SHA-256 {digits}) and put it at {path}, or give --weights FILE"
    try:
        found = _if_whole(path, sha256)
        if found is not None:
            return found
        if offline:
            state = f"is damaged: its SHA-256 does not start with {sha256[:8]}" if path.exists() else "is not in the cache"
            raise WeightsError(f"offline, and {path.name} of preset {preset.name} {state}", by_hand)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            return _if_whole(path, sha256) or _download(url, path, sha256, progress, by_hand)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WeightsError(f"{path} cannot be written or read: {reason}", "point SKIPVID_CACHE elsewhere, or give --weights FILE") from None


def _file_name(url: str, sha256: str) -> str:
    """The URL's last part; with the hash in it, so that two files of one name do not meet."""
    name = PurePosixPath(urlsplit(url).path)
    return name.name if sha256[:8] in name.name else f"{name.stem}-{sha256[:8]}{name.suffix}"


def _if_whole(path: Path, sha256: str) -> Weights | None:
    if not path.is_file():
        return None
    digest = file_sha256(path)
    return Weights(path, digest) if digest.startswith(sha256) else None


def _download(url: str, path: Path, sha256: str, progress: Progress | None, by_hand: str) -> Weights:
    part = path.with_name(path.name + ".part")
    continued = part.exists() and part.stat().st_size > 0
    _fetch(url, part, progress, by_hand)
    digest = file_sha256(part)
    if not digest.startswith(sha256) and continued:
        # The beginning came from an earlier run and may be of another file; the whole may still be right.
        part.unlink()
        _fetch(url, part, progress, by_hand)
        digest = file_sha256(part)
    if not digest.startswith(sha256):
        part.unlink()
        raise WeightsError(f"{url} sent another file: its SHA-256 starts with {digest[:8]}, not {sha256[:8]}; it was deleted", by_hand)
    os.replace(part, path)
    return Weights(path, digest)


class _ConnectionLost(Exception):
    """The server stopped before the end, or was not reached."""


def _fetch(url: str, part: Path, progress: Progress | None, by_hand: str) -> None:
    """Brings `part` to its full length, over several connections where needed. OSError means that the disk failed, not the network."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _fetch_once(url, part, before, progress)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise WeightsError(f"{url} cannot be downloaded: the server answers {error.code} {error.reason}", by_hand) from None
            reason = f"the server answers {error.code} {error.reason}"
        except _ConnectionLost as error:
            reason = str(error)
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        if failures == ATTEMPTS:
            raise WeightsError(f"{url} cannot be downloaded: {reason}", by_hand)
        time.sleep(PAUSE * 2 ** max(failures - 1, 0))


class _Response(Protocol):
    status: int
    headers: http.client.HTTPMessage

    def read(self, amount: int, /) -> bytes: ...
    def close(self) -> None: ...


def _fetch_once(url: str, part: Path, have: int, progress: Progress | None) -> None:
    """One connection: continues `part` after its first `have` bytes where the server can, otherwise writes it anew."""
    response = _connect(url, have)
    if response is None:
        return  # nothing comes after what is there already
    try:
        if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with part.open("ab" if have else "wb") as file:
            have += _copy(response, file, have, total, progress)
        if total is not None and have < total:
            raise _ConnectionLost(f"the connection broke off after {have} of {total} bytes")
    finally:
        response.close()


def _connect(url: str, have: int) -> _Response | None:
    request = urllib.request.Request(url, headers={"User-Agent": f"skipvid/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response: _Response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return None
        raise
    except urllib.error.URLError as error:
        raise _ConnectionLost(f"no connection ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"no connection ({error or type(error).__name__})") from None
    return response


def _copy(response: _Response, file: BinaryIO, have: int, total: int | None, progress: Progress | None) -> int:
    """Bytes written until the response ends or the connection is lost; the caller tells one from the other by the length."""
    written = 0
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionLost(f"the connection broke off after {have + written} bytes ({error or type(error).__name__})") from None
        if not chunk:
            return written
        file.write(chunk)
        written += len(chunk)
        if progress is not None:
            progress(have + written, total)
