"""--dry-run: what would be done, and what a frame costs at most."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.jobs import Job, expected_frames
from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.tasks.engine import Engine
    from skipvid.video.sources.options import ReadOptions


def print_dry_run(jobs: Sequence[Job], engine: Engine, read: ReadOptions, as_json: bool) -> int:
    """What would be done, and what a frame costs densely; nothing is written. Returns the exit code."""
    plans = [_plan(job, engine, read) for job in jobs]
    if as_json:
        click.echo(json.dumps({"plan": plans}, indent=2))
        return 0
    for plan in plans:
        frames = "an unknown number of" if plan["frames"] is None else f"about {plan['frames']}"
        gate = f"{plan['gate']} gate, threshold {plan['threshold']:g}" if plan["gate"] != "none" else "no gates"
        click.echo(f"{plan['source']}: {frames} frames of {plan['size'][0]}x{plan['size'][1]}")
        inputs = [f"{network['preset']} at {network['input'][0]}x{network['input'][1]}" for network in plan["networks"]]
        click.echo(f"  {', '.join(inputs)}, {gate}, {plan['backend']} back end, {plan['precision']}")
        frame = "a frame with one person" if plan["per_person"] else "a frame"
        macs, ms = plan["dense_macs_per_frame"] / 1e6, plan["dense_ms_per_frame"]
        click.echo(f"  at most {macs:.1f} M MACs, about {ms} ms {frame} without gates")
        click.echo(f"  would write {', '.join(plan['outputs']) or 'nothing'}")
    return 0


def _plan(job: Job, engine: Engine, read: ReadOptions) -> dict[str, Any]:
    """The plan of one source as --json prints it."""
    import torch

    from skipvid.tasks.detect import finds_people
    from skipvid.video.sources.open import open_source

    with open_source(job.spec, read) as source:
        info = source.info
    networks: list[dict[str, Any]] = []
    for preset, model, (height, width) in engine.networks(info.height, info.width):
        frame = torch.zeros(1, 3, height, width)
        model.dense(frame)  # exports and warms up
        begin = time.perf_counter()
        model.dense(frame)
        milliseconds = (time.perf_counter() - begin) * 1e3
        macs = model.program((tuple(frame.shape),)).costs.dense_macs
        networks.append({"preset": preset.name, "input": [width, height], "dense_macs": macs, "dense_ms": round(milliseconds, 1)})
    return {
        "source": info.name,
        "size": [info.width, info.height],
        "frames": expected_frames(info, read),
        "preset": engine.preset.name,
        "gate": WARP if engine.warps else engine.model.config.gate,
        "threshold": engine.model.config.threshold,
        "backend": engine.backend,
        "precision": engine.model.precision,
        "input": networks[-1]["input"],
        "networks": networks,
        "per_person": engine.preset.task == "pose" and not finds_people(engine.preset),
        "dense_macs_per_frame": sum(network["dense_macs"] for network in networks),
        "dense_ms_per_frame": round(sum(network["dense_ms"] for network in networks), 1),
        "outputs": [target if target == "-" else str(Path(target).resolve()) for target in job.targets],
    }
