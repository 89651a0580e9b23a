"""Networks cut in a closed form, the policy that chooses among them, and a run that ends in a preset that the engine takes."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_train_adaptive import leaves, shaken
from test_train_gates import moving_piece, write_clip
from torch import Tensor, nn

from skipvid.cli.train import train
from skipvid.core.errors import UsageError, WeightsError
from skipvid.core.ratios import Narrower
from skipvid.core.results import Frame
from skipvid.models import find_spec
from skipvid.models.narrow import shrink
from skipvid.models.networks.hrnet import BasicBlock
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train import widths as widths_of_training
from skipvid.train.adaptive_order import inner_chains
from skipvid.train.channel_cut import cut_network, remove_groups, width_of
from skipvid.train.frame_policy import choose_policy, fit_policy
from skipvid.train.loop import Schedule
from skipvid.train.subjects import DetectSubject
from skipvid.train.widths import WidthRecipe, train_widths


@pytest.fixture(scope="module")
def subject() -> DetectSubject:
    preset = load_preset(DEFAULT_DETECT)
    return DetectSubject(preset, resolve_weights(preset).path)


def distance(net: nn.Module, other: nn.Module, x: Tensor) -> float:
    """Relative, of the worst result."""
    with torch.no_grad():
        pairs = zip(leaves(net(x)), leaves(other(x)), strict=True)
        return max(float((one - two).norm() / two.norm()) for one, two in pairs)


@pytest.mark.parametrize("name", ["efficientdet-nano", "hrnet-nano"])
def test_a_cut_network_has_fewer_channels_inside_its_blocks_and_nowhere_else(name: str) -> None:
    dense, examples = shaken(name), [torch.randn(2, 3, 64, 64) for _ in range(2)]
    net = cut_network(dense, 0.5, examples)
    for chain in inner_chains(dense):
        full: Any = dense.get_submodule(chain.reader)
        cut: Any = net.get_submodule(chain.reader)
        writer: Any = net.get_submodule(chain.writer)
        assert cut.in_channels == writer.out_channels == width_of(full.in_channels, 0.5)
    with torch.no_grad():
        for found, wanted in zip(leaves(net(examples[0])), leaves(dense(examples[0])), strict=True):
            assert found.shape == wanted.shape and bool(found.isfinite().all())


@torch.no_grad()
def two_blocks(repeated: bool) -> nn.Module:
    """Two blocks of 16 channels inside; repeated: half of these are the other half, twice as large."""
    torch.manual_seed(0)
    net = nn.Sequential(BasicBlock(16), BasicBlock(16)).eval()
    for path in ("0", "1") if repeated else ():
        order = torch.randperm(16)
        for name in ("conv1", "bn1"):
            for value in net.get_submodule(f"{path}.{name}").state_dict().values():
                if value.dim():
                    value[order[8:]] = value[order[:8]]
        net.get_parameter(f"{path}.bn1.weight")[order[8:]] *= 2
    return net


def test_channels_that_repeat_others_go_without_a_trace() -> None:
    """The closed form finds out which they are, and makes up for them; of channels that are all their own it cannot."""
    examples, x = [torch.randn(4, 16, 24, 24) for _ in range(3)], torch.randn(1, 16, 24, 24)
    found = {repeated: two_blocks(repeated) for repeated in (True, False)}
    lost = {repeated: distance(cut_network(net, 0.5, examples), net, x) for repeated, net in found.items()}
    assert lost[True] < 0.01 and lost[False] > 10 * lost[True]


def test_what_is_left_is_solved_anew_for_all_that_went() -> None:
    """Against least squares on the channels that are left, and against every other choice of one channel to leave out."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    x = mixing @ torch.randn(12, 400, generator=generator, dtype=torch.float64)  # six channels of two taps
    y = torch.randn(5, 12, generator=generator, dtype=torch.float64) @ x
    scale = torch.tensor([1.0, 3.0, 0.5, 2.0, 1.0], dtype=torch.float64)

    def loss(rows: list[int]) -> float:
        best = torch.linalg.lstsq(x[rows].t(), y.t()).solution.t()
        return float((scale.view(-1, 1) * (y - best @ x[rows])).square().sum())

    def fit() -> tuple[Tensor, Tensor]:
        inverse = torch.linalg.inv(x @ x.t())
        return y @ x.t() @ inverse, inverse

    solved, inverse = fit()
    kept = remove_groups(solved, inverse, scale, 2, 5)
    losses = [loss([tap for tap in range(12) if tap // 2 != gone]) for gone in range(6)]
    assert set(range(6)) - set(kept.tolist()) == {int(np.argmin(losses))}
    solved, inverse = fit()
    kept = remove_groups(solved, inverse, scale, 2, 3)
    rows = (kept.view(-1, 1) * 2 + torch.arange(2)).flatten()
    wanted = torch.linalg.lstsq(x[rows].t(), y.t()).solution.t()
    torch.testing.assert_close(solved[:, rows], wanted, rtol=1e-6, atol=1e-8)


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="no blocks"):
        cut_network(nn.Sequential(nn.Conv2d(3, 8, 3)), 0.5, [torch.zeros(1, 3, 8, 8)])


def test_only_what_is_smaller_shrinks() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    state = {
        "0.weight": torch.zeros(6, 3, 3, 3),
        "1.weight": torch.zeros(6),
        "2.weight": torch.zeros(6, 1, 3, 3),
        "3.weight": torch.zeros(4, 6, 1, 1),
    }
    other = copy.deepcopy(net)
    shrink(other, state)
    assert other(torch.randn(1, 3, 9, 9)).shape == (1, 4, 5, 5)
    same = copy.deepcopy(net)
    shrink(
        same, {"0.weight": torch.zeros(9, 3, 3, 3), "1.weight": torch.zeros(9), "3.weight": torch.zeros(4, 8), "9.weight": torch.zeros(1)}
    )
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in same.state_dict().items())


def by_brightness() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features of forty frames, half of them dark, where the narrower network is as good; in the others it is far off."""
    rng = np.random.default_rng(0)
    bright = np.arange(40) % 2 == 1
    features = rng.normal(size=(40, 10)).astype(np.float32) * 0.1
    features[:, 0] += 3 * bright
    distances = np.stack([np.zeros(40), np.where(bright, 1.0, 0.02)], 1).astype(np.float32)
    return features, distances


def test_a_policy_takes_the_narrower_network_where_it_does_no_harm() -> None:
    features, distances = by_brightness()
    policy = fit_policy(features, distances, [1.0, 0.6], 0.5)
    assert [int(policy.logits(row).argmax()) for row in features] == [1, 0] * 20
    fixed = fit_policy(features, distances, [1.0, 0.6], 0.0)
    assert not any(policy.logits(row).argmax() for row in features[1::2]) and not any(fixed.logits(row).argmax() for row in features[1::2])


@pytest.mark.parametrize(("saving", "least", "most"), [(0.1, 0.1, 0.25), (0.3, 0.3, 0.4), (0.9, 0.4, 0.4)])
def test_the_saving_that_is_asked_for_is_reached_where_any_width_does(saving: float, least: float, most: float) -> None:
    features, distances = by_brightness()
    policy = choose_policy(features, distances, [1.0, 0.6], 0.1, saving)
    saved = float(np.mean([0.4 * (policy.logits(row).argmax() == 1) for row in features]))
    assert least - 1e-6 <= saved <= most + 1e-6


def small_run(tmp_path: Path, subject: DetectSubject, resume: bool = False) -> Path:
    recipe = WidthRecipe(Schedule(2, batch=2, rate=1e-6, evaluate_every=2), size=64, target_saving=0.3)
    lines: list[str] = []
    settings: dict[str, Any] = {"name": "lean", "quiet": True, "resume": resume, "report": lines.append}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(widths_of_training, "EXAMPLES", (2, 6))
        written = train_widths(subject, recipe, [moving_piece()], [moving_piece()], tmp_path, **settings)
    assert lines[-1].startswith("frames: ") and lines[-1].endswith("at 0.5")
    return written


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, subject: DetectSubject) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("widths")
    small_run(folder, subject)
    return folder


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_clips_become_a_preset_that_holds_the_network_at_several_widths(run: Path, subject: DetectSubject) -> None:
    preset = load_preset(run / "lean.yaml")
    assert "a width for each frame" in preset.description and not preset.thresholds
    weights = resolve_weights(preset)
    net = find_spec(preset.model).load(weights.path, preset.label_set.num_outputs)
    widths = net.narrower
    assert isinstance(widths, Narrower) and widths.ratios == (0.75, 0.5)
    x = subject.example([moving_piece()], 64)
    assert not hasattr(DetectSubject(preset, weights.path).teacher, "narrower")  # trainings begin with the full network
    apart = [distance(each, subject.teacher, x) for each in (net, *widths.nets)]
    assert apart[0] < 0.02 < apart[1] < apart[2]

    # Every command runs through this engine. The policy is made to choose a half where the picture is bright.
    content = torch.load(weights.path, weights_only=True)
    policy = content["narrower"]["policy"]
    for part in policy.values():
        part.zero_()
    policy["inner"][0, 0], policy["outer"][2, 0], policy["outer_bias"][2] = 1, 10, -5
    policy["outer_bias"][1] = -1000
    torch.save(content, weights.path)
    engine = DetectEngine(preset, SkipConfig(gate="none", threads=1), weights.path, scene_cuts=False)
    stream = engine.stream()
    rng = np.random.default_rng(0)
    textures = rng.integers(0, 60, (90, 120, 3), np.uint8)
    costs = []
    for number in range(24):
        image = textures + np.uint8(0 if number < 12 else 190)
        image[20:30, number : number + 12] = 128
        result = stream.process(Frame(image, number, number / 25, "c"))
        assert result.cost is not None
        costs.append(result.cost)
    assert costs[0].table is costs[-1].table and costs[0].macs == costs[0].dense_macs == costs[-1].dense_macs
    assert 0.55 < costs[-1].macs / costs[-1].dense_macs < 0.7
    (note,) = stream.notes
    assert note.endswith("50% at 1, 50% at 0.5")


def test_a_run_can_be_gone_on_with(run: Path, subject: DetectSubject) -> None:
    first = torch.load(run / "lean.pt", weights_only=True)
    with pytest.raises(UsageError, match="already holds a run"):
        small_run(run, subject)
    (run / "width-0.5" / "checkpoint.pt").unlink()
    assert small_run(run, subject, resume=True) == run / "lean.yaml"
    again = torch.load(run / "lean.pt", weights_only=True)
    for one, two in zip(first["narrower"]["adds"], again["narrower"]["adds"], strict=True):
        assert set(one) == set(two) and all(torch.equal(value, two[key]) for key, value in one.items())


def test_a_file_whose_other_widths_do_not_fit_is_refused_in_one_line(run: Path, subject: DetectSubject) -> None:
    weights = resolve_weights(load_preset(run / "lean.yaml")).path
    content = torch.load(weights, weights_only=True)
    spoiled: list[Callable[[dict[str, Any]], Any]] = [
        lambda parts: parts.pop("policy"),
        lambda parts: parts["policy"].update(outer=torch.zeros(1, 1)),
        lambda parts: parts["ratios"].reverse(),
        lambda parts: parts["adds"].pop(),
        lambda parts: parts["adds"][0].pop("backbone.blocks.6.0.conv_dw.weight"),
        lambda parts: parts["adds"][0].update({"backbone.blocks.6.0.bn1.weight": torch.ones(3)}),
        lambda parts: parts.update(without=3),
    ]
    for spoil in spoiled:
        other = copy.deepcopy(content)
        spoil(other["narrower"])
        torch.save(other, weights)
        with pytest.raises(WeightsError, match="at other widths as it should"):
            DetectSubject(subject.preset, weights)


@pytest.mark.slow
def test_the_command_learns_widths(tmp_path: Path) -> None:
    clip, output = write_clip(tmp_path / "c.mp4"), tmp_path / "run"
    small = ["--steps", "2", "--batch", "1", "--frames", "2", "--crop", "64", "--evaluate-every", "1", "--threads", "1", "-q"]
    arguments = ["adaptive", clip, "-o", output, *small, "--held-out", "0.5", "--most-frames", "18", "--target-saving", "0.25"]
    CliRunner().invoke(train, [str(argument) for argument in arguments], catch_exceptions=False)
    preset = load_preset(output / "my-adaptive.yaml")
    assert "a width for each frame" in preset.description and preset.gate == load_preset(DEFAULT_DETECT).gate


@pytest.mark.parametrize(
    "change", [{"ratios": ()}, {"ratios": (0.5, 0.75)}, {"ratios": (1.0,)}, {"target_saving": 1.0}, {"schedule": Schedule(1)}]
)
def test_recipes_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        WidthRecipe(**{"schedule": Schedule(10), **change})
