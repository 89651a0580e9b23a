"""What OpenVINO's Model API and OTX write into a network file beside the network: names, and how a picture becomes its input.

In ONNX files those are metadata whose keys are paths, "model_info mean_values" and so on; values are text, lists with spaces between.
Means and scales are of values in 0..255 and in the order of the network's channels; pictures are BGR unless the channels are reversed.
A resize_type is not followed: pictures keep their proportions here, and what is found is given in those of the frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from skipvid.core.errors import UsageError

SECTION = "model_info"
NORMALISE = "give --normalise, or --mean and --std"
Triple = tuple[float, float, float]
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """None = the file does not say. mean, std: of values in 0..1. score: below which nothing is shown."""

    labels: tuple[str, ...] | None = None
    channels: str | None = None
    mean: Triple | None = None
    std: Triple | None = None
    score: float | None = None


def read_model_info(metadata: Mapping[str, str], file: str, without: Collection[str] = ()) -> ModelInfo:
    """From a file's metadata. without: keys that do not count. Raises UsageError for a value that cannot be meant."""
    given = {key: value for key, value in _section(metadata).items() if key not in without}
    reversed_channels = _flag(given, "reverse_input_channels", file)
    means, scales = (_numbers(given, key, file) for key in ("mean_values", "scale_values"))
    if scales is not None and 0.0 in scales:
        raise _wrong("scale_values", given["scale_values"], file, NORMALISE)
    taken = means is not None or scales is not None  # a file that names one of them means the usual value of the other
    return ModelInfo(
        labels=tuple(given["labels"].split()) if "labels" in given else None,
        channels=None if reversed_channels is None else "rgb" if reversed_channels else "bgr",
        mean=_in_shares(means or (0.0, 0.0, 0.0)) if taken else None,
        std=_in_shares(scales or (1.0, 1.0, 1.0)) if taken else None,
        score=_score(given, file),
    )


def read_fill(metadata: Mapping[str, str], file: str) -> int | None:
    """The byte beside the picture. Raises UsageError for a value that is none."""
    given = _section(metadata)
    if "pad_value" not in given:
        return None
    number = _number(given, "pad_value")
    if number is None or not 0 <= number <= 255:
        raise _wrong("pad_value", given["pad_value"], file, "export it again with a byte")
    return round(number)


def _section(metadata: Mapping[str, str]) -> dict[str, str]:
    """What stands in the section, by key; what is empty does not count."""
    found = {}
    for key, value in metadata.items():
        path = [part for part in re.split(r"[\s./]+", key) if part]
        if len(path) == 2 and path[0] == SECTION and value.strip() not in ("", "None"):
            found[path[1]] = value.strip()
    return found


def _in_shares(values: Triple) -> Triple:
    return values[0] / 255, values[1] / 255, values[2] / 255


def _flag(given: Mapping[str, str], key: str, file: str) -> bool | None:
    if key not in given:
        return None
    if given[key].lower() not in WORDS:
        raise _wrong(key, given[key], file, "give --channels rgb or bgr")
    return WORDS[given[key].lower()]


def _numbers(given: Mapping[str, str], key: str, file: str) -> Triple | None:
    if key not in given:
        return None
    try:
        values = [float(part) for part in re.split(r"[\s,]+", given[key].strip("[]()")) if part]
    except ValueError:
        values = []
    if len(values) not in (0, 1, 3) or (not values and given[key].strip("[]() ")) or not all(math.isfinite(value) for value in values):
        raise _wrong(key, given[key], file, NORMALISE)
    if not values:
        return None
    first, second, third = values * 3 if len(values) == 1 else values
    return first, second, third


def _score(given: Mapping[str, str], file: str) -> float | None:
    if "confidence_threshold" not in given:
        return None
    number = _number(given, "confidence_threshold")
    if number is None or not 0 <= number <= 1:
        raise _wrong("confidence_threshold", given["confidence_threshold"], file, "export it again with a number from 0 to 1")
    return number


def _number(given: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(given[key])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _wrong(key: str, value: str, file: str, hint: str) -> UsageError:
    return UsageError(f"{file}: its metadata say {SECTION} {key} = {value[:60]}, which cannot be meant", hint)
