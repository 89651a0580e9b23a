"""`skipvid train adaptive`: as many channels as frames need, learned without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, required, setting
from skipvid.cli.settings.training import NAME_HELP, THREADS_HELP, PieceSettings, TaughtSettings
from skipvid.cli.train import check_exist, finish, open_pieces, say, set_threads


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
        help="What a policy decides about: all layers of each frame, also in use; or one layer, which keeps the ratio chosen most.",
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
    rate: float = setting(
        "--rate",
        default=0.002,
        type=click.FloatRange(min=0, min_open=True),
        show_default=True,
        help="Highest learning rate, of policies and cheap operations.",
    )
    weights_rate: float = setting(
        "--weights-rate",
        default=0.05,
        type=click.FloatRange(min=0, min_open=True),
        show_default=True,
        help="Learning rate of the network's own weights, as a factor on that.",
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

    check_exist(*settings.clips)
    chosen = load_preset(settings.taught.preset)
    schedule = Schedule(
        settings.steps,
        batch=settings.batch,
        rate=settings.rate,
        warmup=min(50, settings.steps // 4 + 1),
        evaluate_every=settings.evaluate_every,
        seed=settings.seed,
    )
    recipe = AdaptiveRecipe(
        schedule,
        settings.frames,
        settings.pieces.crop,
        settings.beta,
        settings.target_saving,
        policy_share=settings.policy_share,
        weights_rate=settings.weights_rate,
        per_frame=settings.form == "frames",
    )
    subject, learned, held = open_pieces(settings, chosen)
    written = train_adaptive(
        subject,
        recipe,
        learned,
        held,
        settings.output,
        name=settings.name,
        resume=settings.resume,
        quiet=settings.quiet,
        report=say(settings.quiet),
    )
    finish(written, settings.quiet, chosen.task)
