"""Learning the thresholds of a network's gates by the paper's Gumbel training (section 3.2): from clips and a preset to a preset.

A threshold for each map, and nothing else: such a gate costs what a norm gate costs, runs as one, and keeps its bound, where one with a
weight for each channel (skipvid.train.gates) has to earn its own multiplications first. The network's weights learn along, through the
same folded graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.presets.preset import save_preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.sensitivity import MOST, rounded
from skipvid.train.clips import Piece
from skipvid.train.gates import LOG_EVERY, GateRecipe, Log, improve
from skipvid.train.loop import Trainer
from skipvid.train.ship import export_weights
from skipvid.train.streams import GatedStream
from skipvid.train.subjects import Subject

NOISE = 0.05
"""Strongest noise that training adds, in units of the network's input: about 3 grey levels. Clips to learn from are often cleaner than what
is seen later, and gates that are right for them open everywhere in noise. Half of the clips stay as they are."""


def starting_thresholds(subject: Subject, start: float) -> dict[str, float]:
    """Those that the preset has for single maps, as they are where its own threshold is `start`; all other maps begin with `start` itself.

    Not with what the network's sensitivity says: that gives the first maps low thresholds, and on a noisy camera, whose noise those maps
    have to stop, everything opens then.
    """
    preset = subject.preset
    return dict(SkipConfig.of(preset).at(start).thresholds) if preset.gate == "norm" else {}


class LevelExam:
    """Measures thresholds on held-out pieces as they are used; the first number is the one to make large.

    It is the negative loss: of the distance to the dense network, and of the share of MACs after the first frame, as in training.
    """

    def __init__(self, subject: Subject, recipe: GateRecipe, pieces: Sequence[Piece]) -> None:
        self._subject, self._recipe = subject, recipe
        # Frames that are computed densely because much moves would say nothing about gates.
        self._model = SkipModel(
            subject.teacher, SkipConfig(recipe.start, block=recipe.block, threads=torch.get_num_threads(), dense_above=1.0)
        )
        clips = subject.exam(pieces)
        # Each as it is, and with noise; what is wanted is what the dense network finds without.
        self._clips = [(clip, clip) for clip in clips]
        self._clips += [(noisy(clip, NOISE / 2, torch.Generator().manual_seed(number)), clip) for number, clip in enumerate(clips)]

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, float]:
        assert isinstance(net, GatedStream)
        config = replace(self._model.config, thresholds=capped(net.thresholds()))
        model = self._model.regated(config) if self._recipe.gates_only else SkipModel(net.network(), config)
        distances, shares = [], []
        for clip, clean in self._clips:
            session = model.session()
            session(clip[:1])
            errors, spent, dense = [], 0, 0
            for frame, original in zip(clip[1:], clean[1:], strict=True):
                outputs = session(frame[None])
                errors.append(float(self._subject.distance(outputs, self._model.dense(original[None]))))
                spent, dense = spent + session.cost.macs, dense + session.cost.dense_macs
            distances.append(float(np.mean(errors)))
            shares.append(spent / dense)
        distance, share = float(np.mean(distances)), float(np.mean(shares))
        pressure = float(self._recipe.pressure(torch.tensor(share), self._recipe.schedule.steps))
        return {"goal": -distance - pressure, "distance": distance, "share": share}


def noisy(clip: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A clip (T, 3, h, w) with noise that is new in every frame, as sensors and coarse coding add it: half of it in single pixels, half in
    spots of 2 x 2. strength: its standard deviation, in units of the network's input."""
    count, channels, height, width = clip.shape
    fine = torch.randn(clip.shape, generator=generator)
    spots = torch.randn((count, channels, -(-height // 2), -(-width // 2)), generator=generator)
    coarse = spots.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
    return clip + strength * (fine + coarse) / math.sqrt(2)


def _perhaps_noisy(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the clips as they are, the others with noise of up to NOISE."""
    strength = max(0.0, float(rng.uniform(-NOISE, NOISE)))
    return noisy(clip, strength, torch.Generator().manual_seed(int(rng.integers(2**31)))) if strength else clip


def capped(thresholds: Mapping[str, float]) -> dict[str, float]:
    """As a preset has them."""
    return {name: rounded(min(value, MOST)) for name, value in thresholds.items()}


def train_levels(
    subject: Subject,
    recipe: GateRecipe,
    learned: Sequence[Piece],
    held: Sequence[Piece],
    folder: Path,
    *,
    name: str,
    resume: bool = False,
    quiet: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learn thresholds; returns the path of a preset that has them. All lies in `folder`: run/, log.csv, NAME.yaml.

    learned, held: pieces to learn from and to choose the best thresholds by. Raises UsageError where `folder` holds a run and resume is
    not set.
    """
    frozen = ("kernels.",) if recipe.gates_only else ()
    schedule = replace(
        recipe.schedule, weight_decay=0.0, slow=recipe.weights_rate, slow_prefixes=("kernels.",), frozen=frozen, average=0.98
    )
    example = subject.example(learned, recipe.size)[:1]
    student = GatedStream(subject.teacher, example, recipe.start, starting_thresholds(subject, recipe.start), recipe.sure, recipe.block)
    trainer = Trainer(student, schedule, folder / "run", resume=resume)
    log = Log(folder / "log.csv", trainer.step)

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, GatedStream)
        net.temperature = recipe.temperature(step)
        rng = np.random.default_rng((schedule.seed, step))
        torch.manual_seed(schedule.seed * 1_000_003 + step)  # of the gates' samples: a run goes on as if never stopped
        clips = [subject.draw(learned, recipe.frames, recipe.size, rng) for _ in range(schedule.batch)]
        clean = torch.stack([subject.prepare(clip.images) for clip in clips])
        with torch.no_grad():
            wanted = subject.teacher(clean.flatten(0, 1))
        streamed = net(torch.stack([_perhaps_noisy(clip, rng) for clip in clean]))
        task = subject.loss(streamed.outputs, wanted, clips)
        loss = task + recipe.pressure(streamed.share, step)
        shown = {"task": float(task.detach()), "share": float(streamed.share.detach())}
        if step % LOG_EVERY == 0:
            log.add(step, float(loss.detach()), *shown.values(), shown["share"], recipe.temperature(step))
        return loss, shown

    exam = LevelExam(subject, recipe, held) if held else None
    grades = improve(trainer, student, loss_of_step, exam, quiet=quiet, report=report)
    return _write(subject, recipe, student, grades, folder, name)


def _write(subject: Subject, recipe: GateRecipe, student: GatedStream, grades: Mapping[str, float], folder: Path, name: str) -> Path:
    """The preset, and weights where they were trained."""
    share = f"{grades['share']:.0%} of the MACs on held-out clips" if "share" in grades else "not measured"
    preset = replace(
        subject.preset,
        name=name,
        description=f"{subject.preset.name} with learned thresholds, {share}",
        gate="norm",
        threshold=rounded(recipe.start),
        block=recipe.block,
        reference="accumulated",
        thresholds=capped(student.thresholds()),
        scales={},
        gate_weights="",
        gate_sha256="",
        source=f"learned from clips by skipvid, out of {subject.preset.name}",
    )
    if not recipe.gates_only:
        about = {"preset": subject.preset.name, "steps": recipe.schedule.steps, "block": recipe.block, "grades": dict(grades)}
        digest = export_weights(student.network().state_dict(), folder / f"{name}.pt", about)
        preset = replace(preset, weights=f"{name}.pt", sha256=digest)
    return save_preset(preset, folder / f"{name}.yaml")
