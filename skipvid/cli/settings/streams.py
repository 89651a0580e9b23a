"""Settings of cameras, addresses and live pipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.fields import flag, setting
from skipvid.cli.settings.types import Duration
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.video.sources.options import ReadOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How what arrives at its own pace is read. Raises UsageError where settings contradict each other."""

    newest: bool = flag(
        "--live", help="Read the sources at their own pace: the newest frame wins, the others are dropped. Cameras are read so anyway."
    )
    every: bool = flag("--no-live", help="Read http(s) addresses as recordings: every frame, however long it takes.")
    duration: float | None = setting(
        "--duration",
        default=None,
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="Stop a live source after S seconds.  [Ctrl-C]",
    )
    reconnect: Literal["always", "never"] = setting(
        "--reconnect", default="always", help="Whether to connect anew where a live source is lost.  [default: always]"
    )
    timeout: float = setting(
        "--timeout",
        default=10.0,
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="Seconds to wait for a connection, and without data before it is given up.  [default: 10]",
    )
    segment: float | None = setting(
        "--segment",
        default=None,
        type=Duration(),
        metavar="TIME",
        help="Begin new outputs every 90s, 10m, 2h, ...; each is a whole file, called by the time at which it begins. For live sources.",
    )
    rtsp_transport: Literal["tcp", "udp", "udp_multicast", "http", "https"] = setting(
        "--rtsp-transport", default="tcp", help="How RTSP sends pictures.  [default: tcp]"
    )

    def __post_init__(self) -> None:
        if self.newest and self.every:
            raise UsageError("--live and --no-live contradict each other")

    def over(self, options: ReadOptions) -> ReadOptions:
        """Options for sources, with these settings."""
        live = True if self.newest else False if self.every else None
        return replace(options, live=live, timeout=self.timeout, reconnect=self.reconnect == "always", rtsp_transport=self.rtsp_transport)
