"""Light in linear RGB: a sun (or lamp), a sky above and what the ground throws back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Light:
    """to_sun: (3,) unit vector. sun, sky, bounce: (3,) irradiance. softness: metres of penumbra at one metre above the ground."""

    to_sun: Array
    sun: Array
    sky: Array
    bounce: Array
    softness: float

    def ambient(self, normal: Array) -> Array:
        """(P, 3) light from the hemisphere round each normal (P, 3)."""
        up = (normal[:, 2:] * 0.5 + 0.5).astype(np.float32)
        return np.asarray(up * self.sky.astype(np.float32) + (1 - up) * self.bounce.astype(np.float32))

    def direct(self, normal: Array) -> Array:
        """(P,) cosine towards the sun."""
        return np.asarray(np.maximum(normal @ self.to_sun.astype(np.float32), 0))

    def sky_seen(self, direction: Array) -> Array:
        """(P, 3) radiance that a mirror reflects from unit directions (P, 3): sky above, horizon haze, street below."""
        height = direction[:, 2:]
        up = np.clip(height, 0, 1) ** 0.5
        above = self.sky * (1.25 * (1 - up) + 0.75 * up)
        return np.where(height > 0, above, self.bounce * 0.6).astype(np.float32)


def daylight(rng: np.random.Generator) -> Light:
    """A random time of day and weather, from hard sun to overcast."""
    elevation = np.radians(rng.uniform(24, 62))
    azimuth = rng.uniform(0, 2 * np.pi)
    to_sun = np.array([np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)])
    clear = rng.choice([1.0, 0.75, 0.35, 0.08], p=[0.4, 0.25, 0.15, 0.2])
    warmth = np.clip((np.radians(50) - elevation) / np.radians(30), 0, 1)
    sun = 2.6 * clear * np.array([1.0, 0.93 - 0.10 * warmth, 0.82 - 0.25 * warmth])
    sky = (0.62 + 0.75 * (1 - clear)) * np.array([0.88, 0.98, 1.15]) ** (0.4 + 0.6 * clear)
    bounce = 0.22 * (sky + sun * to_sun[2] * 0.55)
    return Light(to_sun, sun, sky, bounce, 0.012 + 0.12 * (1 - clear))
