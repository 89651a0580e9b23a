"""A vehicle in a scene: paint, glass, lamps and reflections on a bodywork mesh, driven along a route or parked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import bodywork
from .bodywork import CARGO, CHASSIS, METAL, MIRROR, SEAT, SHELL, WHEEL, Form
from .canvas import Canvas, SunMap, contact
from .light import Light
from .mesh import Mesh, vertex_normals
from .noise import Noise, hash01
from .person import Drawn
from .truth import Annotation

Array = NDArray[Any]
Motion = Callable[[float], tuple[Array, float, float]]
"""time -> position (2,), heading (radians, 0 along +y, positive left), metres travelled."""

PAINTS = np.array([
    [.62, .62, .62], [.30, .31, .32], [.012, .012, .014], [.075, .08, .085], [.25, .015, .015], [.018, .05, .20], [.42, .40, .36],
    [.02, .10, .06], [.50, .18, .02], [.09, .16, .26],
])  # fmt: skip
KINDS = ("hatchback", "saloon", "suv", "estate", "van", "bus", "truck", "bicycle", "motorcycle")


def _form(kind: str) -> Form | None:
    return bodywork.TRUCK if kind == "truck" else bodywork.FORMS.get(kind)


class Vehicle:
    """kind: one of KINDS. sunlight: (P, 3) points -> (P,) sunlight that the scenery lets through."""

    def __init__(
        self, track: int, kind: str, rng: np.random.Generator, motion: Motion, sunlight: Callable[[Array], Array], noise: Noise
    ) -> None:
        self.track, self.kind, self._motion, self._sunlight, self._noise = track, kind, motion, sunlight, noise
        self._form = _form(kind)
        self.category = self._form.category if self._form else {"bicycle": 2, "motorcycle": 4}[kind]
        self._mesh = self._build()
        paints = PAINTS if kind not in ("bus", "truck", "van") else PAINTS[[0, 0, 1, 4, 5, 7, 8]]
        self._colour = np.clip(paints[rng.integers(len(paints))] * rng.uniform(0.8, 1.15), 0.008, 0.7)
        self._second = np.clip(PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.7, 1.2), 0.01, 0.7)
        self._seed = int(rng.integers(10000))
        self._drawn: Drawn | None = None
        self._sun_map: SunMap | None = None

    def _build(self) -> Mesh:
        if self.kind == "truck":
            return bodywork.truck_mesh()
        if self.kind == "bicycle":
            return bodywork.bicycle_mesh()
        if self.kind == "motorcycle":
            return bodywork.motorcycle_mesh()
        return bodywork.car_mesh(bodywork.FORMS[self.kind])

    @property
    def length(self) -> float:
        if self._form:
            return self._form.length
        return bodywork.BICYCLE_LENGTH if self.kind == "bicycle" else bodywork.MOTORCYCLE_LENGTH

    def update(self, time: float) -> None:
        self._position, self._heading, self._travelled = self._motion(time)
        c, s = np.cos(self._heading), np.sin(self._heading)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        self._turn = turn
        self._vertices = (self._mesh.vertices @ turn.T + np.array([*self._position, 0], np.float32)).astype(np.float32)
        self._near = True

    def _outside(self, canvas: Canvas, margin: float) -> bool:
        screen = canvas.camera.project(self._vertices)
        border = margin * canvas.width
        return bool(
            screen[:, 2].max() < 0.6
            or screen[:, 0].max() < -border
            or screen[:, 0].min() > canvas.width + border
            or screen[:, 1].max() < -border
            or screen[:, 1].min() > canvas.height + border
        )

    def cast(self, canvas: Canvas) -> None:
        self._near = not self._outside(canvas, 0.5)
        if not self._near:
            return
        self._sun_map = SunMap(self._vertices, self._mesh.faces, canvas.light, 0.03 if self._form else 0.015)
        lit = float(self._sunlight(np.array([[*self._position, 0.1]]))[0])
        if lit > 0.05:
            self._sun_map.cast(canvas, lit)
        x, y = (float(v) for v in self._position)
        if self._form:
            contact(canvas, x, y, self._form.width * 0.56, self._form.length * 0.53, self._heading, 0.88)
        else:
            contact(canvas, x, y, 0.22, self.length * 0.6, self._heading, 0.45)

    def draw(self, canvas: Canvas) -> None:
        self._drawn = None
        if not self._near or self._outside(canvas, 0.0):
            return
        mesh = self._mesh
        fragments, screen = canvas.rasterise(self._vertices, mesh.faces)
        self._drawn = Drawn(canvas, fragments, screen)
        if not self._drawn.count:
            return
        normals = vertex_normals(self._vertices, mesh.faces)
        lit = self._sunlight(self._vertices)
        values = fragments.interpolate(mesh.faces, np.column_stack([normals, mesh.vertices, self._vertices, lit]))
        normal, place, point, sun = values[:, :3], values[:, 3:6], values[:, 6:9], values[:, 9]
        normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        if self._sun_map is not None:
            sun = sun * self._sun_map.lit(point + 0.05 * normal, 0.05)
        albedo, mirror = self._paint(mesh.part[fragments.face], place, normal @ self._turn)
        canvas.write(fragments, _shade(canvas, canvas.light, albedo, mirror, normal, point, sun, canvas.view(fragments)), self.track)

    def annotation(self, canvas: Canvas, seen: int, supersampling: float) -> Annotation | None:
        return None if self._drawn is None else self._drawn.annotation(self.track, self.category, seen, supersampling)

    def _paint(self, part: Array, place: Array, normal: Array) -> tuple[Array, Array]:
        """Albedo (P, 3) and mirror (P,) of fragments: part, place and normal in the vehicle's own axes."""
        albedo = np.broadcast_to(self._colour, place.shape).astype(np.float32)
        mirror = np.full(len(part), 0.07, np.float32)
        for number, colour, gloss in (
            (CHASSIS, np.full(3, 0.02), 0.02), (MIRROR, self._colour, 0.07), (METAL, np.array([0.16, 0.16, 0.17]), 0.22),
            (SEAT, np.full(3, 0.02), 0.03),
        ):  # fmt: skip
            albedo[part == number] = colour
            mirror[part == number] = gloss
        self._paint_wheels(albedo, mirror, part == WHEEL, place)
        if self._form is not None:
            self._paint_shell(albedo, mirror, part == SHELL, place, normal, self._form)
        cargo = part == CARGO
        if cargo.any():
            albedo[cargo] = self._second if self._seed % 2 else np.array([0.6, 0.6, 0.58])
            x, y, z = place[cargo].T
            stripe = (np.abs(z - 2.3) < 0.35) & (np.abs(y + 1.2) < 1.9) & (np.abs(normal[cargo, 0]) > 0.6)
            stripe &= hash01(np.floor(y / 0.3), self._seed) > 0.25
            albedo[np.flatnonzero(cargo)[stripe]] = self._colour
            mirror[cargo] = 0.04
        dirt = (
            1
            + 0.05 * self._noise.near(place[:, 1] * 0.3, place[:, 2] * 0.4 + place[:, 0] * 0.2)
            - 0.18 * np.clip(0.5 - place[:, 2], 0, 0.3) / 0.3
        )
        return albedo * dirt[:, None].astype(np.float32), mirror

    def _paint_wheels(self, albedo: Array, mirror: Array, mask: Array, place: Array) -> None:
        if not mask.any():
            return
        _, y, z = place[mask].T
        radius = self._form.wheel if self._form else (0.34 if self.kind == "bicycle" else 0.31)
        axles = np.array(self._form.axles if self.kind != "truck" else (-2.9, -2.2, 2.95)) if self._form else np.array([-0.6, 0.6])
        dy = y - axles[np.abs(y[:, None] - axles).argmin(1)]
        away = np.hypot(dy, z - radius)
        angle = np.arctan2(z - radius, dy) - self._travelled / radius
        spokes = np.mod(angle, 2 * np.pi / 5) < 0.62
        rim = away < 0.64 * radius if self._form else np.zeros(len(away), bool)
        albedo[mask] = np.where(rim[:, None], np.where(spokes | (away < 0.18 * radius), 0.33, 0.03)[:, None], 0.018)
        mirror[mask] = np.where(rim & spokes, 0.16, 0.01)

    def _paint_shell(self, albedo: Array, mirror: Array, mask: Array, place: Array, normal: Array, form: Form) -> None:
        index = np.flatnonzero(mask)
        x, y, z = place[index].T
        nx, ny, nz = normal[index].T
        side = np.abs(x)
        half = form.width / 2
        top = np.interp(y, form.profile[:, 0], form.profile[:, 1])
        colour, gloss = albedo[index], mirror[index]
        if form.category in (6,) or self.kind in ("van", "truck"):
            band = (z > 0.75) & (z < 0.95) & (form.category == 6)
            colour[band] = self._second
        flank = np.abs(nx) > 0.55
        for door in (
            (0.05, -0.95, 1.0) if form.category == 3 else (0.9, -0.6) if self.kind == "van" else (2.4,) if self.kind == "truck" else ()
        ):
            colour[flank & (np.abs(y - door) < 0.012) & (z > 0.3) & (z < top - 0.1)] *= 0.3
        if form.category == 3:
            for handle in (-0.12, -1.08):
                colour[flank & (np.abs(y - handle) < 0.09) & (np.abs(z - form.belt + 0.11) < 0.016)] *= 0.45
        glass = flank & (z > form.belt + 0.05) & (z < top - 0.12) & (y > form.glass[0]) & (y < form.glass[1])
        if form.category == 6:
            glass &= (z < 2.55) & (np.mod(y, 1.45) > 0.10)
            doors = flank & (x > 0) & (((y > 3.7) & (y < 4.9)) | ((y > -0.6) & (y < 0.8))) & (z > 0.4) & (z < 2.55)
            glass |= doors & (np.mod(y + 0.6, 0.65) > 0.06)
        else:
            pillar = np.abs(y - 0.05 - (z - form.belt) * 0.1) < 0.045
            rear_pillar = np.abs(y + 0.98) < 0.04
            glass &= ~pillar & ~(rear_pillar & (form.category == 3))
        slope = (nz > 0.12) & ~flank
        front = (y > form.windscreen[0]) & (y < form.windscreen[1]) & (ny > 0.15) & (side < half * 0.86)
        rear = (y > form.rear_window[0]) & (y < form.rear_window[1]) & (ny < -0.15) & (side < half * 0.80)
        if form.category == 6:
            front &= (z > 1.05) & (z < 2.55)
            rear &= (z > 1.7) & (z < 2.6)
            sign = (y > 5.2) & (ny > 0.3) & (z > 2.65) & (z < 2.92) & (side < 0.9)
            colour[sign] = 0.01
            colour[sign & (hash01(np.floor(x / 0.05), np.floor(z / 0.05), self._seed) > 0.5) & (np.mod(x, 0.25) < 0.17)] = np.array(
                [1.6, 0.7, 0.05]
            )
            glass |= front | rear
        else:
            low = form.belt + 0.05
            glass |= ((front & (z > low)) | (rear & (z > low))) & (slope | (self.kind in ("van", "truck"))) & (z < form.height - 0.06)
        seats = 0.014 + 0.022 * np.clip(self._noise(y * 0.13, z * 0.2) + 0.5, 0, 1)
        colour[glass] = (seats[:, None] * np.array([0.9, 1.0, 1.05]))[glass]
        gloss[glass] = 0.20
        for axle in form.axles:
            arch = (np.hypot(y - axle, z - form.wheel) < form.wheel + 0.055) & (side > half * 0.7)
            colour[arch], gloss[arch] = 0.008, 0.0
        sill = (z < form.floor + 0.09) | ((np.abs(y) > form.length / 2 - 0.12) & (z < 0.42))
        colour[sill], gloss[sill] = 0.02, 0.02
        self._paint_ends(colour, gloss, x, y, z, ny, form)
        albedo[index], mirror[index] = colour, gloss

    def _paint_ends(self, colour: Array, gloss: Array, x: Array, y: Array, z: Array, ny: Array, form: Form) -> None:
        """Lamps, grille and number plates."""
        side, half = np.abs(x), form.width / 2
        lamp = 0.66 if form.category == 3 else 0.85
        nose = (ny > 0.25) & (y > form.profile[-1, 0] - 0.45)
        tail = (ny < -0.25) & (y < form.profile[0, 0] + 0.25) & (self.kind != "truck")
        grille = nose & (np.abs(z - lamp + 0.06) < 0.09) & (side < half * 0.52)
        colour[grille], gloss[grille] = np.where(np.mod(z[grille], 0.04) < 0.02, 0.012, 0.05)[:, None], 0.1
        lights = nose & (np.abs(z - lamp) < 0.085) & (side > half * 0.58) & (side < half * 0.92)
        colour[lights], gloss[lights] = np.array([0.75, 0.76, 0.78]), 0.35
        behind = lamp + 0.14 if form.category == 3 else lamp + 0.1
        red = tail & (np.abs(z - behind) < 0.10) & (side > half * 0.62) & (side < half * 0.94)
        colour[red], gloss[red] = np.array([0.55, 0.015, 0.012]), 0.12
        for end, height in ((nose, 0.42), (tail, 0.62 if form.category == 3 else 0.6)):
            plate = end & (side < 0.26) & (np.abs(z - height) < 0.055)
            colour[plate] = 0.55
            colour[plate & (np.abs(z - height) < 0.03) & (hash01(np.floor(x / 0.03), self._seed) > 0.5)] = 0.03


def _shade(canvas: Canvas, light: Light, albedo: Array, mirror: Array, normal: Array, point: Array, sun: Array, view: Array) -> Array:
    """Diffuse paint under a clear coat that mirrors sky, street and sun."""
    cosine = (view * normal).sum(1, keepdims=True)
    reflected = view - 2 * cosine * normal
    fresnel = mirror[:, None] + (0.85 - mirror[:, None]) * (1 - np.clip(-cosine, 0, 1)) ** 5 * (mirror[:, None] > 0.03)
    low = np.clip(point[:, 2:] / 0.8, 0, 1)
    shade = 0.45 + 0.55 * low
    environment = light.sky_seen(reflected)
    houses = np.clip(1 - np.abs(reflected[:, 2:] - 0.12) / 0.22, 0, 1)
    environment = environment * (1 - 0.62 * houses)
    diffuse = albedo * (light.ambient(normal) * shade + (light.direct(normal) * sun)[:, None] * light.sun)
    glint = np.clip(reflected @ light.to_sun.astype(np.float32), 0, 1) ** 260
    colour = diffuse * (1 - fresnel) + environment * fresnel * shade + (glint * sun)[:, None] * light.sun * 3.0 * fresnel
    return np.asarray(colour.astype(np.float32))
