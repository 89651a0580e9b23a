"""`skipvid train`: the group, and what its commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from skipvid.cli.lazy import LazyGroup
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.settings.training import PieceSettings, TaughtSettings
    from skipvid.presets.preset import Preset
    from skipvid.train.clips import Piece
    from skipvid.train.subjects import Subject

COMMANDS = {
    "detector": ("skipvid.cli.train_detector", "A detector, on a mix of labelled pictures and clips."),
    "pose": ("skipvid.cli.train_pose", "A pose network, on a mix of labelled persons and clips."),
    "gates": ("skipvid.cli.train_gates", "Gates and weights together, on clips of your own cameras."),
    "adaptive": ("skipvid.cli.train_adaptive", "How many channels each frame of your own camera needs."),
    "grade": ("skipvid.cli.train_detector", "AP50 of a detector on the exams of a mix."),
    "grade-pose": ("skipvid.cli.train_pose", "Mean OKS of a pose network on a COCO keypoint file."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
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


class FromClips(Protocol):
    """Settings of a training on clips. frames: of a training clip."""

    @property
    def clips(self) -> tuple[Path, ...]: ...
    @property
    def output(self) -> Path: ...
    @property
    def taught(self) -> TaughtSettings: ...
    @property
    def pieces(self) -> PieceSettings: ...
    @property
    def frames(self) -> int: ...
    @property
    def offline(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def resume(self) -> bool: ...
    @property
    def quiet(self) -> bool: ...


def check_exist(*paths: Path | None) -> None:
    """Raise UsageError for the first that does not."""
    for path in paths:
        if path is not None and not path.exists():
            raise UsageError(f"{path} does not exist")


def open_pieces(settings: FromClips, preset: Preset, labels: Sequence[Path | None] = ()) -> tuple[Subject, list[Piece], list[Piece]]:
    """What learns, the pieces of the clips to learn from, and those held out. labels: of each clip; () for none."""
    from skipvid.presets.weights import movable, resolve_weights
    from skipvid.train.clips import cut_pieces, split_pieces
    from skipvid.train.gates import piece_length
    from skipvid.train.open_subject import open_subject

    weights = settings.taught.weights
    subject = open_subject(movable(preset, weights), resolve_weights(preset, weights, settings.offline).path)
    length, most = piece_length(settings.frames), settings.pieces.most_frames
    files = list(labels) or [None] * len(settings.clips)
    pieces = cut_pieces(settings.clips, files, settings.output / "frames", longest=subject.longest, length=length, most_frames=most)
    learned, held = split_pieces(subject.keep(pieces), settings.pieces.held_out)
    labelled = sum(piece.targets is not None for piece in learned)
    known = f" ({labelled} labelled)" if labels else ""
    say(settings.quiet)(f"{len(learned)} pieces of {length} frames{known}, {len(held)} held out")
    return subject, learned, held


class Learn(Protocol):
    """Trains in a folder and returns the path of the preset that it wrote there: skipvid.train, with a recipe."""

    def __call__(
        self,
        subject: Subject,
        *,
        learned: Sequence[Piece],
        held: Sequence[Piece],
        folder: Path,
        name: str,
        resume: bool,
        quiet: bool,
        report: Callable[[str], None],
    ) -> Path: ...


def learn(settings: FromClips, preset: Preset, train: Learn, labels: Sequence[Path | None] = ()) -> None:
    """Cut the clips into pieces, learn from them, and say how to use what was learned. labels: as in open_pieces."""
    subject, learned, held = open_pieces(settings, preset, labels)
    written = train(
        subject,
        learned=learned,
        held=held,
        folder=settings.output,
        name=settings.name,
        resume=settings.resume,
        quiet=settings.quiet,
        report=say(settings.quiet),
    )
    finish(written, settings.quiet, preset.task)


def finish(preset: Path, quiet: bool, command: str = "detect") -> None:
    say(quiet)(f"use it with: skipvid {command} SOURCE --preset {preset.resolve()}")
