"""Finished MP4s have their index in front; nothing else of them changes, and where it cannot be moved they are whole all the same."""

from __future__ import annotations

import errno
import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import av
import pytest
from clip_making import UNEVEN, number_of, write_clip
from run_making import run

from skipvid.video.sinks import faststart, video
from skipvid.video.sinks.faststart import NothingToMove, put_index_in_front
from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.video import VideoSink
from skipvid.video.sources.open import open_source


def boxes(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big") or len(data)
    return found


def packets(path: Path) -> list[tuple[Any, ...]]:
    with av.open(str(path)) as container:
        return [(p.stream.index, p.pts, p.dts, p.duration, p.is_keyframe, bytes(p)) for p in container.demux() if p.size]


def annotated(clip: Path, crf: int | None = None, **changes: object) -> Path:
    out = clip.with_name("out.mp4")
    run(clip, lambda h: VideoSink(out, h, lambda r: r.frame.image, SinkOptions(crf=crf, to_end=True)), **changes)
    return out


def fragment_file(path: Path, frames: int, sound: str | None) -> Path:
    """As a run leaves it before the index is moved."""
    flags = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "200000"}
    return write_clip(path, frames, sound=sound, container_options=flags, options={"bf": "0"})


@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize("frames", [1, 90])
def test_finished_mp4_begins_with_its_index(tmp_path: Path, frames: int, sound: str | None) -> None:
    out = annotated(write_clip(tmp_path / "clip.mp4", frames, sound=sound, sound_seconds=frames / 30))
    kinds = boxes(out.read_bytes())
    assert kinds[:2] == [b"ftyp", b"moov"] and kinds[-1] == b"mdat" and set(kinds[2:-1]) <= {b"free"}
    with open_source(str(out)) as source:
        assert [number_of(f.image) for f in source] == list(range(frames))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize("system_copies", [True, False])
def test_packets_and_length_stay_the_same(tmp_path: Path, sound: str | None, system_copies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not system_copies:
        monkeypatch.delattr("os.copy_file_range", raising=False)
    before, after = fragment_file(tmp_path / "before.mp4", 300, sound), tmp_path / "after.mp4"
    with before.open("rb") as source, after.open("wb+") as target:
        put_index_in_front(source, target)
    assert boxes(before.read_bytes())[-1] == b"moov" != boxes(after.read_bytes())[-1]
    assert packets(before) == packets(after)
    with av.open(str(before)) as one, av.open(str(after)) as other:
        assert one.duration == other.duration
    # Whole blocks lie where they can be shared.
    assert (after.stat().st_size - before.stat().st_size) < 8192
    assert (after.read_bytes().find(b"mdat") - before.read_bytes().find(b"mdat")) % 4096 == 0


def test_half_of_the_file_plays_while_the_rest_is_on_its_way(tmp_path: Path) -> None:
    out = annotated(write_clip(tmp_path / "clip.mp4", 90), crf=1)  # the pictures make up most of the file
    data = out.read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) * 2 // 3])
    with open_source(str(tmp_path / "half.mp4")) as source:
        assert len(list(source)) > 20


def test_offsets_beyond_four_gigabytes_get_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), kind) + body

    far = (1 << 32) - 50_000
    table = box(b"stco", struct.pack(">4xI2I", 2, 40, far))
    moov = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table + box(b"stsz", bytes(12)))))) * 2)
    head = box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", far + 49_000)

    class Sparse(io.BytesIO):
        """Data that nobody holds between head and index."""

        def seek(self, at: int, whence: int = 0) -> int:
            end = 12 + far + 49_000
            if whence == 2:
                super().seek(0, 2)
                return end + len(moov)
            return super().seek(at if at < end else at - end + len(head))

    copied: list[tuple[int, int]] = []
    monkeypatch.setattr(faststart, "_copy", lambda source, target, begin, end: copied.append((begin, end)))
    target = io.BytesIO()
    put_index_in_front(Sparse(head + moov), target)
    written = target.getvalue()
    by = len(written) - 12
    assert copied == [(12, 12 + far + 49_000)] and by % 4096 == 0
    assert b"stco" not in written and written.count(b"co64") == 2
    at = written.find(b"co64")
    assert struct.unpack_from(">4xI2Q", written, at + 4) == (2, 40 + by, far + by)
    assert boxes(written) == [b"ftyp", b"moov", b"free"]


@pytest.mark.parametrize(
    "data",
    [b"", b"no mp4", b"\0\0\0\x08moov", b"\0\0\0\x0cftypisom\0\0\0\x08moov\0\0\0\x08mdat", b"\0\0\0\x0cftypisom\0\0\0\x03moov"],
    ids=["empty", "no mp4", "no ftyp", "in front already", "broken"],
)
def test_files_whose_last_box_is_no_index_are_left_alone(data: bytes) -> None:
    target = io.BytesIO()
    with pytest.raises(NothingToMove):
        put_index_in_front(io.BytesIO(data), target)
    assert not target.getvalue()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_without_room_for_a_copy_the_file_is_whole_with_its_index_behind(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: BinaryIO, target: BinaryIO) -> None:
        target.write(b"begun")
        raise OSError(number, "no")

    monkeypatch.setattr(video, "put_index_in_front", full)
    out = annotated(write_clip(tmp_path / "clip.mp4", len(UNEVEN), ticks=UNEVEN, tick=video._DEFAULT_TICK))
    assert boxes(out.read_bytes())[-1] == b"moov" and len(packets(out)) == len(UNEVEN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


@pytest.mark.parametrize("interrupted", [True, False])
def test_large_file_is_not_copied_by_a_run_that_was_told_to_stop(
    tmp_path: Path, interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_COPIED_IN_A_HURRY", 1000)
    out = annotated(write_clip(tmp_path / "clip.mp4", 30), interrupted=interrupted)
    assert (boxes(out.read_bytes())[-1] == b"moov") is interrupted
    assert len(packets(out)) == 30
