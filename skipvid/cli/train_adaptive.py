"""`skipvid train adaptive`: as many channels as clips need, learned without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import argument, flag, required, setting
from skipvid.cli.settings.training import NAME_HELP, THREADS_HELP
from skipvid.cli.train import finish, say, set_threads
from skipvid.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAdaptiveSettings:
    """Settings of `train adaptive`."""

    clips: tuple[Path, ...] = argument("CLIP...")
    output: Path = required("-o", "--output", metavar="FOLDER", help="Checkpoints, logs, weights and preset.")
    preset: str = setting(
        "--preset",
        default="efficientdet-nano",
        show_default=True,
        metavar="NAME|FILE",
        help="Network to begin with: an EfficientDet or an HRNet.",
    )
    weights: str | None = setting("--weights", default=None, metavar="FILE", help="Load this file instead of the preset's weights.")
    target_saving: float | None = setting(
        "--target-saving", default=None, type=click.FloatRange(0, 1), metavar="S", help="Aim at saving this share of the network's MACs."
    )
    beta: float = setting(
        "--beta", default=0.1, type=click.FloatRange(min=0), show_default=True, help="Weight of the share of MACs in the loss."
    )
    steps: int = setting("--steps", default=600, type=click.IntRange(min=2), show_default=True, metavar="N", help="Optimiser steps in all.")
    policy_share: float = setting(
        "--policy-share",
        default=0.5,
        type=click.FloatRange(0, 1),
        show_default=True,
        help="Share of the steps in which policies learn; in the others each layer keeps the ratio that its policy chose most.",
    )
    batch: int = setting("--batch", default=2, type=click.IntRange(min=1), show_default=True, metavar="N", help="Clips a step.")
    frames: int = setting(
        "--frames", default=3, type=click.IntRange(min=1), show_default=True, metavar="T", help="Frames of a training clip."
    )
    crop: int = setting(
        "--crop", default=256, type=click.IntRange(min=64), show_default=True, metavar="PX", help="Side of a training clip's window."
    )
    most_frames: int = setting(
        "--most-frames", default=1200, type=click.IntRange(min=1), show_default=True, metavar="N", help="Frames to keep of all clips."
    )
    held_out: float = setting(
        "--held-out", default=0.2, type=click.FloatRange(0, 0.9), show_default=True, help="Last part of each clip, to measure on."
    )
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

    def __post_init__(self) -> None:
        if self.crop % 32:
            raise UsageError(f"--crop {self.crop} must be a multiple of 32", "for example 256")


@command(TrainAdaptiveSettings)
def adaptive(settings: TrainAdaptiveSettings) -> None:
    """Learn how many channels each layer needs on clips of your own camera; the dense network teaches, labels are not needed.

    \b
    skipvid train adaptive monday.mp4 tuesday.mp4 --target-saving 0.25 -o narrow
    skipvid detect wednesday.mp4 --preset narrow/my-adaptive.yaml
    skipvid train adaptive gym.mp4 --preset hrnet-nano -o narrow-pose
    """
    set_threads(settings.threads)
    from skipvid.presets.preset import load_preset
    from skipvid.presets.weights import movable, resolve_weights
    from skipvid.train.adaptive import AdaptiveRecipe, train_adaptive
    from skipvid.train.clips import cut_pieces, split_pieces
    from skipvid.train.gates import piece_length
    from skipvid.train.loop import Schedule
    from skipvid.train.open_subject import open_subject

    for path in settings.clips:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    chosen = load_preset(settings.preset)
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
        settings.crop,
        settings.beta,
        settings.target_saving,
        policy_share=settings.policy_share,
        weights_rate=settings.weights_rate,
    )
    found = resolve_weights(chosen, settings.weights, settings.offline)
    subject = open_subject(movable(chosen, settings.weights), found.path)
    length = piece_length(settings.frames)
    frames = settings.output / "frames"
    no_labels = [None] * len(settings.clips)
    pieces = cut_pieces(settings.clips, no_labels, frames, longest=subject.longest, length=length, most_frames=settings.most_frames)
    learned, held = split_pieces(subject.keep(pieces), settings.held_out)
    tell = say(settings.quiet)
    tell(f"{len(learned)} pieces of {length} frames, {len(held)} held out")
    written = train_adaptive(
        subject, recipe, learned, held, settings.output, name=settings.name, resume=settings.resume, quiet=settings.quiet, report=tell
    )
    finish(written, settings.quiet, chosen.task)
