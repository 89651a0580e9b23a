"""Learning a network at several widths, and which of them a frame needs: on clips, from a preset to a preset (VA-RED²).

Pan et al., "VA-RED²: Video Adaptive Redundancy Reduction" (ICLR 2021), decide from the input how many channels to compute. Here a choice is
made for each frame, so that a frame runs an ordinary network. Each width begins in a closed form (skipvid.train.channel_cut) and is then
taught by the full network, without labels. The policy comes last: how far each width is from the full network is known of every frame
then, so that the expected loss has a gradient of its own and nothing has to be drawn at random. Weights are not shared by the widths, as
the paper has it: what one has to make up for, the others have not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.core.ratios import STEP, RatioPolicy, frame_features
from skipvid.train.adaptive_order import inner_chains
from skipvid.train.channel_cut import cut_network
from skipvid.train.clips import Piece
from skipvid.train.frame_policy import choose_policy
from skipvid.train.gates import improve
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.maps import Maps
from skipvid.train.norms import keep_statistics
from skipvid.train.ship import export_weights, write_narrowed_preset
from skipvid.train.subjects import Subject

EXAMPLES = (6, 8)
"""Batches, and pictures in each, that a network is cut to fit."""

POLICY_FRAMES = 120
"""Frames that a policy is fitted to, at most."""


@dataclass(frozen=True, slots=True)
class WidthRecipe:
    """How widths are learned.

    schedule: of all widths together; its batch counts pictures. ratios: of the channels inside blocks, below 1 and falling. size: side of
    a detector's window, pixels. target_saving: share of the network's MACs that the policy saves on the clips; None: beta times the share
    of MACs is added to the distance that it makes small. maps: weight of the distance of the blocks' maps to the full network's, beside
    that of the results.
    """

    schedule: Schedule
    ratios: tuple[float, ...] = (0.75, 0.5)
    size: int = 256
    beta: float = 0.1
    target_saving: float | None = None
    maps: float = 0.1

    def __post_init__(self) -> None:
        if not self.ratios or any(not 0 < low < high for high, low in zip((1.0, *self.ratios), self.ratios, strict=False)):
            raise UsageError(f"ratios is {self.ratios}", "give shares of the channels below 1, falling, e.g. (0.75, 0.5)")
        if self.target_saving is not None and not 0 < self.target_saving < 1:
            raise UsageError(f"the saving aimed at is {self.target_saving}", "it must be a share between 0 and 1, e.g. 0.3")
        if self.schedule.steps < len(self.ratios):
            raise UsageError(f"{self.schedule.steps} steps are too few", f"each of {len(self.ratios)} widths needs one")

    def part(self, number: int) -> Schedule:
        """Of one of the widths."""
        steps = self.schedule.steps * (number + 1) // len(self.ratios) - self.schedule.steps * number // len(self.ratios)
        return replace(
            self.schedule, steps=steps, warmup=min(self.schedule.warmup, steps // 4 + 1), weight_decay=0.0, average=0.98, slow_prefixes=()
        )


def train_widths(
    subject: Subject,
    recipe: WidthRecipe,
    learned: Sequence[Piece],
    held: Sequence[Piece],
    folder: Path,
    *,
    name: str,
    resume: bool = False,
    quiet: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learn widths and policy; returns the path of a preset that has them.

    All lies in `folder`: width-0.5/ (the run) of each ratio, NAME.pt, NAME.yaml. learned, held: pieces to learn from, and to choose the
    best weights by; the policy is fitted to the first, to frames that follow others where there are any. Raises UsageError where the
    network has no blocks that can be cut, and where `folder` holds a run and resume is not set.
    """
    dense = subject.teacher
    torch.manual_seed(recipe.schedule.seed)
    rng = np.random.default_rng(recipe.schedule.seed)
    examples = [_pictures(subject, learned, EXAMPLES[1], recipe.size, rng) for _ in range(EXAMPLES[0])]
    nets, grades = [], {}
    for number, ratio in enumerate(recipe.ratios):
        net = cut_network(dense, ratio, examples)
        run = folder / f"width-{ratio:g}"
        grades[f"distance at {ratio:g}"] = _teach(
            subject, recipe, net, recipe.part(number), learned, held, run, resume=resume, quiet=quiet, report=report
        )
        nets.append(net.eval().requires_grad_(False))
    shares = [1.0, *(_macs(net, examples[0][:1]) / _macs(dense, examples[0][:1]) for net in nets)]
    features, distances = frame_table(subject, [dense, *nets], [piece for piece in learned if len(piece.frames) > 1] or learned)
    policy = choose_policy(features, distances, shares, recipe.beta, recipe.target_saving)
    taken = np.array([policy.logits(row).argmax() for row in features])
    ratios = (1.0, *recipe.ratios)
    report("frames: " + ", ".join(f"{(taken == number).sum()} at {ratio:g}" for number, ratio in enumerate(ratios)))
    grades["share"] = float(np.mean(np.array(shares)[taken]))
    digest = export_weights(
        dense.state_dict(),
        folder / f"{name}.pt",
        {"preset": subject.preset.name, "steps": recipe.schedule.steps, "grades": grades},
        narrower(dense, nets, recipe.ratios, policy),
    )
    what = f"a width for each frame, {grades['share']:.0%} of the MACs before gates"
    return write_narrowed_preset(subject.preset, what, folder, name, digest)


