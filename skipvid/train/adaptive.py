"""Learning how many channels a network needs, and its weights along with it, on clips: from a preset to a preset (VA-RED²).

Pan et al., "VA-RED²: Video Adaptive Redundancy Reduction" (ICLR 2021). The teacher is the network as it was, the student the same with
adaptive layers (skipvid.nn.AdaptiveConv2d), which begin mostly at ratio 1: no labels are needed. Each layer has a policy of its own, which
learns with the weights, and all ratios share those. Then each layer keeps the ratio that it chose most often on clips, and the weights
learn on with that: a single narrower network. What chooses for each frame is in skipvid.train.widths.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError, WeightsError
from skipvid.nn import FixedPolicy, LearnedPolicy, adaptive_layers, macs, run_clip, sparsity_loss
from skipvid.train.adaptive_net import Student, layer_choices, make_student, narrowed_state
from skipvid.train.clip_exam import ClipExam
from skipvid.train.clips import Piece
from skipvid.train.gates import LOG_EVERY, Log, falling, improve, price
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.maps import Maps
from skipvid.train.norms import keep_statistics
from skipvid.train.ship import export_weights, write_narrowed_preset
from skipvid.train.subjects import Subject, frames_of


@dataclass(frozen=True, slots=True)
class AdaptiveRecipe:
    """How ratios are learned.

    schedule: of both parts together. frames, size: as in GateRecipe. target_saving: share of the network's MACs to be saved; None: beta
    times the share of MACs is the loss. beta: weight of that loss. warmup: share of the first part in which it rises from 0. policy_share:
    share of the steps that the first part has, in which policies learn. maps: weight of the distance of the adaptive layers' maps to the
    dense network's, beside that of the outputs. weights_rate: learning rate of the network's own weights, as a factor on that of policies
    and cheap operations: near the teacher their gradients are mostly noise, which Adam would make full steps of. temperatures: of the
    policies' backward pass, at the first step and at the last. reuse: let policies reuse the last map; gates do that better for single
    pixels, and what is shipped has no such choice.
    """

    schedule: Schedule
    frames: int = 3
    size: int = 256
    beta: float = 0.1
    target_saving: float | None = None
    warmup: float = 0.2
    policy_share: float = 0.5
    maps: float = 0.1
    weights_rate: float = 0.05
    temperatures: tuple[float, float] = (1.0, 0.5)
    reuse: bool = False
    cheap_kernel: int = 3

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UsageError(f"a clip has {self.frames} frames", "use 1 or more")
        if self.target_saving is not None and not 0 < self.target_saving < 1:
            raise UsageError(f"the saving aimed at is {self.target_saving}", "it must be a share between 0 and 1, e.g. 0.3")
        if self.schedule.steps < 2:
            raise UsageError(f"{self.schedule.steps} steps are too few", "policies and the ratios that they choose need one each")

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """For the policies, and for the ratios that they chose."""
        schedule = replace(self.schedule, slow=self.weights_rate, weight_decay=0.0, average=0.98)
        first = min(max(1, round(schedule.steps * self.policy_share)), schedule.steps - 1)
        return tuple(
            replace(schedule, steps=steps, warmup=min(schedule.warmup, steps // 4 + 1)) for steps in (first, schedule.steps - first)
        )


NEAR = 0.02
"""Shares of the MACs above the one asked for that count as reaching it."""

MISSED = 100.0
"""Loss for each share of the MACs beyond that: no distance is as large."""


class AdaptiveExam:
    """Measures a student on held-out pieces as it is used; the first number is the one to make large.

    It is the negative loss: of the distance to the dense network, and of the share of the network's MACs, both as in training. Where a
    saving is asked for, what reaches it comes first: the network that training begins with saves nothing, and has no distance.
    """

    def __init__(self, subject: Subject, recipe: AdaptiveRecipe, student: Student, pieces: Sequence[Piece]) -> None:
        self._recipe, self._student = recipe, student
        self._exam = ClipExam(subject, pieces)

    def __call__(self, net: nn.Module) -> dict[str, float]:
        distance, adaptive = self._exam.measured(net, lambda cost: cost.macs + cost.gate_macs)
        share = float(self._student.network_share(adaptive))
        pressure = float(price(torch.tensor(share), 1.0, self._recipe.beta, self._recipe.target_saving))
        if self._recipe.target_saving is not None:
            pressure += MISSED * max(0.0, share - (1 - self._recipe.target_saving) - NEAR)
        return {"goal": -distance - pressure, "distance": distance, "share": share}

    @torch.no_grad()
    def favourites(self) -> dict[str, int]:
        """The ratio, by the path of its layer, that each policy chooses most often; of two, the larger."""
        net = self._student.net.eval()
        counts: dict[str, Tensor] = {}
        for clip in self._exam.clips:
            run_clip(net, clip.unsqueeze(0))
            for path, layer in adaptive_layers(net):
                found = layer_choices(layer).bincount(minlength=len(layer.ratios) + 1)[: len(layer.ratios)]
                counts[path] = counts.get(path, 0) + found
        return {path: int(count.argmax()) for path, count in counts.items()}


def train_adaptive(
    subject: Subject,
    recipe: AdaptiveRecipe,
    learned: Sequence[Piece],
    held: Sequence[Piece],
    folder: Path,
    *,
    name: str,
    resume: bool = False,
    quiet: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learn ratios and weights; returns the path of a preset that has them.

    All lies in `folder`: policies/ and policies.csv (the first part), ratios/ and ratios.csv (the second), NAME.pt, NAME.yaml, and
    NAME-policies.pt (the state of the student with policies, for skipvid.nn).

    learned, held: pieces to learn from and to choose the best weights by; where nothing is held, the first piece says what policies choose.
    Raises UsageError where `folder` holds a run and resume is not set.
    """
    torch.manual_seed(recipe.schedule.seed)
    task, example = subject.preset.task, subject.example(learned, recipe.size)
    settings: dict[str, Any] = {"cheap_kernel": recipe.cheap_kernel, "reuse": recipe.reuse}
    student = make_student(subject.teacher, task, example, lambda _: LearnedPolicy(), **settings)
    exam = AdaptiveExam(subject, recipe, student, held) if held else None
    first, second = recipe.parts
    _train(subject, recipe, student, first, learned, exam, folder / "policies", resume=resume, quiet=quiet, report=report)
    learned_state = {key: value.clone() for key, value in student.net.state_dict().items()}
    told = exam or AdaptiveExam(subject, recipe, student, learned[:1])
    about: dict[str, Any] = {"preset": subject.preset.name, "steps": recipe.schedule.steps, "settings": settings}
    choices = told.favourites()
    report(f"ratios: {_summary(student, choices)}")
    for path, layer in adaptive_layers(student.net):
        layer.set_policy(FixedPolicy(choices[path]))
    grades = _train(subject, recipe, student, second, learned, exam, folder / "ratios", resume=resume, quiet=quiet, report=report)
    about |= {"choices": choices, "grades": dict(grades)}
    export_weights(learned_state, folder / f"{name}-policies.pt", about)
    digest = export_weights(narrowed_state(student, subject.teacher, choices), folder / f"{name}.pt", about)
    share = f"{grades['share']:.0%} of the MACs before gates" if "share" in grades else "not measured"
    return write_narrowed_preset(subject.preset, f"fewer channels, {share}", folder, name, digest)


