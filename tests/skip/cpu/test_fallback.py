"""What PyTorch computes between native steps: run and copied only where something changed, remembered only where it is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from function_network import Net
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu import fallback, native_maps
from skipvid.skip.session import Session

FRAME = (1, 3, 16, 16)


def attention(m: Any, x: Tensor) -> Tensor:
    tokens = m.conv(x).flatten(2).transpose(1, 2)
    for _ in range(4):
        tokens = tokens + nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        tokens = nn.functional.layer_norm(tokens, (8,)) + nn.functional.gelu(tokens @ tokens.transpose(1, 2)).softmax(2) @ tokens
    return m.last(tokens.transpose(1, 2).reshape(1, 8, 16, 16))  # type: ignore[no-any-return]


def softmax_between(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.last(y.softmax(1)) + y.mean((1, 2), keepdim=True)  # type: ignore[no-any-return]


def two_inputs(m: Any, x: Tensor, z: Tensor) -> Tensor:
    side = nn.functional.gelu(m.conv(z).flatten(2)).softmax(2).cumsum(2)
    return m.last(m.conv(x).tril() + side.reshape(1, 8, 16, 16).flip(3))  # type: ignore[no-any-return]


def outputs_inside(m: Any, x: Tensor) -> Any:
    tokens = m.conv(x).flatten(2)
    order = tokens.argsort(2)
    return {"tokens": tokens, "order": order, "twice": [tokens.softmax(2), m.last(tokens.reshape(1, 8, 16, 16))]}


SHAPES = {attention: 1, softmax_between: 1, two_inputs: 2, outputs_inside: 1}


def model_of(function: Callable[..., Any], threshold: float = 0.0) -> SkipModel:
    torch.manual_seed(0)
    net = Net(function, conv=nn.Conv2d(3, 8, 3, padding=1), last=nn.Conv2d(8, 4, 3, padding=1)).requires_grad_(False)
    examples = tuple(torch.rand(FRAME) for _ in range(SHAPES[function]))
    return convert(net, examples, SkipConfig(threshold=threshold, backend="cpu", dense_above=1.0))[0]


def streams(function: Callable[..., Any], count: int) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(2)
    inputs, made = [torch.rand(FRAME, generator=generator) for _ in range(SHAPES[function])], []
    for number in range(count):
        which = number % (len(inputs) + 1)  # each in turn, then none
        inputs = [item.clone() for item in inputs]
        if which < len(inputs):
            inputs[which][..., 3:6, number % 8 : number % 8 + 3] = torch.rand(1, 3, 3, 3, generator=generator)
        made.append(tuple(inputs))
    return made


@pytest.mark.parametrize("function", SHAPES)
def test_threshold_zero_has_the_bits_of_the_dense_run(function: Callable[..., Any]) -> None:
    model = model_of(function)
    session = model.session()
    for number, inputs in enumerate(streams(function, 24)):
        got, want = tree_leaves(session(*inputs)), tree_leaves(model.dense(*inputs))
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True)), f"frame {number}"


@pytest.mark.parametrize("function", SHAPES)
def test_gated_streams_agree_with_the_reference(function: Callable[..., Any]) -> None:
    model = model_of(function, 0.05)
    reference = model.regated(SkipConfig(threshold=0.05, backend="reference", dense_above=1.0))
    one, other = model.session(), reference.session()
    for number, inputs in enumerate(streams(function, 16)):
        for a, b in zip(tree_leaves(one(*inputs)), tree_leaves(other(*inputs)), strict=True):
            if a.is_floating_point():
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=f"frame {number}")
        assert one.cost.macs == other.cost.macs, f"frame {number}"


class Counts:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.evaluated: Counter[str] = Counter()
        self.copied = 0
        evaluate, copy = fallback.evaluate, native_maps._copy

        def counted(node: Any, values: Any) -> Tensor:
            self.evaluated[node.name] += 1
            return evaluate(node, values)

        def counted_copy(view: Tensor) -> Tensor:
            self.copied += 1
            return copy(view)

        monkeypatch.setattr(fallback, "evaluate", counted)
        monkeypatch.setattr("skipvid.skip.reference.executor.evaluate", counted)
        monkeypatch.setattr(native_maps, "_copy", counted_copy)


@pytest.mark.parametrize("function", SHAPES)
def test_nothing_is_run_nor_copied_where_nothing_changed(function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(function)
    session, inputs = model.session(), tuple(torch.rand(FRAME) for _ in range(SHAPES[function]))
    session(*inputs)
    counts = Counts(monkeypatch)
    for _ in range(5):
        session(*inputs)
    assert not counts.evaluated and not counts.copied


def test_only_what_reads_the_changed_input_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    session = model_of(two_inputs).session()
    x, z = torch.rand(FRAME), torch.rand(FRAME)
    session(x, z)
    counts = Counts(monkeypatch)
    x = x.clone()
    x[..., 4, 4] += 1
    session(x, z)
    assert any(name.startswith("tril") for name in counts.evaluated)
    assert not any(name.startswith(("cumsum", "softmax")) for name in counts.evaluated)


def memory_of(session: Session) -> int:
    state: Any = session._state
    return int(state.fallback.memory_bytes())


def test_a_transformer_remembers_little_more_than_its_result() -> None:
    session = model_of(attention).session()
    for inputs in streams(attention, 4):
        session(*inputs)
    result = 8 * 16 * 16 * 4
    assert memory_of(session) <= 3 * result


def test_a_frame_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(two_inputs)
    session, frames = model.session(), streams(two_inputs, 8)
    session(*frames[0])
    original, calls = fallback.evaluate, []

    def fail(*arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(fallback, "evaluate", fail)
    with pytest.raises(KeyboardInterrupt):
        session(*frames[1])
        session(*frames[3])
        session(*frames[4])
    monkeypatch.undo()
    for inputs in frames[4:]:
        assert torch.equal(session(*inputs), model.dense(*inputs))
