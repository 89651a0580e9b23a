"""Learning thresholds: a stream that decides as `convert` does, gradients for what it decides, and a run that ends in a preset."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from skipvid.cli.train import train
from skipvid.core.errors import UsageError
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.norm import place_norm_gates
from skipvid.skip.ir.footprint import footprint
from skipvid.skip.ir.graph import Node
from skipvid.train.clips import Piece
from skipvid.train.gates import GateRecipe
from skipvid.train.levels import LevelExam, noisy, starting_thresholds, train_levels
from skipvid.train.loop import Schedule
from skipvid.train.soft_masks import spread
from skipvid.train.streams import GatedStream
from skipvid.train.subjects import DetectSubject


class Net(nn.Module):
    """Strides, a branch that is scaled by a mean, a resize and a concat: what footprints have to follow."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 5, 1, 2, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.deep = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Conv2d(16, 4, 3, 1, 2, 2)

    def forward(self, x):
        x = self.stem(x).relu()
        y = self.point(self.depthwise(x)).relu() + x
        z = self.deep(nn.functional.max_pool2d(y, 3, 2, 1))
        z = nn.functional.interpolate(z, scale_factor=4.0, mode="nearest")
        return self.head(torch.cat([y * y.mean((2, 3), keepdim=True), z], 1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


def moving_clip(frames=6, size=32):
    generator = torch.Generator().manual_seed(1)
    clip = torch.randn(1, 3, size, size, generator=generator).repeat(frames, 1, 1, 1)
    for number in range(frames):
        clip[number, :, 4:12, 2 * number : 2 * number + 8] += 2
    return clip + 0.02 * torch.randn(clip.shape, generator=generator)


@pytest.mark.parametrize("block", [1, 4])
def test_a_stream_in_eval_mode_gives_what_converted_networks_give_and_counts_alike(net, block):
    clip = moving_clip()
    thresholds = {name: 0.04 * (1 + number % 3) for number, name in enumerate(GatedStream(net, clip[:1], 0.05, {}).thresholds())}
    with torch.no_grad():
        streamed = GatedStream(net, clip[:1], 0.05, thresholds, block=block).eval()(clip[None])
    config = SkipConfig(0.05, block=block, thresholds=thresholds, backend="reference", dense_above=1.0)
    session = convert(net, clip[:1], config)[0].session()
    spent = dense = 0
    for number, frame in enumerate(clip):
        torch.testing.assert_close(session(frame[None]), streamed.outputs[number : number + 1], rtol=1e-4, atol=1e-4)
        if number:
            spent, dense = spent + session.cost.macs, dense + session.cost.dense_macs
    assert float(streamed.share) == pytest.approx(spent / dense, abs=0.01) and 0.1 < spent / dense < 0.9


@pytest.mark.parametrize("block", [1, 4])
def test_clips_that_run_together_are_streams_of_their_own(block):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 4, 1)).eval()
    clips = torch.stack([moving_clip(), 3 * moving_clip().flip(0), moving_clip().roll(5, 2)])
    stream = GatedStream(net, clips[0, :1], 0.1, {}, block=block).eval()
    with torch.no_grad():
        together, alone = stream(clips), [stream(clip[None]) for clip in clips]
    torch.testing.assert_close(together.outputs, torch.cat([each.outputs for each in alone]))
    assert float(together.share) == pytest.approx(np.mean([float(each.share) for each in alone]), abs=1e-6)


def test_in_training_a_gate_opens_as_often_as_its_logit_says_and_backward_sees_the_sigmoid(net):
    stream = GatedStream(net, moving_clip()[:1], 0.1, {}, sure=4.0).train()
    name, level = next(iter(stream.levels.items()))
    for change, probability in ((0.1, 0.5), (0.05, 1 / (1 + math.exp(2))), (0.15, 1 / (1 + math.exp(-2)))):
        opened = stream.decide(name, torch.full((1, 1, 200, 200), change))
        assert set(opened.unique().tolist()) <= {0.0, 1.0}
        assert float(opened.detach().mean()) == pytest.approx(probability, abs=0.01)
    torch.manual_seed(0)
    stream.temperature = 0.7
    stream.decide(name, torch.full((1, 1, 400, 400), 0.1)).mean().backward()
    noise = torch.rand(400, 400).logit()
    slope = (noise / 0.7).sigmoid() * (1 - (noise / 0.7).sigmoid()) / 0.7  # of the opening by the logit
    assert float(level.grad) == pytest.approx(-4.0 * float(slope.mean()), rel=0.02)


