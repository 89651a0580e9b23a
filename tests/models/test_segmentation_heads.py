"""Class maps of network files: recognised from shapes and what the file shows of the numbers, and asked for where that leaves two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from skipvid.core.errors import UsageError
from skipvid.core.network_outputs import NetworkFacts, NetworkOutput
from skipvid.models.heads.registry import HEADS, recognise

SIZE = (96, 160)


def facts(*outputs: NetworkOutput, classes: int | None = None) -> NetworkFacts:
    return NetworkFacts(outputs, SIZE, classes)


SCORES = NetworkOutput("out", (1, 21, 96, 160), values="scores")
NUMBERS = NetworkOutput("out", (1, 96, 160), values="numbers")
RECOGNISED: list[tuple[str, NetworkFacts, int, tuple[str, ...]]] = [
    ("segment", facts(SCORES), 21, ("out",)),
    ("segment", facts(SCORES, NetworkOutput("aux", (1, 21, 96, 160), values="scores")), 21, ("out",)),
    ("segment", facts(NetworkOutput("out", (1, 150, 12, 20))), 150, ("out",)),
    ("segment", facts(NetworkOutput("out", (1, 2, 12, 20), values="chances")), 2, ("out",)),
    ("segment-numbers", facts(NUMBERS, classes=4), 4, ("out",)),
    ("segment-numbers", facts(NetworkOutput("out", (1, 1, 48, 80), values="numbers"), classes=4), 4, ("out",)),
    ("segment-numbers", facts(NetworkOutput("out", NUMBERS.shape, values="numbers", channels=("s", (1, 7, 96, 160)))), 7, ("s",)),
    ("segment-chance", facts(NetworkOutput("out", (1, 1, 96, 160), values="chances")), 2, ("out",)),
    ("segment-logit", facts(NetworkOutput("out", (1, 1, 96, 160), values="scores")), 2, ("out",)),
]


@pytest.mark.parametrize(("name", "known", "classes", "outputs"), RECOGNISED)
def test_class_map_is_recognised(name: str, known: NetworkFacts, classes: int, outputs: tuple[str, ...]) -> None:
    for task, said in ((None, None), ("segment", None), ("segment", name)):
        kind, fit = recognise(known, "net.onnx", task, said)
        assert (kind.name, kind.task, fit.classes, fit.outputs) == (name, "segment", classes, outputs)


def test_heat_maps_of_17_joints_are_poses_unless_class_maps_are_wanted() -> None:
    joints = NetworkOutput("out", (1, 17, 24, 40), values="scores")
    assert recognise(facts(joints), "net.onnx", None)[0].name == "heatmaps"
    assert recognise(facts(joints), "net.onnx", "segment")[0].name == "segment"
    assert recognise(facts(joints), "net.onnx", None, "segment")[0].name == "segment"
    with pytest.raises(UsageError, match=r"may be those of heatmaps \(17 joints\) or segment \(17 classes\); say which: --head NAME"):
        recognise(facts(joints, classes=17), "net.onnx", None)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (facts(NetworkOutput("out", (1, 19, 24, 40))), r"heatmaps \(19 joints\) or segment \(19 classes\)"),
        (facts(NetworkOutput("out", (1, 1, 96, 160)), classes=2), "segment-numbers .* or segment-chance .* or segment-logit"),
        (facts(NetworkOutput("out", (1, 21, 50, 70))), "no head is known"),
        (facts(NetworkOutput("out", (1, 21, 96, 160)), classes=3), "no head is known .* with 3 labels"),
        (facts(SCORES, NetworkOutput("other", (1, 21, 96, 160))), "no head is known"),
    ],
)
def test_what_is_open_is_a_question(known: NetworkFacts, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recognise(known, "net.onnx", None)


def read(name: str, known: NetworkFacts, maps: Sequence[np.ndarray]) -> np.ndarray:
    fit = HEADS[name].fit(known)
    assert fit is not None
    numbers: np.ndarray = fit.make(fit.classes).numbers(maps)
    assert numbers.dtype == np.uint16 and numbers.ndim == 2
    return numbers


@pytest.mark.parametrize("channels_last", [False, True])
def test_largest_score_is_the_class_in_any_order_in_memory(channels_last: bool) -> None:
    scores = np.random.default_rng(0).normal(size=(1, 21, 96, 160)).astype(np.float32)
    scores[0, 5, 3], scores[0, 9, 3] = 9, 9  # of equal ones the first
    given = np.ascontiguousarray(scores.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if channels_last else scores
    numbers = read("segment", facts(SCORES), [given])
    assert (numbers == scores[0].argmax(0)).all() and (numbers[3] == 5).all()


def test_numbers_that_no_class_has_become_the_first_one() -> None:
    values = np.zeros((1, 96, 160), np.float32)
    values[0, 0, :6] = (3, 4, -1, np.nan, 2.0001, np.inf)
    assert read("segment-numbers", facts(NUMBERS, classes=4), [values])[0, :6].tolist() == [3, 0, 0, 0, 2, 0]


@pytest.mark.parametrize(("name", "values", "limit"), [("segment-chance", "chances", 0.5), ("segment-logit", "scores", 0.0)])
def test_one_class_is_where_its_value_is_above_the_middle(name: str, values: str, limit: float) -> None:
    known = facts(NetworkOutput("out", (1, 1, 96, 160), values=values))  # type: ignore[arg-type]
    given = np.full((1, 1, 96, 160), limit, np.float32)
    given[0, 0, 2, 3], given[0, 0, 2, 4] = limit + 0.01, np.nan
    numbers = read(name, known, [given])
    assert numbers[2, 3] == 1 and numbers.sum() == 1
