"""Who a person is: stature, build, clothes and colours drawn from a seed, and the paint that puts them on the body mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import figure
from .noise import Noise, smoothstep

Array = NDArray[Any]

# Linear RGB reflectances.
SKIN = np.array([[.58, .36, .26], [.50, .30, .20], [.40, .22, .14], [.27, .14, .085], [.15, .078, .048], [.085, .045, .030]])  # fmt: skip
HAIR = np.array([
    [.012, .010, .009], [.030, .018, .012], [.075, .040, .020], [.22, .13, .06], [.30, .29, .28], [.10, .035, .015],
])  # fmt: skip
TOPS = np.array([
    [.60, .60, .58], [.035, .035, .040], [.38, .035, .03], [.04, .075, .25], [.055, .18, .075], [.46, .32, .05], [.20, .20, .21],
    [.42, .17, .22], [.09, .26, .34], [.20, .085, .04], [.015, .022, .06], [.50, .43, .32], [.30, .10, .015], [.14, .04, .16],
    [.018, .018, .020], [.09, .09, .10], [.025, .035, .07], [.07, .06, .045],
])  # fmt: skip
BOTTOMS = np.array([
    [.035, .055, .12], [.018, .020, .028], [.022, .022, .022], [.30, .22, .13], [.12, .12, .12], [.075, .11, .20],
    [.065, .065, .035], [.45, .43, .40],
])  # fmt: skip
SHOES = np.array([[0.02, 0.018, 0.016], [0.55, 0.54, 0.52], [0.08, 0.035, 0.015], [0.14, 0.14, 0.15], [0.30, 0.03, 0.03]])


@dataclass(frozen=True)
class Appearance:
    build: figure.Build
    stature: float
    skin: Array
    hair: Array
    top: Array
    second: Array
    bottom: Array
    shoes: Array
    bag: Array
    pattern: str
    neckline: float
    waistline: float
    open_front: bool
    denim: bool

    @property
    def scale(self) -> float:
        return self.stature / 1.75


def draw_appearance(
    rng: np.random.Generator, sporty: bool = False, detail: float = 1.0, helmet: bool = False, trousers: bool = False
) -> Appearance:
    """A random adult (sometimes a child), dressed for the street or for exercise. trousers: no skirt, coat or bag (for riding)."""
    female = bool(rng.random() < 0.5)
    child = not (sporty or trousers) and bool(rng.random() < 0.07)
    stature = rng.normal(1.65 if female else 1.77, 0.065) if not child else rng.uniform(1.20, 1.45)
    tops = ["tee", "shirt", "jacket", "coat", "dress"]
    top_kind = "tee" if sporty else str(rng.choice(tops, p=[0.34, 0.27, 0.22, 0.12, 0.05]))
    if trousers and top_kind in ("dress", "coat"):
        top_kind = "jacket"
    if top_kind == "dress" and not female:
        top_kind = "shirt"
    bottom_kind = "trousers"
    if sporty:
        bottom_kind = str(rng.choice(["shorts", "tights", "trousers"]))
    elif not trousers and top_kind in ("tee", "shirt") and rng.random() < 0.25:
        bottom_kind = "skirt" if female else "shorts"
    skirt = {"skirt": float(rng.uniform(0.45, 0.68))}.get(bottom_kind, float(rng.uniform(0.42, 0.60)) if top_kind == "dress" else 0.0)
    leg = 1.0 if bottom_kind in ("trousers", "tights") else float(rng.uniform(0.38, 0.5))
    if skirt:
        leg = 1.0 if rng.random() < 0.4 else 0.02
    hair = ["short", "bob", "long", "tail", "cap"] if female else ["short", "bald", "cap"]
    build = figure.Build(
        female=female,
        girth=float(np.clip(rng.normal(1.0, 0.09), 0.86, 1.3)) * (0.95 if child else 1.0),
        sleeve=float(rng.uniform(0.26, 0.4)) if top_kind in ("tee", "dress") else 1.0,
        leg=leg,
        loose={"tee": 0.009, "shirt": 0.008, "jacket": 0.017, "coat": 0.020, "dress": 0.007}[top_kind]
        * (0.5 if bottom_kind == "tights" else 1),
        skirt=skirt,
        coat=float(rng.uniform(0.55, 0.8)) if top_kind == "coat" else 0.0,
        hair="helmet" if helmet else str(rng.choice(hair, p=[0.15, 0.2, 0.3, 0.3, 0.05] if female else [0.78, 0.12, 0.10])),  # fmt: skip
        bag="" if sporty or trousers else str(rng.choice(["", "backpack", "shoulder", "tote"], p=[0.55, 0.2, 0.15, 0.1])),  # fmt: skip
        detail=detail,
    )

    def shade(palette: Array) -> Array:
        colour = palette[rng.integers(len(palette))] * rng.uniform(0.7, 1.2)
        colour = colour + rng.uniform(0.1, 0.5) * (colour.mean() - colour)
        return np.asarray(np.clip(colour + rng.normal(0, 0.006, 3), 0.006, 0.65))

    bottom = shade(BOTTOMS)
    return Appearance(
        build=build,
        stature=float(np.clip(stature, 1.15, 1.95)),
        skin=SKIN[int(rng.choice(6, p=[0.3, 0.25, 0.18, 0.12, 0.1, 0.05]))] * rng.uniform(0.9, 1.1),  # fmt: skip
        hair=shade(TOPS)
        if build.hair in ("cap", "helmet")
        else HAIR[int(rng.choice(6, p=[0.28, 0.28, 0.2, 0.1, 0.08, 0.06]))],  # fmt: skip
        top=shade(TOPS),
        second=shade(TOPS),
        bottom=bottom,
        shoes=shade(SHOES),
        bag=shade(BOTTOMS if rng.random() < 0.7 else TOPS),
        pattern=str(rng.choice(["plain", "stripes", "check", "print", "block"], p=[0.58, 0.12, 0.1, 0.13, 0.07])),  # fmt: skip
        neckline=float(rng.uniform(1.455, 1.478)) if top_kind in ("tee", "dress") else 1.485,
        waistline=0.0 if top_kind in ("coat", "dress") else float(rng.uniform(0.90, 1.0)),
        open_front=top_kind in ("jacket", "coat") and bool(rng.random() < 0.6),
        denim=bottom_kind == "trousers" and bool(rng.random() < 0.5),
    )


def _top_colour(look: Appearance, place: Array) -> Array:
    x, y, z = place.T
    colour = np.broadcast_to(look.top, place.shape).copy()
    if look.pattern == "stripes":
        colour[np.mod(z, 0.056) < 0.024] = look.second
    elif look.pattern == "check":
        angle = np.arctan2(x, y)
        dark = (np.mod(z, 0.07) < 0.03).astype(np.float32) + (np.mod(angle, 0.42) < 0.18)
        colour *= (1 - 0.3 * dark)[:, None]
    elif look.pattern == "print":
        colour[(np.abs(x) < 0.085) & (y > 0.02) & (np.abs(z - 1.27) < 0.055) & (np.sin(x * 190) * np.sin(z * 150) > -0.35)] = look.second
    elif look.pattern == "block":
        colour[z > 1.27] = look.second
    return colour


def _face(look: Appearance, place: Array) -> Array:
    x, y, z = place.T
    colour = np.broadcast_to(look.skin, place.shape).copy()
    front = y > 0.05
    side = np.abs(x)
    blush = np.exp(-(((side - 0.042) / 0.022) ** 2) - ((z - 1.605) / 0.022) ** 2) * front
    colour *= 1 - blush[:, None] * np.array([0.0, 0.18, 0.16])
    if not look.build.female:
        beard = smoothstep(0, 1, (1.60 - z) / 0.03) * (y > 0.0) * (z > 1.52)
        colour *= 1 - 0.28 * beard[:, None]
    colour[front & (np.abs(z - 1.585 - 0.05 * side**2) < 0.0055) & (side < 0.024)] *= np.array([0.75, 0.42, 0.42])
    colour[front & (np.abs(z - 1.672) < 0.0045) & (np.abs(side - 0.033) < 0.019)] = (
        look.hair * 1.3 if look.build.hair not in ("cap", "helmet") else 0.03
    )
    eye = front & (((side - 0.032) / 0.014) ** 2 + ((z - 1.653) / 0.0062) ** 2 < 1)
    colour[eye] = 0.45
    colour[eye & (np.abs(side - 0.032) < 0.006)] = 0.02
    return colour


def paint(look: Appearance, part: Array, place: Array, along: Array, noise: Noise) -> Array:
    """(P, 3) linear RGB albedo of fragments: their part, their place in the bind pose (metres at stature 1.75) and along their limb."""
    x, y, z = place.T
    colour = np.empty(place.shape, np.float32)
    cloth = np.zeros(len(part), bool)

    def put(mask: Array, value: Array, is_cloth: bool = False) -> None:
        colour[mask] = value
        if is_cloth:
            cloth[mask] = True

    put(part == figure.HAIR, look.hair)
    put(part == figure.HAND, look.skin)
    put(part == figure.SHOE, look.shoes)
    colour[(part == figure.SHOE) & (z < 0.022)] = 0.5 * look.shoes + 0.12
    put(part == figure.BAG, look.bag, True)
    put(part == figure.STRAP, look.bag * 0.8)
    put(part == figure.SKIRT, look.top if look.waistline == 0.0 else look.bottom, True)
    mask = part == figure.HEAD
    colour[mask] = _face(look, place[mask])
    mask = part == figure.LEG
    put(mask & (along <= look.build.leg), look.bottom, True)
    put(mask & (along > look.build.leg), look.skin)
    if look.build.leg < 0.95:
        colour[mask & (along > 0.93)] = look.second * 0.6 + 0.1
    mask = part == figure.ARM
    put(mask & (along > look.build.sleeve), look.skin)
    sleeve = mask & (along <= look.build.sleeve)
    trunk = part == figure.TRUNK
    top = sleeve | (trunk & (z > look.waistline))
    colour[top] = _top_colour(look, place[top])
    cloth |= top
    put(trunk & (z <= look.waistline), look.bottom, True)
    if look.waistline > 0.96:
        colour[trunk & (np.abs(z - look.waistline + 0.012) < 0.016)] = look.shoes * 0.5
    if look.open_front:
        edge = 0.030 + 0.05 * np.clip(1.42 - z, 0, 1) * 0.6
        colour[trunk & (np.abs(x) < edge) & (y > 0) & (z > 0.95)] = look.second
        colour[trunk & (np.abs(x) < edge) & (y > 0) & (z <= 0.95)] = look.bottom
    scoop = look.neckline - 0.45 * np.clip(0.075 - np.abs(x), 0, 1) * (y > 0) * (look.build.sleeve < 0.5)
    put(trunk & (z > scoop), look.skin)
    cloth[trunk & (z > scoop)] = False
    weave = noise.near((x + y) * 3.1, z * 3.1)
    colour *= (1 + np.where(cloth, 0.07, 0.03) * weave)[:, None]
    hair = part == figure.HAIR
    if look.build.hair not in ("cap", "helmet"):
        colour[hair] *= (1 + 0.3 * noise.near(np.arctan2(x[hair], y[hair]) * 0.9, z[hair] * 0.4))[:, None].clip(0.4, 2)
    if look.denim:
        worn = (part == figure.LEG) & (along < 0.45) & (y > 0.02)
        colour[worn] *= 1.25
    return colour
