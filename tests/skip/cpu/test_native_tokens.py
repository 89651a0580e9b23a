"""Gathered pixels, norms and softmax over channels on the native executor: the reference's numbers, and the bits of a dense run."""

from __future__ import annotations

import description_tables as tables
import native_plans as plans
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import KERNELS, check, conv, image, node

from skipvid.skip.cpu._native import Program, ThreadPool
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node

WIDTHS = st.sampled_from([1, 3, 4, 15, 16, 17, 20, 33, 64])


def gather(name: str, sources: list[Node], channels: int, height: int, width: int, seed: int) -> Node:
    """Pieces of random pixels, some of them zeros."""
    generator = torch.Generator().manual_seed(seed)

    def below(most: torch.Tensor) -> torch.Tensor:
        return (torch.rand(most.shape, generator=generator) * most).long()

    source = torch.randint(-1, len(sources), (height * width,), generator=generator)
    pixels = torch.tensor([item.size[0] * item.size[1] for item in sources])[source]
    starts = torch.tensor([item.channels - channels + 1 for item in sources])[source]
    attrs = {"source": source, "pixel": below(pixels), "channel": below(starts)}
    return Node(name, "gather", tuple(item.name for item in sources), (1, channels, height, width), attrs)


@settings(max_examples=60, deadline=None)
@given(kernels=st.sampled_from(KERNELS), channels=st.tuples(WIDTHS, WIDTHS), width=st.integers(1, 70), seed=st.integers(0, 99))
def test_gathered_pixels(kernels: tuple[str, str], channels: tuple[int, int], width: int, seed: int) -> None:
    inputs = [image(channels[0], 7, width, "x"), image(channels[1], 5, 9, "z")]
    taken = 1 + seed % min(channels)
    nodes = [*inputs, gather("y", inputs, taken, 6, 1 + seed % 67, seed), conv("w", "y", taken, 4)]
    check(nodes, [NormGate("x", 0.1), NormGate("y", 0.05, 0.5)], *kernels)


@settings(max_examples=80, deadline=None)
@given(
    op=st.sampled_from(["layer_norm", "softmax"]),
    kernels=st.sampled_from(KERNELS),
    channels=st.integers(1, 70),
    size=st.tuples(st.integers(1, 9), st.integers(1, 70)),
    weighted=st.booleans(),
)
def test_norm_and_softmax(op: str, kernels: tuple[str, str], channels: int, size: tuple[int, int], weighted: bool) -> None:
    generator = torch.Generator().manual_seed(channels)
    consts = {key: torch.randn(channels, generator=generator) for key in ("weight", "bias")} if weighted and op == "layer_norm" else {}
    norm = node("y", op, "x", consts=consts, **({"epsilon": 1e-5} if op == "layer_norm" else {}))
    gates = [NormGate("x", 0.1), NormGate("y", 0.05, 0.5)] if channels > 1 else []
    check([image(channels, *size), norm, conv("w", "y", channels, 4, 3)], gates, *kernels)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("op", ["layer_norm", "softmax"])
def test_a_pixel_that_is_no_number_spoils_no_other(op: str, kernels: tuple[str, str]) -> None:
    precision, instruction_set = kernels
    attrs = {"epsilon": 1e-5} if op == "layer_norm" else {}
    plan = plans.plan_of([image(20, 6, 7), node("y", op, "x", **attrs)], precision=precision)
    frame = torch.randn(1, 20, 6, 7)
    frame[0, 3, 2, 2] = float("nan")
    result = plans.native(plan, 1, instruction_set).run_dense([frame])[0]
    assert result[0, :, 2, 2].isnan().all() and int(result.isnan().sum()) == 20


@pytest.mark.parametrize("kernels", KERNELS)
def test_softmax_of_large_numbers_is_that_of_torch(kernels: tuple[str, str]) -> None:
    precision, instruction_set = kernels
    plan = plans.plan_of([image(37, 3, 5), node("y", "softmax", "x")], precision=precision)
    frame = 200 * torch.randn(1, 37, 3, 5)
    expected = plans.ReferenceProgram(plan).run_dense([frame])[0]
    plans.assert_close(
        plans.native(plan, 1, instruction_set).run_dense([frame])[0], expected, "softmax", 1e-2 if precision == "bf16" else 1e-5
    )


