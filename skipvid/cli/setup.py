"""From options to an engine and a list of work: all that can be wrong is found here, before any frame is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipvid.cli.talk import Talk
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.analyse import Job
    from skipvid.core.results import RunHeader, SourceInfo
    from skipvid.presets.preset import Preset
    from skipvid.skip.config import SkipConfig
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.video.sinks.options import SinkOptions
    from skipvid.video.sources.options import ReadOptions


def read_options(options: Mapping[str, Any]) -> ReadOptions:
    """The frames that are wanted. Raises UsageError for what cannot be meant."""
    from skipvid.video.sources.options import ReadOptions

    wanted = {"start": options["start"], "end": options["end"], "max_frames": options["max_frames"], "stride": options["stride"]}
    return ReadOptions(**wanted) if options["fps"] is None else ReadOptions(**wanted, fps=options["fps"])


def chosen_preset(options: Mapping[str, Any], default: str) -> Preset:
    """The preset that is named, or the default one."""
    from skipvid.presets.preset import load_preset

    return load_preset(options["preset"] or default)


def skip_config(options: Mapping[str, Any], preset: Preset, talk: Talk) -> SkipConfig:
    """The gates: what a flag says, else what the preset says. Learned ones are found (or downloaded) and read."""
    from skipvid.presets.weights import resolve_gate_weights
    from skipvid.skip.config import SkipConfig
    from skipvid.skip.gates.learned import LearnedGate, load_gates
    from skipvid.skip.gates.registry import gate_kind

    gate = options["gate"] or preset.gate
    reference = options["reference"] or preset.reference
    learned: dict[str, LearnedGate] = {}
    if gate == "gumbel":
        found = resolve_gate_weights(preset, options["gate_weights"], options["offline"], DownloadBar(talk, f"{preset.name}'s gates"))
        learned = load_gates(found.path)
        talk.say(f"preset {preset.name}, gates {found.path}", detail=True)
    elif options["gate_weights"]:
        raise UsageError(f"--gate-weights is given, but the gate is {gate}", "add --gate gumbel")
    settings: dict[str, Any] = {
        "block": int(options["block"] or preset.block),
        "backend": options["backend"],
        "threads": options["threads"] or 0,
        "refresh": options["refresh"],
        "learned_gates": learned,
    }
    # What a preset says of thresholds belongs to its own kind of gate. One that was set by single maps says nothing about another kind's.
    if (gate, reference) == (preset.gate, preset.reference):
        config = SkipConfig.of(preset, **settings)
    else:
        if preset.thresholds:
            threshold = gate_kind(gate).typical_threshold
        else:
            threshold = preset.threshold * gate_kind(gate).typical_threshold / gate_kind(preset.gate).typical_threshold
        config = SkipConfig(threshold, gate, reference=reference, p=preset.p, **settings)
    return config if options["threshold"] is None else config.at(options["threshold"])


def load_detect_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> DetectEngine:
    """Weights found (or downloaded) and loaded."""
    import torch

    from skipvid.presets.weights import resolve_weights
    from skipvid.tasks.detect_engine import DetectEngine

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    config = skip_config(options, preset, talk)
    weights = resolve_weights(preset, options["weights"], options["offline"], DownloadBar(talk, preset.name))
    talk.say(f"preset {preset.name}, weights {weights.path}", detail=True)
    return DetectEngine(preset, config, weights.path, weights.sha256, options["conf"])


@contextmanager
def cores_for(engine: DetectEngine | PoseEngine) -> Iterator[None]:
    """While frames run on native kernels, PyTorch keeps to one thread.

    It has little to do then, but after each of its operations OpenMP's threads wait for the next one by spinning, and take a core from the
    network's own threads: on two cores, PETS 2009, the dense network took 1.46 times as long, the gated one 1.24 times.
    """
    import torch

    before = torch.get_num_threads()
    if engine.backend == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_header(command: str, engine: DetectEngine | PoseEngine, info: SourceInfo) -> RunHeader:
    """The description of a run."""
    from skipvid import __version__
    from skipvid.core.results import RunHeader

    config = engine.model.config
    return RunHeader(
        command=command,
        source=info,
        preset=engine.preset.name,
        gate=config.gate if config.reference == "accumulated" or config.gate == "none" else f"{config.gate}-previous",
        threshold=config.threshold,
        block=config.block,
        backend=engine.backend,
        weights_sha256=engine.weights_sha256,
        version=__version__,
        categories=engine.categories,
        keypoints=engine.preset.keypoints,
    )


def expected_frames(info: SourceInfo, wanted: ReadOptions) -> int | None:
    """About how many frames will be delivered, for a progress bar."""
    total = info.frames
    if total is None and info.duration and info.fps:
        total = round(info.duration * info.fps)
    if total is None or info.live:
        return wanted.max_frames
    fps = info.fps or wanted.fps
    last = total if wanted.end is None else min(total, round(wanted.end * fps))
    count = max(0, -(-(last - round(wanted.start * fps)) // wanted.stride))
    return count if wanted.max_frames is None else min(count, wanted.max_frames)


class DownloadBar:
    """Shows the progress of a download: call it with the bytes that are there and the bytes expected, or None."""

    def __init__(self, talk: Talk, name: str) -> None:
        self._talk, self._name = talk, name
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        if self._talk.quiet:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=f"weights of {self._name}", unit="B", unit_scale=True, leave=False)
        self._bar.update(done - self._bar.n)
        if total is not None and done >= total:
            self._bar.close()
            self._bar = None


def check_options(options: Mapping[str, Any]) -> None:
    """Combinations that cannot be meant. Raises UsageError."""
    if options["quiet"] and options["verbose"]:
        raise UsageError("-q and -v contradict each other")
    if options.get("overwrite") and options.get("skip_existing"):
        raise UsageError("--overwrite and --skip-existing contradict each other")
    read_options(options)


def plan_jobs(
    options: Mapping[str, Any],
    ending: str,
    suffixes: Sequence[str] = (),
    companion: Callable[[str], str | None] | None = None,
    check: bool = True,
) -> list[Job]:
    """Sources and their outputs, every output checked before any work starts.

    ending: of the output's name in the working directory where none is given. suffixes: those that make sense, () = all that sinks know.
    companion: names a file that is written beside an output. Raises SourceError, UsageError or OutputError.
    """
    from skipvid.cli.analyse import Job
    from skipvid.video.sinks.targets import check_path, plan_outputs
    from skipvid.video.sources.specs import expand_specs

    specs = expand_specs(options["sources"])
    if len(specs) > 1 and "-" in specs:
        raise UsageError("standard input cannot be one of several sources", "give - alone")
    for target in options["output"]:
        if suffixes and not target.lower().endswith((*suffixes, "/")) and "." in Path(target).name:
            raise UsageError(f"{target}: this command writes {', '.join(suffixes)}")
    overwrite = options["overwrite"] or not check
    jobs = []
    for plan in plan_outputs(options["output"], specs, overwrite=overwrite, skip_existing=options["skip_existing"], ending=ending):
        beside = [other for target in plan.targets if companion is not None and (other := companion(target)) is not None]
        for other in beside:
            check_path(other, specs, overwrite)
        if plan.targets:
            jobs.append(Job(plan.source, (*plan.targets, *beside)))
    if options.get("csv"):
        check_path(options["csv"], specs, overwrite)
    check_openable(specs, read_options(options))
    return jobs


def check_openable(specs: Sequence[str], wanted: ReadOptions) -> None:
    """Find out before the network is loaded that a single local source cannot be opened; of several, the others shall still be done."""
    from skipvid.video.sources.open import open_source
    from skipvid.video.sources.specs import is_url

    if len(specs) == 1 and specs[0] != "-" and not is_url(specs[0]):
        open_source(specs[0], wanted).close()


def sink_options(options: Mapping[str, Any]) -> SinkOptions:
    """How outputs are written."""
    from skipvid.video.sinks.options import SinkOptions

    return SinkOptions(audio=not options["no_audio"], to_end=options["end"] is None and options["max_frames"] is None)
