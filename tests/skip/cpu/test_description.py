"""The flat description of a program: one definition of its format, and no damage to it that C++ does not notice or survive."""

from __future__ import annotations

import ast
import dataclasses
import enum
from pathlib import Path
from typing import Any

import description_tables as tables
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sample_networks import NETWORKS

import skipvid.skip.cpu
from skipvid.skip.cpu import _native, rows
from skipvid.skip.cpu._native import Program, StepKind, ThreadPool
from skipvid.skip.cpu.description import Constants, Description

POOL = ThreadPool(1)
STUB = ast.parse((Path(skipvid.skip.cpu.__file__).parent / "_native.pyi").read_text(encoding="utf-8"))


def row_of(table: str) -> type[Any]:
    """The dataclass of a table, found by the type of its field in Description (or of the property `program`)."""
    annotation = {field.name: str(field.type) for field in dataclasses.fields(Description)}.get(table, "list[flat.ProgramRow]")
    found: type[Any] = getattr(rows, annotation.removeprefix("list[flat.").removesuffix("]"))
    return found


@pytest.mark.parametrize("table", _native.TABLES)
def test_a_row_has_the_fields_that_cpp_reads(table: str) -> None:
    assert {field.name for field in dataclasses.fields(row_of(table))} == {name for name, _ in _native.TABLES[table]}