def open_student(teacher: nn.Module, task: str, path: Path) -> Student:
    """The student with learned policies that a training has left in NAME-policies.pt: in eval mode, for skipvid.nn.

    teacher: the network that the training began with. Raises WeightsError where the file is not of such a training.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        student = make_student(teacher, task, torch.zeros(1, 3, 64, 64), lambda _: LearnedPolicy(), **content["about"]["settings"])
        student.net.load_state_dict(content["state_dict"])
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} holds no policies for this network: {type(error).__name__}", "train some: skipvid train adaptive"
        ) from error
    student.net.eval().requires_grad_(False)
    return student


def _train(
    subject: Subject,
    recipe: AdaptiveRecipe,
    student: Student,
    schedule: Schedule,
    learned: Sequence[Piece],
    exam: AdaptiveExam | None,
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
    report: Callable[[str], None],
) -> Mapping[str, float]:
    """One part of the training; leaves the best weights in the student and returns what was measured of them."""
    fresh = tuple(f"{path}.{part}" for path in student.paths for part in ("policy.", "cheap.", "reuse_"))
    own = tuple(path for path, _ in student.net.named_parameters() if not path.startswith(fresh))
    schedule = replace(schedule, slow_prefixes=own)
    trainer = Trainer(student.net, schedule, folder, resume=resume)
    log = Log(folder.with_suffix(".csv"), trainer.step)
    paths = student.paths

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        keep_statistics(net)
        temperature = falling(recipe.temperatures, step, schedule.steps)
        for _, layer in adaptive_layers(net):
            layer.policy.temperature = temperature
        rng = np.random.default_rng((schedule.seed, step))
        torch.manual_seed(schedule.seed * 1_000_003 + step)  # of the policies' samples: a run goes on as if never stopped
        clips = [subject.draw(learned, recipe.frames, recipe.size, rng) for _ in range(schedule.batch)]
        x = torch.stack([subject.prepare(clip.images) for clip in clips])
        with torch.no_grad(), Maps(student.dense, paths) as wanted_maps:
            wanted = student.dense(x.flatten(0, 1))
        with Maps(net, paths) as maps:
            outputs = frames_of(run_clip(net, x))
        task, share = subject.loss(outputs, wanted, clips), student.network_share(sparsity_loss(net))
        apart = maps.distance(wanted_maps)
        rise = min(1.0, (step + 1) / max(recipe.warmup * schedule.steps, 1))
        loss = task + recipe.maps * apart + price(share, rise, recipe.beta, recipe.target_saving)
        cost = macs(net).total
        spent = float(student.network_share(float(cost.macs.double().mean()) / cost.dense_macs))
        shown = {"task": float(task.detach()), "share": float(share.detach())}
        if step % LOG_EVERY == 0:
            log.add(step, float(loss.detach()), *shown.values(), spent, temperature)
        return loss, {**shown, "maps": float(apart.detach())}

    return improve(trainer, student.net, loss_of_step, exam, quiet=quiet, report=report)


def _summary(student: Student, choices: Mapping[str, int]) -> str:
    """How many layers have each ratio."""
    ratios = adaptive_layers(student.net)[0][1].ratios
    taken = list(choices.values())
    return ", ".join(f"{taken.count(number)} layers at {ratio:g}" for number, ratio in enumerate(ratios))
