"""`skipvid train adaptive`: as many channels as frames need, learned without labels."""

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

WIDTHS_RATE = 2e-5
"""A cut network is near its teacher: a single step of 3e-4 on all weights took the detector's distance from 0.07 to 1.8."""

LAYERS_RATE = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAdaptiveSettings:
    """Settings of `train adaptive`."""

    clips: tuple[Path, ...] = argument("CLIP...")
    output: Path = required("-o", "--output", metavar="FOLDER", help="Checkpoints, logs, weights and preset.")
    taught: TaughtSettings = field(default_factory=TaughtSettings)
    target_saving: float | None = setting(
        "--target-saving", default=None, type=click.FloatRange(0, 1), metavar="S", help="Aim at saving this share of the network's MACs."
    )
    beta: float = setting(
        "--beta", default=0.1, type=click.FloatRange(min=0), show_default=True, help="Weight of the share of MACs in the loss."
    )
    steps: int = setting("--steps", default=600, type=click.IntRange(min=2), show_default=True, metavar="N", help="Optimiser steps in all.")
    form: Literal["frames", "layers"] = setting(
        "--form",
        default="frames",
        show_default=True,
        help="What a policy decides about: the width for each frame, also in use; or one layer, which keeps the ratio chosen most.",
    )
    policy_share: float = setting(
        "--policy-share",
        default=0.5,
        type=click.FloatRange(0, 1),
        show_default=True,
        help="For layers: share of the steps in which policies learn; in the others each layer keeps its ratio.",
    )
    batch: int = setting("--batch", default=2, type=click.IntRange(min=1), show_default=True, metavar="N", help="Clips a step.")
    frames: int = setting(
        "--frames", default=3, type=click.IntRange(min=1), show_default=True, metavar="T", help="Frames of a training clip."
    )
    pieces: PieceSettings = field(default_factory=PieceSettings)
    rate: float | None = setting(
        "--rate",
        default=None,
        type=click.FloatRange(min=0, min_open=True),
        help=f"Highest learning rate; of the weights for frames ({WIDTHS_RATE:g}), of policies for layers ({LAYERS_RATE:g}).",
    )
    weights_rate: float = setting(
        "--weights-rate",
        default=0.05,
        type=click.FloatRange(min=0, min_open=True),
        show_default=True,
        help="For layers: learning rate of the network's own weights, as a factor on that.",
    )
    evaluate_every: int = setting(
        "--evaluate-every", default=200, type=click.IntRange(min=1), show_default=True, metavar="N", help="Steps between measurements."
    )
    seed: int = setting("--seed", default=0, show_default=True, help="Of clips and policies.")
    threads: int | None = setting("--threads", default=None, type=click.IntRange(min=1), metavar="N", help=THREADS_HELP)
    name: str = setting("--name", default="my-adaptive", show_default=True, help=NAME_HELP)
    offline: bool = flag("--offline", help="Never download; say what is missing and where to put it.")
    resume: bool = flag("--resume", help="Go on with the run in the output folder.")
    quiet: bool = flag("-q", "--quiet", help="Only errors.")


@command(TrainAdaptiveSettings)
def adaptive(settings: TrainAdaptiveSettings) -> None:
    """Learn how many channels frames of your own camera need; the dense network teaches, labels are not needed.

    \b
    skipvid train adaptive monday.mp4 tuesday.mp4 --target-saving 0.25 -o narrow
    skipvid detect wednesday.mp4 --preset narrow/my-adaptive.yaml
    skipvid train adaptive gym.mp4 --preset hrnet-nano -o narrow-pose
    """
    set_threads(settings.threads)
    from skipvid.presets.preset import load_preset
    from skipvid.train.adaptive import AdaptiveRecipe, train_adaptive
    from skipvid.train.loop import Schedule
    from skipvid.train.widths import WidthRecipe, train_widths

    check_exist(*settings.clips)
    chosen = load_preset(settings.taught.preset)
    frames = settings.form == "frames"
    schedule = Schedule(
        settings.steps,
        batch=settings.batch * settings.frames if frames else settings.batch,
        rate=settings.rate or (WIDTHS_RATE if frames else LAYERS_RATE),
        warmup=min(50, settings.steps // 4 + 1),
        evaluate_every=settings.evaluate_every,
        seed=settings.seed,
    )
    size, beta, saving = settings.pieces.crop, settings.beta, settings.target_saving
    if frames:
        widths = WidthRecipe(schedule, size=size, beta=beta, target_saving=saving)
        return learn(settings, chosen, partial(train_widths, recipe=widths))
    layers = AdaptiveRecipe(
        schedule, settings.frames, size, beta, saving, policy_share=settings.policy_share, weights_rate=settings.weights_rate
    )
    return learn(settings, chosen, partial(train_adaptive, recipe=layers))
