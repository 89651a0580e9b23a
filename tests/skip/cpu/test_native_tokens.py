"""Gathered pixels, norms and softmax over channels on the native executor: the reference's numbers, and the bits of a dense run."""

from __future__ import annotations

import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import KERNELS, conv, image, node

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


def check(nodes: list[Node], gates: list[NormGate], precision: str, instruction_set: str, share: float = 0.1) -> None:
    plan = plans.plan_of(nodes, gates, precision=precision)
    streams = [plans.frames(item.shape, 5, index, share) for index, item in enumerate(plan.graph.inputs)]
    stream = [list(frame) for frame in zip(*streams, strict=True)]
    if precision == "f32":
        plans.assert_agrees(plan, stream, 2, instruction_set)
    zero = plans.plan_of(nodes, [NormGate(gate.map, 0.0, None, gate.block) for gate in gates], precision=precision)
    for threads in (1, 2):
        plans.assert_same_bits_as_dense(zero, stream, threads, instruction_set)


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
