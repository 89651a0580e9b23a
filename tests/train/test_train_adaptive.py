"""Learning ratios: students that begin as their teachers, narrow networks that are what was trained, and a run that ends in a preset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_gates_pose import walking
from test_train_gates import moving_piece, write_clip
from torch import Tensor, nn

from skipvid.cli.train import train
from skipvid.core.errors import UsageError, WeightsError
from skipvid.models import build_model, find_spec
from skipvid.nn import FixedPolicy, LearnedPolicy, adaptive_layers, macs
from skipvid.presets.preset import DEFAULT_DETECT, DEFAULT_POSE, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.train.adaptive import AdaptiveExam, AdaptiveRecipe, open_student, train_adaptive
from skipvid.train.adaptive_net import fold_norms, make_student, narrowed_state, worth_adapting
from skipvid.train.loop import Schedule
from skipvid.train.maps import Maps
from skipvid.train.pose_subject import PoseSubject
from skipvid.train.subjects import DetectSubject


@pytest.fixture(scope="module")
def subject() -> DetectSubject:
    preset = load_preset(DEFAULT_DETECT)
    return DetectSubject(preset, resolve_weights(preset).path)


def leaves(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [leaf for part in output for leaf in leaves(part)]


def shaken(name: str) -> nn.Module:
    """A network whose BatchNorms have statistics that matter."""
    torch.manual_seed(0)
    net = build_model(name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net


CASES = [("efficientdet-nano", "detect"), ("tf_efficientdet_d0", "detect"), ("hrnet-nano", "pose")]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_student_at_ratio_one_is_its_teacher(name: str, task: str) -> None:
    teacher, x = shaken(name), torch.randn(1, 3, 64, 64)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    student = make_student(teacher, task, x, lambda _: FixedPolicy())
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    with torch.no_grad():
        for found, wanted in zip(leaves(student.net.eval()(x)), leaves(teacher(x)), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    assert student.network_share(1.0) == 1 and 0.3 < student.fraction < 0.9
    paths = {path for path, _ in adaptive_layers(student.net)}
    assert not any("predict" in path or "final" in path or "stem" in path or "_dw" in path for path in paths)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_narrow_network_is_the_student_with_those_ratios(name: str, task: str) -> None:
    teacher, x = shaken(name), torch.randn(1, 3, 64, 64)
    student = make_student(teacher, task, x)
    choices = {path: number % 3 for number, (path, _) in enumerate(adaptive_layers(student.net))}
    for path, layer in adaptive_layers(student.net):
        layer.set_policy(FixedPolicy(choices[path]))
    state = narrowed_state(student, teacher, choices)
    narrow = find_spec(name).load(state)
    assert sum(f"{path}.cheap.weight" in state for path in choices) == sum(number > 0 for number in choices.values())
    student.net.eval()
    with torch.no_grad():
        for found, wanted in zip(leaves(narrow(x)), leaves(student.net(x)), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    with pytest.raises(UsageError, match="narrowed already"):
        make_student(narrow, task, x)
    counted = macs(student.net).total
    assert 0.4 < float(counted.macs) / counted.dense_macs < 0.9


def test_batch_norms_are_folded_only_where_they_follow_one_layer_always() -> None:
    net = shaken("efficientdet-nano")
    convs = {path: conv for path, conv in net.named_modules() if isinstance(conv, nn.Conv2d) and worth_adapting("detect")(path, conv)}
    folded = fold_norms(net, convs, torch.randn(1, 3, 64, 64))
    assert folded["backbone.blocks.6.0.conv_pw"] == "backbone.blocks.6.0.bn1"
    assert not any(path.startswith(("class_net", "box_net")) for path in folded)  # a BatchNorm for each level
    assert any(path.startswith("class_net") for path in convs) and len(folded) > 20


def test_cheap_operations_begin_as_the_best_fit() -> None:
    teacher, x = shaken("hrnet-nano"), torch.randn(2, 3, 64, 64)
    student = make_student(teacher, "pose", x, lambda _: FixedPolicy(1))
    paths = [path for path, _ in adaptive_layers(student.net)]

    def first_errors() -> dict[str, float]:
        with torch.no_grad(), Maps(student.dense, paths) as wanted:
            student.dense(x)
        found = {}
        for path, layer in adaptive_layers(student.net.eval()):
            dense = wanted.found[path][0]
            width = layer.widths[1]
            with torch.no_grad():
                rebuilt = layer._rebuilt(dense[:, :width], 0)[:, width:]
            found[path] = float(
                (rebuilt - dense[:, width:]).square().sum()
                / (dense[:, width:] - dense[:, width:].mean((0, 2, 3), keepdim=True)).square().sum()
            )
        return found

    fitted = first_errors()
    assert len(fitted) > 20 and all(error < 1.001 for error in fitted.values())  # never worse than the channel's mean
    generator = torch.Generator().manual_seed(1)
    for _, layer in adaptive_layers(student.net):
        with torch.no_grad():
            kernel = layer.cheap[0].weight  # type: ignore[union-attr]
            kernel.add_(0.02 * torch.randn(kernel.shape, generator=generator))  # type: ignore[operator,arg-type]
    worse = first_errors()
    assert all(worse[path] > fitted[path] for path in fitted)


def test_the_exam_finds_no_distance_at_ratio_one_and_a_share_below_it(subject: DetectSubject) -> None:
    recipe = AdaptiveRecipe(Schedule(10))
    frames = subject.example([moving_piece()], 64)
    student = make_student(subject.teacher, "detect", frames, lambda _: FixedPolicy())
    exam = AdaptiveExam(subject, recipe, student, [moving_piece()])
    grades = exam(student.net)
    assert grades["distance"] < 1e-3 and grades["share"] == 1 and grades["goal"] == pytest.approx(-grades["distance"] - 0.1)
    assert set(exam.favourites().values()) == {0}
    for _, layer in adaptive_layers(student.net):
        layer.set_policy(FixedPolicy(2))
    narrow = exam(student.net)
    assert narrow["distance"] > 0.02 and narrow["share"] < 0.8 and set(exam.favourites().values()) == {2}
    cost = macs(student.net).total
    assert narrow["share"] == pytest.approx(1 - student.fraction * (1 - float(cost.macs.sum()) / cost.dense_macs / 9), rel=1e-3)


def test_what_reaches_the_saving_that_was_asked_for_comes_before_what_does_not(subject: DetectSubject) -> None:
    recipe = AdaptiveRecipe(Schedule(10), target_saving=0.25)
    student = make_student(subject.teacher, "detect", subject.example([moving_piece()], 64), lambda _: FixedPolicy())
    exam = AdaptiveExam(subject, recipe, student, [moving_piece()])
    whole = exam(student.net)
    for _, layer in adaptive_layers(student.net):
        layer.set_policy(FixedPolicy(2))
    narrow = exam(student.net)
    assert whole["distance"] < narrow["distance"] and narrow["share"] < 0.75 < whole["share"]
    assert whole["goal"] < narrow["goal"]


def test_favourites_are_the_ratios_that_are_computed_most_and_reuse_is_none(subject: DetectSubject) -> None:
    recipe = AdaptiveRecipe(Schedule(10), reuse=True)
    student = make_student(subject.teacher, "detect", subject.example([moving_piece()], 64), lambda _: LearnedPolicy(), reuse=True)
    for number, (_, layer) in enumerate(adaptive_layers(student.net)):
        nn.init.constant_(layer.policy.outer.bias, 0.0)  # type: ignore[union-attr,arg-type]
        with torch.no_grad():
            layer.policy.outer.bias[3] = 9  # type: ignore[union-attr,index,operator]
            layer.policy.outer.bias[number % 3] = 5  # type: ignore[union-attr,index,operator]
    found = AdaptiveExam(subject, recipe, student, [moving_piece()]).favourites()
    assert list(found.values()) == [number % 3 for number in range(len(found))]


def test_a_pose_network_learns_on_windows(tmp_path: Path) -> None:
    preset = replace(load_preset(DEFAULT_POSE), image_size=(64, 32))
    box = np.array([[64, 40, 94, 90]], np.float32)
    subject = PoseSubject(preset, resolve_weights(preset).path, lambda image: box)
    recipe = AdaptiveRecipe(Schedule(2, batch=1, evaluate_every=1), frames=2, target_saving=0.3)
    written = train_adaptive(subject, recipe, [walking()], [], tmp_path, name="lean", quiet=True)
    made = load_preset(written)
    state = torch.load(tmp_path / made.weights, weights_only=True)["state_dict"]
    assert not any(".policy." in key for key in state) and "not measured" in made.description
    student = open_student(subject.teacher, "pose", tmp_path / "lean-policies.pt")
    assert len(adaptive_layers(student.net)) > 20 and not student.net.training
    with pytest.raises(WeightsError, match="holds no policies for this network"):
        open_student(subject.teacher, "pose", tmp_path / "lean.pt")
    assert made.image_size == (64, 32) and made.task == "pose" and made.gate == preset.gate
    PoseSubject(made, resolve_weights(made).path, lambda image: box)


def call(*arguments: object) -> Any:
    return CliRunner().invoke(train, ["adaptive", *(str(argument) for argument in arguments)], catch_exceptions=False)


SMALL = ["--steps", "4", "--batch", "1", "--frames", "2", "--crop", "64", "--evaluate-every", "1", "--threads", "1", "-q"]


@pytest.mark.slow
def test_clips_become_a_preset_that_runs_and_a_run_can_be_gone_on_with(tmp_path: Path) -> None:
    clip, output = write_clip(tmp_path / "c.mp4"), tmp_path / "run"
    arguments = [clip, "-o", output, *SMALL, "--held-out", "0.5", "--most-frames", "18", "--target-saving", "0.25", "--form", "layers"]
    call(*arguments)
    preset = load_preset(output / "my-adaptive.yaml")
    assert "of the MACs before gates" in preset.description and preset.gate == load_preset(DEFAULT_DETECT).gate and not preset.thresholds
    DetectSubject(preset, resolve_weights(preset).path)  # the weights fit the network
    about = torch.load(output / "my-adaptive-policies.pt", weights_only=True)["about"]
    assert set(about["choices"].values()) <= {0, 1, 2}
    for part in ("policies", "ratios"):
        assert torch.load(output / part / "checkpoint.pt", weights_only=True)["step"] == 2
        assert (output / f"{part}.csv").read_text().startswith("step,loss,task,share,open,temperature\n0,")
    weights = (output / "my-adaptive.pt").read_bytes()
    (output / "ratios" / "checkpoint.pt").unlink()
    (output / "ratios" / "best.pt").unlink()
    call(*arguments, "--resume")  # the second part alone
    again = torch.load(output / "my-adaptive.pt", weights_only=True)["state_dict"]
    (output / "my-adaptive.pt").write_bytes(weights)
    first = torch.load(output / "my-adaptive.pt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    with pytest.raises(UsageError, match="already holds a run"):
        call(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.mp4"], "does not exist"),
        (["c.mp4", "--crop", "100"], "multiple of 32"),
        (["c.mp4", "--target-saving", "1"], "the saving aimed at is 1"),
        (["c.mp4", "--preset", "yolox_nano", "--weights", "yolox.pt"], "has none"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "c.mp4", 3)
    torch.save(build_model("yolox_nano").state_dict(), tmp_path / "yolox.pt")
    with pytest.raises(UsageError, match=says):
        call(*arguments, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_without_wide_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="wide enough"):
        make_student(nn.Sequential(nn.Conv2d(3, 8, 3)), "detect", torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(("steps", "share", "parts"), [(10, 0.5, (5, 5)), (10, 0, (1, 9)), (10, 1, (9, 1)), (3, 0.5, (2, 1))])
def test_the_steps_are_shared_by_policies_and_ratios(steps: int, share: float, parts: tuple[int, int]) -> None:
    recipe = AdaptiveRecipe(Schedule(steps), policy_share=share)
    assert tuple(part.steps for part in recipe.parts) == parts


@pytest.mark.parametrize("change", [{"frames": 0}, {"target_saving": 0.0}, {"schedule": Schedule(1)}])
def test_recipes_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        AdaptiveRecipe(**{"schedule": Schedule(10), **change})
