"""`skipvid bench`: how much time skipping saves, against our own dense network and other dense runtimes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag, optional_argument, setting
from skipvid.cli.settings.groups import NetworkSettings, TalkSettings
from skipvid.cli.settings.model_file import ReadingSettings, check_given
from skipvid.cli.settings.types import Levels, Threshold
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from skipvid.bench.measure import Measurement
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import Preset
    from skipvid.skip.picture import Picture

RUNTIMES = ("torch", "onnxruntime", "openvino", "openvino-bf16", "openvino-int8")
Runtime = Literal["torch", "onnxruntime", "openvino", "openvino-bf16", "openvino-int8", "none"]
Precision = Literal["f32", "bf16", "auto"]
SIDE = (9, 16)
"""Height and width of the source that the moving patch stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Settings of `bench`."""

    clips: tuple[str, ...] = optional_argument("[CLIP]...", default=())
    presets: tuple[str, ...] = setting(
        "--preset", default=(), metavar="NAME|FILE", help="Network to measure; repeatable.  [default: efficientdet-nano]"
    )
    model: Path | None = setting(
        "--model", default=None, metavar="FILE", help="Network to measure: an .onnx file, or a .pt2 of torch.export."
    )
    file: ReadingSettings = field(default_factory=ReadingSettings)
    weights: str | None = setting(
        "--weights", default=None, metavar="FILE", help='Load this file instead of the preset\'s weights; "random": none at all.'
    )
    offline: bool = flag("--offline", help="Never download; say what is missing and where to put it.")
    threshold: float | None = setting(
        "--threshold",
        default=None,
        type=Threshold(),
        metavar="T",
        help="Gate threshold, relative to each map's mean magnitude.  [preset]",
    )
    activity: tuple[float, ...] = setting(
        "--activity",
        default=(0.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        type=Levels(),
        metavar="P,P,...",
        help="Percent of the picture that a moving patch covers; none = only clips.",
    )
    size: int | None = setting(
        "--size",
        default=None,
        type=click.IntRange(min=32),
        metavar="PX",
        help="Measure the patch in a square input; else in that of a 16:9 source.",
    )
    frames: int = setting(
        "--frames", default=27, type=click.IntRange(min=8), metavar="N", help="Frames for each level of activity.  [default: 27]"
    )
    max_frames: int = setting(
        "--max-frames", default=100, type=click.IntRange(min=8), metavar="N", help="Frames of each clip.  [default: 100]"
    )
    runtimes: tuple[Runtime, ...] = setting(
        "--runtime",
        default=(),
        help="Dense runtime to compare with; repeatable.  [all]",
    )
    precisions: tuple[Precision, ...] = setting(
        "--precision", default=(), help="Of our own network; repeatable: the same frames are measured in each.  [preset]"
    )
    threads: int | None = setting(
        "--threads", default=None, type=click.IntRange(min=1), metavar="N", help="Threads of every runtime.  [all cores]"
    )
    csv: str | None = setting("--csv", default=None, metavar="FILE", help="Write the measurements as a table.")
    overwrite: bool = flag("--overwrite", help="Replace an existing file.")
    talk: TalkSettings = field(default_factory=TalkSettings)

    def __post_init__(self) -> None:
        if self.model is not None and (self.presets or self.weights is not None):
            other = "--preset" if self.presets else "--weights"
            raise UsageError(f"--model and {other} contradict each other", "the file is the network, with its weights")


@command(BenchSettings)
def bench(settings: BenchSettings) -> None:
    """Measure speed by activity: a patch that moves over a still picture, and real clips.

    Gated and dense runs take turns on the same frames with the same threads, so that whatever slows the machine down meets all of them;
    times are medians. Needs a machine that does nothing else meanwhile. Runtimes that are not installed are named and left out.
    """
    from skipvid.bench.show import bench_document, render_bench, write_bench_csv
    from skipvid.cli.jobs import check_openable
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import DEFAULT_DETECT, load_preset
    from skipvid.tasks.network_files import preset_of_file
    from skipvid.video.sinks.targets import check_path
    from skipvid.video.sources.options import ReadOptions

    if not settings.activity and not settings.clips:
        raise UsageError("there is nothing to measure", "leave out --activity none, or name a clip")
    check_given(settings.model, settings.file)
    if settings.model is not None:
        size = None if settings.size is None else (settings.size, settings.size)
        presets = [preset_of_file(settings.model, None, settings.file.choice(size))]
    else:
        presets = [load_preset(name) for name in settings.presets or (DEFAULT_DETECT,)]
    if settings.csv:
        check_path(settings.csv, list(settings.clips), settings.overwrite)
    for clip in settings.clips:
        check_openable([clip], ReadOptions(max_frames=1))
    with Talk(settings.talk) as talk:
        found: list[Measurement] = []
        for preset in presets:
            for name, said in (("motion", preset.motion), ("denoise", preset.denoise)):
                if settings.clips and said != "none":
                    talk.say(f"{preset.name}: clips are measured as they are, without its '{name}: {said}'")
            for precision in settings.precisions or (None,):
                for measurement in _measure_preset(preset, settings, precision, talk):
                    times = f"{measurement.skip_ms:.2f} ms, dense {measurement.dense_ms:.2f} ms"
                    talk.say(f"{preset.name}: {measurement.what}: {times} in {measurement.precision}", detail=True)
                    found.append(measurement)
        if settings.csv:
            write_bench_csv(Path(settings.csv), found)
            talk.say(f"wrote {Path(settings.csv).resolve()}")
    if settings.talk.as_json:
        click.echo(json.dumps(bench_document(found), indent=2))
    elif not settings.talk.quiet:
        from rich.console import Console

        render_bench(found, Console())


def _measure_preset(preset: Preset, settings: BenchSettings, precision: str | None, talk: Talk) -> Iterator[Measurement]:
    """All levels of activity, then all clips. precision: None = the preset's."""
    import cv2
    import torch

    from skipvid.bench.frames import clip_frames, clip_size, patch_frames
    from skipvid.bench.measure import load_subject, measure, open_runtimes
    from skipvid.bench.runtimes import CALIBRATION_FRAMES
    from skipvid.cli.networks import skip_config
    from skipvid.cli.talk import DownloadBar
    from skipvid.presets.weights import resolve_weights
    from skipvid.skip import cpu as native

    threads = settings.threads or native.status().threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    ours = NetworkSettings(threshold=settings.threshold, precision=precision, threads=threads, offline=settings.offline)
    config = skip_config(ours, preset, talk)
    weights = None
    if settings.weights != "random":
        weights = resolve_weights(preset, settings.weights, settings.offline, DownloadBar(talk, preset.name)).path
    subject = load_subject(preset, config, weights)
    patch_size = preset.input_size(*SIDE) if settings.size is None else (settings.size, settings.size)
    work: list[tuple[str, tuple[int, int], float | str]] = [(f"patch {level:g}%", patch_size, level) for level in settings.activity]
    work += [(Path(clip).name, clip_size(clip, preset), clip) for clip in settings.clips]
    work.sort(key=lambda item: item[1])  # stable: the runtimes are opened once for each size
    opened: tuple[tuple[int, int], list[Any]] | None = None

    def frames_of(source: float | str, size: tuple[int, int], count: int) -> Iterator[Picture]:
        if isinstance(source, str):
            return clip_frames(source, preset, size, count)
        return patch_frames(preset, size, source / 100, count)

    def samples_of(source: float | str, size: tuple[int, int]) -> Iterator[Tensor]:
        return (picture.tensor() for picture in frames_of(source, size, CALIBRATION_FRAMES))

    for what, size, source in work:
        if opened is None or opened[0] != size:
            talk.say(f"{preset.name}: {size[1]}x{size[0]}: preparing the runtimes", detail=True)
            sources = [other for _, other_size, other in work if other_size == size]
            sample = next((other for other in sources if isinstance(other, str)), sources[-1])
            opened = size, open_runtimes(subject, _runtimes(settings.runtimes), size, partial(samples_of, sample, size))
        count = settings.max_frames if isinstance(source, str) else settings.frames
        yield measure(subject, size, what, frames_of(source, size, count), opened[1])


def _runtimes(chosen: Sequence[str]) -> Sequence[str]:
    return [name for name in chosen if name != "none"] if chosen else RUNTIMES
