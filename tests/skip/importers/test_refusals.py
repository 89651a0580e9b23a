"""Whatever torch.export does not take, or takes and cannot be run, is one line: what, where, and what to do."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from function_network import Net
from torch import Tensor, nn

from skipvid.core.errors import BackendError, UsageError
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig

FRAME = torch.zeros(1, 3, 8, 8)


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, padding=1)


def suppressed(m: Any, x: Tensor) -> Tensor:
    """Boxes kept one after the other, as NMS does."""
    scores = m.conv(x)[0, 0].flatten()
    kept: list[Tensor] = []
    for index in scores.argsort()[:4]:
        if all(bool((scores[index] - other).abs() > 0.1) for other in kept):
            kept.append(scores[index])
    return torch.stack(kept)


def asserted(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    assert y.mean() > 1e9
    return y


VALUES: dict[str, Callable[..., Any]] = {
    "chosen values": lambda m, x: m.conv(x)[m.conv(x) > 0],
    "masked_select": lambda m, x: torch.masked_select(m.conv(x), m.conv(x) > 0).sum(),
    "nonzero": lambda m, x: torch.nonzero(m.conv(x)[0, 0] > 0),
    "unique": lambda m, x: torch.unique(m.conv(x).round()),
    "repeat_interleave": lambda m, x: m.conv(x)[0, 0].repeat_interleave(m.conv(x)[0, 0, 0].abs().long() + 1, 1),
    "item": lambda m, x: m.conv(x) * m.conv(x).max().item(),
    "float()": lambda m, x: m.conv(x) * float(m.conv(x).mean()),
    "int() as a size": lambda m, x: torch.zeros(int(m.conv(x).abs().max()) + 1),
    "tolist": lambda m, x: m.conv(x) * m.conv(x)[0, 0, 0, :2].tolist()[0],
    "if": lambda m, x: m.conv(x) if m.conv(x).mean() > 0 else x,
    "while": lambda m, x: [x := x + 1 for _ in range(int(x.max()))],
    "numpy": lambda m, x: m.conv(x) * float(np.max(m.conv(x).detach().numpy())),
    "NMS": suppressed,
    "assert": asserted,
}


@pytest.mark.parametrize("name", VALUES)
def test_what_depends_on_values_is_refused_with_the_place_and_the_way_out(name: str) -> None:
    with pytest.raises(BackendError) as caught:
        convert(Net(VALUES[name], conv=conv()), FRAME)
    text = str(caught.value)
    assert "\n" not in text and " line " in text, text
    assert caught.value.hint is not None and "backbone and head" in caught.value.hint


def test_a_number_read_from_a_parameter_is_a_constant(backend: str) -> None:
    net = Net(lambda m, x: m.conv(x) * m.scale.item(), conv=conv(), scale=nn.Parameter(torch.tensor(2.5)))
    frame = torch.rand(1, 3, 8, 8)
    session = convert(net, frame, SkipConfig(threshold=0.0, backend=backend))[0].session()
    torch.testing.assert_close(session(frame), net(frame).detach())


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Net(lambda m, x: m.conv(x).view(7), conv=conv())

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("net", "inputs", "named"),
    [
        (Broken(), (FRAME,), r"part \(Net\), test_refusals\.py line \d+"),
        (nn.Conv2d(5, 4, 3), (FRAME,), r"inputs \(1, 3, 8, 8\) float32: .*expected input"),
        (nn.Conv2d(3, 4, 9), (FRAME,), "Kernel size"),
        (nn.Conv2d(3, 4, 3), (FRAME, FRAME), "takes 2 positional arguments but 3 were given"),
        (nn.Bilinear(8, 8, 2), (FRAME,), "missing 1 required positional argument"),
        (nn.Conv2d(3, 4, 3), (FRAME.long(),), r"\(1, 3, 8, 8\) int64"),
        (nn.Embedding(4, 4), (FRAME,), "Expected tensor"),
    ],
)
def test_an_example_that_the_network_itself_does_not_take_is_told_so(net: nn.Module, inputs: tuple[Tensor, ...], named: str) -> None:
    with pytest.raises(BackendError, match=named) as caught:
        convert(net.eval(), inputs)
    assert "does not run on the inputs" in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.hint is not None and "example" in caught.value.hint


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (lambda x: x, "a function, not a torch.nn.Module"),
        (nn.Conv2d, "call it first: type"),
        (None, "a NoneType"),
        (5, "a int"),
    ],
)
def test_what_is_no_network_is_refused(net: Any, named: str) -> None:
    with pytest.raises(UsageError, match="not a torch.nn.Module") as caught:
        convert(net, FRAME)
    assert caught.value.hint and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*script_method")  # torch.compile's own
@pytest.mark.parametrize("wrap", [lambda net: torch.export.export(net, (FRAME,)), torch.compile], ids=["exported", "compiled"])
def test_what_wraps_a_network_is_taken_off(wrap: Callable[[nn.Module], Any]) -> None:
    net, frame = conv().eval(), torch.rand(1, 3, 8, 8)
    session = convert(wrap(net), frame)[0].session()
    torch.testing.assert_close(session(frame), net(frame).detach())


def test_wrong_numbers_and_names_of_inputs_are_refused() -> None:
    session = convert(conv().eval(), FRAME)[0].session()
    for call, message in (
        (lambda: session(), "takes 1 input, not 0"),
        (lambda: session(FRAME, FRAME), "takes 1 input, not 2"),
        (lambda: session(input=FRAME), "given by name: input"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert caught.value.hint
    session(FRAME)
    session(FRAME)
    assert not session.keyframe


def test_a_model_is_copied_and_neither_it_nor_a_session_is_pickled() -> None:
    model = convert(conv().eval(), FRAME)[0]
    other, frame = copy.deepcopy(model), torch.rand(1, 3, 8, 8)
    assert other is not model and torch.equal(other.session()(frame), model.session()(frame))
    for failing in (lambda: pickle.dumps(model), lambda: copy.deepcopy(model.session()), lambda: copy.copy(model.session())):
        with pytest.raises(UsageError) as caught:
            failing()
        assert caught.value.hint


def test_the_callers_network_may_be_used_while_other_sizes_are_exported() -> None:
    net = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU()).eval()
    model, failures, stop = convert(net, FRAME)[0], list[BaseException](), threading.Event()
    frame = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = net(frame)

    def use() -> None:
        while not stop.is_set():
            try:
                with torch.no_grad():
                    assert torch.equal(net(frame), expected)
            except BaseException as error:
                failures.append(error)
                return

    def follow(number: int) -> None:
        try:
            model.session()(torch.rand(1, 3, 9 + number, 8))
        except BaseException as error:
            failures.append(error)

    user = threading.Thread(target=use, daemon=True)
    user.start()
    others = [threading.Thread(target=follow, args=(number,), daemon=True) for number in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    stop.set()
    user.join()
    assert not failures


def test_models_are_converted_in_several_threads_at_once() -> None:
    made: dict[int, Tensor] = {}
    nets = [nn.Sequential(conv(), nn.ReLU()).eval() for _ in range(4)]
    frame = torch.rand(1, 3, 8, 8)

    def work(number: int) -> None:
        made[number] = convert(nets[number], frame)[0].dense(frame).clone()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, net in enumerate(nets):
        torch.testing.assert_close(made[number], net(frame).detach())


def test_later_changes_of_the_network_reach_no_size_of_the_model() -> None:
    net = conv().eval()
    model = convert(net, FRAME)[0]
    frame = torch.rand(1, 3, 10, 10)
    with torch.no_grad():
        before = net(frame)
        net.weight.zero_()
    torch.testing.assert_close(model.session()(frame), before)
    assert isinstance(model, SkipModel) and model.source.load() is not net
