"""Settings of a network that comes as a file: which, what reads its results, and what its input must be."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skipvid.cli.settings.fields import setting
from skipvid.cli.settings.types import PictureSize, Triple
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.tasks.network_files import FileChoice

Numbers = tuple[float, float, float]
NORMALISATIONS: dict[str, tuple[Numbers, Numbers]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "bytes": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and standard deviation of values in 0..1, in the order red, green, blue."""
BYTE = 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSettings:
    """How to read and feed a network file. Raises UsageError where settings contradict each other."""

    head: str | None = setting("--head", default=None, metavar="NAME", help="What reads the results of --model.  [by their shapes]")
    labels: Path | None = setting(
        "--labels", default=None, metavar="FILE", help="Names of what --model finds, one a line.  [those in the file, or COCO's]"
    )
    channels: Literal["rgb", "bgr"] | None = setting("--channels", default=None, help="Order of the input of --model.  [by its head]")
    normalise: Literal["imagenet", "half", "unit", "bytes"] | None = setting(
        "--normalise",
        default=None,
        help="Input of --model: ImageNet's mean and deviation, values from -1 to 1, from 0 to 1, or from 0 to 255.  [by its head]",
    )
    mean: tuple[float, ...] | None = setting(
        "--mean", default=None, type=Triple(), metavar="A,B,C", help="Subtracted from values in 0..1, or in 0..255 where one is above 1."
    )
    std: tuple[float, ...] | None = setting("--std", default=None, type=Triple(), metavar="A,B,C", help="Divided by afterwards.")

    def __post_init__(self) -> None:
        if self.normalise is not None and (self.mean is not None or self.std is not None):
            raise UsageError("--normalise and --mean or --std contradict each other", "give one or the other")
        if self.std is not None and min(self.std) <= 0:
            raise UsageError("--std must be above 0", "for example --std 0.229,0.224,0.225")

    @property
    def given(self) -> tuple[str, ...]:
        """The flags that were given."""
        return tuple(f"--{item.name}" for item in fields(self) if getattr(self, item.name) is not None)

    def choice(self, size: tuple[int, ...] | None) -> FileChoice:
        """The same for the file's preset. Raises UsageError where one of two that belong together is missing."""
        from skipvid.tasks.network_files import FileChoice

        mean, std = self._statistics()
        return FileChoice(head=self.head, labels=self.labels, size=size, channels=self.channels, mean=mean, std=std)

    def _statistics(self) -> tuple[Numbers | None, Numbers | None]:
        if self.normalise is not None:
            mean, std = NORMALISATIONS[self.normalise]
            return (mean[::-1], std[::-1]) if self.channels == "bgr" else (mean, std)
        if (self.mean is None) != (self.std is None):
            raise UsageError("--mean and --std belong together", "give both, or --normalise")
        if self.mean is None or self.std is None:
            return None, None
        unit = BYTE if max(*self.mean, *self.std) > 1 else 1.0
        (a, b, c), (d, e, f) = self.mean, self.std
        return (a / unit, b / unit, c / unit), (d / unit, e / unit, f / unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings(ReadingSettings):
    """How to read and feed a network file, its size among it."""

    size: tuple[int, ...] | None = setting(
        "--size",
        default=None,
        type=PictureSize(),
        metavar="HxW|PX",
        help="Input of a --model that takes any size: height x width, or its longer side.  [what the file says]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """A network that comes as a file, in place of a preset."""

    model: Path | None = setting("--model", default=None, metavar="FILE", help="Network to use: an .onnx file, or a .pt2 of torch.export.")
    file: FileSettings = field(default_factory=FileSettings)


def check_given(model: Path | None, file: ReadingSettings) -> None:
    """Raises UsageError where settings of a network file are given without one."""
    if model is None and file.given:
        raise UsageError(f"{file.given[0]} is for a network that --model names", "add --model net.onnx, or leave it out")
