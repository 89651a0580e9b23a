"""What happens to the state of the streams when a module is moved, copied, saved, switched or partly reset."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from nn_cases import sequence, stream
from torch import nn

from skipvid.core.errors import UsageError
from skipvid.nn import GumbelGate, NormGate, SkipConv2d, SkipLayer, reset, skip_layers


def _layers() -> list[Any]:
    return [
        pytest.param(lambda: NormGate(0.2), "accumulated", id="publish"),
        pytest.param(lambda: NormGate(1.0, form="output"), "accumulated", id="accumulate"),
        pytest.param(lambda: NormGate(0.2), "previous", id="difference"),
        pytest.param(lambda: GumbelGate(open_rate=0.4), "accumulated", id="gumbel"),
    ]


every_rule = pytest.mark.parametrize(("gate", "reference"), _layers())


def _saved(layer: SkipLayer) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), _saved])
@every_rule
def test_a_copy_goes_on_where_the_original_stands_and_both_go_their_own_ways(gate: Any, reference: str, duplicate: Any) -> None:
    layer = SkipConv2d(3, 4, 3, padding=1, gate=gate(), reference=reference).train()
    clip = sequence(6, 2, 3, 7, 9)
    layer(clip[:, 0]).sum().backward()
    layer(clip)  # leaves a cost with a graph behind
    layer.eval()
    layer(clip[:, 1])
    other = duplicate(layer)
    expected = stream(layer, clip[:, 2:])
    assert torch.equal(stream(other, clip[:, 2:]), expected)
    other.reset()
    layer(clip[:, 5])
    assert not layer.cost.keyframe.any()


@every_rule
def test_switching_modes_and_moving_keep_the_stream(gate: Any, reference: str) -> None:
    layer = SkipConv2d(3, 4, 3, padding=1, gate=gate(), reference=reference).eval()
    clip = sequence(4, 2, 3, 7, 9)
    expected = stream(copy.deepcopy(layer), clip)
    found = []
    for t, frame in enumerate(clip.unbind(1)):
        layer.train().eval().to("cpu")
        found.append(layer(frame))
        assert layer.cost.keyframe.all() == (t == 0)
    assert torch.equal(torch.stack(found, 1), expected)


@every_rule
def test_the_stream_follows_the_module_to_another_type(gate: Any, reference: str) -> None:
    layer = SkipConv2d(3, 4, 3, padding=1, gate=gate(), reference=reference).eval()
    clip = sequence(4, 2, 3, 7, 9)
    layer(clip[:, 0])
    layer.double()
    output = layer(clip[:, 1].double())
    assert output.dtype == torch.float64 and not layer.cost.keyframe.any()
    layer.to(torch.bfloat16)
    assert layer(clip[:, 2].bfloat16()).dtype == torch.bfloat16 and not layer.cost.keyframe.any()


@every_rule
def test_the_state_is_in_no_checkpoint_and_no_buffer(gate: Any, reference: str) -> None:
    plain = nn.Conv2d(3, 4, 3)
    layer = SkipConv2d.from_conv(plain, gate(), reference)
    before = set(layer.state_dict())
    layer(torch.zeros(1, 3, 5, 5))
    assert set(layer.state_dict()) == before and not list(layer.buffers())
    assert {name for name in before if not name.startswith("gate.")} == set(plain.state_dict())


def test_checkpoints_of_the_plain_network_load_strictly_with_norm_gates() -> None:
    layer = SkipConv2d(3, 4, 3)
    layer.load_state_dict(nn.Conv2d(3, 4, 3).state_dict(), strict=True)


@pytest.mark.parametrize("elements", [[1], torch.tensor([False, True, False]), torch.tensor([1])])
@every_rule
def test_a_single_element_of_the_batch_can_be_reset(gate: Any, reference: str, elements: Any) -> None:
    layer = SkipConv2d(3, 4, 3, padding=1, gate=gate(), reference=reference).eval()
    clip, other = sequence(6, 3, 3, 7, 9, seed=1), sequence(3, 3, 3, 7, 9, seed=2)
    undisturbed = layer(clip)
    stream(layer, clip[:, :3])
    layer.reset(elements)
    rest = clip[:, 3:].clone()
    rest[1] = other[1]
    found = stream(layer, rest[:, :1])
    assert layer.cost.keyframe.tolist() == [False, True, False]
    assert layer.cost.gate_macs[1] == 0 and layer.cost.macs[1] == layer.cost.dense_macs
    found = torch.cat([found, stream(layer, rest[:, 1:])], 1)
    assert torch.equal(found[[0, 2]], undisturbed[[0, 2], 3:])
    torch.testing.assert_close(found[1:2], layer(other[1:2]))
    assert not layer.cost.keyframe[0, 1:].any()


def test_resetting_forgets_what_a_gate_in_output_form_has_added_up() -> None:
    layer = SkipConv2d(1, 1, 1, gate=NormGate(1.0, form="output", relative=False))
    nn.init.ones_(layer.weight)
    frame = torch.zeros(2, 1, 2, 2)
    for value in (0.0, 0.4, 0.8):
        layer(frame + value)
    layer.reset([1])
    layer(frame + 0.9)
    layer(frame + 1.1)
    assert layer.masks[0].all((1, 2)).tolist() == [True, False]


def test_gradients_of_a_keyframe_in_a_batch_do_not_reach_the_gate() -> None:
    layer = SkipConv2d(2, 3, 3, gate=GumbelGate(open_rate=0.5)).train()
    clip = sequence(2, 2, 2, 7, 7)
    layer(clip[:, 0])
    layer.reset([1])
    output = layer(clip[:, 1])
    for element, reaches in ((0, True), (1, False)):
        (gradient,) = torch.autograd.grad(output[element].sum(), layer.gate.weight, retain_graph=True)
        assert (gradient.abs().sum() > 0) == reaches


@pytest.mark.parametrize("elements", [[3], [-1], [0.5], torch.tensor([True])])
def test_elements_that_the_batch_has_not_are_refused(elements: Any) -> None:
    layer = SkipConv2d(3, 4, 3)
    layer(torch.zeros(3, 3, 5, 5))
    with pytest.raises(UsageError, match="for a batch of 3"):
        layer.reset(elements)


def test_resetting_no_element_resets_none() -> None:
    layer = SkipConv2d(3, 4, 3)
    layer(torch.zeros(3, 3, 5, 5))
    layer.reset([])
    layer(torch.zeros(3, 3, 5, 5))
    assert not layer.cost.keyframe.any()


def test_reset_of_a_model_reaches_every_layer() -> None:
    model = nn.Sequential(SkipConv2d(3, 4, 3), nn.Sequential(nn.ReLU(inplace=True), SkipConv2d(4, 2, 1)))
    frame = torch.rand(2, 3, 6, 6)
    for chosen, expected in ((None, [True, True]), ([0], [True, False])):
        model(frame)
        model(frame)
        reset(model, chosen)
        model(frame)
        assert [layer.cost.keyframe.tolist() for _, layer in skip_layers(model)] == [expected, expected]


@pytest.mark.parametrize("clip", [False, True])
@every_rule
def test_no_forward_waits_for_the_device_or_mixes_devices(gate: Any, reference: str, clip: bool) -> None:
    """On the meta device, tensors have no values to look at, and other devices are refused."""
    layer = SkipConv2d(3, 4, 3, padding=1, gate=gate(), reference=reference, device="meta").train()
    if clip:
        layer(torch.zeros(2, 3, 3, 7, 9, device="meta")).sum().backward()
    else:
        for _ in range(2):
            layer(torch.zeros(2, 3, 7, 9, device="meta"))
        layer.reset([1])
        layer(torch.zeros(2, 3, 7, 9, device="meta"))
    assert layer.masks[0].is_meta and layer.cost.macs.is_meta


def test_a_clip_leaves_the_stream_alone() -> None:
    layer = SkipConv2d(3, 4, 3, gate=NormGate(0.2))
    clip = sequence(4, 2, 3, 7, 9)
    expected = stream(copy.deepcopy(layer), clip)
    layer(clip[:, 0])
    layer(clip.flip(1))
    for t in range(1, 4):
        assert torch.equal(layer(clip[:, t]), expected[:, t])
