"""Passes that scripts keep, and the parts of clips that they measure (benchmarks/measured_clips.py)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from skipvid.core.results import Detections, Frame
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.truth import LabelledClip

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from measured_clips import Passes, half_of, lost, part_of  # noqa: E402

ENGINE = SimpleNamespace(preset=SimpleNamespace(name="x"), weights_sha256="1")
BOX = np.array([[0, 0, 9, 9]], np.float32)


def material(count: int) -> Material:
    @contextmanager
    def opened(of: LabelledClip) -> Iterator[Iterator[Frame]]:
        yield (Frame(np.full((4, 4, 3), number, np.uint8), number, number / 25, of.name) for number in range(count))

    return Material.read([LabelledClip("walk", "walk.mp4")], opened, None)


def seen(missed: list[bool]) -> Seen:
    one = Detections(BOX, np.array([0.5], np.float32), np.array([1]), ("",))
    none = Detections(BOX[:0], np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    macs = np.full(len(missed), 10)
    return Seen([none if each else one for each in missed], macs, macs, np.zeros(len(missed)))


def test_ways_that_run_side_by_side_are_run_until_all_of_them_are_kept(tmp_path: Path) -> None:
    passes, ran, clip = Passes(tmp_path), [], material(8)

    def run() -> list[Seen]:
        ran.append(1)
        return [seen([False] * 8), seen([True] * 8)]

    for _ in range(2):
        found = passes.together(ENGINE, clip, ["a", "b"], run)  # type: ignore[arg-type]
        assert [len(each.detections[0]) for each in found] == [1, 0]
    assert len(ran) == 1
    next(tmp_path.glob("*.npz")).unlink()
    passes.together(ENGINE, clip, ["a", "b"], run)  # type: ignore[arg-type]
    assert len(ran) == 2


def test_parts_of_a_clip_have_their_own_frames_and_names() -> None:
    whole = material(40)
    for part, first, count in ((half_of(whole, 1), 20, 20), (part_of(whole, "end", 30, 8), 30, 8)):
        assert [int(frame.image[0, 0, 0]) for _, _, frame in part.frames()] == list(range(first, first + count))
    assert half_of(whole, 0).clips[0].name == "walk, half 1"


def test_few_frames_are_drawn_in_shorter_blocks_until_these_are_too_short() -> None:
    for frames, known in ((121, True), (100, False)):
        clip = material(frames)
        dense, gated = seen([False] * frames), seen([number % 30 == 0 for number in range(frames)])
        own, reference = (clip.measured(each, dense, np.ones(frames, np.bool_)) for each in (gated, dense))
        found = lost(own, reference, 25)
        assert found.value > 0 and bool(np.isfinite(found.low)) == known
