"""The training loop: AdamW, warm-up and cosine, an exponential moving average, checkpoints from which a run goes on as if never stopped.

A network that trains on the statistics of its own batches knows more than it will know in use. On the coarsest maps of a detector, where a
picture has a handful of values, a batch of a few pictures tells them apart by those statistics alone, and what was learned breaks down with
any other ones: of ten seeds two passed (tests/train/test_detector.py, and benchmarks/training_seeds.py). So the last part of a training
runs on statistics that are measured once and kept, which are those of use (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021,
section 3.3).
"""

from __future__ import annotations

import copy
import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from skipvid.core import interrupts
from skipvid.core.errors import OutputError, UsageError, WeightsError
from skipvid.core.files import PartFile

STEPS_A_LINE = 50
"""Steps between lines of progress where stderr is no terminal."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. Frozen parts are not trained at all, their BatchNorms keep their statistics."""

    steps: int  # of the optimiser, in all
    batch: int = 16  # pictures a step; below 16, PyTorch leaves oneDNN for a slower way on one thread
    rate: float = 2e-3
    final_rate: float = 0.02  # of `rate`
    warmup: int = 150  # steps
    weight_decay: float = 0.02
    slow: float = 1.0  # factor on the rate of parameters with these prefixes: a pretrained backbone
    slow_prefixes: tuple[str, ...] = ("backbone.",)
    frozen: tuple[str, ...] = ()  # prefixes of parts that are not trained
    clip: float = 10.0  # norm of the gradient
    average: float = 0.998  # of the moving average, reached after a ramp
    fixed_norms: float = 0.4  # share of the steps, the last ones, on BatchNorm statistics that stay as they were measured at its begin
    evaluate_every: int = 500
    checkpoint_every: int = 100
    patience: int = 0  # stop after so many evaluations without a new best; 0 = never
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.evaluate_every < 1 or self.checkpoint_every < 1:
            raise UsageError("steps, batch, evaluate_every and checkpoint_every must be at least 1")
        if not 0 <= self.fixed_norms <= 1:
            raise UsageError(f"fixed_norms is {self.fixed_norms}", "it must be a share between 0 and 1")

    @property
    def fixed_from(self) -> int:
        """The first step on fixed statistics (0-based); `steps` where there is none."""
        return self.steps - int(self.steps * self.fixed_norms)

    def factor(self, step: int) -> float:
        """What `rate` is multiplied with at a step (0-based)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Average:
    """An exponential moving average of a network's parameters and buffers; early on it forgets faster, so that it never lags far behind."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)


LossOfStep = Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]]
"""(network, step) -> the loss of the step's batch, and numbers to show."""


Change = Callable[[nn.Module], None]
"""Changes a network in place."""


class Evaluate(Protocol):
    """Measures the averaged network on held-out pictures: the first number decides which weights are the best ones, higher is better."""

    def __call__(self, net: nn.Module) -> dict[str, float]: ...


