"""Every footprint rule against brute force: change pixels, run the real operation, see which outputs changed."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from skipvid.skip.ir.footprint import SPARSE_OPS, footprint, resize_taps
from skipvid.skip.ir.graph import ARITHMETIC, Activation, MapArgument, Node
from skipvid.skip.reference.operations import evaluate

examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
extents = st.integers(1, 9)
small = st.integers(1, 3)
NO_MORE = {"kwargs": {}, "item": None}


def operation(op: str, inputs: tuple[Tensor, ...], consts: dict[str, Tensor] | None = None, **attrs: Any) -> Node:
    """A node of the graph that reads `inputs` as "0", "1", …"""
    names = tuple(str(position) for position in range(len(inputs)))
    activation = Activation("relu") if op == "activation" else None
    node = Node("out", op, names, (), attrs, consts or {}, activation)
    return replace(node, shape=tuple(evaluate(node, dict(zip(names, inputs, strict=True))).shape))


def run(node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
    return evaluate(node, {str(position): value for position, value in enumerate(inputs)})


def masks_of(draw: st.DrawFn, size: tuple[int, int]) -> Tensor:
    """(1, 1, H, W) bool: empty, full, one pixel, or any."""
    height, width = size
    kind = draw(st.sampled_from(["empty", "full", "pixel", "any"]))
    if kind == "any":
        bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
        return torch.tensor(bits).view(1, 1, height, width)
    mask = torch.full((1, 1, height, width), kind == "full")
    if kind == "pixel":
        mask[0, 0, draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return mask


def changed_outputs(node: Node, inputs: tuple[Tensor, ...], masks: tuple[Tensor, ...], by: float = 10.0) -> Tensor:
    """Which output pixels differ when the pixels under `masks` are raised by so much that no rounding and no maximum hides it."""
    raised = tuple(value + by * mask for value, mask in zip(inputs, masks, strict=True))
    return (run(node, raised) != run(node, inputs)).any(1, keepdim=True)


def check(node: Node, inputs: tuple[Tensor, ...], masks: tuple[Tensor, ...], exact: bool = True) -> None:
    predicted, changed = footprint(node, masks), changed_outputs(node, inputs, masks)
    assert predicted.shape == (1, 1, *node.size) and predicted.dtype == torch.bool
    assert not (changed & ~predicted).any(), f"changed, but not in the footprint: {(changed & ~predicted).nonzero().tolist()}"
    if exact:
        assert torch.equal(predicted, changed), f"in the footprint, but not changed: {(predicted & ~changed).nonzero().tolist()}"


def window_count(extent: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    return (extent + before + after - dilation * (kernel - 1) - 1) // stride + 1


@given(st.data())
@examples
def test_convolution_footprint_is_exactly_what_changes(data: st.DataObject) -> None:
    draw = data.draw
    kernel, dilation = (draw(st.integers(1, 7)), draw(st.integers(1, 7))), (draw(small), draw(small))
    stride, pads = (draw(small), draw(small)), tuple(draw(st.integers(0, 4)) for _ in range(4))
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - before - after), 12))
        for k, d, before, after in zip(kernel, dilation, pads[::2], pads[1::2], strict=True)
        if d * (k - 1) + 1 - before - after <= 12
    )
    if len(size) < 2:
        return
    groups = draw(st.sampled_from([1, 2, 4]))
    x = torch.rand(1, 4, *size)
    weight = torch.rand(4, 4 // groups, *kernel) + 0.1  # positive, so that no changes cancel
    attrs = {"stride": stride, "pads": pads, "dilation": dilation, "groups": groups}
    node = operation("conv", (x,), {"weight": weight, "bias": torch.rand(4)}, **attrs)
    assert node.size == tuple(
        window_count(extent, k, s, before, after, d)
        for extent, k, s, before, after, d in zip(size, kernel, stride, pads[::2], pads[1::2], dilation, strict=True)
    )
    check(node, (x,), (masks_of(draw, size),))


@given(st.data())
@examples
def test_transposed_convolution_footprint_is_exactly_what_changes(data: st.DataObject) -> None:
    draw = data.draw
    size, kernel = (draw(extents), draw(extents)), (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride, dilation = (draw(small), draw(small)), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, min(2, d * (k - 1)))) for k, d in zip(kernel, dilation, strict=True))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups = draw(st.sampled_from([1, 2]))
    x, weight = torch.rand(1, 4, *size), torch.rand(4, 4 // groups, *kernel) + 0.1
    attrs = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    try:
        node = operation("conv_transpose", (x,), {"weight": weight}, **attrs)
    except RuntimeError:  # so much padding that less than nothing is left
        return
    assume(all(node.shape))  # PyTorch computes an empty map for some sizes of batch and refuses it for others
    check(node, (x,), (masks_of(draw, size),))


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
@given(data=st.data())
@examples
def test_pool_footprint_is_exactly_what_changes(op: str, data: st.DataObject) -> None:
    draw = data.draw
    kernel, stride = (draw(st.integers(1, 5)), draw(st.integers(1, 5))), (draw(small), draw(small))
    dilation = (draw(small), draw(small)) if op == "max_pool" else (1, 1)
    pads = tuple(draw(st.integers(0, (kernel[side // 2] - 1) * dilation[side // 2])) for side in range(4))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    size = tuple(draw(st.integers(extent, extent + 6)) for extent in reach)
    attrs = {"dilation": dilation} if op == "max_pool" else {"count_include_pad": True}
    x = torch.rand(1, 2, *size)
    node = operation(op, (x,), kernel=kernel, stride=stride, pads=pads, **attrs)
    check(node, (x,), (masks_of(draw, size),))


@given(st.data())
@examples
def test_average_pool_that_leaves_its_pads_out_of_the_count(data: st.DataObject) -> None:
    draw = data.draw
    kernel = draw(st.integers(2, 5))
    pad, size = draw(st.integers(0, kernel // 2)), (draw(st.integers(kernel, 9)), draw(st.integers(kernel, 9)))
    x = torch.rand(1, 2, *size)
    attrs = {"kernel": (kernel, kernel), "stride": (draw(small),) * 2, "pads": (pad,) * 4, "count_include_pad": False}
    check(operation("avg_pool", (x,), **attrs), (x,), (masks_of(draw, size),))


@given(st.data())
@examples
def test_pad_footprint_moves_the_mask_also_where_padding_crops(data: st.DataObject) -> None:
    draw = data.draw
    size = (draw(extents), draw(extents))
    pads = tuple(draw(st.integers(-((extent - 1) // 2), 3)) for extent in (size[0], size[0], size[1], size[1]))
    x = torch.rand(1, 2, *size)
    check(operation("pad", (x,), pads=pads, value=0.5), (x,), (masks_of(draw, size),))


def resize(draw: st.DrawFn, size: tuple[int, int], mode: str) -> dict[str, Any]:
    """The attributes of a resize of a map, to a size or by factors."""
    align = draw(st.booleans()) if mode == "bilinear" else False
    if draw(st.booleans()):
        return {"mode": mode, "size": (draw(st.integers(1, 20)), draw(st.integers(1, 20))), "scales": None, "align_corners": align}
    scales = tuple(draw(st.floats(1 / extent + 1e-6, 3.5)) for extent in size)
    result = tuple(max(1, math.floor(extent * scale)) for extent, scale in zip(size, scales, strict=True))
    return {"mode": mode, "size": result, "scales": scales, "align_corners": align}


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@given(data=st.data())
@examples
def test_resize_footprint_holds_every_change(mode: str, data: st.DataObject) -> None:
    size = (data.draw(extents), data.draw(extents))
    x, attrs = torch.rand(1, 2, *size), resize(data.draw, size, mode)
    node = operation("resize", (x,), **attrs)
    masks = (masks_of(data.draw, size),)
    check(node, (x,), masks, exact=False)
    if masks[0].sum() == 1:  # and is no larger than the kernel of that scale, with a pixel to either side for rounding
        for axis, extent in ((2, size[0]), (3, size[1])):
            touched = footprint(node, masks).any(5 - axis).sum()
            outputs = node.shape[axis]
            assert touched <= 2 * max(outputs / extent, (outputs - 1) / max(extent - 1, 1)) + 3


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@given(data=st.data())
@examples
def test_resize_taps_hold_what_torch_reads_at_any_extent(mode: str, data: st.DataObject) -> None:
    extent = data.draw(st.integers(1, 4000))
    target: dict[str, Any] = {"size": (1, data.draw(st.integers(1, 9000)))}
    if data.draw(st.booleans()):
        target = {"scale_factor": (1.0, data.draw(st.floats(max(0.3, 1 / extent + 1e-6), 3.3)))}
    align = data.draw(st.booleans()) if mode == "bilinear" else None
    positions = torch.arange(extent, dtype=torch.float64).view(1, 1, 1, -1)
    read = functional.interpolate(positions.float(), mode=mode, align_corners=align, **target)
    attrs = {"mode": mode, "size": tuple(read.shape[2:]), "scales": target.get("scale_factor"), "align_corners": bool(align)}
    taps = resize_taps(Node("out", "resize", ("0",), tuple(read.shape), attrs), 1, extent)
    if mode == "nearest":
        assert (taps == read.view(-1, 1).long()).any(1).all()
    else:  # what is interpolated lies between the taps
        slack = 1e-3
        assert (taps.amin(1) <= read.view(-1) + slack).all() and (taps.amax(1) >= read.view(-1) - slack).all()


@given(st.data())
@examples
def test_adaptive_pool_footprint_is_the_windows_that_hold_a_changed_pixel(data: st.DataObject) -> None:
    size = (data.draw(extents), data.draw(extents))
    x, mask = torch.rand(1, 2, *size), masks_of(data.draw, size)
    out = (data.draw(extents), data.draw(extents))
    for maximum in (False, True):
        node = Node("out", "adaptive_pool", ("0",), (1, 2, *out), {"maximum": maximum})
        check(node, (x,), (mask,))


OTHERS = [(3, 5, 4), (3, 1, 1), (1, 5, 4), (1, 5, 1), (3, 1, 4)]


@pytest.mark.parametrize(("op", "other"), [*product(sorted(ARITHMETIC), OTHERS), *product(["pointwise"], OTHERS[:3])])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_element_wise_footprint_is_the_union_and_a_vector_opens_the_map(op: str, other: tuple[int, ...], data: st.DataObject) -> None:
    inputs = (torch.rand(1, 3, 5, 4) + 0.5, torch.rand(1, *other) + 0.5)
    masks = tuple(masks_of(data.draw, (value.shape[2], value.shape[3])) for value in inputs)
    total = Node("sum", "aten", ("0", "1"), (1, 3, 5, 4), {"target": torch.add, "args": (MapArgument(0), MapArgument(1)), **NO_MORE})
    attrs: dict[str, Any] = {"inner": (total,)} if op == "pointwise" else {}
    node = replace(operation("add", inputs), op=op, attrs=attrs)
    if op == "div":  # x + 10 over y + 10 may be x over y: change one at a time
        for changed in range(2):
            check(node, inputs, tuple(mask & (position == changed) for position, mask in enumerate(masks)))
    predicted = footprint(node, masks)
    assert torch.equal(predicted, (masks[0] | masks[1]).expand(1, 1, 5, 4))
    assert not (changed_outputs(node, inputs, masks) & ~predicted).any()


def test_element_wise_result_that_is_no_map_changes_as_a_whole() -> None:
    inputs = (torch.rand(2, 3, 4, 4), torch.rand(1, 3, 4, 4))
    node = operation("add", inputs)
    none, corner = torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    corner[..., 0, 0] = True
    whole = torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    assert footprint(node, (whole, corner)).tolist() == [[[[True]]]]
    assert footprint(node, (whole, none)).tolist() == [[[[False]]]]


@given(st.data())
@examples
def test_concat_channels_activation_and_affine_keep_pixels_in_place(data: st.DataObject) -> None:
    size = (data.draw(extents), data.draw(extents))
    one, two = torch.rand(1, 2, *size), torch.rand(1, 3, *size)
    masks = (masks_of(data.draw, size), masks_of(data.draw, size))
    check(operation("concat", (one, two)), (one, two), masks)
    check(operation("channels", (two,), index=(2, 0)), (two,), masks[:1])
    check(operation("activation", (one,)), (one,), masks[:1])
    check(operation("affine", (one,), {"scale": torch.rand(2, 1, 1) + 0.1, "shift": torch.rand(2, *size)}), (one,), masks[:1])


def test_global_mean_and_linear_change_as_a_whole() -> None:
    x = torch.rand(1, 3, 4, 5)
    for pixels in (0, 1, 20):
        mask = (torch.arange(20) < pixels).view(1, 1, 4, 5)
        check(operation("global_mean", (x,)), (x,), (mask,))
    vector = torch.rand(1, 6)
    node = operation("linear", (vector,), {"weight": torch.rand(2, 6)})
    assert [bool(footprint(node, (torch.full((1, 1, 1, 1), given),))) for given in (True, False)] == [True, False]


@given(st.data())
@examples
def test_a_gathered_pixel_changes_with_the_one_that_it_is_taken_from(data: st.DataObject) -> None:
    sizes = [(data.draw(extents), data.draw(extents)) for _ in range(2)]
    inputs = tuple(torch.rand(1, channels, *size) for channels, size in zip((3, 5), sizes, strict=True))
    masks = tuple(masks_of(data.draw, size) for size in sizes)
    height, width = data.draw(extents), data.draw(extents)
    source = torch.tensor(data.draw(st.lists(st.integers(-1, 1), min_size=height * width, max_size=height * width)))
    pixel = torch.tensor([data.draw(st.integers(0, sizes[number][0] * sizes[number][1] - 1)) for number in source.tolist()])
    channel = torch.tensor([data.draw(st.integers(0, inputs[number].shape[1] - 2)) for number in source.tolist()])
    attrs = {"source": source, "pixel": pixel, "channel": channel}
    node = Node("out", "gather", ("0", "1"), (1, 2, height, width), attrs)
    check(node, inputs, masks)


@given(st.data())
@examples
def test_norms_and_softmax_over_channels_keep_pixels_in_place(data: st.DataObject) -> None:
    size = (data.draw(extents), data.draw(extents))
    x, mask = torch.rand(1, 3, *size), masks_of(data.draw, size)
    for op, attrs in (("layer_norm", {"epsilon": 1e-5}), ("softmax", {})):
        node = operation(op, (x,), **attrs)
        moved = x + 10 * mask * torch.tensor([1.0, -1.0, 2.0]).view(1, 3, 1, 1)
        assert torch.equal(footprint(node, (mask,)), (run(node, (moved,)) != run(node, (x,))).any(1, keepdim=True))


@given(st.data())
@examples
def test_attention_changes_in_the_groups_whose_keys_or_values_do(data: st.DataObject) -> None:
    groups, queries, keys = (data.draw(extents) for _ in range(3))
    sizes = ((groups, queries), (groups, keys), (groups, keys))
    inputs = tuple(torch.rand(1, 4, *size) for size in sizes)
    masks = tuple(masks_of(data.draw, size) for size in sizes)
    attrs = {"groups": groups, "heads": 1, "key_size": 4, "value_size": 4, "scale": 0.5, "queries": (0,), "keys": (0,), "values": (0,)}
    node = Node("out", "attention", ("0", "1", "2"), (1, 4, groups, queries), attrs)
    reached = footprint(node, masks)
    moved = tuple(torch.where(mask, value + torch.rand(1, 4, 1, 1), value) for value, mask in zip(inputs, masks, strict=True))
    assert not bool((((run(node, moved) != run(node, inputs)).any(1, keepdim=True)) & ~reached).any())
    assert torch.equal(reached[0, 0], masks[0][0, 0] | (masks[1] | masks[2])[0, 0].any(1, keepdim=True))


def test_every_rule_is_tested_here() -> None:
    tested = {"conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_pool", "pad", "resize", "pointwise"}
    assert (
        tested
        | ARITHMETIC
        | {"concat", "channels", "activation", "affine", "global_mean", "linear", "publish", "gather", "layer_norm", "softmax", "attention"}
        | {"choice", "select"}  # tests/skip/test_adaptive_streams.py
        == SPARSE_OPS
    )
