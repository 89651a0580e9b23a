"""How ways of gating are put beside today's (benchmarks/as_run.py)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from as_run import Bench, Beside, Way, mean_texts  # noqa: E402

from skipvid.core.results import Detections, Frame  # noqa: E402
from skipvid.evaluate.material import Material, Seen  # noqa: E402
from skipvid.evaluate.truth import LabelledClip  # noqa: E402

BOX = np.array([[0, 0, 9, 9]], np.float32)


def material(count: int, name: str = "walk") -> Material:
    @contextmanager
    def opened(of: LabelledClip) -> Iterator[Iterator[Frame]]:
        yield (Frame(np.zeros((4, 4, 3), np.uint8), number, number / 25, of.name) for number in range(count))

    return Material.read([LabelledClip(name, f"{name}.mp4")], opened, None)


def seen(count: int, macs: int, missed: int = 0) -> Seen:
    """So many frames, of which the first ones find nothing."""
    one = Detections(BOX, np.array([0.5], np.float32), np.array([1]), ("",))
    none = Detections(BOX[:0], np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    found = [none if number < missed else one for number in range(count)]
    return Seen(found, np.full(count, macs), np.full(count, 100), np.zeros(count))


def test_a_way_is_put_beside_todays_gate_in_loss_and_in_macs() -> None:
    clip, dense, today = material(200), seen(200, 100), seen(200, 40)
    even = Beside.of(clip, seen(200, 10), today, dense, 0)
    assert mean_texts([even]) == ("0.0 (0.0 … 0.0)", "4.00 (4.00 … 4.00)")
    same = Beside.of(clip, today, today, dense, 1)
    assert mean_texts([even, same]) == ("0.0 (0.0 … 0.0)", "2.00 (2.00 … 2.00)"), "the mean is a geometric one"
    worse = Beside.of(clip, seen(200, 10, missed=100), today, dense, 2)
    assert worse.lost.value == pytest.approx(100 / 3)
    assert worse.lost.draws.min() < 20 and worse.lost.draws.max() > 50


def test_too_few_frames_give_no_interval() -> None:
    clip, dense = material(60), seen(60, 100)
    found = Beside.of(clip, seen(60, 50), dense, dense, 0)
    assert mean_texts([found]) == ("0.0", "2.00")
    assert mean_texts([found, found]) == ("0.0", "2.00")


def test_the_level_is_the_last_one_before_any_sequence_loses_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {"a": {1.0: 0.0, 1.41: 0.5, 2.0: 0.2, 2.83: 0.0}, "b": {1.0: -1.0, 1.41: 0.1, 2.0: 0.6, 2.83: 0.0}}
    monkeypatch.setattr(Bench, "_loss", lambda _, way, level, on: losses[on.clips[0].name][level])
    bench = Bench(None, None, [2.0, 1.0, 2.83, 1.41])  # type: ignore[arg-type]
    way, one, other = Way("norm", "auto"), material(8, "a"), material(8, "b")
    assert [bench.chosen(way, on) for on in ([one, other], [one], [other])] == [1.41, 2.83, 1.41]
    losses["b"][1.0] = 0.6
    assert bench.chosen(way, [one, other]) is None
