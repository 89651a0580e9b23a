"""convert_modules: what is swapped, what is left and why, and that nothing else changes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from nn_cases import sequence, stream
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from skipvid.core.errors import UsageError
from skipvid.models import build_model
from skipvid.nn import (
    GumbelGate,
    NormGate,
    SkipConv2d,
    SkipConvTranspose2d,
    SkipLinear,
    convert_modules,
    macs,
    reset,
    run_clip,
    skip_layers,
)


class SamePadded(nn.Conv2d):
    """Pads by the size of its input, then leaves the rest to Conv2d."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))


class Standardised(nn.Conv2d):
    """Another weight than its parameter, through Conv2d's own convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


class Bypass(nn.Conv2d):
    """Calls the functional convolution by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same = SamePadded(3, 4, 3, stride=2)
        self.standard = Standardised(4, 4, 3, padding=1)
        self.bypass = Bypass(4, 4, 1)
        self.normed = weight_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.alias = self.shared
        self.up = nn.ConvTranspose2d(4, 2, 2, 2)
        self.unused = nn.Conv2d(9, 9, 1)
        self.head = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.normed(self.bypass(self.standard(self.same(x)).relu_()))
        z = self.shared(y) + functional.interpolate(self.alias(functional.avg_pool2d(y, 2)), size=y.shape[2:])
        return self.head(self.up(z).mean((2, 3)))


@pytest.mark.parametrize("inplace", [False, True])
def test_every_kind_of_layer_is_converted_or_left_with_a_reason(inplace: bool) -> None:
    torch.manual_seed(0)
    model = Odd().eval()
    original = copy.deepcopy(model)
    parameters = {id(parameter) for parameter in model.parameters()}
    clip = sequence(4, 2, 3, 15, 14)
    converted, report = convert_modules(model, gate=NormGate(0.0), example=clip[:, 0], inplace=inplace)
    assert dict(report.converted) == {
        "same": "SkipSamePadded, NormGate",
        "standard": "SkipStandardised, NormGate",
        "normed": "SkipParametrizedConv2d, NormGate",
        "shared": "SkipConv2d, NormGate, 2 calls a frame",
        "up": "SkipConvTranspose2d, NormGate",
    }
    assert report.left == (
        ("bypass", "Bypass", "Bypass has a forward of its own that does not use Conv2d's"),
        ("unused", "Conv2d", "the example does not reach it"),
        ("head", "Linear", "not selected"),
    )
    assert "5 layers converted, 3 left dense" in str(report) and "dense: head (Linear): not selected" in str(report)
    assert (converted is model) == inplace
    assert ({id(parameter) for parameter in converted.parameters()} == parameters) == inplace
    assert converted.alias is converted.shared and list(converted.state_dict()) == list(original.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(stream(converted, clip), stream(original, clip))
        torch.testing.assert_close(run_clip(converted, clip), stream(original, clip))
    assert macs(converted).total.macs.shape == (2, 4)
    assert not any(isinstance(module, SkipConv2d) for module in model.modules()) or inplace


def test_without_an_example_layers_with_a_forward_of_their_own_are_left() -> None:
    _, report = convert_modules(nn.Sequential(SamePadded(3, 4, 3), nn.Conv2d(4, 4, 1)))
    assert report.converted == (("1", "SkipConv2d, NormGate"),)
    assert report.left == (
        ("0", "SamePadded", "SamePadded has a forward of its own; pass an example to find out whether it can be converted"),
    )


def test_layers_with_a_forward_of_their_own_survive_copies_and_pickles() -> None:
    model, _ = convert_modules(nn.Sequential(SamePadded(3, 4, 3, stride=2)), gate=NormGate(0.2), example=torch.zeros(1, 3, 9, 9))
    clip = sequence(4, 1, 3, 9, 9)
    model(clip[:, 0])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(stream(other, clip[:, 1:]), stream(copy.deepcopy(model), clip[:, 1:]))
        assert type(other[0]) is type(model[0])


def test_select_decides_and_may_name_linear_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 4, 2), nn.Flatten(2), nn.Linear(9, 2))
    converted, report = convert_modules(model, select=lambda path, module: path != "0")
    assert [type(module) for module in converted] == [nn.Conv2d, SkipConvTranspose2d, nn.Flatten, SkipLinear]
    assert report.left == (("0", "Conv2d", "not selected"),)


