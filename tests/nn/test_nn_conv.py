"""SkipConv2d: a drop-in for Conv2d, clip mode and streaming mode, and the faults of the official module that it must not have."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import conv_arguments, sequence, stream
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn import Gate, GumbelGate, NormGate, SkipConv2d

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

GATES: list[Any] = [
    NormGate(0.1),
    NormGate(0.1, block=4),
    NormGate(0.1, p=2, block=2),
    NormGate(0.1, p=math.inf),
    NormGate(2.0, form="output", p=1),
    NormGate(2.0, form="output", p=2, block=2),
    NormGate(0.5, form="output", p=2, relative=False),
    GumbelGate(open_rate=0.5),
    GumbelGate(open_rate=0.5, block=2, on_magnitude=True),
]
ZERO_GATES = [NormGate(0.0, form, p, relative) for form in ("input", "output") for p in (1, 2, math.inf) for relative in (True, False)]


def _pair(arguments: dict[str, Any], gate: Gate, reference: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Conv2d, SkipConv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(**arguments, dtype=dtype)
    return plain, SkipConv2d.from_conv(plain, gate, reference)


@settings(max_examples=50, deadline=None)
@given(conv_arguments(), st.sampled_from(ZERO_GATES), st.sampled_from(["accumulated", "previous"]), st.integers(0, 1000))
def test_threshold_zero_equals_conv2d_for_all_its_arguments(
    case: tuple[dict[str, Any], tuple[int, int, int, int]], gate: NormGate, reference: str, seed: int
) -> None:
    arguments, shape = case
    plain, layer = _pair(arguments, gate, reference)
    clip = sequence(4, *shape, seed=seed)
    with torch.no_grad():
        for frame in clip.unbind(1):
            expected = plain(frame)
            if reference == "accumulated":
                assert torch.equal(layer(frame), expected)
            else:
                torch.testing.assert_close(layer(frame), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(conv_arguments(), st.sampled_from(range(len(GATES))), st.sampled_from(["accumulated", "previous"]), st.integers(0, 1000))
def test_clip_mode_is_streaming_mode_bit_for_bit(
    case: tuple[dict[str, Any], tuple[int, int, int, int]], index: int, reference: str, seed: int
) -> None:
    arguments, shape = case
    layer = SkipConv2d(**arguments, gate=_fresh(GATES[index]), reference=reference).eval()
    clip = sequence(4, *shape, seed=seed)
    with torch.no_grad():
        at_once, cost, mask = layer(clip), layer.cost, layer.masks[0]
        for t, frame in enumerate(clip.unbind(1)):
            assert torch.equal(layer(frame), at_once[:, t])
            assert torch.equal(layer.cost.macs, cost.macs[:, t])
            assert torch.equal(layer.cost.gate_macs, cost.gate_macs[:, t])
            assert torch.equal(layer.masks[0], mask[:, t])


def _fresh(gate: Any) -> Any:
    if isinstance(gate, GumbelGate):
        return GumbelGate(gate.block, gate.temperature, gate.open_rate, gate.on_magnitude)
    return gate


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_clip_mode_is_streaming_mode_while_gumbel_gates_sample(reference: str) -> None:
    layer = SkipConv2d(3, 5, 3, padding=1, gate=GumbelGate(open_rate=0.1), reference=reference).train()
    clip = sequence(5, 2, 3, 9, 7)
    torch.manual_seed(7)
    at_once = layer(clip)
    torch.manual_seed(7)
    assert torch.equal(stream(layer, clip), at_once)
    assert not layer.masks[0].all() and layer.masks[0].any()


@settings(max_examples=40, deadline=None)
@given(conv_arguments(), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 1000))
def test_skipped_outputs_keep_their_bits_and_computed_ones_are_absolute(
    case: tuple[dict[str, Any], tuple[int, int, int, int]], block: int, seed: int
) -> None:
    arguments, shape = case
    plain, layer = _pair(arguments, NormGate(0.2, block=block), "accumulated")
    clip = sequence(5, *shape, seed=seed)
    with torch.no_grad():
        before = layer(clip[:, 0])
        for frame in clip.unbind(1)[1:]:
            after = layer(frame)
            assert torch.equal(torch.where(layer.masks[0].unsqueeze(1), before, after), before)
            before = after
        published = layer._streams[0].reference
        assert torch.equal(plain(published), after)


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_the_published_input_is_never_further_away_than_the_threshold(p: float, block: int) -> None:
    layer = SkipConv2d(4, 4, 3, gate=NormGate(0.3, p=p, block=block))
    clip = sequence(1, 2, 4, 13, 10)[:, 0]
    layer(clip)
    scale = clip.abs().mean((1, 2, 3))
    for seed in range(60):
        clip = clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(seed))
        layer(clip)
        distance = (clip - layer._streams[0].reference).abs()
        mean = {1: distance.mean(1), 2: distance.square().mean(1).sqrt(), math.inf: distance.amax(1)}[p]
        assert (mean <= 0.3 * scale.view(-1, 1, 1) * (1 + 1e-5)).all()
    assert not torch.equal(layer._streams[0].reference, clip)


@pytest.mark.parametrize("p", [1, 2])
def test_the_accumulated_output_form_bounds_the_change_it_skips(p: float) -> None:
    layer = SkipConv2d(3, 5, 3, padding=1, gate=NormGate(1.5, form="output", p=p, relative=False)).double()
    frame = sequence(1, 1, 3, 8, 8, dtype=torch.float64)[:, 0]
    layer(frame)
    skipped = 0
    for seed in range(50):
        frame = frame + 0.005 * torch.randn(frame.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        error = (layer(frame) - nn.functional.conv2d(frame, layer.weight, layer.bias, padding=1)).abs().amax()
        assert error <= 1.5
        skipped += int((~layer.masks[0]).sum())
    assert 0 < skipped < 50 * 64


@pytest.mark.parametrize("gate", [NormGate(0.3), NormGate(3.0, form="output")])
def test_slow_changes_are_forgotten_by_the_paper_and_not_by_the_accumulated_reference(gate: NormGate) -> None:
    frame = sequence(1, 1, 2, 9, 9)[:, 0]
    errors = {}
    for reference in ("accumulated", "previous"):
        layer = SkipConv2d(2, 3, 3, padding=1, gate=gate, reference=reference)
        nn.init.constant_(layer.weight, 0.1)
        layer(frame)
        opened = sum(int((layer(frame + 0.01 * t), layer.masks[0].sum())[1]) for t in range(1, 201))
        expected = nn.functional.conv2d(frame + 2, layer.weight, layer.bias, padding=1)
        errors[reference] = float((layer(frame + 2) - expected).abs().amax().detach())
        assert (opened == 0) == (reference == "previous")
    assert errors["accumulated"] < errors["previous"] / 5


@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_the_bias_is_added_once_however_long_the_video(reference: str) -> None:
    layer = SkipConv2d(2, 3, 3, padding=1, gate=NormGate(0.0), reference=reference).double()
    nn.init.constant_(layer.bias, 100.0)
    clip = sequence(30, 1, 2, 6, 6, dtype=torch.float64)
    expected = nn.functional.conv2d(clip[:, -1], layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(stream(layer, clip)[:, -1], expected)


@pytest.mark.parametrize("form", ["input", "output"])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_the_same_change_opens_at_every_image_height(reference: str, form: str) -> None:
    opened = set()
    for height in (12, 48, 200):
        layer = SkipConv2d(1, 1, 3, padding=1, gate=NormGate(0.5, form, relative=False), reference=reference)
        nn.init.constant_(layer.weight, 1.0)
        frame = torch.zeros(1, 1, height, 12)
        layer(frame)
        frame[0, 0, 5, 5] = 0.6 if form == "input" else 0.6 / 9
        layer(frame)
        opened.add(int(layer.masks[0].sum()))
    assert opened == {9}


def test_batch_elements_do_not_disturb_each_other() -> None:
    layer = SkipConv2d(3, 4, 3, padding=1, gate=NormGate(0.2))
    clip = sequence(6, 3, 3, 8, 9) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1, 1)
    together = layer(clip)
    macs = layer.cost.macs
    for index in range(3):
        torch.testing.assert_close(layer(clip[index : index + 1]), together[index : index + 1])
        assert torch.equal(layer.cost.macs, macs[index : index + 1])


def test_unbatched_frames_are_taken_as_conv2d_takes_them() -> None:
    layer = SkipConv2d(3, 4, 3, gate=NormGate(0.2))
    clip = sequence(4, 1, 3, 8, 9)
    expected = layer(clip)
    for t in range(4):
        assert torch.equal(layer(clip[0, t]), expected[0, t])
        assert layer.masks[0].shape == (6, 7)


@pytest.mark.parametrize("gate", [NormGate(0.2), NormGate(0.2, form="output")])
@pytest.mark.parametrize("reference", ["accumulated", "previous"])
def test_callers_may_write_into_frames_and_outputs(reference: str, gate: NormGate) -> None:
    clip = sequence(5, 1, 3, 8, 8)
    layer = SkipConv2d(3, 4, 3, gate=gate, reference=reference)
    expected = layer(clip).relu()
    camera = torch.empty(1, 3, 8, 8)
    for t in range(5):
        camera.copy_(clip[:, t])
        assert torch.equal(nn.functional.relu(layer(camera), inplace=True), expected[:, t])


def test_streaming_does_not_keep_the_graph_of_earlier_frames() -> None:
    layer = SkipConv2d(3, 4, 3, gate=GumbelGate(), reference="previous").train()
    for frame in sequence(3, 1, 3, 8, 8).unbind(1):
        layer(frame).sum().backward()
    assert layer._streams[0].output.grad_fn is None


@pytest.mark.parametrize("change", ["size", "batch", "type"])
def test_another_size_batch_or_type_starts_anew(change: str) -> None:
    layer = SkipConv2d(3, 4, 3, gate=NormGate(0.2))
    frame = sequence(1, 2, 3, 8, 8)[:, 0]
    layer(frame)
    layer(frame)
    assert not layer.cost.keyframe.any() and layer.cost.macs.sum() == 0
    other = {"size": frame[..., :7], "batch": frame[:1], "type": frame.double()}[change]
    layer.to(other.dtype)
    assert torch.equal(layer(other), nn.functional.conv2d(other, layer.weight, layer.bias))
    assert change == "type" or layer.cost.keyframe.all()


def test_a_layer_called_several_times_a_frame_keeps_a_stream_for_each_call() -> None:
    layer = SkipConv2d(2, 2, 3, padding=1, gate=NormGate(0.0), calls=2)
    large, small = sequence(4, 1, 2, 8, 8, seed=1), sequence(4, 1, 2, 8, 8, seed=2)
    for t in range(4):
        for clip in (large, small):
            assert torch.equal(layer(clip[:, t]), nn.functional.conv2d(clip[:, t], layer.weight, layer.bias, padding=1))
        layer_macs = 2 * 64 * layer.weight.numel()
        assert layer.cost.dense_macs == layer_macs
    layer(large[:, 3])
    layer(small[:, 3])
    assert layer.cost.macs.item() == 0


WRONG_LAYERS: list[tuple[dict[str, Any], str]] = [
    ({"reference": "last"}, "reference is 'last'; it must be one of accumulated, previous"),
    ({"calls": 0}, "calls is 0"),
    ({"gate": 0.03}, "gate is float; it must be a skipvid.nn.NormGate or GumbelGate"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_LAYERS)
def test_wrong_settings_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SkipConv2d(3, 4, 3, **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(1, 2, 8, 8),
        torch.zeros(8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 4, 2, 8, 8),
        torch.zeros(1, 0, 3, 8, 8),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(x: Tensor) -> None:
    with pytest.raises(UsageError, match="SkipConv2d is given") as caught:
        SkipConv2d(3, 4, 3)(x)
    assert "\n" not in str(caught.value)
