"""Learning Gumbel gates together with a network's weights, on clips (paper, section 3.2): from a preset to a preset.

The student is the network with a gate in front of every layer that is worth one, the teacher the network as it was. Clips run
through the student as they would through a stream: the first frame dense, then only what the gates let through. Its loss is the task's
where frames have labels, elsewhere the distance to the teacher on the same frames, plus the share of MACs that the gates are expected
to spend.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn import GumbelGate, convert_modules, macs, run_clip, skip_layers, sparsity_loss
from skipvid.presets.preset import save_preset
from skipvid.skip.gates.learned import LearnedGate, save_gates
from skipvid.train.clip_exam import ClipExam
from skipvid.train.clips import GAPS, Piece
from skipvid.train.loop import Change, Evaluate, LossOfStep, Schedule, Trainer
from skipvid.train.norms import keep_statistics
from skipvid.train.ship import export_weights
from skipvid.train.subjects import Subject, frames_of

LOG_EVERY = 10
"""Steps between rows of the log."""


@dataclass(frozen=True, slots=True)
class GateRecipe:
    """How gates are learned.

    frames: of a training clip. size: side of its window, pixels. block: gates decide for blocks of so many pixels squared.
    beta: weight of the share of MACs in the loss. target_saving: instead, the share of MACs to be saved; below it there is no such loss.
    warmup: share of the steps in which the weight of that loss rises from 0. start: threshold of the norm gates that the gates begin as.
    sure: logit of a gate, at the start, where the change is 0 (negative) and where it is twice the threshold: with a smaller one, gates
    that are closed in use open now and then in training, and refresh what use leaves stale.
    temperatures: of the backward pass, at the first and at the last step. gates_only: leave the network's own weights as they are.
    weights_rate: learning rate of those, as a factor on that of the gates: the network is trained already, and where it is still near its
    teacher its gradients are mostly noise, which Adam would make full steps of.
    """

    schedule: Schedule
    frames: int = 4
    size: int = 256
    block: int = 1
    beta: float = 0.1
    target_saving: float | None = None
    warmup: float = 0.2
    start: float = 0.03
    sure: float = 6.0
    temperatures: tuple[float, float] = (1.0, 0.5)
    gates_only: bool = False
    weights_rate: float = 0.001

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise UsageError(f"a clip of {self.frames} frames has nothing to skip", "use 2 or more")
        if self.target_saving is not None and not 0 < self.target_saving < 1:
            raise UsageError(f"the saving aimed at is {self.target_saving}", "it must be a share between 0 and 1, e.g. 0.7")

    def pressure(self, share: Tensor, step: int) -> Tensor:
        """The loss that closes gates. share: of MACs expected to be spent, 0 to 1."""
        rise = min(1.0, (step + 1) / max(self.warmup * self.schedule.steps, 1))
        return price(share, rise, self.beta, self.target_saving)

    def temperature(self, step: int) -> float:
        """Of the backward pass."""
        return falling(self.temperatures, step, self.schedule.steps)


PRESSURE = 10.0
"""Weight of missing the target saving: at 10 % too many MACs it is as large as a tenth of beta."""


def falling(ends: tuple[float, float], step: int, steps: int) -> float:
    """A value that goes linearly from one to the other in so many steps."""
    first, last = ends
    return first + (last - first) * min(1.0, step / max(steps - 1, 1))


def price(share: Tensor, rise: float, beta: float, target_saving: float | None) -> Tensor:
    """The loss of spending a share of the MACs. rise: 0 to 1, of its weight while a training begins. The rest as in GateRecipe."""
    if target_saving is None:
        return beta * rise * share
    allowed = 1 - target_saving * rise
    return PRESSURE * beta * (share / allowed - 1).clamp(min=0).square()


def make_student(subject: Subject, recipe: GateRecipe, example: Tensor) -> nn.Module:
    """A copy of the network with gates that begin as norm gates of the threshold `recipe.start`. example: (T, 3, h, w), to measure maps on.

    Depthwise layers have none: a gate there would cost a ninth of the layer and more, and what the layers around them skip, they skip, too.
    """

    def select(path: str, module: nn.Module) -> bool:
        return isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not module.groups == module.in_channels > 1

    def gate(module: nn.Module) -> GumbelGate:
        return GumbelGate(block=recipe.block, on_magnitude=True, kernel=1)

    student, _ = convert_modules(subject.teacher, select=select, gate=gate, example=example[:1])
    student.requires_grad_(True)
    scales = _input_scales(subject.teacher, [name for name, _ in skip_layers(student)], example)
    for name, layer in skip_layers(student):
        own = layer.gate
        assert isinstance(own, GumbelGate) and own.weight is not None and own.bias is not None
        gain = recipe.sure / max(recipe.start, 1e-3)
        nn.init.constant_(own.weight, gain / (layer.site.in_channels * max(scales[name], 1e-6)))
        nn.init.constant_(own.bias, -recipe.sure)
    return student


@torch.no_grad()
def _input_scales(net: nn.Module, names: Sequence[str], example: Tensor) -> dict[str, float]:
    """Mean magnitude of the inputs of some layers, over all their calls."""
    found: dict[str, list[float]] = {name: [] for name in names}
    modules = dict(net.named_modules())

    def watch(name: str) -> Callable[..., None]:
        return lambda module, inputs: found[name].append(float(inputs[0].abs().mean()))

    hooks = [modules[name].register_forward_pre_hook(watch(name)) for name in names]
    net(example)
    for hook in hooks:
        hook.remove()
    return {name: sum(values) / max(len(values), 1) for name, values in found.items()}


def gates_of(student: nn.Module) -> list[tuple[str, GumbelGate]]:
    """The learned gates of a student by the path of their layer."""
    return [(name, layer.gate) for name, layer in skip_layers(student) if isinstance(layer.gate, GumbelGate)]


@torch.no_grad()
def keep_bounds(student: nn.Module) -> None:
    """No weight of a gate below 0: a larger change never closes a gate, and what stays closed is bounded by the bias."""
    for _, gate in gates_of(student):
        if gate.weight is not None and gate.bias is not None:
            gate.weight.clamp_(min=0)
            gate.bias.clamp_(max=-1e-3)


class GateExam:
    """Measures a student on held-out pieces, with the hard gates of inference; the first number is the one to make large.

    It is the negative loss: of the distance to the dense network, and of the share of MACs, both as in training.
    """

    def __init__(self, subject: Subject, recipe: GateRecipe, pieces: Sequence[Piece]) -> None:
        self._recipe, self._exam = recipe, ClipExam(subject, pieces)

    def __call__(self, net: nn.Module) -> dict[str, float]:
        distance, share = self._exam.measured(net, lambda cost: (cost.macs + cost.gate_macs)[:, 1:])
        pressure = float(self._recipe.pressure(torch.tensor(share), self._recipe.schedule.steps))
        return {"goal": -distance - pressure, "distance": distance, "share": share}


class Log:
    """A CSV of the training, a row every LOG_EVERY steps; a run that is gone on with drops what it will write again."""

    COLUMNS = ("step", "loss", "task", "share", "open", "temperature")

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        rows: list[list[str]] = []
        if step and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) < step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([list(self.COLUMNS), *rows])

    def add(self, *values: float) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow([f"{value:.6g}" for value in values])


def train_gates(
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
    """Learn gates; returns the path of a preset that uses them. All lies in `folder`: run/, log.csv, NAME.pt, NAME-gates.pt, NAME.yaml.

    learned, held: pieces to learn from and to choose the best weights by. Raises UsageError where `folder` holds a run and resume is not
    set.
    """
    schedule = recipe.schedule
    torch.manual_seed(schedule.seed)
    student = make_student(subject, recipe, subject.example(learned, recipe.size))
    gates = {f"{path}.gate." for path, _ in gates_of(student)}
    own = tuple(path for path, _ in student.named_parameters() if not path.startswith(tuple(gates)))
    frozen = tuple(f"{path}" for path in own) if recipe.gates_only else ()
    schedule = replace(schedule, slow=recipe.weights_rate, slow_prefixes=own, frozen=frozen, weight_decay=0.0)
    trainer = Trainer(student, schedule, folder / "run", resume=resume)
    log = Log(folder / "log.csv", trainer.step)

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        keep_statistics(net)
        keep_bounds(net)
        for _, gate in gates_of(net):
            gate.temperature = recipe.temperature(step)
        rng = np.random.default_rng((schedule.seed, step))
        torch.manual_seed(schedule.seed * 1_000_003 + step)  # of the gates' samples: a run goes on as if never stopped
        clips = [subject.draw(learned, recipe.frames, recipe.size, rng) for _ in range(schedule.batch)]
        x = torch.stack([subject.prepare(clip.images) for clip in clips])
        with torch.no_grad():
            wanted = subject.teacher(x.flatten(0, 1))
        outputs = frames_of(run_clip(net, x))
        task, share = subject.loss(outputs, wanted, clips), sparsity_loss(net)
        loss = task + recipe.pressure(share, step)
        cost = macs(net).total
        opened = float(cost.macs[:, 1:].sum()) / (cost.dense_macs * cost.macs[:, 1:].numel())
        shown = {"task": float(task.detach()), "share": float(share.detach()), "open": opened}
        if step % LOG_EVERY == 0:
            log.add(step, float(loss.detach()), *shown.values(), recipe.temperature(step))
        return loss, shown

    exam = GateExam(subject, recipe, held) if held else None
    grades = improve(trainer, student, loss_of_step, exam, keep_bounds, quiet=quiet, report=report)
    return _write(subject, recipe, student, grades, folder, name)


def improve(
    trainer: Trainer,
    student: nn.Module,
    loss_of_step: LossOfStep,
    exam: Evaluate | None,
    finish: Change | None = None,
    *,
    quiet: bool,
    report: Callable[[str], None],
) -> dict[str, float]:
    """Train, and leave the best that was measured in `student`; returns what was measured of it.

    What the training begins with is measured, too, and stays the best where nothing better comes.
    """
    if exam is not None and trainer.step == 0:
        grades = exam(student)
        trainer.best = grades["goal"]
        trainer.history.append({"step": 0.0, **grades})
        torch.save(student.state_dict(), trainer.folder / "best.pt")
        report("before training: " + ", ".join(f"{key} {value:.4f}" for key, value in grades.items()))
    best = trainer.run(loss_of_step, exam, finish=finish, quiet=quiet)
    student.load_state_dict(torch.load(best, weights_only=True))
    return max(trainer.history, key=lambda row: row["goal"], default={})


def learned_gates_of(student: nn.Module) -> dict[str, LearnedGate]:
    """What the gates of a student ask, for skipvid.convert."""
    learned = {}
    for path, gate in gates_of(student):
        assert gate.weight is not None and gate.bias is not None
        learned[path] = LearnedGate(gate.weight.detach().flatten().clone(), float(gate.bias.detach()), gate.on_magnitude)
    return learned


def _write(subject: Subject, recipe: GateRecipe, student: nn.Module, grades: Mapping[str, float], folder: Path, name: str) -> Path:
    """Weights, gates and the preset that uses them."""
    learned = learned_gates_of(student)
    prefixes = tuple(f"{path}.gate." for path in learned)
    state = {key: value for key, value in student.state_dict().items() if not key.startswith(prefixes)}
    about = {"preset": subject.preset.name, "steps": recipe.schedule.steps, "block": recipe.block, "grades": dict(grades)}
    weights, gate_file, path = folder / f"{name}.pt", folder / f"{name}-gates.pt", folder / f"{name}.yaml"
    digest = export_weights(state, weights, about)
    save_gates(learned, gate_file, about)
    share = f"{grades['share']:.0%} of the MACs on held-out clips" if "share" in grades else "not measured"
    preset = replace(
        subject.preset,
        name=name,
        description=f"{subject.preset.name} with learned gates, {share}",
        weights=os.path.basename(weights),
        sha256=digest,
        gate="gumbel",
        block=recipe.block,
        gate_weights=os.path.basename(gate_file),
        gate_sha256=hashlib.sha256(gate_file.read_bytes()).hexdigest(),
        reference="accumulated",
        thresholds={},
        scales={},
        source=f"learned from clips by skipvid, out of {subject.preset.name}",
    )
    return save_preset(preset, path)


def piece_length(frames: int) -> int:
    """Frames in a row that training clips of so many frames are drawn from, with the largest gap between them."""
    return (frames - 1) * GAPS[-1] + 1
