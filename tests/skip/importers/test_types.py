"""Numbers of other types than float32, inside a network and in what it is given: converted, and returned in the network's own type."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from function_network import Net
from torch import Tensor, nn

from skipvid.core.errors import BackendError, UsageError
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

FRAME = (1, 3, 12, 16)
FLOATS = (torch.float16, torch.bfloat16, torch.float64)


def stages() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 8, 3)}


def frames(count: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    frame, made = torch.rand(FRAME, generator=generator), []
    for number in range(count):
        frame = frame.clone()
        frame[..., 2:5, number : number + 4] = torch.rand(1, 3, 3, 4, generator=generator)
        made.append(frame)
    return made


def exact(*inputs: Any) -> SkipConfig:
    return SkipConfig(threshold=0.0, dense_above=1.0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_network_of_another_float_type_is_computed_in_float32_and_returns_its_own(dtype: torch.dtype, backend: str) -> None:
    net = nn.Sequential(*stages().values(), nn.BatchNorm2d(8), nn.Hardswish()).eval().to(dtype)
    model, report = convert(net, torch.zeros(FRAME, dtype=dtype), SkipConfig(threshold=0.0, backend=backend))
    assert str(dtype).removeprefix("torch.") in str(report)
    session, single = model.session(), copy.deepcopy(net).float()
    for frame in frames():
        given = frame.to(dtype)
        got = session(given).clone()
        assert got.dtype == dtype
        with torch.no_grad():
            torch.testing.assert_close(got.float(), single(given.float()), rtol=1e-2, atol=1e-2)
        assert torch.equal(got, model.dense(given))
    assert session.cost.macs < session.cost.dense_macs


def mixed(m: Any, x: Tensor) -> Tensor:
    return m.b(m.a(x.bfloat16()).float())


def double_inside(m: Any, x: Tensor) -> Tensor:
    weights = torch.softmax(m.b(m.a(x)).double().flatten(2), 2, dtype=torch.float64)
    lowest = torch.finfo(torch.float64).min
    return weights.masked_fill(weights < 0.001, lowest).clamp(-1, 1)


def autocast(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.b(m.a(x))


def cast_like_weights(m: Any, x: Tensor) -> Tensor:
    return m.b(m.a(x.to(m.a.weight)).type_as(m.b.weight))


@pytest.mark.parametrize(
    ("function", "first", "returned"),
    [
        (mixed, torch.bfloat16, torch.float32),
        (double_inside, torch.float32, torch.float64),
        (autocast, torch.float32, torch.bfloat16),
        (cast_like_weights, torch.float16, torch.float32),
    ],
)
def test_types_may_be_mixed_inside(function: Callable[..., Tensor], first: torch.dtype, returned: torch.dtype, backend: str) -> None:
    parts = stages()
    parts["a"] = parts["a"].to(first)
    net = Net(function, **parts).eval()
    model = convert(net, torch.zeros(FRAME), SkipConfig(threshold=0.0, backend=backend))[0]
    session = model.session()
    for frame in frames():
        got = session(frame)
        assert got.dtype == returned
        with torch.no_grad():
            torch.testing.assert_close(got.float(), net(frame).float(), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.b(m.a(x.float() / 255)),
        lambda m, x: m.b(m.a(x / 255)),
        lambda m, x: m.b(m.a(x.flip(3).float() / 255)),  # read as bytes, too
    ],
)
def test_frames_of_bytes_are_taken_where_the_network_takes_them(function: Callable[..., Tensor], backend: str) -> None:
    net = Net(function, **stages()).eval()
    model = convert(net, torch.zeros(FRAME, dtype=torch.uint8), SkipConfig(threshold=0.0, backend=backend, dense_above=1.0))[0]
    session = model.session()
    for number, frame in enumerate(frames()):
        given = (frame * 255).byte()
        got = session(given).clone()
        with torch.no_grad():
            torch.testing.assert_close(got, net(given), rtol=1e-4, atol=1e-5)
        assert torch.equal(got, model.dense(given))
        assert session.keyframe == (number == 0)
    session(given)
    assert session.cost.macs == 0 and not any(session.changed)


def test_indices_and_flags_are_inputs_like_others(backend: str) -> None:
    def forward(m: Any, x: Tensor, camera: Tensor, flags: Tensor) -> Tensor:
        return torch.where(flags, m.b(m.a(x)) + m.table(camera)[:, :, None, None], 0.0)

    net = Net(forward, **stages(), table=nn.Embedding(2**20, 8)).eval()
    camera, flags = torch.tensor([2**20 - 1]), torch.ones(1, 1, 8, 12, dtype=torch.bool)
    model = convert(net, (torch.zeros(FRAME), camera, flags), SkipConfig(threshold=0.0, backend=backend))[0]
    session = model.session()
    for number, frame in enumerate(frames(8)):
        camera = torch.tensor([number // 3])
        flags = flags.clone()
        flags[..., number] = False
        got = session(frame, camera, flags)
        with torch.no_grad():
            torch.testing.assert_close(got, net(frame, camera, flags), rtol=1e-4, atol=1e-5)
        assert torch.equal(got, model.dense(frame, camera, flags))


@pytest.fixture
def default_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def default_meta() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def ratio(m: Any, x: Tensor) -> Tensor:
    rank = m.a(x).argsort(1)
    return m.b(m.a(x)) + (rank / 8).mean((2, 3), keepdim=True)[:, :1]


@pytest.mark.usefixtures("default_float64")
@pytest.mark.parametrize("gate", ["norm", "norm-output"])
def test_the_default_type_changes_nothing(backend: str, gate: str) -> None:
    net = Net(ratio, **{name: part.float() for name, part in stages().items()}).eval()
    given = [frame.float() for frame in frames()]
    model = convert(net, given[0], SkipConfig(threshold=0.0, gate=gate, backend=backend))[0]
    session = model.session()
    for frame in given:
        got = session(frame)
        with torch.no_grad():
            torch.testing.assert_close(got.float(), net(frame).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", [lambda m, x: m.b(m.a(x)).softmax(1), lambda m, x: m.b(m.a(x)), ratio])
def test_the_default_device_changes_nothing(function: Callable[..., Tensor], backend: str) -> None:
    net, given = Net(function, **stages()).eval().float(), frames()
    torch.set_default_device("meta")
    try:
        model = convert(net, given[0], SkipConfig(threshold=0.0, backend=backend))[0]
        session = model.session()
        got = [session(frame).clone() for frame in given]
        assert all(torch.equal(a, model.dense(b)) for a, b in zip(got, given, strict=True))
    finally:
        torch.set_default_device(None)


def test_a_frame_without_pytorch_does_not_ask_it_for_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def ask() -> nullcontext[None]:
        asked.append(True)
        return nullcontext()

    monkeypatch.setattr("skipvid.skip.session.in_main_memory", ask)
    for function, asks in ((lambda m, x: m.b(m.a(x)), 0), (ratio, len(frames()))):
        net, given = Net(function, **stages()).eval().float(), [frame.float() for frame in frames()]
        session = convert(net, given[0], SkipConfig(threshold=0.0, backend="cpu"))[0].session()
        asked.clear()
        for frame in given:
            session(frame)
        assert len(asked) == asks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(FRAME).int(), "torch.int32"),
        (torch.zeros(FRAME, dtype=torch.complex64), "complex64"),
        (torch.zeros(FRAME, device="meta"), "on the device meta"),
        (torch.zeros(FRAME).to_sparse(), "sparse"),
        ([torch.zeros(FRAME)], "list"),
        (3.0, "float"),
    ],
)
def test_other_inputs_are_refused_in_one_line(given: Any, message: str) -> None:
    session = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(FRAME))[0].session()
    with pytest.raises(UsageError, match=message) as caught:
        session(given)
    assert caught.value.hint and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((torch.zeros(FRAME), 2.0), "input 2 of the example is a float"),
        ([torch.zeros(FRAME)], "the example is a list"),
        (None, "the example is a NoneType"),
        ({"x": torch.zeros(FRAME)}, "the example is a dict"),
        ((), "the example has no inputs"),
        (torch.zeros(FRAME).to_sparse(), "no dense tensor"),
    ],
)
def test_examples_of_other_kinds_are_refused(example: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        convert(nn.Conv2d(3, 4, 3).eval(), example)
    assert caught.value.hint


def test_a_network_without_values_is_refused() -> None:
    with torch.device("meta"):
        net = nn.Conv2d(3, 4, 3).eval()
    with pytest.raises(BackendError, match="on the device meta"):
        convert(net, torch.zeros(FRAME))


def test_bits_of_numbers_are_refused() -> None:
    net = Net(lambda m, x: m.a(x).view(torch.int32), **stages()).eval()
    with pytest.raises(BackendError, match="reads the bits"):
        convert(net, torch.zeros(FRAME))


def test_a_view_with_the_sign_bit_set_is_an_input_like_others(backend: str) -> None:
    model = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(FRAME), SkipConfig(threshold=0.0, backend=backend))[0]
    frame = torch.rand(FRAME)
    negated = torch.complex(frame, -frame).conj().imag
    assert negated.is_neg() and torch.equal(model.session()(negated), model.dense(frame))
