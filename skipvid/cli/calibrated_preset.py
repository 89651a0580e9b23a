"""What is calibrated, and the preset that says so: with all that thresholds were found under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.cli.settings.calibrate import CalibrateSettings
    from skipvid.cli.settings.groups import PeopleNetworkSettings
    from skipvid.cli.settings.motion import MotionSettings
    from skipvid.cli.talk import Talk
    from skipvid.presets.preset import Preset
    from skipvid.tasks.engine import Engine

CALIBRATED = "; calibrated: "
"""Before what a calibration says of itself in a preset's description."""


def check_gates(preset: Preset, motion: MotionSettings) -> None:
    """Raises UsageError where there are no gates whose thresholds could be chosen."""
    if motion.motion == WARP:
        raise UsageError(f"--motion {WARP} has no thresholds", "leave it out")
    if preset.motion == WARP and motion.motion is None:
        raise UsageError(f"the preset {preset.name} says 'motion: {WARP}', which has no thresholds", "take that line out of it")


def loaded(network: PeopleNetworkSettings, motion: MotionSettings, preset: Preset, talk: Talk) -> Engine:
    """The network as the other commands run it under the preset that will be written."""
    from skipvid.cli.networks import load_engine

    engine = load_engine(network, preset, talk)
    motion.set_on(engine)
    return engine


def described(
    settings: CalibrateSettings,
    preset: Preset,
    engine: Engine,
    name: str,
    about: str,
    threshold: float,
    thresholds: Mapping[str, float],
) -> Preset:
    """The preset with what was found, and with all of the settings that it was found under and that a preset can hold.

    It is usable from anywhere: a weights file is named by its whole path. about: replaces what an earlier calibration said of itself.
    """
    from skipvid.presets.weights import movable

    config, network, motion = engine.model.config, settings.network, settings.motion
    return replace(
        movable(preset, network.weights),
        name=name,
        description=f"{preset.description.split(CALIBRATED)[0]}{CALIBRATED}{about}",
        score_threshold=network.over(preset).score_threshold,
        gate=config.gate,
        block=config.block,
        threshold=threshold,
        thresholds=dict(thresholds),
        scales=dict(config.scales),
        reference=config.reference,
        p=config.p,
        input_threshold=config.input_threshold,
        dense_above=config.dense_above,
        precision=config.precision,
        motion=motion.motion or preset.motion,
        denoise=motion.denoise or preset.denoise,
    )
