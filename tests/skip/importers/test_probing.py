"""Networks that are no function of their inputs are refused by name; caches that change no result are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import BackendError
from skipvid.skip.api import convert

FRAME = torch.zeros(1, 3, 8, 8)
OUTSIDE: dict[str, Any] = {}


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, padding=1)


class Remembers(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.way = conv(), way
        self.before: Any = torch.zeros(1, 4, 8, 8)
        self.frames: list[Tensor] = []
        self.table: dict[str, Tensor] = {}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        if self.way == "a tensor":
            y = y / 2 + self.before / 2
            self.before = y.detach()
        elif self.way == "a tensor written to":
            y = y + self.before
            self.before.copy_(y.detach())
        elif self.way == "a list":
            y = y + sum(self.frames)
            self.frames.append(y.detach())
        elif self.way == "a dict":
            y = y + self.table.get("last", 0)
            self.table["last"] = y.detach()
        elif self.way == "a number":
            self.calls += 1
            y = y * self.calls
        elif self.way == "a variable outside":
            y = y + OUTSIDE.get("last", 0)
            OUTSIDE["last"] = y.detach()
        return y


@pytest.mark.parametrize(
    ("way", "named"),
    [
        ("a tensor", "part.before"),
        ("a tensor written to", "before"),
        ("a list", "part.frames"),
        ("a dict", "part.table"),
        ("a number", "part.calls"),
        ("a variable outside", "outside its modules"),
    ],
)
def test_memory_is_refused_and_named(way: str, named: str) -> None:
    net = Net(lambda m, x: m.part(x).relu() + m.part(x), part=Remembers(way).eval())
    with pytest.raises(BackendError, match=named) as caught:
        convert(net, FRAME)
    assert caught.value.hint and "\n" not in str(caught.value)
    OUTSIDE.clear()


def test_converting_leaves_no_trace_in_the_callers_network() -> None:
    part = Remembers("a tensor").eval()
    with pytest.raises(BackendError):
        convert(part, FRAME)
    assert not part.before.any() and not part.frames


def drawn_in_python(m: Any, x: Tensor) -> Tensor:
    return m.conv(x) + random.random()


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda m, x: m.conv(x) + torch.randn(1, 4, 8, 8), "randn"),
        (lambda m, x: m.conv(x) + torch.rand_like(x[:, :1]), "rand_like"),
        (lambda m, x: m.conv(x) * torch.bernoulli(torch.full((1, 4, 1, 1), 0.5)), "bernoulli"),
        (lambda m, x: functional.dropout(m.conv(x), 0.2), "dropout"),
        (lambda m, x: m.drop(m.conv(x)), "drop \\(Dropout2d\\)"),
        (lambda m, x: m.conv(x)[:, torch.randperm(4)], "randperm"),
        (lambda m, x: functional.rrelu(m.conv(x), training=True), "rrelu"),
        (drawn_in_python, "random numbers"),
    ],
)
def test_random_numbers_are_refused_and_named(function: Callable[..., Tensor], named: str) -> None:
    net = Net(function, conv=conv(), drop=nn.Dropout2d(0.5))
    net.drop.train()
    with pytest.raises(BackendError, match=named) as caught:
        convert(net, FRAME)
    assert caught.value.hint and "\n" not in str(caught.value)


def test_the_line_of_a_random_number_is_named() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.conv(x) + torch.randn(1, 4, 8, 8)  # the line

    with pytest.raises(BackendError, match=r"in Net, test_probing\.py line \d+: .*# the line"):
        convert(Net(forward, conv=conv()), FRAME)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: functional.dropout(m.conv(x), 0.0, training=True),
        lambda m, x: functional.dropout(m.conv(x), 0.5, training=False),
        lambda m, x: functional.scaled_dot_product_attention(*[m.conv(x).flatten(2)] * 3),
        lambda m, x: functional.rrelu(m.conv(x), training=False),
    ],
)
def test_what_could_be_random_and_is_not_converts(function: Callable[..., Tensor]) -> None:
    net = Net(function, conv=conv())
    session, frame = convert(net, FRAME)[0].session(), torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(session(frame), net(frame).detach())


class Caches(nn.Module):
    """As detectors cache their anchors: made in the first call, and again where the size changes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.size, self.anchors = conv(), (0, 0), torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.size != tuple(x.shape[2:]):
            self.size = (x.shape[2], x.shape[3])
            self.anchors = torch.arange(x.shape[2] * x.shape[3], dtype=torch.float32).view(1, 1, *self.size)
        return self.conv(x) + self.anchors


def test_a_cache_that_changes_no_result_is_converted() -> None:
    net = Caches().eval()
    model = convert(net, FRAME)[0]
    for size in ((8, 8), (6, 10), (8, 8)):
        frame = torch.rand(1, 3, *size)
        torch.testing.assert_close(model.session()(frame), Caches.forward(net, frame).detach())
