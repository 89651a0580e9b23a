"""`skipvid train`: the group, and what its commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from skipvid.cli.lazy import LazyGroup

COMMANDS = {
    "detector": "skipvid.cli.train_detector",
    "pose": "skipvid.cli.train_pose",
    "gates": "skipvid.cli.train_gates",
    "adaptive": "skipvid.cli.train_adaptive",
    "grade": "skipvid.cli.train_detector",
    "grade-pose": "skipvid.cli.train_pose",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def train() -> None:
    """Train small models. See docs/model_card.md for the commands behind the bundled ones."""


def set_threads(threads: int | None) -> None:
    import cv2
    import torch

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def say(quiet: bool) -> Callable[[str], None]:
    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    return say


def finish(preset: Path, quiet: bool, command: str = "detect") -> None:
    say(quiet)(f"use it with: skipvid {command} SOURCE --preset {preset.resolve()}")