@pytest.mark.parametrize("name", ["Element", "StepKind", "FootprintKind", "ActivationKind", "Norm", "Pointwise"])
def test_the_stub_names_the_codes_that_cpp_has(name: str) -> None:
    body = next(item.body for item in STUB.body if isinstance(item, ast.ClassDef) and item.name == name)
    declared = [target.id for item in body if isinstance(item, ast.Assign) for target in item.targets if isinstance(target, ast.Name)]
    codes: type[enum.IntEnum] = getattr(_native, name)
    assert declared == [code.name for code in codes]
    assert [int(code) for code in codes] == list(range(len(declared)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_description_is_the_same_when_taken_apart_and_put_together(name: str) -> None:
    data = tables.sample(name)
    assert tables.put_together(data, tables.take_apart(data)) == data
    Program(data, POOL)


def test_equal_constants_are_kept_once() -> None:
    constants = Constants("<f4")
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert [constants.add(weights), constants.add(weights[0]), constants.add(weights.copy())] == [0, 6, 0]
    assert constants.values().tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


# Each with the place that the message names.
DAMAGES: dict[str, tuple[str, int, str, float, str]] = {
    "a map wider than a pixel's column can be": ("maps", 0, "width", 65536, r"maps\[0\]: width is 65536, not from 1 to 65535"),
    "a map of no rows": ("maps", 1, "height", 0, r"maps\[1\]: height"),
    "channels that overflow": ("maps", 0, "channels", 2**62, r"maps\[0\]: channels"),
    "a map of another size": ("maps", 0, "height", 5, r"program\[0\]: values is \d+, and the maps hold"),
    "a part inside a later map": ("maps", 0, "inside", 1, r"maps\[0\]: inside is 1"),
    "a footprint without stride": ("footprints", 0, "stride_y", 0, r"footprints\[0\]: stride_y"),
    "a window far outside": ("footprints", 0, "origin_x", -(2**40), r"footprints\[0\]: origin_x"),
    "a footprint of no kind": ("footprints", 0, "kind", 9, r"footprints\[0\]: kind is 9"),
    "a footprint that leaves out a tap": (
        "footprints",
        0,
        "origin_y",
        1,
        r"steps\[1\]: its row \d+ reads \d+ of maps\[0\], which its footprint",
    ),
    "a step of no kind": ("steps", 1, "kind", 99, r"steps\[1\]: kind is 99"),
    "a step that computes no map": ("steps", 1, "map", 10**6, r"steps\[1\]: map"),
    "a step that reads what is not there yet": ("reads", 0, "map", 1, r"steps\[1\]: it reads maps\[1\], which no step before it computes"),
    "a step that computes what it reads": ("steps", 1, "map", 0, r"steps\[1\]: "),
    "reads behind the table": ("steps", 1, "first_read", 10**9, r"steps\[1\]: reads are 1 from 1000000000 on"),
    "an activation of no kind": ("steps", 1, "activation", -1, r"steps\[1\]: activation is -1"),
    "groups that do not divide": ("convolutions", 0, "groups", 2, r"convolutions\[0\]: 2 groups do not divide"),
    "a bias behind the constants": ("convolutions", 0, "bias", 10**12, r"convolutions\[0\]: bias are"),
    "too few weights": ("phases", 0, "weights", 10**4, r"phases\[0\]: weights are"),
    "a number of taps that overflows": ("phases", 0, "taps", 2**63 - 1, r"phases\[0\]: taps"),
    "a gate that measures no number": ("gates", 0, "scale", float("nan"), r"gates\[0\]: scale is nan"),
    "an infinite threshold": ("gates", 0, "threshold", float("inf"), r"gates\[0\]: threshold is not finite"),
    "a negative threshold": ("gates", 0, "threshold", -1.0, r"gates\[0\]: threshold is -1"),
    "a learned gate of too few weights": ("learned_gates", 0, "weights", 10**6, r"learned_gates\[0\]: weights are 4 numbers"),
    "a learned gate of no number": ("learned_gates", 0, "bias", float("nan"), r"learned_gates\[0\]: a weight or the bias is not finite"),
    "an output gate on no convolution": ("output_gates", 0, "step", 0, r"output_gates\[0\]: steps\[0\] is no convolution"),
    "an output gate that looks at another map": ("output_gates", 0, "change", 1, r"output_gates\[0\]: steps\[1\] does not measure"),
    "an output gate without a limit": ("output_gates", 0, "limit", float("nan"), r"output_gates\[0\]: limit is nan"),
    "a change that is measured too early": ("steps", 2, "map", 2, r"steps\[2\]: it measures maps\[2\], which no step before it computes"),
    "a block that divides no word": ("gates", 0, "block", 3, r"gates\[0\]: block is 3, not a power of two"),
    "a segment that ends too early": ("segments", 0, "last", 1, r"segments: they end at step 1"),
    "a segment of nothing": ("segments", 0, "first", 7, r"segments\[0\]: "),
    "a kept map that is none": ("kept", 0, "map", -1, r"kept\[0\]: map is -1"),
    "an input that is no number of one": ("steps", 0, "details", 3, r"steps\[0\]: details is 3"),
    "values of no type": ("program", 0, "element", 2, r"program\[0\]: element is 2, not from 0 to 1"),
    "more inputs than are read": ("program", 0, "inputs", 2, r"program\[0\]: inputs is 2, and steps read 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_with_its_place_and_reason(damage: str) -> None:
    table, row, field, value, message = DAMAGES[damage]
    parts = tables.take_apart(tables.sample(tables.OWN))
    parts[table][field][row] = value
    with pytest.raises(ValueError, match=message):
        Program(tables.put_together(tables.sample(tables.OWN), parts), POOL)


def place_of(kind: StepKind, number: int = 0) -> int:
    """The row of a step of the network with adaptive layers."""
    rows = tables.take_apart(tables.sample(tables.ADAPTIVE))["steps"]["kind"]
    return int(np.flatnonzero(rows == kind)[number])


CHOICE, CONVOLUTION, SELECT = StepKind.CHOICE, StepKind.CONVOLUTION, StepKind.SELECT
ADAPTIVE_DAMAGES: dict[str, tuple[str, StepKind | int, str, float, str]] = {
    "a choice among nothing": ("choices", 0, "ratios", 0, r"choices\[0\]: ratios is 0, not from 1 to 64"),
    "a choice of too few weights": ("choices", 0, "inner", 10**7, r"choices\[0\]: inner are 64 numbers"),
    "a choice of no hidden units": ("choices", 0, "hidden", 0, r"choices\[0\]: hidden is 0"),
    "hidden units that overflow": ("choices", 0, "hidden", 2**27, r"choices\[0\]: inner are"),
    "a hysteresis that is no number": ("choices", 0, "hysteresis", float("nan"), r"choices\[0\]: hysteresis is nan"),
    "a choice that is left at once": ("choices", 0, "least_stay", 0, r"choices\[0\]: least_stay is 0"),
    "reuse without end": ("choices", 0, "longest_reuse", 2**40, r"choices\[0\]: longest_reuse"),
    "a choice of one map": ("steps", CHOICE, "reads", 1, "it reads 1 maps instead of a mean and a map"),
    "a choice of no details": ("steps", CHOICE, "details", 99, "details is 99"),
    "a guard that comes later": ("steps", CONVOLUTION, "guard", 10**6, "guard is 1000000"),
    "a guard that is no choice": ("steps", CONVOLUTION, "guard", 0, r"steps\[0\], which it waits for, is no choice"),
    "a guard of no number": ("steps", CONVOLUTION, "guard_number", 3, "guard_number is 3, not from 0 to 2"),
    "a selection that waits": ("steps", SELECT, "guard", -2, "guard is -2"),
    "a selection of too few variants": ("selects", 0, "variants", 2, r"selects\[0\]: it has 2 variants for 3 ratios"),
    "a selection of variants that are not there": ("selects", 0, "first_variant", 99, r"selects\[0\]: variants are 3 from 99"),
    "a selection that is only shifted": ("selects", 0, "scale", -1, r"selects\[0\]: it has a scale alone, or a shift alone"),
    "a selection of too few scales": ("selects", 0, "scale", 10**7, r"selects\[0\]: scale are 32 numbers"),
    "a variant that leaves a gap": ("parts", 1, "target", 9, r"parts\[1\]: target is 9"),
    "a variant of a choice": ("parts", 0, "read", 0, r"parts\[0\]: read is 0"),
    "a variant that reads too far": ("parts", 0, "first", 1, r"parts\[0\]: first is 1"),
    "a variant that is too short": ("variants", 1, "parts", 1, r"variants\[1\]: its parts fill 16 channels of 32"),
}


@pytest.mark.parametrize("damage", ADAPTIVE_DAMAGES)
def test_damage_to_choices_is_refused_with_its_place_and_reason(damage: str) -> None:
    table, row, field, value, message = ADAPTIVE_DAMAGES[damage]
    data = tables.sample(tables.ADAPTIVE)
    parts = tables.take_apart(data)
    parts[table][field][place_of(row) if isinstance(row, StepKind) else row] = value
    with pytest.raises(ValueError, match=message):
        Program(tables.put_together(data, parts), POOL)


def test_what_waits_for_a_choice_has_no_gate() -> None:
    data = tables.sample(tables.ADAPTIVE)
    parts = tables.take_apart(data)
    step = place_of(CONVOLUTION)
    assert parts["steps"]["guard"][step] >= 0
    parts["gates"]["map"][1] = parts["steps"]["map"][step]
    with pytest.raises(ValueError, match=rf"steps\[{step}\] waits for a choice and has no gate"):
        Program(tables.put_together(data, parts), POOL)


@pytest.mark.parametrize("size", [0, 7, 15, 20, 60, -1, -9])
def test_what_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="the description ends within"):
        Program(tables.sample("one pixel")[:size], POOL)


def test_other_versions_and_other_files_are_refused() -> None:
    data = tables.sample("one pixel")
    with pytest.raises(ValueError, match="no description of a program"):
        Program(b"PK\x03\x04" + data[4:], POOL)
    with pytest.raises(ValueError, match=f"has version {_native.VERSION + 1} instead of {_native.VERSION}"):
        Program(data[:8] + (_native.VERSION + 1).to_bytes(8, "little") + data[16:], POOL)
    with pytest.raises(ValueError, match="followed by 3 bytes"):
        Program(data + b"abc", POOL)


SAMPLES = [
    (tables.OWN, ""),
    *((tables.ADAPTIVE, gate) for gate in ("norm", "norm-output")),
    *((name, gate) for name in NETWORKS for gate in ("norm", "norm-smooth", "norm-output")),
]
NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63)]))
REALS = st.sampled_from([0.0, -1.0, 0.5, 1e30, float("nan"), float("inf"), float("-inf")])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sample network's description with bits flipped, entries changed or exchanged, rows repeated or left out, or its end cut off."""
    data = tables.sample(*draw(st.sampled_from(SAMPLES)))
    how = draw(st.sampled_from(["bits", "cut", "entries", "entries", "entries", "exchange", "rows"]))
    if how == "bits":
        spoilt = bytearray(data)
        for at in draw(st.lists(st.integers(0, 8 * len(data) - 1), min_size=1, max_size=4)):
            spoilt[at // 8] ^= 1 << at % 8
        return bytes(spoilt)
    if how == "cut":
        return data[: draw(st.integers(0, len(data) - 1))]
    parts = tables.take_apart(data)
    table = draw(st.sampled_from([name for name, rows in parts.items() if len(rows) > 0]))
    for _ in range(draw(st.integers(1, 2))):
        rows = parts[table]
        row = draw(st.integers(0, len(rows) - 1))
        if how == "rows":
            parts[table] = np.delete(rows, row) if draw(st.booleans()) and len(rows) > 1 else np.insert(rows, row, rows[row])
        elif table == "integers":
            rows[row] = draw(st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 20))
        elif table == "numbers":
            rows[row] = draw(REALS)
        else:
            field, kind = draw(st.sampled_from(list(_native.TABLES[table])))
            if how == "exchange":
                rows[field][row] = rows[field][draw(st.integers(0, len(rows) - 1))]
            elif kind == "<i8":
                near = max(min(int(rows[field][row]) + draw(st.sampled_from([-1, 1])), 2**63 - 1), -(2**63))
                rows[field][row] = draw(st.one_of(NUMBERS, st.just(near)))
            else:
                rows[field][row] = draw(REALS)
    return tables.put_together(data, parts)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=damaged(), seed=st.integers(0, 9))
def test_a_damaged_description_is_refused_or_harmless(data: bytes, seed: int) -> None:
    try:
        Program(data, POOL)
    except ValueError as error:
        event("refused")
        assert str(error)
        return
    event("runs")
    tables.run_frames(data, seed)


def test_samples_cover_every_kind_of_step() -> None:
    kinds = {int(kind) for sample in SAMPLES for kind in tables.take_apart(tables.sample(*sample))["steps"]["kind"]}
    assert kinds == {int(kind) for kind in StepKind}
