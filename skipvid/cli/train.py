"""`skipvid train`: the group, and what its commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from skipvid.cli.lazy import LazyGroup
from skipvid.cli.options import F, combine, option

COMMANDS = {
    "detector": "skipvid.cli.train_detector",
    "pose": "skipvid.cli.train_pose",
    "gates": "skipvid.cli.train_gates",
    "grade": "skipvid.cli.train_detector",
    "grade-pose": "skipvid.cli.train_pose",
}

root_option = option("--root", type=click.Path(path_type=Path), default=Path(), metavar="FOLDER", help="Of the paths in the mix.")
threads_option = option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for the network.  [all cores]")

mix_options = combine(
    click.argument("mix", type=click.Path(path_type=Path), metavar="MIX.yaml"),
    option(
        "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Checkpoints, weights and preset go here."
    ),
    root_option,
    option("--labels", type=click.Path(path_type=Path), metavar="FOLDER", help="Where teachers' labels are kept.  [OUTPUT/labels]"),
    option("--without", metavar="NAME,...", help="Leave these sources out: to measure on a clip, never train on it."),
    option("--start", type=click.Path(path_type=Path), metavar="FILE", help="Weights to begin with.  [random ones]"),
)
"""Of a training on a mix of sources."""


def schedule_options(*, steps: int, batch: int, of: str, evaluate_every: int) -> Callable[[F], F]:
    """How long to train, and how fast; numbers are defaults. of: what a batch is made of."""
    return combine(
        option("--steps", type=click.IntRange(min=1), default=steps, show_default=True, metavar="N", help="Optimiser steps in all."),
        option("--batch", type=click.IntRange(min=1), default=batch, show_default=True, metavar="N", help=f"{of} a step."),
        option("--rate", type=click.FloatRange(min=0, min_open=True), default=2e-3, show_default=True, help="Highest learning rate."),
        option(
            "--evaluate-every",
            type=click.IntRange(min=1),
            default=evaluate_every,
            show_default=True,
            metavar="N",
            help="Steps between measurements.",
        ),
        option(
            "--patience",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Stop after N measurements without a new best; 0 = never.",
        ),
        option("--seed", type=int, default=0, show_default=True, help="Of what is drawn, and how it is varied."),
        threads_option,
        option("--resume", is_flag=True, help="Go on with the run in the output folder."),
        option("-q", "--quiet", is_flag=True, help="Only errors."),
    )


@click.group(cls=LazyGroup, modules=COMMANDS)
def train() -> None:
    """Train small models. See docs/model_card.md for the commands behind the bundled ones."""


def set_threads(threads: int | None) -> None:
    import cv2
    import torch

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def names_of(value: str | None) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()] if value else []


def say(quiet: bool) -> Callable[[str], None]:
    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    return say


def finish(preset: Path, quiet: bool, command: str = "detect") -> None:
    say(quiet)(f"use it with: skipvid {command} SOURCE --preset {preset.resolve()}")
