"""A surveillance camera's sensor: drifting exposure, mains flicker, vignetting, a soft lens, noise, tone curve, sharpening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Sensor:
    """gain: linear radiance -> sensor signal (1 = full scale). photon, read: noise deviations at full scale and in the dark.

    drift: relative size of slow exposure changes. flicker: relative depth of the mains bands, `bands` of them over the frame height,
    moving `beat` bands a second. vignette: light lost in the corners. blur: lens, pixels. sharpen: strength of the in-camera sharpening.
    """

    width: int
    height: int
    seed: int
    gain: float
    photon: float
    read: float
    drift: float
    flicker: float
    bands: float
    beat: float
    vignette: float
    blur: float
    sharpen: float
    white: Array

    def exposure(self, time: float) -> float:
        a, b, c = np.random.default_rng([self.seed, 77]).uniform(0, 2 * np.pi, 3)
        waves = np.sin(0.9 * time + a) + 0.6 * np.sin(2.3 * time + b) + 0.3 * np.sin(5.1 * time + c)
        return self.gain * (1 + self.drift * float(waves))

    def _response(self, time: float) -> Array:
        """(H, W, 1) float32: gain of every pixel at a time."""
        y = (np.arange(self.height, dtype=np.float32) + 0.5) / self.height
        x = (np.arange(self.width, dtype=np.float32) + 0.5) / self.width
        radius = ((x - 0.5) ** 2)[None] + ((y - 0.5) ** 2)[:, None]
        bands = 1 + self.flicker * np.sin(2 * np.pi * (self.bands * y + self.beat * time))
        return np.asarray((self.exposure(time) * (1 - self.vignette * 2 * radius) * bands[:, None])[..., None].astype(np.float32))

    def expose(self, radiance: Array, frame: int, time: float) -> NDArray[np.uint8]:
        """(H, W, 3) linear RGB -> (H, W, 3) uint8 BGR."""
        signal = cv2.GaussianBlur(radiance, (0, 0), self.blur) * self._response(time)
        signal *= self.white.astype(np.float32)
        rng = np.random.Generator(np.random.SFC64([self.seed, 5, frame]))
        noise: Array = rng.standard_normal(signal.shape, np.float32)
        noise = np.float32(0.75) * noise + np.float32(0.9) * cv2.GaussianBlur(noise, (0, 0), 0.8)
        signal += noise * np.sqrt(self.photon**2 * np.maximum(signal, 0) + self.read**2)
        index = np.clip(signal * _CURVE_SCALE, 0, len(_CURVE) - 1).astype(np.int32)
        picture = _CURVE[index]
        picture += self.sharpen * (picture - cv2.GaussianBlur(picture, (0, 0), 1.1))
        return np.asarray(np.clip(picture[..., ::-1] + 0.5, 0, 255), np.uint8)


def _curve() -> Array:
    """Output levels 0..255 for signals 0..2: sRGB with a soft shoulder above 60 %."""
    signal = np.linspace(0, 2, 4096)
    knee = 0.6
    soft = np.where(signal < knee, signal, knee + (1 - knee) * (1 - np.exp(-(signal - knee) / (1 - knee))))
    coded = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray((coded * 255).astype(np.float32))


_CURVE = _curve()
_CURVE_SCALE = np.float32((len(_CURVE) - 1) / 2)


def draw_sensor(rng: np.random.Generator, width: int, height: int, seed: int, radiance: Array, indoors: bool) -> Sensor:
    """A random camera whose exposure suits a picture (H, W, 3) of linear RGB."""
    luminance = radiance.mean(-1)
    middle = float(np.exp(np.log(luminance + 1e-3).mean()))
    bright = float(np.percentile(luminance, 97))
    gain = min(rng.uniform(0.17, 0.27) / middle, 1.15 / bright)
    noisy = float(np.exp(rng.normal(0, 0.45)))
    return Sensor(
        width=width,
        height=height,
        seed=seed,
        gain=gain,
        photon=0.014 * noisy,
        read=0.0025 * noisy,
        drift=rng.uniform(0.003, 0.010),
        flicker=rng.uniform(0.006, 0.016) if indoors else 0.0,
        bands=rng.uniform(1.2, 2.2),
        beat=rng.uniform(-0.4, 0.4),
        vignette=rng.uniform(0.12, 0.34),
        blur=rng.uniform(0.45, 0.75),
        sharpen=rng.uniform(0.25, 0.7),
        white=1 + rng.normal(0, 0.025, 3),
    )
