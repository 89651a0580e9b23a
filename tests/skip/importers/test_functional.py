"""In-place operations: rewritten where nobody can tell, left to torch where somebody can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, run
from function_network import Net
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional


def block() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))


def residual(m: Any, x: Tensor) -> Tensor:
    y = m.first(x)
    z = m.second[:2](x)
    z += y
    return functional.hardtanh_(z, 0, 4)


def joined(m: Any, x: Tensor) -> Tensor:
    return functional.relu_(torch.cat([m.first(x), m.second(x)], 1)).mul_(2).sub_(1)


def no_grad(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return m.first(x) * 1


def aliased(m: Any, x: Tensor) -> Tensor:
    y = m.first[0](x)
    z = functional.relu_(y)
    return y + 2 * z


def through_a_view(m: Any, x: Tensor) -> Tensor:
    y = m.first[0](x)
    y[:, 1:3].mul_(2)
    return y


def dtype_kept(m: Any, x: Tensor) -> Tensor:
    y = m.first[0](x)
    y += m.fine
    return y


PRIVATE = {"sequential": lambda m, x: m.first(x), "residual": residual, "joined": joined}
SHARED = {"aliased": aliased, "through a view": through_a_view, "dtype kept": dtype_kept, "no_grad": no_grad}


def network(function: Callable[[Any, Tensor], Tensor]) -> nn.Module:
    torch.manual_seed(0)
    return Net(function, first=block(), second=block(), fine=torch.randn(4, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize("name", PRIVATE)
def test_private_in_place_operations_need_no_retracing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the program was traced again, which takes longer than its export")

    monkeypatch.setattr(ExportedProgram, "run_decompositions", refuse)
    net, x = network(PRIVATE[name]), torch.randn(1, 3, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close(run(graph_of(net, (1, 3, 6, 5)), x)[0], net(x))


@pytest.mark.parametrize("name", SHARED)
def test_in_place_operations_that_others_see_keep_their_meaning(name: str) -> None:
    net, x = network(SHARED[name]), torch.randn(1, 3, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close(run(graph_of(net, (1, 3, 6, 5)), x)[0], net(x))
