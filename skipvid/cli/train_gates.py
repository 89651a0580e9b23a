"""`skipvid train gates`: gates that learn, with the network, what may be skipped."""

from __future__ import annotations

from pathlib import Path

import click

from skipvid.cli.options import option
from skipvid.core.errors import UsageError


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CLIP...")
@option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Checkpoints, log, weights and preset.")
@option(
    "--preset",
    default="efficientdet-nano",
    show_default=True,
    metavar="NAME|FILE",
    help="Network to begin with, for detection or for poses.",
)
@option("--weights", metavar="FILE", help="Load this file instead of the preset's weights.")
@option(
    "--labels",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Boxes, or keypoints, of a clip, MOT text or COCO JSON: one per clip, in order, - for none.  [none: the dense network teaches]",
)
@option("--block", type=click.Choice(["1", "2", "4", "8", "16"]), default="1", show_default=True, help="Gates open in blocks.")
@option("--beta", type=click.FloatRange(min=0), default=0.1, show_default=True, help="Weight of the share of MACs in the loss.")
@option("--target-saving", type=click.FloatRange(0, 1), metavar="S", help="Aim at saving this share of the MACs instead.")
@option(
    "--form",
    type=click.Choice(["threshold", "channels"]),
    default="threshold",
    show_default=True,
    help="What a gate learns: a threshold for its map, or a weight for each channel of a layer's input.",
)
@option("--gates-only", is_flag=True, help="Leave the network's own weights as they are.")
@option("--steps", type=click.IntRange(min=1), default=400, show_default=True, metavar="N", help="Optimiser steps in all.")
@option("--batch", type=click.IntRange(min=1), default=2, show_default=True, metavar="N", help="Clips a step.")
@option("--frames", type=click.IntRange(min=2), default=6, show_default=True, metavar="T", help="Frames of a training clip.")
@option("--crop", type=click.IntRange(min=64), default=256, show_default=True, metavar="PX", help="Side of a training clip's window.")
@option("--most-frames", type=click.IntRange(min=1), default=1200, show_default=True, metavar="N", help="Frames to keep of all clips.")
@option("--held-out", type=click.FloatRange(0, 0.9), default=0.2, show_default=True, help="Last part of each clip, to measure on.")
@option(
    "--start",
    type=click.FloatRange(min=0, min_open=True),
    metavar="TAU",
    help="Threshold to begin around; a preset's thresholds of single maps go with it.  [twice the preset's]",
)
@option("--rate", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate of the gates.  [0.02 for thresholds, else 0.01]")
@option(
    "--weights-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of the network's own weights, as a factor on that of the gates.",
)
@option("--evaluate-every", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Steps between measurements.")
@option("--patience", type=click.IntRange(min=0), default=0, metavar="N", help="Stop after N measurements without a new best; 0 = never.")
@option("--seed", type=int, default=0, show_default=True, help="Of clips and gates.")
@option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for the network.  [all cores]")
@option("--name", default="my-gates", show_default=True, help="Name of the preset.")
@option("--offline", is_flag=True, help="Never download; say what is missing and where to put it.")
@option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@option("-q", "--quiet", is_flag=True, help="Only errors.")
def gates(
    clips: tuple[Path, ...],
    output: Path,
    preset: str,
    weights: str | None,
    labels: tuple[Path, ...],
    block: str,
    beta: float,
    target_saving: float | None,
    form: str,
    gates_only: bool,
    steps: int,
    batch: int,
    frames: int,
    crop: int,
    most_frames: int,
    held_out: float,
    start: float | None,
    rate: float | None,
    weights_rate: float,
    evaluate_every: int,
    patience: int,
    seed: int,
    threads: int | None,
    name: str,
    offline: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """Learn gates and weights together, from clips of your own camera; labels are not needed.

    \b
    skipvid train gates monday.mp4 tuesday.mp4 --target-saving 0.75 -o my-gates
    skipvid detect wednesday.mp4 --preset my-gates/my-gates.yaml
    skipvid train gates gym.mp4 --preset tinypose_256x192 --weights tinypose.pt -o pose-gates
    """
    from skipvid.cli.train import finish, say, set_threads

    set_threads(threads)
    from skipvid.presets.preset import load_preset
    from skipvid.presets.weights import movable, resolve_weights
    from skipvid.train.clips import cut_pieces, split_pieces
    from skipvid.train.gates import GateRecipe, piece_length, train_gates
    from skipvid.train.levels import train_levels
    from skipvid.train.loop import Schedule
    from skipvid.train.open_subject import open_subject

    if labels and len(labels) != len(clips):
        raise UsageError(f"{len(clips)} clips and {len(labels)} --labels", "give one for each clip, in their order, - for none")
    if crop % 32:
        raise UsageError(f"--crop {crop} must be a multiple of 32", "for example 256")
    for path in (*clips, *(file for file in labels if str(file) != "-")):
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    chosen = load_preset(preset)
    simple = form == "threshold"
    schedule = Schedule(
        steps,
        batch=batch,
        rate=rate or (0.02 if simple else 0.01),
        warmup=min(50, steps // 4 + 1),
        evaluate_every=evaluate_every,
        patience=patience,
        seed=seed,
    )
    begun = start or (2 * chosen.threshold or 0.06 if simple else 0.03)
    recipe = GateRecipe(
        schedule, frames, crop, int(block), beta, target_saving, start=begun, gates_only=gates_only, weights_rate=weights_rate
    )
    found = resolve_weights(chosen, weights, offline)
    subject = open_subject(movable(chosen, weights), found.path)
    files = [None if str(file) == "-" else file for file in labels] or [None] * len(clips)
    pieces = cut_pieces(clips, files, output / "frames", longest=subject.longest, length=piece_length(frames), most_frames=most_frames)
    learned, held = split_pieces(subject.keep(pieces), held_out)

    tell = say(quiet)
    labelled = sum(piece.targets is not None for piece in learned)
    tell(f"{len(learned)} pieces of {piece_length(frames)} frames ({labelled} labelled), {len(held)} held out")
    train = train_levels if simple else train_gates
    written = train(subject, recipe, learned, held, output, name=name, resume=resume, quiet=quiet, report=tell)
    finish(written, quiet, chosen.task)
