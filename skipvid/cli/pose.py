"""`skipvid pose`: find the keypoints of people, computing only what changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skipvid.cli.analysis import analyse
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import setting
from skipvid.cli.settings.follow import AreaSettings
from skipvid.cli.settings.groups import PRESET_HELP, PeopleNetworkSettings

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.tasks.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseNetworkSettings(PeopleNetworkSettings):
    """What network to run, one for poses where none is named."""

    preset: str | None = setting("--preset", default=None, metavar="NAME|FILE", help=PRESET_HELP.format("hrnet-nano"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSettings(AnalysisSettings):
    """Settings of `pose`."""

    network: PoseNetworkSettings = field(default_factory=PoseNetworkSettings)
    area: AreaSettings = field(default_factory=AreaSettings)


@command(PoseSettings)
def pose(settings: PoseSettings) -> int:
    """Find people's keypoints in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input. A detector finds the
    persons; each is then watched through a window of the frame that stays for as long as the person stays inside.
    --threshold, --gate and --block are for both networks.
    """
    return analyse("pose", settings, _load)


def _load(settings: PoseSettings, talk: Talk) -> Engine:
    from skipvid.cli.networks import load_people_engine, load_pose_engine, network_preset
    from skipvid.presets.preset import DEFAULT_POSE
    from skipvid.tasks.detect import finds_people

    areas = settings.area.areas()
    preset = network_preset(settings.network, DEFAULT_POSE, "pose")
    if finds_people(preset):
        whole = load_people_engine(settings.network, preset, talk)
        whole.areas = areas
        settings.motion.set_on(whole)
        return whole
    engine = load_pose_engine(settings.network, preset, talk)
    engine.areas = areas
    if engine.detector is not None:
        engine.detector.areas = areas
    settings.motion.set_on(engine)
    return engine