def test_blocks_have_one_sample_each(net):
    stream = GatedStream(net, moving_clip()[:1], 0.1, {}, block=4).train()
    opened = stream.decide(next(iter(stream.levels)), torch.full((1, 1, 30, 30), 0.1)).detach()
    assert opened.shape == (1, 1, 30, 30) and 0 < float(opened.mean()) < 1
    assert torch.equal(opened, opened[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, :30, :30])


def test_higher_thresholds_spend_less_and_err_more_and_both_gradients_say_so(net):
    clip = moving_clip()
    stream = GatedStream(net, clip[:1], 0.1, {}).train()
    torch.manual_seed(0)
    streamed = stream(clip[None])
    levels = list(stream.levels.values())
    by_share = torch.autograd.grad(streamed.share, levels, retain_graph=True, allow_unused=True)
    assert sum(float(slope) for slope in by_share if slope is not None) < -0.01
    with torch.no_grad():
        dense = net(clip)
    by_error = torch.autograd.grad((streamed.outputs - dense).square().mean(), levels, allow_unused=True)
    assert sum(float(slope) for slope in by_error if slope is not None) > 0


def test_small_maps_keep_their_thresholds_and_copies_learn_apart(net, monkeypatch):
    monkeypatch.setattr("skipvid.train.streams.LEAST_WORK", 0.2)
    stream = GatedStream(net, moving_clip()[:1], 0.1, {"conv2d": 0.3})
    graph = stream.graph(moving_clip()[:1])
    assert stream.thresholds().keys() == place_norm_gates(graph, 0.1).keys() and 0 < len(stream.levels) < len(stream.thresholds())
    assert stream.thresholds()["conv2d"] == pytest.approx(0.3)
    other = copy.deepcopy(stream)
    for step, factor in ((0.5, math.exp(0.5)), (5.0, 2.0)):  # no further than twice where it began
        with torch.no_grad():
            for level in other.levels.values():
                level.add_(step)
        for name, threshold in stream.thresholds().items():
            assert other.thresholds()[name] == pytest.approx(threshold * (factor if name in stream.levels else 1))


WINDOWS = {"stride": (2, 1), "pads": (1, 0, 2, 1), "dilation": (1, 2)}


@pytest.mark.parametrize(
    "node",
    [
        Node("a", "conv", ("x",), (1, 4, 6, 11), {**WINDOWS, "groups": 1}, {"weight": torch.zeros(4, 2, 3, 3)}),
        Node("a", "max_pool", ("x",), (1, 2, 6, 11), {**WINDOWS, "kernel": (3, 3)}),
        Node("a", "avg_pool", ("x",), (1, 2, 6, 11), {"kernel": (3, 3), "stride": (2, 2), "pads": (1, 1, 1, 1), "count_include_pad": True}),
        Node("a", "resize", ("x",), (1, 2, 24, 24), {"mode": "nearest", "size": (24, 24), "scales": (2.0, 2.0), "align_corners": None}),
        Node("a", "resize", ("x",), (1, 2, 18, 30), {"mode": "bilinear", "size": (18, 30), "scales": None, "align_corners": False}),
        Node("a", "affine", ("x",), (1, 2, 12, 12)),
        Node("a", "global_mean", ("x",), (1, 2, 1, 1)),
        Node("a", "add", ("x", "y"), (1, 2, 12, 12)),
    ],
    ids=lambda node: node.op,
)
def test_footprints_with_a_gradient_are_those_without(node):
    torch.manual_seed(0)
    masks = [torch.rand(1, 1, 12, 12) > 0.9 for _ in node.inputs]
    soft = [mask.float().requires_grad_() for mask in masks]
    result = spread(node, soft)
    assert torch.equal(result > 0, footprint(node, masks)) and set(result.unique().tolist()) <= {0.0, 1.0}
    if node.op != "global_mean":
        result.sum().backward()
        # Each output that is computed is one pixel's doing.
        assert float(sum((mask.grad * mask).sum() for mask in soft).detach()) == pytest.approx(float(result.detach().sum()))


@pytest.fixture(scope="module")
def subject():
    preset = load_preset(DEFAULT_DETECT)
    return DetectSubject(preset, resolve_weights(preset).path)


def moving_piece(length=9):
    frames = np.full((length, 64, 96, 3), 90, np.uint8)
    frames += np.random.default_rng(0).integers(0, 4, frames.shape, np.uint8)
    for index in range(length):
        frames[index, 10:30, 2 * index : 2 * index + 10] = 220
    return Piece("a", frames, None)