class Trainer:
    """Trains `net` in `folder`, which keeps `checkpoint.pt` (everything), `best.pt` and `last.pt` (state dicts of the averaged network).

    A folder with a checkpoint is gone on with if resume is set; the schedule must be the one that it was begun with.
    Raises OutputError where the folder cannot be written, UsageError where it holds a run and resume is not set.
    """

    def __init__(self, net: nn.Module, schedule: Schedule, folder: Path, *, resume: bool = False) -> None:
        self.net, self.schedule, self.folder = net, schedule, folder
        self.step, self.best, self.stale = 0, -math.inf, 0
        self.history: list[dict[str, float]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {folder}: {error.strerror}", "choose another one") from error
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(not name.startswith(schedule.frozen))
        trained = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
        slow = [p for name, p in trained if name.startswith(schedule.slow_prefixes)]
        rest = [p for name, p in trained if not name.startswith(schedule.slow_prefixes)]
        groups = []
        for parameters, scale in ((slow, schedule.slow), (rest, 1.0)):
            # Norms, biases and fusion weights have one dimension; decay would pull them to zero for nothing.
            groups.append({"params": [p for p in parameters if p.ndim > 1], "scale": scale, "weight_decay": schedule.weight_decay})
            groups.append({"params": [p for p in parameters if p.ndim <= 1], "scale": scale, "weight_decay": 0.0})
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=schedule.rate)
        self.average = Average(net, schedule.average)
        if self.checkpoint.exists():
            if not resume:
                raise UsageError(f"{folder} already holds a run", "give --resume to go on with it, or another folder")
            self._load()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def run(
        self,
        loss_of_step: LossOfStep,
        evaluate: Evaluate | None = None,
        *,
        finish: Change | None = None,
        settle: Change | None = None,
        quiet: bool = False,
    ) -> Path:
        """Train to the end; returns the path of the best weights (the last ones without an evaluation). Ctrl-C leaves a checkpoint.

        finish: what turns a copy of the averaged network into the one to use, before it is measured or written to best.pt and last.pt.
        settle: measures a network's BatchNorm statistics. It is called once where the steps on fixed statistics begin; what is measured or
        written before that gets statistics of its own. None: loss_of_step sees to the statistics.
        """
        schedule = self.schedule
        try:
            silent = quiet or not sys.stderr.isatty()  # no progress bars in log files: lines there
            with tqdm(total=schedule.steps, initial=self.step, unit="step", disable=silent, mininterval=2.0) as bar:
                while self.step < schedule.steps and not (schedule.patience and self.stale >= schedule.patience):
                    with interrupts.deferred():  # half a step is not to be kept
                        losses = self._advance(loss_of_step, settle)
                    interrupts.check()
                    bar.set_postfix(losses, refresh=False)
                    bar.update()
                    done = self.step == schedule.steps
                    if silent and not quiet and (done or self.step % STEPS_A_LINE == 0):
                        parts = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
                        print(f"step {self.step} of {schedule.steps}: {parts}", file=sys.stderr, flush=True)
                    if evaluate is not None and (done or self.step % schedule.evaluate_every == 0):
                        self._judge(evaluate, finish, settle)
                        tqdm.write(f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in self.history[-1].items() if k != "step"))
                    if done or self.step % schedule.checkpoint_every == 0:
                        self.save()
        except KeyboardInterrupt:
            with interrupts.shielded():
                self.save()
            raise
        self.save()
        best, last = self.folder / "best.pt", self.folder / "last.pt"
        _write(self._finished(finish, settle).state_dict(), last)
        return best if best.exists() else last

    def _advance(self, loss_of_step: LossOfStep, settle: Change | None) -> dict[str, float]:
        schedule = self.schedule
        if settle is not None and self.step == schedule.fixed_from:
            settle(self.average.net)
            self.net.load_state_dict(self.average.net.state_dict())
        fixed = settle is not None and self.step >= schedule.fixed_from
        self.net.train()
        for name, module in self.net.named_modules():
            if f"{name}.".startswith(schedule.frozen) or (fixed and isinstance(module, nn.BatchNorm2d)):
                module.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate * group["scale"] * schedule.factor(self.step)
        loss, shown = loss_of_step(self.net, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), schedule.clip)
        if math.isfinite(float(norm)):
            self.optimizer.step()
            self.average.update(self.net, self.step)
        self.step += 1
        return {"loss": round(float(loss.detach()), 3), **{name: round(value, 3) for name, value in shown.items()}}

    def _finished(self, finish: Change | None, settle: Change | None) -> nn.Module:
        net = copy.deepcopy(self.average.net)
        if settle is not None and self.step <= self.schedule.fixed_from:
            settle(net)
        if finish is not None:
            finish(net)
        return net.eval()

    def _judge(self, evaluate: Evaluate, finish: Change | None, settle: Change | None) -> None:
        net = self._finished(finish, settle)
        result = evaluate(net)
        self.history.append({"step": float(self.step), **result})
        goal = next(iter(result.values()))
        if goal > self.best:
            self.best, self.stale = goal, 0
            _write(net.state_dict(), self.folder / "best.pt")
        else:
            self.stale += 1

    def save(self) -> None:
        """Write `checkpoint.pt`."""
        state: dict[str, Any] = {
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": asdict(self.schedule),
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "history": self.history,
        }
        _write(state, self.checkpoint)

    def _load(self) -> None:
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
            if dict(state["schedule"]) != asdict(self.schedule):
                raise UsageError(f"{self.checkpoint} was begun with another schedule", "resume with the options it was begun with")
            self.net.load_state_dict(state["net"])
            self.average.net.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise WeightsError(
                f"cannot resume from {self.checkpoint}: {type(error).__name__}", "it is damaged or of another network"
            ) from error
        self.step, self.best, self.stale, self.history = state["step"], state["best"], state["stale"], state["history"]


def _write(state: dict[str, Any], path: Path) -> None:
    file = PartFile(path)
    try:
        torch.save(state, file.part)
        file.commit()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}", "check the folder and the space left") from error
    finally:
        file.discard()