def narrower(dense: nn.Module, nets: Sequence[nn.Module], ratios: Sequence[float], policy: RatioPolicy) -> dict[str, Any]:
    """What skipvid.models.widths reads beside the weights of the full network."""
    full = dense.state_dict()
    return {
        "ratios": list(ratios),
        "adds": [
            {key: value for key, value in net.state_dict().items() if value.shape != full[key].shape or not torch.equal(value, full[key])}
            for net in nets
        ],
        "without": [[] for _ in nets],
        "policy": {part: torch.from_numpy(getattr(policy, part)) for part in RatioPolicy.__slots__},
    }


def _pictures(subject: Subject, pieces: Sequence[Piece], count: int, size: int, rng: np.random.Generator) -> Tensor:
    return torch.cat([subject.prepare(subject.draw(pieces, 1, size, rng).images) for _ in range(count)])


def _teach(
    subject: Subject,
    recipe: WidthRecipe,
    net: nn.Module,
    schedule: Schedule,
    learned: Sequence[Piece],
    held: Sequence[Piece],
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
    report: Callable[[str], None],
) -> float:
    """Leaves the best weights in the network; returns their distance to the full one on what is held out, NaN where nothing is."""
    trainer = Trainer(net.requires_grad_(True), schedule, folder, resume=resume)
    found = list(inner_chains(net))
    # A head's layer in the middle is both, and its outputs are other channels than the full network's.
    readers = sorted({chain.reader for chain in found} - {chain.writer for chain in found})

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        keep_statistics(net)
        rng = np.random.default_rng((schedule.seed, step))
        clips = [subject.draw(learned, 1, recipe.size, rng) for _ in range(schedule.batch)]
        x = torch.cat([subject.prepare(clip.images) for clip in clips])
        with torch.no_grad(), Maps(subject.teacher, readers) as wanted_maps:
            wanted = subject.teacher(x)
        with Maps(net, readers) as maps:
            outputs = net(x)
        task, apart = subject.loss(outputs, wanted, clips), maps.distance(wanted_maps)
        return task + recipe.maps * apart, {"task": float(task.detach()), "maps": float(apart.detach())}

    exam = WidthExam(subject, held) if held else None
    return improve(trainer, net, loss_of_step, exam, quiet=quiet, report=report).get("distance", float("nan"))


class WidthExam:
    """Measures a width on held-out pieces; the first number is the one to make large: the negative distance to the full network."""

    def __init__(self, subject: Subject, pieces: Sequence[Piece]) -> None:
        self._subject, self._clips = subject, subject.exam(pieces)
        with torch.no_grad():
            self._wanted = [subject.teacher(clip) for clip in self._clips]

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> dict[str, float]:
        net.eval()
        pairs = zip(self._clips, self._wanted, strict=True)
        distance = float(np.mean([float(self._subject.distance(net(clip), wanted)) for clip, wanted in pairs]))
        return {"goal": -distance, "distance": distance}


@torch.no_grad()
def frame_table(subject: Subject, nets: Sequence[nn.Module], pieces: Sequence[Piece]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of POLICY_FRAMES frames of the pieces, at most: what a policy sees, (n, F), and how far each network is from the first, (n, K)."""
    clips = subject.exam(pieces)
    every = max(1, -(-sum(map(len, clips)) // POLICY_FRAMES))
    features, distances = [], []
    for clip in clips:
        samples = clip[..., ::STEP, ::STEP].float().numpy(force=True)
        for t in range(0, len(clip), every):
            features.append(frame_features(samples[t], samples[t - 1] if t else None))
            wanted, *others = (net(clip[t : t + 1]) for net in nets)
            distances.append([0.0, *(float(subject.distance(found, wanted)) for found in others)])
    return np.array(features, np.float32), np.array(distances, np.float32)


@torch.no_grad()
def _macs(net: nn.Module, x: Tensor) -> int:
    """Of its convolutions."""
    spent = []

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        spent.append(module.weight.numel() * output.shape[2] * output.shape[3])

    hooks = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, nn.Conv2d)]
    net(x)
    for hook in hooks:
        hook.remove()
    return sum(spent)
