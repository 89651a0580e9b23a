"""Drawing what to learn from: each source as often as its share says, within a source every item alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from skipvid.core.errors import UsageError


class FromSource(Protocol):
    @property
    def source(self) -> str: ...


T = TypeVar("T", bound=FromSource)


class Draws(Generic[T]):
    """Draws items by their source.

    shares: source -> relative frequency; a source that it does not name is not drawn. None: every item is drawn alike.
    Raises UsageError where nothing is left to draw from.
    """

    def __init__(self, items: Sequence[T], shares: Mapping[str, float] | None = None) -> None:
        groups: defaultdict[str, list[T]] = defaultdict(list)
        for item in items:
            groups[item.source].append(item)
        if not groups:
            raise UsageError(
                "there is no sample to train on", "give labelled pictures, or clips and a teacher that finds something in them"
            )
        weights = np.array([len(group) if shares is None else shares.get(name, 0.0) for name, group in groups.items()], np.float64)
        if weights.sum() <= 0:
            raise UsageError(f"no source has a share: {', '.join(groups)}", f"shares were given for {', '.join(shares or ())}")
        self._groups, self._weights = list(groups.values()), weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> T:
        group = self._groups[int(rng.choice(len(self._groups), p=self._weights))]
        return group[int(rng.integers(len(group)))]
