"""Attention on the native executor: the reference's numbers, the bits of a dense run, and nothing computed outside of changed groups."""

from __future__ import annotations

import description_tables as tables
import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import KERNELS, check, conv, image
from torch.nn import functional

from skipvid.skip.cpu._native import Program, ThreadPool
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node


def attention(
    sources: tuple[Node, Node, Node], groups: int, heads: int, sizes: tuple[int, int], blocks: int = 0, name: str = "y", seed: int = 0
) -> Node:
    """Heads at random channels, which may overlap; with `blocks`, a random bias."""
    generator = torch.Generator().manual_seed(seed)

    def first(source: Node, size: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, source.channels - size + 1, (heads,), generator=generator).tolist())

    queries, keys, values = sources
    attrs = {
        **{"groups": groups, "heads": heads, "key_size": sizes[0], "value_size": sizes[1], "scale": sizes[0] ** -0.5},
        **{"queries": first(queries, sizes[0]), "keys": first(keys, sizes[0]), "values": first(values, sizes[1])},
    }
    consts = {}
    if blocks:
        pairs = (queries.size[0] * queries.size[1] // groups, keys.size[0] * keys.size[1] // groups)
        consts["bias"] = torch.randn(blocks, heads, *pairs, generator=generator)
        attrs["bias_blocks"] = tuple(torch.randint(0, blocks, (groups,), generator=generator).tolist())
    names = tuple(item.name for item in sources)
    return Node(name, "attention", names, (1, heads * sizes[1], *queries.size), attrs, consts)


@settings(max_examples=60, deadline=None)
@given(
    kernels=st.sampled_from(KERNELS),
    groups=st.integers(1, 5),
    counts=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    heads=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    blocks=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_groups_of_pixels(
    kernels: tuple[str, str], groups: int, counts: tuple[int, int], heads: int, sizes: tuple[int, int], blocks: int, seed: int
) -> None:
    queries, keys, values = image(50, groups, counts[0], "q"), image(45, groups, counts[1], "k"), image(75, groups, counts[1], "v")
    node = attention((queries, keys, values), groups, heads, sizes, min(blocks, groups), seed=seed)
    check([queries, keys, values, node, conv("w", "y", node.channels, 4)], [NormGate("q", 0.1), NormGate("y", 0.05, 0.5)], *kernels)


@settings(max_examples=30, deadline=None)
@given(kernels=st.sampled_from(KERNELS), size=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 99))
def test_all_pixels_of_a_map_attend_to_those_of_a_smaller_one(kernels: tuple[str, str], size: tuple[int, int], seed: int) -> None:
    source, small = image(24, *size, "x"), image(40, 2, 3, "z")
    node = attention((source, small, small), 1, 2, (8, 16), seed=seed)
    check([source, small, node, conv("w", "y", 32, 4)], [NormGate("x", 0.1), NormGate("z", 0.1), NormGate("y", 0.05, 0.5)], *kernels)


def test_the_reference_is_what_torch_computes() -> None:
    torch.manual_seed(0)
    x = image(96, 4, 9, "x")
    node = attention((x, x, x), 4, 2, (16, 16), blocks=1)
    node.attrs.update(queries=(0, 16), keys=(32, 48), values=(64, 80))  # type: ignore[attr-defined]
    frame = torch.randn(x.shape)
    q, k, v = frame[0].view(3, 2, 16, 4, 9).permute(0, 3, 1, 4, 2)
    expected = functional.scaled_dot_product_attention(q, k, v, node.consts["bias"].expand(4, -1, -1, -1))
    for plan in (plans.plan_of([x, node]), plans.plan_of([x, node], precision="bf16")):
        rounding = 1e-5 if plan.precision == "f32" else 3e-2
        for run in (plans.ReferenceProgram(plan), plans.native(plan, 1, "avx512" if plan.precision == "f32" else "generic")):
            plans.assert_close(run.run_dense([frame])[0], expected.permute(1, 3, 0, 2).reshape(node.shape), "attention", rounding)


@pytest.mark.parametrize("kernels", KERNELS)
def test_only_groups_with_a_change_are_computed(kernels: tuple[str, str]) -> None:
    x = image(48, 6, 7, "x")
    node = attention((x, x, x), 6, 3, (16, 16))
    plan = plans.plan_of([x, node, conv("w", "y", 48, 4)], precision=kernels[0])
    program = plans.native(plan, 1, kernels[1])
    state, frame = program.new_state(), torch.rand(x.shape)
    program.run(state, [frame], True)
    frame = frame.clone()
    frame[..., 2, 5] += 1
    run = program.run(state, [frame], False)
    assert list(run.active) == [7, 7] and run.computed[0][2].all()
    assert list(program.run(state, [frame], False).active) == [0, 0]


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_pixel_that_is_no_number_spoils_no_other_group(kernels: tuple[str, str]) -> None:
    x = image(20, 3, 5, "x")
    node = attention((x, x, x), 3, 1, (20, 20))
    plan = plans.plan_of([x, node], precision=kernels[0])
    frame = torch.randn(x.shape)
    frame[0, 3, 1, 2] = float("nan")
    result = plans.native(plan, 1, kernels[1]).run_dense([frame])[0]
    assert result[0, :, 1].isnan().all() and not result[0, :, [0, 2]].isnan().any()


DAMAGES: dict[str, tuple[str, int | float, str]] = {
    "groups that pixels cannot be cut into": ("groups", 5, "groups is 5, which its pixels cannot be cut into"),
    "no group": ("groups", 0, r"attentions\[0\]: groups is 0"),
    "heads that are more than the channels": ("heads", 7, "it makes 7 times 8 channels"),
    "a head behind the channels": ("key_size", 41, "channels: number 0 is"),
    "channels behind the constants": ("value_channels", 10**9, r"attentions\[0\]: channels"),
    "a scale that is no number": ("scale", float("nan"), "scale is not finite"),
    "a bias behind the constants": ("bias", 10**9, r"attentions\[0\]: bias"),
    "more blocks than groups": ("blocks", 9, r"attentions\[0\]: blocks is 9"),
    "blocks of groups behind the constants": ("bias_blocks", 10**9, r"attentions\[0\]: bias_blocks"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_with_its_place_and_reason(damage: str) -> None:
    field, value, message = DAMAGES[damage]
    x = image(40, 4, 6, "x")
    data = lower(plans.plan_of([x, attention((x, x, x), 4, 2, (8, 8), blocks=2)])).description.to_bytes()
    parts = tables.take_apart(data)
    parts["attentions"][field][0] = value
    with pytest.raises(ValueError, match=message):
        Program(tables.put_together(data, parts), ThreadPool(1))
