"""Lists of tokens, windows and heads are computed on as maps, in all their spellings, and single pixels of them can be skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, operations, run
from function_network import Net
from hypothesis import given, settings
from hypothesis import strategies as st
from promises import relative_error
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

SHAPE = (1, 3, 16, 24)


def members() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {
        "stem": nn.Conv2d(3, 8, 4, 4),
        "norm": nn.LayerNorm(8),
        "inner": nn.Linear(8, 20),
        "outer": nn.Linear(20, 8),
        "batch": nn.BatchNorm1d(8),
        "flat": nn.Linear(8 * 24, 5),
        "last": nn.Conv2d(8, 4, 3, padding=1),
        "token": nn.Parameter(torch.randn(1, 1, 8)),
        "place": nn.Parameter(torch.randn(1, 24, 8)),
        "qkv": nn.Linear(8, 24),
        "merge": nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 8)),
        "bias": nn.Parameter(torch.randn(2, 4, 4)),
        "masks": nn.Parameter(torch.randn(6, 4, 4) * torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 1.0]).view(6, 1, 1)),
    }


def block(m: Any, x: Tensor) -> Tensor:
    return x + m.outer(functional.gelu(m.inner(m.norm(x))))  # type: ignore[no-any-return]


def windows(x: Tensor) -> Tensor:
    return x.view(1, 2, 2, 3, 2, 8).permute(0, 1, 3, 2, 4, 5).reshape(6, 4, 8)


def windows_joined(x: Tensor) -> Tensor:
    return x.view(1, 2, 3, 2, 2, 8).permute(0, 1, 3, 2, 4, 5).reshape(1, 4, 6, 8)


def as_map(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(1, 8, 4, 6)


def heads(m: Any, x: Tensor) -> Any:
    """Queries, keys and values of two heads."""
    return m.qkv(m.norm(x)).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)


def joined_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def attended(m: Any, x: Tensor) -> Tensor:
    return joined_heads(functional.scaled_dot_product_attention(*heads(m, x)))


def attended_in_steps(m: Any, x: Tensor) -> Tensor:
    q, k, v = heads(m, x)
    return joined_heads(((q * 0.5) @ k.transpose(-2, -1) + 0.1).softmax(-1) @ v)


def attended_in_windows(m: Any, x: Tensor) -> Tensor:
    q, k, v = heads(m, x)
    products = q @ k.transpose(-2, -1) * 0.5 + m.bias
    products = (products.view(1, 6, 2, 4, 4) + m.masks.unsqueeze(1).unsqueeze(0)).view(6, 2, 4, 4)
    return joined_heads(products.softmax(-1) @ v)


def attended_by_columns(m: Any, x: Tensor) -> Tensor:
    """Numbers of tokens along the last axis."""
    q, k, v = m.qkv(m.norm(x)).transpose(1, 2).view(1, 2, 12, 24).split([4, 4, 4], 2)
    return (v @ ((q.transpose(-2, -1) @ k) * 0.5).softmax(-1).transpose(-2, -1)).reshape(1, 8, 24).transpose(1, 2)  # type: ignore[no-any-return]


def neighbours_merged(x: Tensor) -> Tensor:
    return x.view(1, 2, 2, 3, 2, 8).permute(0, 1, 3, 4, 2, 5).flatten(3)


def split_attention(m: Any, x: Tensor) -> Tensor:
    y = m.stem(x)
    return (y.view(1, 2, 4, 4, 6) * y.mean((2, 3), keepdim=True).sigmoid().view(1, 2, 4, 1, 1)).sum(1)  # type: ignore[no-any-return]


def weighted_branches(m: Any, x: Tensor) -> Tensor:
    y = m.stem(x)
    shares = y.mean((2, 3), keepdim=True).view(1, 1, 2, 4).transpose(1, 2).softmax(1).reshape(1, 8, 1, 1)
    return (y.view(1, 2, 4, 4, 6) * shares.view(1, 2, 4, 1, 1)).sum(1)  # type: ignore[no-any-return]


NETWORKS: dict[str, Callable[[Any, Tensor], Any]] = {
    "tokens": lambda m, x: m.last(as_map(block(m, m.stem(x).flatten(2).transpose(1, 2) + m.place))),
    "channels last": lambda m, x: m.last(block(m, m.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
    "windows": lambda m, x: m.last(windows_joined(block(m, windows(m.stem(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)),
    "shifted windows": lambda m, x: m.last(
        block(m, windows_joined(block(m, windows(m.stem(x).permute(0, 2, 3, 1).roll((1, 2), (1, 2))))).roll((-1, -2), (1, 2))).permute(
            0, 3, 1, 2
        )
    ),
    "a sum of two orders": lambda m, x: m.last(
        (m.stem(x).permute(0, 2, 3, 1) + m.norm(m.stem(x).permute(0, 2, 3, 1)).roll(1, 2)).permute(0, 3, 1, 2)
    ),
    "a token in front": lambda m, x: m.last(as_map(block(m, torch.cat([m.token, m.stem(x).flatten(2).transpose(1, 2)], 1))[:, 1:])),
    "the first token": lambda m, x: m.inner(block(m, torch.cat([m.token, m.stem(x).flatten(2).transpose(1, 2)], 1))[:, 0]),
    "a mean over tokens": lambda m, x: m.inner(block(m, m.stem(x).flatten(2).transpose(1, 2)).mean(1)),
    "all at once": lambda m, x: m.flat(m.stem(x).flatten(1)),
    "all tokens at once": lambda m, x: m.flat(block(m, m.stem(x).flatten(2).transpose(1, 2)).flatten(1)),
    "a vector for all": lambda m, x: m.last(
        as_map((y := block(m, m.stem(x).flatten(2).transpose(1, 2))) * y.mean(1, keepdim=True).sigmoid())
    ),
    "lengths of channels": lambda m, x: m.last(
        (
            (y := m.inner(m.stem(x).permute(0, 2, 3, 1)).tanh())
            + torch.addcmul(m.outer.weight[0], m.outer.weight[1], y * ((g := y.norm(dim=(1, 2), keepdim=True)) / g.mean(-1, keepdim=True)))
        )[..., :8].permute(0, 3, 1, 2)
    ),
    "norm of a batch of tokens": lambda m, x: m.last(
        as_map(block(m, m.batch((y := m.stem(x).flatten(2).transpose(1, 2)).flatten(0, 1)).reshape_as(y)))
    ),
    "split and joined": lambda m, x: m.last(as_map(torch.cat([m.norm(y := m.stem(x).flatten(2).transpose(1, 2)), y], -1)[..., 4:12])),
    "softmax over channels": lambda m, x: m.last(m.stem(x).softmax(1)),
    "distributions": lambda m, x: m.stem(x).flatten(2).view(1, 2, 4, 24).transpose(2, 1).softmax(1) * 2.0,
    "lists joined": lambda m, x: torch.cat([(y := m.stem(x)).flatten(2), m.last(y).repeat(1, 2, 1, 1).flatten(2)], 2).sigmoid(),
    "attention": lambda m, x: m.last(as_map((t := m.stem(x).flatten(2).transpose(1, 2)) + m.norm(attended(m, t)))),
    "attention written out": lambda m, x: m.last(as_map((t := m.stem(x).flatten(2).transpose(1, 2)) + m.norm(attended_in_steps(m, t)))),
    "attention by columns": lambda m, x: m.last(as_map((t := m.stem(x).flatten(2).transpose(1, 2)) + m.norm(attended_by_columns(m, t)))),
    "attention in windows": lambda m, x: m.last(
        windows_joined(block(m, attended_in_windows(m, windows(m.stem(x).permute(0, 2, 3, 1).roll((1, 2), (1, 2)))))).permute(0, 3, 1, 2)
    ),
    "attention to fewer tokens": lambda m, x: m.last(
        as_map(
            joined_heads(
                functional.scaled_dot_product_attention(
                    heads(m, m.stem(x).flatten(2).transpose(1, 2))[0],
                    *heads(m, functional.avg_pool2d(m.stem(x), 2).flatten(2).transpose(1, 2))[1:],
                )
            )
        )
    ),
    "neighbours merged": lambda m, x: m.inner(m.merge(neighbours_merged(m.stem(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2),
    "stacked and added up": lambda m, x: m.last(torch.stack([(y := m.stem(x)), y.tanh(), y.sigmoid() * 0.5], -1).sum(-1)),
    "a mean of stacked tokens": lambda m, x: m.last(as_map(torch.stack([t := m.stem(x).flatten(2).transpose(1, 2), m.norm(t)]).mean(0))),
    "a mean over channels": lambda m, x: m.last((y := m.stem(x)) * y.mean(1, keepdim=True)),
    "split attention": lambda m, x: functional.conv2d(split_attention(m, x), m.last.weight[:, :4]),
    "weights of branches": lambda m, x: functional.conv2d(weighted_branches(m, x), m.last.weight[:, :4]),
    "tokens without a batch": lambda m, x: m.last(m.outer(functional.gelu(m.inner(m.stem(x).flatten(2)[0].t()))).t().reshape(1, 8, 4, 6)),
    "halves that gate": lambda m, x: (
        functional.conv2d(functional.glu(m.stem(x), 1), m.last.weight[:, :4])
        + functional.glu(m.inner(m.stem(x).permute(0, 2, 3, 1)))[..., :4].permute(0, 3, 1, 2)[..., :2, :4]
    ),
    "channels in another order": lambda m, x: m.last((y := m.stem(x)) + y.flip(1)),
    "a factor repeated by hand": lambda m, x: m.last((y := m.stem(x)) * y.mean((2, 3), keepdim=True).sigmoid().expand_as(y)),
    "norms of a map": lambda m, x: m.last(
        functional.group_norm(m.stem(x), 2, m.norm.weight + m.batch.weight, m.qkv.bias[:8])
        + functional.instance_norm(m.stem(x))
        + functional.layer_norm(m.stem(x), (8, 4, 6), m.place.view(8, 4, 6))
    ),
    "weights by token": lambda m, x: m.last(as_map(functional.prelu(m.stem(x).flatten(2).transpose(1, 2), m.place[0, :, 0]))),
    "corners of boxes": lambda m, x: torch.cat(
        [(low := (y := m.stem(x).flatten(2).view(1, 4, 2, 24).softmax(2)[:, :, 0]).chunk(2, 1)[0]) - 0.5, y.chunk(2, 1)[1] + low], 1
    ),
    "squeezed and enlarged": lambda m, x: m.last(functional.pixel_unshuffle(functional.pixel_shuffle(m.stem(x), 2).tanh(), 2)),
}
IN_TORCH = {"lists joined", "lengths of channels", "weights by token"}
"""What besides handing over the result has no kernel."""


def net_of(name: str) -> Net:
    return Net(NETWORKS[name], **members()).requires_grad_(False)


@pytest.mark.parametrize("name", NETWORKS)
def test_tokens_are_what_torch_computes(name: str) -> None:
    net, x = net_of(name), torch.randn(SHAPE)
    assert relative_error(run(graph_of(net, SHAPE), x)[0], net(x)) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_and_norms_of_tokens_run_on_maps(name: str) -> None:
    graph = graph_of(net_of(name), SHAPE)
    own = [node for node in graph if node.name not in graph.output_names and node.op in {"aten", "linear", "token_map"}]
    handed = {node.name for node in graph if node.op == "aten" and graph.by_name[node.inputs[0]].op in {"tokens", "aten"}}
    assert name in IN_TORCH or all(node.name in handed for node in own), operations(graph)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_threshold_zero_has_the_bits_of_the_dense_run(name: str, precision: str, backend: str) -> None:
    x = torch.rand(SHAPE)
    model, _ = convert(net_of(name), x, SkipConfig(threshold=0.0, backend=backend, precision=precision, dense_above=1.0))
    session = model.session()
    for number in range(6):
        x = x.clone()
        x[..., 4 * (number % 4) : 4 * (number % 4) + 3, 3 * number : 3 * number + 4] = torch.rand(1, 3, 3, 4)
        assert torch.equal(session(x), model.dense(x)), f"frame {number}"


def test_another_default_type_changes_nothing() -> None:
    net, x = net_of("a token in front"), torch.rand(SHAPE)
    expected = net(x)
    torch.set_default_dtype(torch.float64)
    try:
        model, _ = convert(net, x, SkipConfig(threshold=0.0))
        assert relative_error(model.session()(x), expected) < 1e-5
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["tokens", "channels last", "windows", "a token in front", "all tokens at once"])
def test_a_patch_costs_its_own_tokens_alone(name: str, backend: str) -> None:
    x = torch.rand(SHAPE)
    model, _ = convert(net_of(name), x, SkipConfig(threshold=0.0, backend=backend))
    session = model.session()
    session(x)
    x = x.clone()
    x[..., 5, 5] += 1
    session(x)
    shares = {layer.name: layer.macs / layer.dense_macs for layer in session.cost.layers}
    assert shares["inner"] == shares["outer"] == pytest.approx(1 / 24, rel=0.05)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_chain_of_moves_between_layers_computes_what_torch_computes(data: st.DataObject) -> None:
    moves: dict[str, Callable[[Tensor], Tensor]] = {
        "roll": lambda x: x.roll(1, -2),
        "flip": lambda x: x.flip(0),
        "first half": lambda x: x[..., : max(1, x.shape[-1] // 2)],
        "all but the first": lambda x: x[:, 1:] if x.shape[1] > 1 else x,
        "transposed": lambda x: x.transpose(-1, -2),
        "split": lambda x: x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2) if x.shape[-1] % 2 == 0 else x,
        "flattened": lambda x: x.flatten(1, 2) if x.dim() > 3 else x,
        "doubled": lambda x: torch.cat([x, x.tanh()], -1),
        "one behind the other": lambda x: torch.cat([x.sigmoid(), x], -2),
        "norm": lambda x: functional.layer_norm(x, x.shape[-1:]),
        "softmax": lambda x: x.softmax(-1),
        "moved sum": lambda x: x + x.roll(1, -2) * 0.5,
        "square": lambda x: x * x - 0.25,
    }
    names = data.draw(st.lists(st.sampled_from(sorted(moves)), min_size=1, max_size=5))

    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.stem(x).permute(0, 2, 3, 1)
        for name in names:
            x = moves[name](x)
        return x

    net, x = Net(forward, **members()).requires_grad_(False), torch.randn(SHAPE)
    result = net(x)
    assert relative_error(run(graph_of(net, SHAPE), x)[0], result) < 1e-4
    model, _ = convert(net, x, SkipConfig(threshold=0.0, dense_above=1.0))
    session = model.session()
    for _ in range(3):
        x = torch.where(torch.rand(1, 1, *SHAPE[2:]) < 0.05, torch.randn(SHAPE), x)
        assert torch.equal(session(x), model.dense(x))
