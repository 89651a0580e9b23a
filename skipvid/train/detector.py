"""Training a small detector, from a mix of labelled and teacher-labelled pictures to a weights file and a preset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.models import build_model, load_weights
from skipvid.models.efficientdet import CONFIGS
from skipvid.models.networks.efficientdet import EfficientDet
from skipvid.train.augment import AugmentConfig, BatchMaker
from skipvid.train.imagenet import normalise
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.losses import LossConfig, detection_loss
from skipvid.train.measure import Exam, Examiner
from skipvid.train.norms import settle_norms
from skipvid.train.predict import cached_anchors, fit_into, padded_size
from skipvid.train.samples import CATEGORIES, CLASS_COUNT, Sample
from skipvid.train.ship import Trained, ship, write_preset
from skipvid.train.transplant import read_lcnet, transplant


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained, and on what size of pictures."""

    schedule: Schedule
    network: str = "efficientdet-nano"  # an EfficientDet; it gets six classes
    crops: tuple[int, ...] = (320,)  # sides of training pictures, one after the other, multiples of 32
    longest: int = 512  # longer side of the input in use and in measuring, pixels
    settle_batches: int = 12  # of whole pictures, on which BatchNorm statistics are measured
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if self.schedule.batch < 2:
            raise UsageError("a batch of one picture has no statistics on the coarsest maps", "train on 2 pictures a step or more")


def train_detector(
    recipe: Recipe,
    samples: Sequence[Sample],
    exams: Sequence[Exam],
    folder: Path,
    *,
    shares: Mapping[str, float] | None = None,
    start: Path | None = None,
    backbone: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train, choosing the weights with the best mean AP50 on `exams` (the last ones without exams), and write `weights.pt`.

    shares: how often each source of samples is drawn; None = every sample alike. start: weights to begin with. backbone: instead of
    these, a PicoDet-LCNet file in OpenVINO's IR whose backbone is transplanted (efficientdet-nano only). With neither, random weights.
    folder: where checkpoints go; a run in it is gone on with if resume is set.
    Raises UsageError for options that do not fit together, WeightsError for unfit files, OutputError where the folder cannot be written.
    """
    if recipe.network not in CONFIGS:
        raise UsageError(f"'{recipe.network}' is no EfficientDet", f"known: {', '.join(CONFIGS)}")
    if start is not None and backbone is not None:
        raise UsageError("both weights and a backbone to start from were given", "give one of them")
    schedule, scale = recipe.schedule, CONFIGS[recipe.network].anchor_scale
    maker = BatchMaker(samples, recipe.augment, shares)
    torch.manual_seed(schedule.seed)
    net = build_model(recipe.network, num_classes=CLASS_COUNT)
    assert isinstance(net, EfficientDet)
    if start is not None:
        load_weights(net, start)
    if backbone is not None:
        transplant(read_lcnet(backbone), net.backbone, normalise(maker.batch(48, 320, seed=schedule.seed, step=schedule.steps).images))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        size = recipe.crops[step % len(recipe.crops)]
        batch = maker.batch(schedule.batch, size, seed=schedule.seed, step=step)
        class_levels, box_levels = net(normalise(batch.images))
        loss = detection_loss(
            class_levels, box_levels, cached_anchors((size, size), scale), batch.targets, torch.from_numpy(batch.known), recipe.loss
        )
        return loss.total, {"score": float(loss.score.detach()), "box": float(loss.box.detach())}

    def settle(net: nn.Module) -> None:
        count = schedule.batch
        pictures = maker.pictures(count * recipe.settle_batches, seed=schedule.seed, step=schedule.steps)
        # As in use, where every picture has the same input; a coarse map of another shape has other statistics.
        size = Counter(padded_size(image.shape[:2], recipe.longest) for image in pictures).most_common(1)[0][0]
        batches = (pictures[begin : begin + count] for begin in range(0, len(pictures), count))
        settle_norms(net, (normalise(np.stack([fit_into(image, size) for image in batch])) for batch in batches), keep=schedule.frozen)

    trainer = Trainer(net, schedule, folder, resume=resume)
    examiner = Examiner(exams, longest=recipe.longest, anchor_scale=scale) if exams else None
    best = trainer.run(loss_of_step, examiner, settle=settle, quiet=quiet)
    return ship(trainer, best, "AP50", {"network": recipe.network, "crops": list(recipe.crops)})


def write_detector_preset(trained: Trained, recipe: Recipe, path: Path, *, source: str) -> Path:
    """A preset file that uses the trained weights, by a path relative to it. Raises OutputError."""
    return write_preset(
        trained,
        path,
        task="detect",
        network=recipe.network,
        labels=tuple(CATEGORIES.values()),
        image_size=recipe.longest,
        threshold=0.03,
        measure="AP50",
        source=source,
    )
