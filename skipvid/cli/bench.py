"""`skipvid bench`: how much time skipping saves, against our own dense network and other dense runtimes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import Threshold, option, talk_options
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.bench.measure import Measurement
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import Preset

RUNTIMES = ("torch", "onnxruntime", "openvino", "openvino-bf16")
SIDE = (9, 16)
"""Height and width of the source that the moving patch stands for."""


class Levels(click.ParamType[tuple[float, ...]]):
    """Percentages with commas between them, or "none"."""

    name = "p,p,..."

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        if value == "none":
            return ()
        levels = tuple(Threshold().convert(part, parameter, context) for part in str(value).split(","))
        if any(level > 100 for level in levels):
            self.fail(f"{value!r} names more than 100 %", parameter, context)
        return levels


@click.command()
@click.argument("clips", nargs=-1, metavar="[CLIP]...")
@option("--preset", "presets", multiple=True, metavar="NAME|FILE", help="Network to measure; repeatable.  [default: efficientdet-nano]")
@option("--weights", metavar="FILE", help='Load this file instead of the preset\'s weights; "random": none at all.')
@option("--offline", is_flag=True, help="Never download; say what is missing and where to put it.")
@option("--threshold", type=Threshold(), metavar="T", help="Gate threshold, relative to each map's mean magnitude.  [preset]")
@option(
    "--activity",
    type=Levels(),
    default="0,2,5,10,25,50,100",
    metavar="P,P,...",
    help="Percent of the picture that a moving patch covers; none = only clips.",
)
@option("--size", type=click.IntRange(min=32), metavar="PX", help="Measure the patch in a square input; else in that of a 16:9 source.")
@option("--frames", type=click.IntRange(min=8), default=27, metavar="N", help="Frames for each level of activity.  [default: 27]")
@option("--max-frames", type=click.IntRange(min=8), default=100, metavar="N", help="Frames of each clip.  [default: 100]")
@option(
    "--runtime", "runtimes", multiple=True, type=click.Choice([*RUNTIMES, "none"]), help="Dense runtime to compare with; repeatable.  [all]"
)
@option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of every runtime.  [all cores]")
@option("--csv", metavar="FILE", help="Write the measurements as a table.")
@option("--overwrite", is_flag=True, help="Replace an existing file.")
@talk_options
def bench(**options: Any) -> None:
    """Measure speed by activity: a patch that moves over a still picture, and real clips.

    Gated and dense runs take turns on the same frames with the same threads, so that whatever slows the machine down meets all of them;
    times are medians. Needs a machine that does nothing else meanwhile. Runtimes that are not installed are named and left out.
    """
    from skipvid.bench.show import bench_document, render_bench, write_bench_csv
    from skipvid.cli.jobs import check_openable
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import DEFAULT_DETECT, load_preset
    from skipvid.video.sinks.targets import check_path
    from skipvid.video.sources.options import ReadOptions

    if options["quiet"] and options["verbose"]:
        raise UsageError("-q and -v contradict each other")
    if not options["activity"] and not options["clips"]:
        raise UsageError("there is nothing to measure", "leave out --activity none, or name a clip")
    presets = [load_preset(name) for name in options["presets"] or (DEFAULT_DETECT,)]
    if options["csv"]:
        check_path(options["csv"], list(options["clips"]), options["overwrite"])
    for clip in options["clips"]:
        check_openable([clip], ReadOptions(max_frames=1))
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        found: list[Measurement] = []
        for preset in presets:
            for measurement in _measure_preset(preset, options, talk):
                talk.say(
                    f"{preset.name}: {measurement.what}: {measurement.skip_ms:.2f} ms, dense {measurement.dense_ms:.2f} ms", detail=True
                )
                found.append(measurement)
        if options["csv"]:
            write_bench_csv(Path(options["csv"]), found)
            talk.say(f"wrote {Path(options['csv']).resolve()}")
    if options["as_json"]:
        click.echo(json.dumps(bench_document(found), indent=2))
    elif not options["quiet"]:
        from rich.console import Console

        render_bench(found, Console())


def _measure_preset(preset: Preset, options: dict[str, Any], talk: Talk) -> Iterator[Measurement]:
    """All levels of activity, then all clips."""
    import cv2
    import torch

    from skipvid.bench.frames import clip_frames, clip_size, patch_frames
    from skipvid.bench.measure import load_subject, measure, open_runtimes
    from skipvid.cli.networks import skip_config
    from skipvid.cli.talk import DownloadBar
    from skipvid.presets.weights import resolve_weights
    from skipvid.skip import cpu as native

    threads = options["threads"] or native.status().threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    as_the_preset_says = dict.fromkeys(("gate", "block", "reference", "gate_weights"))
    config = skip_config({**options, **as_the_preset_says, "threads": threads, "backend": "auto", "refresh": 0}, preset, talk)
    random = options["weights"] == "random"
    weights = None if random else resolve_weights(preset, options["weights"], options["offline"], DownloadBar(talk, preset.name)).path
    subject = load_subject(preset, config, weights)
    patch_size = preset.input_size(*SIDE) if options["size"] is None else (options["size"],) * 2
    work = [(f"patch {level:g}%", patch_size, level) for level in options["activity"]]
    work += [(Path(clip).name, clip_size(clip, preset), clip) for clip in options["clips"]]
    work.sort(key=lambda item: item[1])  # stable: the runtimes are opened once for each size
    opened: tuple[tuple[int, int], list[Any]] | None = None
    for what, size, source in work:
        if opened is None or opened[0] != size:
            talk.say(f"{preset.name}: {size[1]}x{size[0]}: preparing the runtimes", detail=True)
            opened = size, open_runtimes(subject, _runtimes(options["runtimes"]), size)
        if isinstance(source, str):
            frames = clip_frames(source, preset, size, options["max_frames"])
        else:
            frames = patch_frames(preset, size, source / 100, options["frames"])
        yield measure(subject, size, what, frames, opened[1])


def _runtimes(chosen: Sequence[str]) -> Sequence[str]:
    return [name for name in chosen if name != "none"] if chosen else RUNTIMES