def test_each_layer_gets_a_gate_of_its_own_or_the_one_the_function_gives() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    prototype = GumbelGate(4, open_rate=0.5)
    converted, _ = convert_modules(plain, gate=prototype)
    first, second = (layer.gate for _, layer in skip_layers(converted))
    assert first is not second and first.block == 4 and prototype.weight is None
    assert first.weight.shape == (1, 3, 3, 3) and second.weight.shape == (1, 4, 3, 3)
    shared = NormGate(0.1)
    converted, _ = convert_modules(plain, gate=lambda module: shared if module.in_channels == 4 else NormGate(0.2))
    assert [layer.gate.threshold for _, layer in skip_layers(converted)] == [0.2, 0.1] and converted[1].gate is shared


def test_learned_gates_stay_off_layers_that_cost_no_more_than_they_do() -> None:
    plain = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 1, 3), nn.Conv2d(8, 4, 3, stride=2), nn.Conv2d(4, 16, 3))
    _, report = convert_modules(plain, gate=GumbelGate())
    assert report.converted == (("3", "SkipConv2d, GumbelGate"),)
    assert [reason for _, _, reason in report.left] == ["its gate would cost 1 times the MACs of the layer"] * 3
    _, report = convert_modules(plain, gate=GumbelGate(), reference="previous")
    assert [path for path, _, _ in report.left] == ["0", "1"]
    _, report = convert_modules(plain)
    assert len(report.converted) == 4


def test_a_model_that_is_a_single_layer_is_returned_converted() -> None:
    converted, _ = convert_modules(nn.Conv2d(3, 4, 3))
    assert type(converted) is SkipConv2d
    with pytest.raises(UsageError, match="cannot be replaced in place"):
        convert_modules(nn.Conv2d(3, 4, 3), inplace=True)


def test_converting_twice_leaves_gated_layers_and_their_streams_as_they_are() -> None:
    once, _ = convert_modules(nn.Sequential(nn.Conv2d(3, 4, 3)), gate=NormGate(0.5))
    once(torch.ones(1, 3, 5, 5))
    twice, report = convert_modules(once, example=torch.zeros(1, 3, 8, 8), inplace=True)
    assert report.left == (("0", "SkipConv2d", "converted already"),) and twice[0].gate.threshold == 0.5
    twice(torch.ones(1, 3, 5, 5))
    assert not twice[0].cost.keyframe.any()


def test_mode_and_hooks_go_over_to_the_new_layers() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3).eval())
    seen: list[tuple[int, ...]] = []
    plain[0].register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    converted, _ = convert_modules(plain, gate=GumbelGate(), inplace=True)
    assert [module.training for module in converted] == [True, False]
    assert [module.gate.training for module in converted] == [True, False]
    converted(torch.zeros(1, 3, 8, 8))
    assert seen == [(1, 4, 6, 6)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": "last"}, "reference is 'last'"),
        ({"example": torch.zeros(1, 5, 8, 8)}, "Sequential cannot run the example (1, 5, 8, 8)"),
        ({"gate": lambda module: None}, "gate is a function that returned NoneType"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert_modules(nn.Sequential(nn.Conv2d(3, 4, 3)), **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SkipConv2d.from_conv(nn.Linear(2, 2)), "SkipConv2d cannot be made from Linear"),
        (lambda: SkipConv2d.from_conv(SkipConv2d(1, 1, 1)), "SkipConv2d cannot be made from SkipConv2d"),
        (lambda: SkipConv2d.from_conv(nn.LazyConv2d(4, 3)), "LazyConv2d has no weights yet"),
        (lambda: SkipLinear.from_linear(type("Own", (nn.Linear,), {"forward": lambda self, x: x})(2, 2)), "Own has a forward of its own"),
    ],
)
def test_layers_that_cannot_be_gated_are_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_detector_of_the_project_converts_whole_and_equals_the_dense_one() -> None:
    torch.manual_seed(0)
    net = build_model("efficientdet-nano", image_size=(64, 96))
    clip = sequence(3, 1, 3, 64, 96)
    model, report = convert_modules(net, gate=NormGate(0.0), example=clip[:, 0])
    assert report.left == ()
    dense_heads = {path: now for path, now in report.converted if path.startswith("class_net")}
    assert all("5 calls a frame" in now for now in dense_heads.values())
    with torch.no_grad():
        for frame in clip.unbind(1):
            torch.testing.assert_close(model(frame), net(frame))
        reset(model)
        model(frame)
        model(frame)
    assert macs(model).total.macs.item() == 0
