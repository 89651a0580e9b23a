"""Training a small pose network, from labelled persons and persons that a teacher labelled to a weights file and a preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.models import build_model, load_weights
from skipvid.models.hrnet import CONFIGS
from skipvid.models.networks.hrnet import BasicBlock, Bottleneck, HRNet
from skipvid.train.imagenet import normalise
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.norms import settle_norms
from skipvid.train.oks import grade_people
from skipvid.train.people import Person
from skipvid.train.pose_augment import PersonBatches, PoseAugment
from skipvid.train.pose_teacher import heat_of
from skipvid.train.ship import Trained, ship, write_preset

NEAR = 4.0
"""How much more a pixel at a joint counts than one of the dark: with equal weights a small network first learns that all is dark."""

SETTLE_BATCHES = 12
"""Batches on which BatchNorm statistics are measured."""


@dataclass(frozen=True, slots=True)
class PoseRecipe:
    """What is trained, and on what size of windows.

    near: in place of NEAR.
    half_precision: convolutions in bfloat16, where the processor has instructions for it, as fast again; None = where it has.
    """

    schedule: Schedule
    network: str = "hrnet-nano"
    input_size: tuple[int, int] = (256, 192)
    near: float = NEAR
    half_precision: bool | None = None
    augment: PoseAugment = field(default_factory=PoseAugment)

    def __post_init__(self) -> None:
        if self.network not in CONFIGS:
            raise UsageError(f"'{self.network}' is no HRNet", f"known: {', '.join(CONFIGS)}")
        if any(side < 64 or side % 32 for side in self.input_size):
            raise UsageError(
                f"an input of {self.input_size[0]}x{self.input_size[1]} does not fit", "its sides must be multiples of 32 from 64 on"
            )


def begin(net: HRNet) -> None:
    """Random weights from which training is quick: He's for ReLU, and blocks that at first return what they were given."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in net.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)
    nn.init.normal_(net.final_layer.weight, std=0.01)


def heat_loss(found: Tensor, wanted: Tensor, known: Tensor, near: float) -> Tensor:
    """found, wanted: (N, J, h, w). known: (N, J) bool. Squared error, near joints counted more, over the same of a dark map: 1 for one."""
    weight = (1 + near * wanted) * known[..., None, None]
    return (weight * (found - wanted) ** 2).sum() / (weight * wanted**2).sum().clamp(min=1e-6)


def train_pose(
    recipe: PoseRecipe,
    people: Sequence[Person],
    held: Sequence[Person],
    folder: Path,
    *,
    shares: Mapping[str, float] | None = None,
    start: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train, choosing the weights with the best mean OKS on `held` (the last ones without any), and write `weights.pt`.

    shares: how often each source of persons is drawn; None = every person alike. start: weights to begin with, else random ones.
    folder: where checkpoints go; a run in it is gone on with if resume is set.
    Raises UsageError for options that do not fit together, WeightsError for unfit files, OutputError where the folder cannot be written.
    """
    schedule, size = recipe.schedule, recipe.input_size
    maker = PersonBatches(people, recipe.augment, shares)
    torch.manual_seed(schedule.seed)
    net = build_model(recipe.network)
    assert isinstance(net, HRNet)
    if start is not None:
        load_weights(net, start)
    else:
        begin(net)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = torch.ops.mkldnn._is_mkldnn_bf16_supported() if recipe.half_precision is None else recipe.half_precision

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        batch = maker.batch(schedule.batch, size, seed=schedule.seed, step=step)
        images = normalise(batch.images)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = net(images)
        return heat_loss(found.float(), torch.from_numpy(batch.heat), torch.from_numpy(batch.known), recipe.near), {}

    def settle(net: nn.Module) -> None:
        numbers = range(schedule.steps, schedule.steps + SETTLE_BATCHES)
        batches = (maker.batch(schedule.batch, size, seed=schedule.seed, step=number).images for number in numbers)
        settle_norms(net, (normalise(batch) for batch in batches), keep=schedule.frozen)

    def evaluate(net: nn.Module) -> dict[str, float]:
        return grade_people(held, heat_of(net), size)

    trainer = Trainer(net, schedule, folder, resume=resume)
    best = trainer.run(loss_of_step, evaluate if held else None, settle=settle, quiet=quiet)
    return ship(trainer, best, "OKS", {"network": recipe.network, "input": list(size)})


def write_pose_preset(trained: Trained, recipe: PoseRecipe, path: Path, *, source: str) -> Path:
    """A preset file that uses the trained weights, by a path relative to it. Raises OutputError."""
    return write_preset(
        trained,
        path,
        task="pose",
        network=recipe.network,
        labels=COCO_KEYPOINTS,
        image_size=recipe.input_size,
        threshold=0.06,
        measure="OKS",
        source=source,
    )
