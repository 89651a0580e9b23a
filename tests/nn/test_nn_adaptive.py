"""AdaptiveConv2d: the convolution it is at ratio 1, the channels it rebuilds, clip and stream, costs, and what training reaches."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_cases import conv_arguments, sequence, stream
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.models import build_model
from skipvid.models.networks.efficientnet import Conv2d
from skipvid.nn import (
    AdaptiveConv2d,
    FixedPolicy,
    LearnedPolicy,
    NormGate,
    Policy,
    RandomPolicy,
    adaptive_layers,
    convert_adaptive,
    convert_modules,
    macs,
    reset,
    run_clip,
    sparsity_loss,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


class Scripted(Policy):
    """Gives the logits it was told, frame after frame; remembers the active shares it was shown."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.rows, self.turn, self.active = rows, 0, []

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        self.active.append(active.clone())
        row = torch.tensor(self.rows[self.turn % len(self.rows)])
        self.turn += 1
        return row.expand(len(features), -1)


class Twitchy(Policy):
    """Logits that depend on the input, wildly: every choice comes up."""

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        return 4 * torch.sin(torch.arange(1, 5) * (5 * features.sum(1, keepdim=True) + 3 * active.unsqueeze(1)))


def _twin(layer: AdaptiveConv2d) -> nn.Conv2d:
    """The plain convolution with the same weights."""
    twin = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
    )
    twin.load_state_dict({name: value for name, value in layer.state_dict().items() if name in ("weight", "bias")})
    return twin.train(layer.training)


@settings(deadline=None, max_examples=60)
@given(conv_arguments(), st.booleans())
def test_at_ratio_one_and_always_computed_it_has_the_bits_of_the_convolution(case: Any, training: bool) -> None:
    arguments, shape = case
    layer = AdaptiveConv2d(**arguments, policy=FixedPolicy()).train(training)
    clip = sequence(3, *shape)
    twin = _twin(layer)
    expected = torch.stack([twin(frame) for frame in clip.unbind(1)], 1)
    assert torch.equal(layer(clip), expected) and torch.equal(stream(layer, clip), expected)
    assert (layer.cost.macs == layer.cost.dense_macs).all() and not layer.cost.gate_macs.any() and not layer.cost.gate_ops.any()


