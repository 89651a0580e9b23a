"""How outputs are to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipvid.core.errors import UsageError

Speed = Literal["fast", "balanced", "small"]


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """Settings of video outputs; the others have none.

    crf: quality, 0 (best) to 51 (H.264) or 63 (VP9); None is one quality at every speed, H.264 of about crf 22. speed: of the encoder,
    at the expense of the file's size. audio: copy the source's sound.
    to_end: the run is meant to reach the end of the source (no --end, no --max-frames), so that the last frame is shown for as long as
    it is there, and the sound is copied to its end. Raises UsageError for a crf out of range.
    """

    crf: int | None = None
    speed: Speed = "fast"
    audio: bool = True
    to_end: bool = False

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise UsageError(f"--crf is {self.crf}", "give 0 (best) to 51 for H.264, to 63 for VP9")
