"""`skipvid train gates`: gates that learn, with the network, what may be skipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, required, setting
from skipvid.cli.settings.training import NAME_HELP, THREADS_HELP, PieceSettings, TaughtSettings
from skipvid.cli.train import check_exist, learn, set_threads
from skipvid.core.errors import UsageError
from skipvid.skip.config import BLOCKS


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainGatesSettings:
    """Settings of `train gates`."""

    clips: tuple[Path, ...] = argument("CLIP...")
    output: Path = required("-o", "--output", metavar="FOLDER", help="Checkpoints, log, weights and preset.")
    taught: TaughtSettings = field(default_factory=TaughtSettings)
    labels: tuple[Path, ...] = setting(
        "--labels",
        default=(),
        metavar="FILE",
        help="Boxes, or keypoints, of a clip, MOT text or COCO JSON: one per clip, in order, - for none.  "
        "[none: the dense network teaches]",
    )
    block: int = setting("--block", default=1, type=click.Choice(BLOCKS), show_default=True, help="Gates open in blocks.")
    beta: float = setting(
        "--beta", default=0.1, type=click.FloatRange(min=0), show_default=True, help="Weight of the share of MACs in the loss."
    )
    target_saving: float | None = setting(
        "--target-saving", default=None, type=click.FloatRange(0, 1), metavar="S", help="Aim at saving this share of the MACs instead."
    )
    form: Literal["threshold", "channels"] = setting(
        "--form",
        default="threshold",
        show_default=True,
        help="What a gate learns: a threshold for its map, or a weight for each channel of a layer's input.",
    )
    gates_only: bool = flag("--gates-only", help="Leave the network's own weights as they are.")
    steps: int = setting("--steps", default=400, type=click.IntRange(min=1), show_default=True, metavar="N", help="Optimiser steps in all.")
    batch: int = setting("--batch", default=2, type=click.IntRange(min=1), show_default=True, metavar="N", help="Clips a step.")
    frames: int = setting(
        "--frames", default=6, type=click.IntRange(min=2), show_default=True, metavar="T", help="Frames of a training clip."
    )
    pieces: PieceSettings = field(default_factory=PieceSettings)
    start: float | None = setting(
        "--start",
        default=None,
        type=click.FloatRange(min=0, min_open=True),
        metavar="TAU",
        help="Threshold to begin around; a preset's thresholds of single maps go with it.  [twice the preset's]",
    )
    rate: float | None = setting(
        "--rate",
        default=None,
        type=click.FloatRange(min=0, min_open=True),
        help="Highest learning rate of the gates.  [0.02 for thresholds, else 0.01]",
    )
    weights_rate: float = setting(
        "--weights-rate",
        default=0.001,
        type=click.FloatRange(min=0, min_open=True),
        show_default=True,
        help="Learning rate of the network's own weights, as a factor on that of the gates.",
    )
    evaluate_every: int = setting(
        "--evaluate-every", default=200, type=click.IntRange(min=1), show_default=True, metavar="N", help="Steps between measurements."
    )
    patience: int = setting(
        "--patience",
        default=0,
        type=click.IntRange(min=0),
        metavar="N",
        help="Stop after N measurements without a new best; 0 = never.",
    )
    seed: int = setting("--seed", default=0, show_default=True, help="Of clips and gates.")
    threads: int | None = setting("--threads", default=None, type=click.IntRange(min=1), metavar="N", help=THREADS_HELP)
    name: str = setting("--name", default="my-gates", show_default=True, help=NAME_HELP)
    offline: bool = flag("--offline", help="Never download; say what is missing and where to put it.")
    resume: bool = flag("--resume", help="Go on with the run in the output folder.")
    quiet: bool = flag("-q", "--quiet", help="Only errors.")

    def __post_init__(self) -> None:
        if self.labels and len(self.labels) != len(self.clips):
            raise UsageError(
                f"{len(self.clips)} clips and {len(self.labels)} --labels", "give one for each clip, in their order, - for none"
            )


@command(TrainGatesSettings)
def gates(settings: TrainGatesSettings) -> None:
    """Learn gates and weights together, from clips of your own camera; labels are not needed.

    \b
    skipvid train gates monday.mp4 tuesday.mp4 --target-saving 0.75 -o my-gates
    skipvid detect wednesday.mp4 --preset my-gates/my-gates.yaml
    skipvid train gates gym.mp4 --preset tinypose_256x192 --weights tinypose.pt -o pose-gates
    """
    set_threads(settings.threads)
    from skipvid.presets.preset import load_preset
    from skipvid.train.gates import GateRecipe, train_gates
    from skipvid.train.levels import train_levels
    from skipvid.train.loop import Schedule

    labels = [None if str(file) == "-" else file for file in settings.labels]
    check_exist(*settings.clips, *labels)
    chosen = load_preset(settings.taught.preset)
    simple = settings.form == "threshold"
    schedule = Schedule(
        settings.steps,
        batch=settings.batch,
        rate=settings.rate or (0.02 if simple else 0.01),
        warmup=min(50, settings.steps // 4 + 1),
        evaluate_every=settings.evaluate_every,
        patience=settings.patience,
        seed=settings.seed,
    )
    recipe = GateRecipe(
        schedule,
        settings.frames,
        settings.pieces.crop,
        settings.block,
        settings.beta,
        settings.target_saving,
        start=settings.start or (2 * chosen.threshold or 0.06 if simple else 0.03),
        gates_only=settings.gates_only,
        weights_rate=settings.weights_rate,
    )
    learn(settings, chosen, partial(train_levels if simple else train_gates, recipe=recipe), labels)
