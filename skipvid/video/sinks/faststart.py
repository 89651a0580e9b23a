"""The index of a finished MP4 in front of its pictures, so that a player on a network can begin at once (ISO 14496-12, "fast start").

While a run writes, fragments stand in the file; the index that takes their place is known in the end only, and comes last. Bringing it to
the front takes one copy of the file, by the system itself where it can (btrfs and XFS share the blocks), and the offsets in the index grow.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_LETTERS = {b"stco": "I", b"co64": "Q"}
_BLOCK = 4096
"""Bytes: file systems share whole blocks only."""

_AT_ONCE = 1 << 27


class NothingToMove(Exception):
    """The last box of the file is no index."""


def put_index_in_front(source: BinaryIO, target: BinaryIO) -> None:
    """Write the MP4 `source` to `target`, an empty file, with its index before the data.

    Raises NothingToMove, with nothing written, where the index is not the last box of the file, and OSError where the disk does.
    """
    boxes = list(_top_boxes(source))
    kinds = [kind for kind, _, _ in boxes]
    if kinds[:1] != [b"ftyp"] or kinds[-1] != b"moov" or kinds.count(b"moov") > 1:
        raise NothingToMove
    begin, (_, end, size) = boxes[0][2], boxes[-1]
    moov = _read(source, end, size)
    wide = end + 2 * size + _BLOCK >= 1 << 32  # so far do the offsets go
    length = len(_moved(moov, 0, wide))
    gap = -length % _BLOCK
    gap += _BLOCK if 0 < gap < 8 else 0  # no box is shorter than 8 bytes
    filler = struct.pack(">I4s", gap, b"free") + bytes(gap - 8) if gap else b""
    target.write(_read(source, 0, begin) + _moved(moov, length + gap, wide) + filler)
    target.flush()
    _copy(source, target, begin, end)


def _top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset, size) of the boxes that the file consists of, up to one that is broken."""
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at + 8 <= end:
        kind, header, size = _box(_read(file, at, 16), end - at)
        if not header <= size <= end - at:
            return
        yield kind, at, size
        at += size


def _box(data: bytes, left: int) -> tuple[bytes, int, int]:
    """(kind, bytes of its header, bytes in all) of the box that `data` begins with. left: bytes to the end, which size 0 stands for."""
    size, kind = struct.unpack_from(">I4s", data)
    if size == 1 and len(data) >= 16:
        return kind, 16, struct.unpack_from(">Q", data, 8)[0]
    return kind, 8, size or left


def _moved(box: bytes, by: int, wide: bool) -> bytes:
    """A box in which all offsets of data are larger by so many bytes. wide: they get 64 bits."""
    kind, header, _ = _box(box, len(box))
    if kind in _CONTAINERS:
        inner, at = [], header
        while at + 8 <= len(box):
            size = _box(box[at : at + 16], len(box) - at)[2]
            inner.append(_moved(box[at : at + size], by, wide))
            at += max(size, 8)
        return _packed(kind, b"".join(inner))
    if kind not in _LETTERS:
        return box
    (count,) = struct.unpack_from(">I", box, 12)
    offsets = struct.unpack_from(f">{count}{_LETTERS[kind]}", box, 16)
    kind = b"co64" if wide else kind
    return _packed(kind, box[8:16] + struct.pack(f">{count}{_LETTERS[kind]}", *(offset + by for offset in offsets)))


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _copy(source: BinaryIO, target: BinaryIO, begin: int, end: int) -> None:
    """Append source[begin:end] to the target, whose end lies as far into a block as `begin` does."""
    first, last = min(-(-begin // _BLOCK) * _BLOCK, end), max(end // _BLOCK * _BLOCK, begin)
    _append(source, target, begin, first)
    target.flush()
    at = first
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not every disk can; what else is wrong with it, the plain copy will find out
            while at < last and (copied := os.copy_file_range(source.fileno(), target.fileno(), min(last - at, _AT_ONCE), at)):
                at += copied
    target.seek(0, os.SEEK_END)
    _append(source, target, at, end)


def _append(source: BinaryIO, target: BinaryIO, begin: int, end: int) -> None:
    source.seek(begin)
    left = end - begin
    while left > 0 and (data := source.read(min(left, 1 << 20))):
        target.write(data)
        left -= len(data)