def test_thresholds_begin_in_the_proportions_of_the_preset(subject):
    own = copy.copy(subject)
    own.preset = replace(subject.preset, threshold=0.1, thresholds={"x": 0.5, "add": 0.05})
    assert starting_thresholds(own, 0.1) == {"x": 0.5, "add": 0.05}
    assert starting_thresholds(own, 0.2) == pytest.approx({"x": 1.0, "add": 0.1})
    own.preset = replace(own.preset, gate="norm-output")  # of other gates
    assert starting_thresholds(own, 0.2) == {}
    own.preset = replace(subject.preset, thresholds={})
    assert starting_thresholds(own, 0.2) == {}


def test_the_exam_of_thresholds_of_nothing_finds_no_distance(subject, monkeypatch):
    recipe = GateRecipe(Schedule(10), beta=0.1, warmup=0.0)
    example = subject.example([moving_piece()], 64)
    monkeypatch.setattr("skipvid.train.levels.NOISE", 0.0)
    exact, coarse = (LevelExam(subject, recipe, [moving_piece()])(GatedStream(subject.teacher, example[:1], t, {})) for t in (0.0, 0.2))
    assert exact["distance"] < 1e-4 and exact["goal"] == pytest.approx(-exact["distance"] - 0.1 * exact["share"])
    assert coarse["distance"] > exact["distance"] and coarse["share"] < exact["share"]


def test_noise_is_new_in_every_frame_and_as_strong_as_asked():
    clip = torch.zeros(3, 3, 101, 99)
    found = noisy(clip, 0.5, torch.Generator().manual_seed(0))
    assert found.shape == clip.shape and float(found.std()) == pytest.approx(0.5, rel=0.02)
    assert abs(float(torch.corrcoef(found.flatten(1))[0, 1])) < 0.02


def test_weights_are_trained_as_they_are_folded_and_put_back_as_they_were(subject):
    x = subject.prepare(moving_piece().frames[:1])
    stream = GatedStream(subject.teacher, x, 0.05, {}).eval()
    convolutions = [name for name, module in subject.teacher.named_modules() if isinstance(module, nn.Conv2d)]
    assert len(stream.kernels) == len(convolutions) > 50  # shared heads, depthwise layers and all
    same = stream.network().state_dict()
    assert all(torch.equal(value, same[name]) for name, value in subject.teacher.state_dict().items())
    torch.manual_seed(0)
    with torch.no_grad():
        for kernel in stream.kernels.values():
            kernel.mul_(1 + 0.05 * torch.randn_like(kernel))
        for got, wanted in zip(sum(stream(x[None]).outputs, []), sum(stream.network()(x), []), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gates_only", [True, False])
def test_training_lowers_its_loss_on_what_it_sees(subject, tmp_path, gates_only):
    schedule = Schedule(12, batch=1, rate=0.1, warmup=1, evaluate_every=12)
    recipe = GateRecipe(schedule, frames=3, size=64, beta=1.0, start=0.03, warmup=0.0, gates_only=gates_only)
    piece = moving_piece(17)
    path = train_levels(subject, recipe, [piece], [piece], tmp_path, name="mine", quiet=True)
    history = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["history"]
    assert history[-1]["goal"] > history[0]["goal"] and history[-1]["share"] < history[0]["share"]
    preset = load_preset(path)
    assert (preset.gate, preset.name, preset.weights) == ("norm", "mine", subject.preset.weights if gates_only else "mine.pt")
    learned = DetectSubject(preset, resolve_weights(preset).path).teacher.state_dict()
    before = subject.teacher.state_dict()["backbone.conv_stem.weight"].half().float()
    assert torch.equal(learned["backbone.conv_stem.weight"].half().float(), before) == gates_only
    assert len(preset.thresholds) > 100 and f"{history[-1]['share']:.0%} of the MACs" in preset.description
    with pytest.raises(UsageError, match="already holds a run"):
        train_levels(subject, recipe, [piece], [piece], tmp_path, name="mine", quiet=True)


@pytest.mark.slow
def test_the_command_learns_thresholds_unless_told_otherwise(tmp_path):
    from test_train_gates import SMALL, write_clip

    clip, output = write_clip(tmp_path / "c.mp4"), tmp_path / "run"
    arguments = ["gates", str(clip), "-o", str(output), *SMALL, "--block", "4", "--rate", "0.2", "--most-frames", "18"]
    arguments += ["--held-out", "0"]  # what two steps have learned need not be better than what they began with
    CliRunner().invoke(train, arguments, catch_exceptions=False)
    preset = load_preset(output / "my-gates.yaml")
    assert preset.gate == "norm" and preset.block == 4 and preset.threshold == pytest.approx(0.1)
    assert len(set(preset.thresholds.values())) > 5
    assert (output / "my-gates.pt").exists() and not (output / "my-gates-gates.pt").exists()
    result = CliRunner().invoke(train, [*arguments, "--resume"], catch_exceptions=False)
    assert result.exit_code == 0