DAMAGES: dict[str, tuple[str, str, int | float, str]] = {
    "a read that is none": ("gathers", "reads", 10**9, r"gathers\[0\]: reads"),
    "channels behind those of the source": ("gathers", "channels", 0, r"gathers\[0\]: channels: number \d+ is -?\d+, not from 0 to"),
    "a table of pixels behind the constants": ("footprints", "rows", 10**9, r"footprints\[\d\]: rows"),
    "an operation of no kind": ("channelwise", "operation", 2, r"channelwise\[0\]: operation is 2"),
    "a negative epsilon": ("channelwise", "epsilon", -1.0, r"channelwise\[0\]: epsilon is -1"),
    "weights behind the constants": ("channelwise", "weights", 10**9, r"channelwise\[0\]: weights or bias are"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_with_its_place_and_reason(damage: str) -> None:
    table, field, value, message = DAMAGES[damage]
    source = image(5, 4, 6)
    data = lower(
        plans.plan_of([source, gather("y", [source], 3, 4, 6, 0), node("z", "layer_norm", "y", epsilon=1e-5)])
    ).description.to_bytes()
    parts = tables.take_apart(data)
    rows = parts[table]
    # The first channels of the pixels are taken for those of the table of pixels, which count further.
    rows[field][rows["kind"] == 3 if table == "footprints" else 0] = parts["footprints"]["rows"].max() if field == "channels" else value
    with pytest.raises(ValueError, match=message):
        Program(tables.put_together(data, parts), ThreadPool(1))


@pytest.mark.parametrize("channels", [16, 5])
@pytest.mark.parametrize("kernels", KERNELS)
def test_rows_from_outside_are_compared_with_what_is_held(kernels: tuple[str, str], channels: int) -> None:
    torch.manual_seed(0)
    nodes = [
        Node("x", "input", (), (1, 12, channels)),
        Node("m", "token_map", ("x",), (1, channels, 3, 4), {"order": torch.arange(12).flip(0)}),
        conv("w", "m", channels, 4),
    ]
    plan = plans.plan_of(nodes, [NormGate("m", 0.5, 1.0)], precision=kernels[0])
    program = plans.native(plan, 1, kernels[1])
    state, x = program.new_state(), torch.rand(1, 12, channels)
    program.run(state, [x], True)
    x = x.clone()
    x[0, 0] += 1.0
    x[0, 5] += 0.25  # below the threshold
    run = program.run(state, [x], False)
    assert run.active == [1] and run.computed[0][2, 3] and state.fallback.memory_bytes() < 2 * x.numel() * 4
    x = x.clone()
    x[0, 5] += 0.5  # together with what stayed closed
    assert program.run(state, [x], False).active == [1]
    assert program.run(state, [x], False).active == [0]
    with pytest.raises(ValueError, match="the rows are 3 x 4"):
        state.core.take(program._lowered.maps["m"], torch.rand(3, 4).numpy(), 0.0)


def test_some_rows_from_outside_leave_the_others_as_they_are() -> None:
    nodes = [Node("x", "input", (), (1, 12, 8)), Node("m", "token_map", ("x",), (1, 8, 3, 4), {"order": None}), conv("w", "m", 8, 4)]
    plan = plans.plan_of(nodes, [NormGate("m", 0.5, 1.0)])
    program = plans.native(plan, 1)
    state, number = program.new_state(), program._lowered.maps["m"]
    program.run(state, [torch.zeros(1, 12, 8)], True)
    rows = np.stack([np.full(8, 1.0), np.full(8, 0.25)]).astype(np.float32)
    assert state.core.take_some(number, np.array([7, 2], np.int32), rows, 4.0)
    assert state.core.changed(number).nonzero()[0].tolist() == [1] and state.core.changed(number)[1, 3]
    held = state.core.rows(number).reshape(12, 8)
    assert (held[7] == 1).all() and not held[:7].any() and not held[8:].any()
    assert not state.core.take_some(number, np.zeros(0, np.int32), rows[:0], 4.0) and not state.core.changed(number).any()
    with pytest.raises(ValueError, match="the rows are 2 x 8, not 1 x 8"):
        state.core.take_some(number, np.zeros(1, np.int32), rows, 4.0)
    with pytest.raises(ValueError, match="has no pixel 12"):
        state.core.take_some(number, np.array([0, 12], np.int32), rows, 4.0)