@settings(deadline=None, max_examples=60)
@given(conv_arguments(), st.integers(1, 2), st.sampled_from([1, 3]))
def test_below_ratio_one_the_first_channels_are_the_convolutions_and_the_others_come_from_partners(
    case: Any, number: int, kernel: int
) -> None:
    arguments, shape = case
    layer = AdaptiveConv2d(**arguments, policy=FixedPolicy(number), cheap_kernel=kernel).eval()
    for parameter in layer.cheap.parameters():
        nn.init.normal_(parameter)
    # Of 4 or 8 channels; 4 groups of 1 or 2, 2 groups of 2 or 4.
    width = {1: layer.out_channels // 2, 2: layer.out_channels // (2 if layer.groups == 2 else 4)}[number]
    x = sequence(1, *shape)[:, 0]
    dense, found = _twin(layer)(x), layer(x)
    torch.testing.assert_close(found[:, :width], dense[:, :width], rtol=1e-4, atol=1e-5)
    for channel in range(width, layer.out_channels):
        partner = dense[:, (channel - width) % width][:, None]
        cheap: Any = layer.cheap[number - 1]
        expected = functional.conv2d(partner, cheap.weight[channel - width][None], cheap.bias[channel - width][None], padding=kernel // 2)
        torch.testing.assert_close(found[:, channel][:, None], expected, rtol=1e-4, atol=1e-4)


def test_what_training_mixes_is_what_use_computes() -> None:
    layer = AdaptiveConv2d(3, 7, 3, padding=1, policy=Scripted([-99.0, 99, -99, -99], [-99.0, -99, 99, -99], [-99.0, -99, -99, 99]))
    nn.init.normal_(layer.reuse_scale)
    nn.init.normal_(layer.reuse_shift)
    clip = sequence(3, 2, 3, 8, 9)
    trained = layer.train()(clip)
    assert layer.choices[0].tolist() == [[1, 2, 3]] * 2  # type: ignore[union-attr]
    torch.testing.assert_close(layer.eval()(clip), trained, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(conv_arguments(), st.integers(1, 7))
def test_a_clip_is_what_streaming_returns_bit_for_bit(case: Any, length: int) -> None:
    arguments, shape = case
    layer = AdaptiveConv2d(**arguments, policy=Twitchy(), longest_reuse=2).eval()
    nn.init.normal_(layer.reuse_scale)
    clip = sequence(length, *shape)
    whole, choices, cost = layer(clip), layer.choices[0], layer.cost
    assert choices is not None
    found, taken, spent = [], [], []
    for frame in clip.unbind(1):
        found.append(layer(frame))
        taken.append(layer.choices[0])
        spent.append(layer.cost.macs)
    assert torch.equal(torch.stack(found, 1), whole)
    assert torch.equal(torch.stack(taken, 1), choices) and torch.equal(torch.stack(spent, 1), cost.macs)  # type: ignore[arg-type]


def test_streams_of_a_batch_do_not_know_of_each_other() -> None:
    layer = AdaptiveConv2d(3, 8, 3, padding=1, policy=Twitchy()).eval()
    clip = sequence(6, 3, 3, 8, 9)
    together = layer(clip)
    choices = layer.choices[0]
    assert choices is not None and len(choices.unique()) == 4
    for number in range(3):
        torch.testing.assert_close(layer(clip[number : number + 1])[0], together[number], rtol=1e-5, atol=1e-5)
        assert torch.equal(layer.choices[0][0], choices[number])  # type: ignore[index]


def test_reuse_is_an_affine_of_the_last_map_never_in_the_first_frame_and_not_longer_than_allowed() -> None:
    layer = AdaptiveConv2d(3, 4, 3, padding=1, policy=Scripted([0.0, -9, -9, 9]), longest_reuse=2).eval()
    nn.init.constant_(layer.reuse_scale, 0.5)
    nn.init.constant_(layer.reuse_shift, 0.25)
    clip = sequence(5, 1, 3, 8, 9)
    found = layer(clip)[0]
    assert layer.choices[0][0].tolist() == [0, 3, 3, 0, 3]  # type: ignore[index]
    twin = _twin(layer)
    assert torch.equal(found[0], twin(clip[:, 0])[0]) and torch.equal(found[3], twin(clip[:, 3])[0])
    assert torch.equal(found[1], 0.5 * found[0] + 0.25) and torch.equal(found[2], 0.5 * found[1] + 0.25)


def test_the_active_share_counts_from_the_frame_that_was_computed_last() -> None:
    policy = Scripted([0.0, -9, -9, 9])
    layer = AdaptiveConv2d(1, 4, 1, policy=policy, longest_reuse=3).eval()
    frame = torch.ones(1, 1, 4, 4)
    creeping = [frame.clone() for _ in range(5)]
    for number, each in enumerate(creeping):
        each[..., :2] += 0.02 * number  # seen in the third step only: 0.06 is more than 5 % of the mean
    for each in creeping:
        layer(each)
    assert [round(float(active), 2) for active in policy.active] == [1.0, 0.0, 0.0, 0.5, 0.5]


def test_a_ratio_is_left_only_for_one_that_is_clearly_better() -> None:
    near, far = [1.0, 0.6, 0.0, -9], [0.0, 0.4, -9.0, -9]
    script = [near, far, [0.0, 1.2, 0, -9], near, [0.5, 2.0, 0, 3.0], [1.6, 1.0, 0, -9]]
    layer = AdaptiveConv2d(1, 4, 1, policy=Scripted(*script), hysteresis=1.0).eval()
    layer(torch.zeros(1, 6, 1, 4, 4))
    assert layer.choices[0][0].tolist() == [0, 0, 1, 1, 3, 1]  # type: ignore[index]
    restless = AdaptiveConv2d(1, 4, 1, policy=Scripted(*script), hysteresis=0).eval()
    restless(torch.zeros(1, 6, 1, 4, 4))
    assert restless.choices[0][0].tolist() == [0, 1, 1, 0, 3, 0]  # type: ignore[index]


def test_a_ratio_is_kept_for_some_frames() -> None:
    script = [[1.0, 0, 0, -9], [0.0, 9, 0, -9], [0.0, 9, 0, 20], [0.0, 9, 0, -9], [9.0, 0, 0, -9], [9.0, 0, 0, -9], [9.0, 0, 0, -9]]
    layer = AdaptiveConv2d(1, 4, 1, policy=Scripted(*script), hysteresis=0, least_stay=3).eval()
    layer(torch.zeros(1, 7, 1, 4, 4))
    assert layer.choices[0][0].tolist() == [0, 0, 3, 0, 0, 0, 0]  # type: ignore[index]
    script[4:] = [[0.0, 9, 0, -9], [9.0, 0, 0, -9], [9.0, 0, 0, -9]]
    layer = AdaptiveConv2d(1, 4, 1, policy=Scripted(*script), hysteresis=0, least_stay=3).eval()
    layer(torch.zeros(1, 7, 1, 4, 4))
    assert layer.choices[0][0].tolist() == [0, 0, 3, 0, 1, 1, 1]  # type: ignore[index]
    with pytest.raises(UsageError, match="least_stay is 0"):
        AdaptiveConv2d(1, 4, 1, least_stay=0)


@pytest.mark.parametrize("settings", [{}, {"groups": 2}, {"padding": "same", "stride": 1}, {"padding_mode": "circular"}, {"bias": False}])
def test_an_exported_layer_computes_a_first_frame(settings: dict[str, Any]) -> None:
    layer = AdaptiveConv2d(4, 10, 3, **{"padding": 1, **settings}).eval()
    for parameter in layer.policy.parameters():
        nn.init.normal_(parameter, std=2)
    exported = torch.export.export(layer, (torch.zeros(2, 4, 6, 7),)).module()
    for _ in range(8):
        x = torch.rand(2, 4, 6, 7) * torch.rand(2, 4, 1, 1)
        layer.reset()
        torch.testing.assert_close(exported(x), layer(x))


def test_costs_are_those_counted_by_hand() -> None:
    layer = AdaptiveConv2d(6, 10, 3, padding=1, policy=Scripted([9.0, 0, 0, 0], [0.0, 9, 0, 0], [0.0, 0, 9, 0], [0.0, 0, 0, 9])).eval()
    layer.rules = replace(layer.rules, hysteresis=0)
    layer(torch.randn(1, 4, 6, 5, 7))
    pixels, each = 5 * 7, 6 * 9
    cost = layer.cost
    assert cost.dense_macs == pixels * 10 * each and cost.outputs == pixels
    assert cost.macs[0].tolist() == [
        pixels * 10 * each,
        pixels * (5 * each + 5 * 9),  # half: 5 channels convolved, 5 by 3 x 3
        pixels * (3 * each + 7 * 9),  # a quarter, rounded up: 3 and 7
        pixels * 10,  # reused: one product a value
    ]
    assert cost.active[0].tolist() == [pixels, pixels * 5 // 10, pixels * 3 // 10, 0]
    assert cost.gate_ops[0].tolist() == [6 * pixels, *[4 * 6 * pixels] * 3]
    assert cost.gate_macs.tolist() == [[0] * 4] and not cost.keyframe.any()
    assert cost.expected_macs.tolist() == cost.macs.tolist()
    learned = AdaptiveConv2d(6, 10, 3, policy=LearnedPolicy(hidden=8)).eval()
    learned(torch.randn(1, 6, 5, 7))
    assert learned.cost.gate_macs.tolist() == [(6 + 1) * 8 + 8 * 4]


def test_expected_macs_are_the_mean_of_what_is_drawn() -> None:
    layer = AdaptiveConv2d(3, 8, 3, padding=1, policy=LearnedPolicy(start=0.4)).train()
    layer(torch.randn(1, 3, 6, 6).expand(4000, 2, 3, 6, 6))
    expected = layer.cost.expected_macs.mean(0)
    torch.testing.assert_close(layer.cost.macs.double().mean(0), expected.detach().double(), rtol=0.03, atol=0)
    assert expected[0] > expected[1]  # nothing to reuse yet in the first frame


def test_gradients_reach_weights_cheap_operations_reuse_and_policy() -> None:
    layer = AdaptiveConv2d(3, 8, 3, padding=1, policy=LearnedPolicy(start=0.3)).train()
    nn.init.normal_(layer.policy.outer.weight)  # type: ignore[union-attr,operator]
    layer(torch.randn(16, 4, 3, 6, 6)).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_pressure_on_the_expected_cost_makes_the_policy_cheap() -> None:
    layer = AdaptiveConv2d(8, 16, 3, padding=1)
    clip = torch.randn(2, 3, 8, 6, 6)
    optimiser = torch.optim.Adam(layer.policy.parameters(), 0.1)
    before = None
    for _ in range(30):
        layer.train()(clip)
        share = sparsity_loss(layer)
        before = float(share.detach()) if before is None else before
        optimiser.zero_grad()
        share.backward()
        optimiser.step()
    assert before is not None and before > 0.7 and float(share.detach()) < 0.35
    layer.eval()(clip)
    assert layer.cost.saving.mean() > 0.5


def test_the_policy_learns_to_look_at_the_frame() -> None:
    """Frames of two kinds: in one all channels are alike, so that a quarter of them says all; in the other each has its own."""
    layer = AdaptiveConv2d(4, 4, 1, bias=False, policy=LearnedPolicy(), reuse=False, cheap_kernel=1)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4).view(4, 4, 1, 1))
    plain = torch.rand(8, 1, 6, 6).expand(8, 4, 6, 6) + 0.5
    rich = torch.rand(8, 4, 6, 6) + torch.tensor([0.0, 0.5, 1.0, 1.5]).view(1, 4, 1, 1)
    frames = torch.cat([plain, rich])
    optimiser = torch.optim.Adam(layer.policy.parameters(), 0.03)
    for _ in range(150):
        layer.train()
        loss = (layer(frames) - frames).square().mean() + 0.2 * sparsity_loss(layer)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    layer.eval().reset()
    layer(frames)
    assert layer.choices[0] is not None
    assert layer.choices[0][:8].tolist() == [2] * 8 and layer.choices[0][8:].tolist() == [0] * 8


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_goes_on_where_the_original_stands(duplicate: Any) -> None:
    layer = AdaptiveConv2d(3, 8, 3, padding=1).eval()
    clip = sequence(4, 2, 3, 8, 9)
    layer(clip[:, 0])
    other = duplicate(layer)
    assert torch.equal(stream(other, clip[:, 1:]), stream(layer, clip[:, 1:]))


def test_layers_with_a_forward_of_their_own_can_be_copied_and_pickled() -> None:
    conv = Conv2d(4, 8, 3, stride=2, same=True)
    layer = AdaptiveConv2d.from_conv(conv, policy=FixedPolicy()).eval()
    x = torch.randn(1, 4, 7, 9)
    assert isinstance(layer, Conv2d) and type(layer).__name__ == "AdaptiveConv2d" and torch.equal(layer(x), conv(x))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(other) is type(layer) and torch.equal(other(x), conv(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_layer_moves_with_its_streams_to_another_type(dtype: torch.dtype) -> None:
    layer = AdaptiveConv2d(3, 8, 3, policy=Scripted([0.0, 9, -9, -9], [0.0, -9, -9, 9])).eval()
    layer(torch.ones(1, 3, 6, 6))
    layer.to(dtype)
    assert layer(torch.ones(1, 3, 6, 6, dtype=dtype)).dtype == dtype
    assert layer.choices[0].tolist() == [3]  # type: ignore[union-attr]
    layer.train()(torch.ones(1, 2, 3, 6, 6, dtype=dtype)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.dtype == dtype


def test_a_change_of_size_and_a_reset_begin_anew() -> None:
    policy = Scripted([0.0, -9, -9, 9])
    layer = AdaptiveConv2d(3, 4, 3, policy=policy).eval()
    choices = []
    for shape in ((2, 3, 8, 9), (2, 3, 8, 9), (2, 3, 9, 9), (2, 3, 9, 9)):
        layer(torch.randn(shape))
        choices.append(layer.choices[0].tolist())  # type: ignore[union-attr]
    layer.reset([1])
    layer(torch.randn(2, 3, 9, 9))
    choices.append(layer.choices[0].tolist())  # type: ignore[union-attr]
    assert choices == [[0, 0], [3, 3], [0, 0], [3, 3], [3, 0]]
    assert policy.active[-1][1] == 1
    layer.reset()
    layer(torch.randn(2, 3, 9, 9))
    assert layer.choices[0].tolist() == [0, 0]  # type: ignore[union-attr]


def test_a_frame_that_is_no_number_is_computed_in_full() -> None:
    layer = AdaptiveConv2d(3, 8, 3).eval()
    nn.init.constant_(layer.policy.outer.bias[1:], 50.0)  # type: ignore[union-attr,operator,index]
    layer(torch.ones(1, 3, 6, 6))
    assert layer.choices[0].tolist() == [1]  # type: ignore[union-attr]
    layer(torch.full((1, 3, 6, 6), math.nan))
    assert layer.choices[0].tolist() == [0]  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "size"), [("efficientdet-nano", (64, 96)), ("tf_efficientdet_lite0", (64, 64)), ("hrnet-nano", (64, 64))])
def test_whole_networks_run_as_before_at_ratio_one(name: str, size: tuple[int, int]) -> None:
    net = build_model(name)
    frames = torch.randn(3, 1, 3, *size)
    adaptive, report = convert_adaptive(net, policy=lambda _: FixedPolicy(), example=frames[0])
    assert len(report.converted) > 20 and all("smallest ratio" in reason for _, _, reason in report.left)
    for frame in frames:
        for found, wanted in zip(_leaves(adaptive(frame)), _leaves(net(frame)), strict=True):
            assert torch.equal(found, wanted)
    assert macs(adaptive).total.saving.item() == 0


def test_layers_called_on_several_levels_have_a_stream_for_each_and_clips_equal_streams() -> None:
    net = build_model("efficientdet-nano")
    adaptive, report = convert_adaptive(
        net, lambda path, _: path.startswith("class_net"), example=torch.zeros(1, 3, 64, 64), cheap_kernel=1
    )
    assert ("class_net.conv_rep.0.conv_pw", "AdaptiveConv2d, LearnedPolicy, 5 calls a frame") in report.converted
    for _, layer in adaptive_layers(adaptive):
        layer.set_policy(Twitchy())
    clip = torch.randn(2, 4, 3, 64, 64)
    whole = _leaves(run_clip(adaptive, clip))
    reset(adaptive)
    frames = [_leaves(adaptive(frame)) for frame in clip.unbind(1)]
    for number, level in enumerate(whole):
        torch.testing.assert_close(torch.stack([frame[number] for frame in frames], 1), level, rtol=1e-4, atol=1e-5)
    names = {name for name, _ in adaptive_layers(adaptive)}
    assert names == {name for name, _ in report.converted} and set(macs(adaptive).layers) == names


def test_layers_can_have_time_alone() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Conv2d(8, 8, 1)).eval()
    adaptive, report = convert_adaptive(net, ratios=(1.0,))
    assert len(report.converted) == 2 and not report.left
    nothing, report = convert_adaptive(net, ratios=(1.0,), reuse=False)
    assert not report.converted and len(report.left) == 2
    for _, layer in adaptive_layers(adaptive):
        layer.set_policy(Scripted([0.0, 9.0]))
    first = adaptive(torch.ones(1, 3, 6, 6))
    assert torch.equal(adaptive(torch.zeros(1, 3, 6, 6)), first)  # reused, and scale and shift have not learned
    assert macs(adaptive).total.macs.item() == 2 * 8 * 16


def test_gates_and_adaptive_layers_live_in_one_network() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    some, _ = convert_adaptive(net, lambda path, _: path == "0")
    both, report = convert_modules(some, gate=NormGate(0.1))
    assert report.converted == (("2", "SkipConv2d, NormGate"),)
    assert report.left == (("0", "AdaptiveConv2d", "converted already"),)
    run_clip(both, torch.randn(2, 3, 3, 9, 9))
    total = macs(both).total
    assert total.macs.shape == (2, 3) and total.dense_macs == 49 * 8 * 27 + 25 * 8 * 72


def test_a_random_policy_keeps_its_shares() -> None:
    layer = AdaptiveConv2d(2, 4, 1, policy=RandomPolicy((1, 2, 0, 1)), hysteresis=0)
    for training in (True, False):
        layer.train(training)(torch.randn(4000, 2, 2, 3, 3))
        shares = layer.choices[0][:, 1].bincount(minlength=4) / 4000  # type: ignore[index]
        torch.testing.assert_close(shares, torch.tensor([0.25, 0.5, 0, 0.25]), rtol=0, atol=0.03)


def _leaves(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [leaf for part in output for leaf in _leaves(part)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveConv2d(3, 4, 3, ratios=(0.5, 0.25)), "ratios is"),
        (lambda: AdaptiveConv2d(3, 4, 3, ratios=(1, 0.5, 0.5)), "ratios is"),
        (lambda: AdaptiveConv2d(3, 4, 3, ratios=()), "ratios is"),
        (lambda: AdaptiveConv2d(3, 4, 3, cheap_kernel=5), "cheap_kernel is 5"),
        (lambda: AdaptiveConv2d(3, 4, 3, hysteresis=math.nan), "hysteresis is nan"),
        (lambda: AdaptiveConv2d(3, 4, 3, hysteresis=math.inf), "hysteresis is inf"),
        (lambda: AdaptiveConv2d(3, 4, 3, longest_reuse=0), "longest_reuse is 0"),
        (lambda: AdaptiveConv2d(3, 4, 3, calls=0), "calls is 0"),
        (lambda: AdaptiveConv2d(3, 4, 3, policy=nn.ReLU()), "policy is ReLU"),  # type: ignore[arg-type]
        (lambda: AdaptiveConv2d(3, 4, 3, policy=FixedPolicy(3)), "choice is 3"),
        (lambda: AdaptiveConv2d(3, 4, 3, policy=RandomPolicy((1, 1))), "2 shares"),
        (lambda: RandomPolicy((0.0, 0.0)), "shares is"),
        (lambda: LearnedPolicy(start=1), "start is 1"),
        (lambda: LearnedPolicy(hidden=0), "hidden is 0"),
        (lambda: LearnedPolicy(temperature=0), "temperature is 0"),
        (lambda: LearnedPolicy()(torch.ones(1, 3), torch.ones(1)), "no weights yet"),
        (lambda: AdaptiveConv2d.from_conv(nn.ConvTranspose2d(3, 4, 3)), "cannot be made from ConvTranspose2d"),  # type: ignore[arg-type]
        (lambda: AdaptiveConv2d.from_conv(AdaptiveConv2d(3, 4, 3)), "cannot be made from AdaptiveConv2d"),
        (lambda: AdaptiveConv2d(3, 4, 3)(torch.zeros(1, 2, 8, 8)), "is given a tensor"),
        (lambda: convert_adaptive(nn.Conv2d(3, 4, 3), inplace=True), "single Conv2d cannot be replaced"),
        (lambda: macs(convert_adaptive(nn.Sequential(nn.Conv2d(3, 4, 3)))[0]), "no skip or adaptive layer"),
    ],
)
def test_bad_settings_are_refused_in_words(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_policy_shared_by_unlike_layers_is_refused() -> None:
    policy = LearnedPolicy()
    AdaptiveConv2d(3, 4, 3, policy=policy)
    AdaptiveConv2d(3, 8, 3, policy=policy)
    with pytest.raises(UsageError, match="give each layer a policy of its own"):
        AdaptiveConv2d(4, 4, 3, policy=policy)
