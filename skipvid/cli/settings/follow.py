"""Settings of where to look, and of what is followed from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.fields import flag, setting
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.tasks.areas import Areas
    from skipvid.tasks.counting import CountOption
    from skipvid.tasks.identities import FollowOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaSettings:
    """Where to look."""

    ignore: tuple[str, ...] = setting(
        "--ignore",
        default=(),
        metavar="AREA",
        help="Leave out what lies in this area, and compute nothing there: 'x,y x,y x,y' in pixels or shares of the picture, or a JSON "
        "or PNG file. May be given several times.",
    )
    only: tuple[str, ...] = setting("--only", default=(), metavar="AREA", help="Leave out what lies outside. May be given several times.")

    def areas(self) -> Areas | None:
        """Where to look; None: everywhere. Raises UsageError where an area cannot be read."""
        from skipvid.tasks.areas import Areas, read_area

        if not self.ignore and not self.only:
            return None
        return Areas(tuple(read_area(text) for text in self.ignore), tuple(read_area(text) for text in self.only))


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """Whether and how detections get identities, and what is counted. Raises UsageError where settings contradict each other."""

    track: bool = flag("--track", help="Give detections identities that stay. On by default for .mot.txt.")
    no_track: bool = flag("--no-track", help="Give them none, whatever is written.")
    detect_every: int = setting(
        "--detect-every",
        default=1,
        type=click.IntRange(min=1),
        metavar="N",
        help="Run the detector in every N-th frame; in between, what has an identity goes on as it went. Implies --track.",
    )
    count: tuple[str, ...] = setting(
        "--count",
        default=(),
        metavar="[NAME=]POINTS",
        help="Count who crosses a line ('x,y x,y'), or enters and leaves a zone (three points or more), by direction and class. Implies "
        "--track. May be given several times.",
    )
    events: str | None = setting("--events", default=None, metavar="FILE", help="Write what is counted, event by event: .jsonl or .csv.")

    def __post_init__(self) -> None:
        wanted = [("--track", self.track), ("--detect-every", self.detect_every > 1), ("--count", bool(self.count))]
        for name, given in wanted:
            if given and self.no_track:
                raise UsageError(f"{name} and --no-track contradict each other")

    def options(self, outputs: Sequence[str]) -> FollowOptions | None:
        """How to follow, where it is wanted or an output needs it."""
        from skipvid.tasks.identities import FollowOptions

        needed = self.track or self.detect_every > 1 or bool(self.count) or any(output.lower().endswith(".mot.txt") for output in outputs)
        return FollowOptions(self.detect_every) if needed and not self.no_track else None

    def counts(self) -> tuple[CountOption, ...]:
        """What to count. Raises UsageError where a line or zone cannot be read, or two have one name."""
        from skipvid.tasks.counting import read_count

        counts = tuple(read_count(text) for text in self.count)
        names = [count.name for count in counts]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"two counts have the name '{doubled}'", "give them names: 'door=x,y x,y'")
        return counts
