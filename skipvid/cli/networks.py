"""From settings to loaded networks: the preset, its gates, its weights; one small function for the engine of each task."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from skipvid.cli.settings.groups import NetworkSettings, PeopleNetworkSettings
from skipvid.cli.settings.model_file import ModelSettings, check_given
from skipvid.cli.talk import DownloadBar, Talk
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.presets.preset import Preset
    from skipvid.presets.weights import Weights
    from skipvid.skip.config import SkipConfig
    from skipvid.skip.gates.learned import LearnedGate
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.engine import Engine
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.tasks.segment_engine import SegmentEngine


def chosen_preset(name: str | None, default: str) -> Preset:
    """The preset that is named, or the default one."""
    from skipvid.presets.preset import load_preset

    return load_preset(name or default)


def network_preset(settings: NetworkSettings, default: str, task: str | None = None) -> Preset:
    """What the settings say to run: a network file, a preset, or the default one. task: the only one that will do, for a file."""
    source = settings.source
    check_given(source.model, source.file)
    if source.model is None:
        return chosen_preset(settings.preset, default)
    from skipvid.tasks.network_files import preset_of_file

    return preset_of_file(source.model, task, source.file.choice(source.file.size))


def compared_preset(settings: NetworkSettings, default: str) -> Preset:
    """As network_preset, for a network that looks at each frame as a whole. Raises PresetError for one for poses."""
    from skipvid.core.errors import PresetError
    from skipvid.tasks.detect import finds_people

    preset = network_preset(settings, default)
    if preset.task == "pose" and not finds_people(preset):
        hint = "choose one of the task 'detect' or 'segment'; eval measures poses"
        raise PresetError(f"preset {preset.name} is for the task 'pose', one person at a time", hint)
    return preset


def skip_config(settings: NetworkSettings, preset: Preset, talk: Talk) -> SkipConfig:
    """The gates: what a setting says, else what the preset says. Learned ones are found (or downloaded) and read."""
    from skipvid.presets.weights import resolve_gate_weights
    from skipvid.skip.config import SkipConfig
    from skipvid.skip.gates.registry import gate_kind

    choice = settings.over(preset)
    gate, reference = choice.gate, choice.reference
    learned: dict[str, LearnedGate] = {}
    if gate == "gumbel":
        from skipvid.skip.gates.learned import load_gates

        found = resolve_gate_weights(preset, settings.gate_weights, settings.offline, DownloadBar(talk, f"{preset.name}'s gates"))
        learned = load_gates(found.path)
        talk.say(f"preset {preset.name}, gates {found.path}", detail=True)
    elif settings.gate_weights:
        raise UsageError(f"--gate-weights is given, but the gate is {gate}", "add --gate gumbel")
    threads = settings.threads or 0
    # What a preset says of thresholds belongs to its own kind of gate. One that was set by single maps says nothing about another kind's.
    if (gate, reference) == (preset.gate, preset.reference):
        config = replace(
            SkipConfig.of(preset, threads=threads, learned_gates=learned),
            block=choice.block,
            precision=choice.precision,
            backend=settings.backend,
            refresh=settings.refresh,
        )
    else:
        if preset.thresholds:
            threshold = gate_kind(gate).typical_threshold
        else:
            threshold = preset.threshold * gate_kind(gate).typical_threshold / gate_kind(preset.gate).typical_threshold
        config = SkipConfig(
            threshold,
            gate,
            choice.block,
            settings.backend,
            threads,
            reference,
            settings.refresh,
            p=preset.p,
            learned_gates=learned,
            precision=choice.precision,
        )
    return config if settings.threshold is None else config.at(settings.threshold)


def _gates_and_weights(settings: NetworkSettings, preset: Preset, talk: Talk) -> tuple[SkipConfig, Weights]:
    """What the engine of a network is made of; PyTorch keeps to the threads asked for."""
    from skipvid.presets.weights import resolve_weights

    if settings.threads:
        _limit_torch(settings.threads)
    config = skip_config(settings, preset, talk)
    weights = resolve_weights(preset, settings.weights, settings.offline, DownloadBar(talk, preset.name))
    talk.say(f"preset {preset.name}, weights {weights.path}", detail=True)
    return config, weights


def load_detect_engine(settings: NetworkSettings, preset: Preset, talk: Talk) -> DetectEngine:
    """Weights found (or downloaded) and loaded."""
    from skipvid.core.folders import cache_folder
    from skipvid.tasks.detect_engine import DetectEngine

    config, weights = _gates_and_weights(settings, preset, talk)
    score_threshold = settings.over(preset).score_threshold
    return DetectEngine(preset, config, weights.path, weights.sha256, score_threshold, programs=cache_folder("programs"))


def load_segment_engine(settings: NetworkSettings, preset: Preset, talk: Talk) -> SegmentEngine:
    """Weights found (or downloaded) and loaded."""
    from skipvid.core.folders import cache_folder
    from skipvid.tasks.segment_engine import SegmentEngine

    config, weights = _gates_and_weights(settings, preset, talk)
    return SegmentEngine(preset, config, weights.path, weights.sha256, programs=cache_folder("programs"))


def load_picture_engine(settings: NetworkSettings, preset: Preset, talk: Talk) -> DetectEngine | SegmentEngine:
    """The engine for a preset whose network looks at each frame as a whole."""
    return load_segment_engine(settings, preset, talk) if preset.task == "segment" else load_detect_engine(settings, preset, talk)


def load_people_engine(settings: PeopleNetworkSettings, preset: Preset, talk: Talk) -> DetectEngine:
    """A pose network that finds people itself, who get identities. Raises UsageError for settings of a detector beside it."""
    from skipvid.tasks.identities import FollowOptions

    people = settings.people
    for flag, given in (
        ("--detector", people.detector),
        ("--detector-weights", people.detector_weights),
        ("--detect-every", people.detect_every > 1),
    ):
        if given:
            raise UsageError(f"{flag} is given, but {preset.name} finds people itself", "leave it out")
    engine = load_detect_engine(settings, preset, talk)
    engine.follow = FollowOptions(confirm=False)
    return engine


def load_pose_engine(settings: PeopleNetworkSettings, preset: Preset, talk: Talk) -> PoseEngine:
    """Both networks, weights found (or downloaded) and loaded."""
    from skipvid.core.folders import cache_folder
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.tasks.people import PoseOptions
    from skipvid.tasks.pose_engine import PoseEngine
    from skipvid.tasks.track import WEAK

    people, score = settings.people, settings.over(preset).score_threshold
    detector = None
    if not people.full_frame:
        theirs = replace(
            settings,
            source=ModelSettings(),
            preset=people.detector,
            weights=people.detector_weights,
            conf=WEAK * score,
            # Learned gates are those of the pose network; the detector has its preset's.
            gate=None if settings.gate == "gumbel" else settings.gate,
            gate_weights=None,
        )
        detector = load_detect_engine(theirs, chosen_preset(people.detector, DEFAULT_DETECT), talk)
    config, weights = _gates_and_weights(settings, preset, talk)
    options = PoseOptions(score, people.detect_every, people.max_persons)
    return PoseEngine(preset, config, weights.path, weights.sha256, detector, options, cache_folder("programs"))


def _limit_torch(threads: int) -> None:
    """Have PyTorch compute with so many threads, should it be needed."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    else:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def load_engine(settings: PeopleNetworkSettings, preset: Preset, talk: Talk) -> Engine:
    """The engine for a preset, whatever its task."""
    from skipvid.tasks.detect import finds_people

    if finds_people(preset):
        return load_people_engine(settings, preset, talk)
    if preset.task == "pose":
        return load_pose_engine(settings, preset, talk)
    return load_picture_engine(settings, preset, talk)
