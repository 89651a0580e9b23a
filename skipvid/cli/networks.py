"""From options to loaded networks: the preset, its gates, its weights; one small function for the engine of each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skipvid.cli.talk import DownloadBar, Talk
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.presets.preset import Preset
    from skipvid.skip.config import SkipConfig
    from skipvid.tasks.detect_engine import DetectEngine
    from skipvid.tasks.engine import Engine
    from skipvid.tasks.pose_engine import PoseEngine


def chosen_preset(options: Mapping[str, Any], default: str) -> Preset:
    """The preset that is named, or the default one."""
    from skipvid.presets.preset import load_preset

    return load_preset(options["preset"] or default)


def skip_config(options: Mapping[str, Any], preset: Preset, talk: Talk) -> SkipConfig:
    """The gates: what a flag says, else what the preset says. Learned ones are found (or downloaded) and read."""
    from skipvid.presets.weights import resolve_gate_weights
    from skipvid.skip.config import TYPICAL_THRESHOLD, SkipConfig
    from skipvid.skip.gates.learned import load_questions
    from skipvid.skip.gates.placement import Question

    gate = options["gate"] or preset.gate
    reference = options["reference"] or preset.reference
    questions: dict[str, Question] = {}
    if gate == "gumbel":
        found = resolve_gate_weights(preset, options["gate_weights"], options["offline"], DownloadBar(talk, f"{preset.name}'s gates"))
        questions = load_questions(found.path)
        talk.say(f"preset {preset.name}, gates {found.path}", detail=True)
    elif options["gate_weights"]:
        raise UsageError(f"--gate-weights is given, but the gate is {gate}", "add --gate gumbel")
    settings: dict[str, Any] = {
        "block": int(options["block"] or preset.block),
        "backend": options["backend"],
        "threads": options["threads"] or 0,
        "refresh": options["refresh"],
        "questions": questions,
    }
    # What a preset says of thresholds belongs to its own kind of gate. One that was set by single maps says nothing about another kind's.
    if (gate, reference) == (preset.gate, preset.reference):
        config = SkipConfig.of(preset, **settings)
    else:
        if preset.thresholds:
            threshold = TYPICAL_THRESHOLD[gate]
        else:
            threshold = preset.threshold * TYPICAL_THRESHOLD[gate] / TYPICAL_THRESHOLD[preset.gate]
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


def load_pose_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> PoseEngine:
    """Both networks, weights found (or downloaded) and loaded."""
    from skipvid.presets.preset import DEFAULT_DETECT
    from skipvid.presets.weights import resolve_weights
    from skipvid.tasks.people import PoseOptions
    from skipvid.tasks.pose_engine import WEAK, PoseEngine

    score = preset.score_threshold if options["conf"] is None else options["conf"]
    detector = None
    if not options["full_frame"]:
        own = {"preset": options["detector"], "weights": options["detector_weights"], "conf": WEAK * score, "gate_weights": None}
        if options["gate"] == "gumbel":
            own["gate"] = None  # learned gates are those of the pose network; the detector has its preset's
        theirs = {**options, **own}
        detector = load_detect_engine(theirs, chosen_preset(theirs, DEFAULT_DETECT), talk)
    weights = resolve_weights(preset, options["weights"], options["offline"], DownloadBar(talk, preset.name))
    talk.say(f"preset {preset.name}, weights {weights.path}", detail=True)
    people = PoseOptions(score, options["detect_every"], options["max_persons"])
    return PoseEngine(preset, skip_config(options, preset, talk), weights.path, weights.sha256, detector, people)


def load_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> Engine:
    """The engine for a preset, whatever its task."""
    return load_pose_engine(options, preset, talk) if preset.task == "pose" else load_detect_engine(options, preset, talk)
