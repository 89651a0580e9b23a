"""Where things go: a smooth path over the ground, walked or driven with gentle starts and stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import motion, skeleton
from .skeleton import Pose

Array = NDArray[Any]
_STEP = 0.04


def smooth_path(points: Array, rounds: int = 4) -> Array:
    """Chaikin corner cutting of an open polyline (N, 2); the end points stay."""
    for _ in range(rounds):
        first, second = points[:-1], points[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], 1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


class Route:
    """points: (N, 2) way points. speed: m/s. stops: (metres along the path, seconds) in order. begin: metres along the path at time 0."""

    def __init__(
        self,
        points: Array,
        speed: float,
        stops: Sequence[tuple[float, float]] = (),
        begin: float = 0.0,
        seconds: float = 20.0,
        acceleration: float = 1.1,
    ) -> None:
        path = smooth_path(np.asarray(points, float))
        step = np.hypot(*np.diff(path, axis=0).T)
        self._s = np.concatenate([[0], np.cumsum(step)])
        self._path = path
        self.length = float(self._s[-1])
        self.speed = speed
        self._run(speed, [stop for stop in stops if stop[0] > begin], begin, seconds, acceleration)

    def _run(self, cruise: float, stops: Sequence[tuple[float, float]], begin: float, seconds: float, acceleration: float) -> None:
        count = int(seconds / _STEP) + 2
        where, speed = np.empty(count), np.empty(count)
        s, v, waiting, pending = begin, cruise, 0.0, list(stops)
        for k in range(count):
            where[k], speed[k] = s, v
            if waiting > 0:
                waiting -= _STEP
                v = 0.0
                continue
            limit = cruise
            if pending:
                left = pending[0][0] - s
                if left < 0.03:
                    waiting, v = pending.pop(0)[1], 0.0
                    continue
                limit = min(cruise, float(np.sqrt(2 * acceleration * left)) + 0.02)
            v = min(v + acceleration * _STEP, limit)
            s += v * _STEP
        self._where = where
        kernel = np.exp(-0.5 * (np.arange(-8, 9) / 3.5) ** 2)
        self._speed = np.convolve(np.pad(speed, 8, mode="edge"), kernel / kernel.sum(), mode="valid")
        grid = np.arange(len(self._path) - 1)
        tangent = np.diff(self._path, axis=0)
        angle = np.unwrap(np.arctan2(-tangent[:, 0], tangent[:, 1]))
        smoothed = np.convolve(np.pad(angle, 4, mode="edge"), np.full(9, 1 / 9), mode="valid")
        self._heading = np.interp(where, (self._s[grid] + self._s[grid + 1]) / 2, smoothed)

    def at(self, time: float) -> tuple[Array, float, float, float]:
        """Position (2,), heading (radians, 0 along +y, positive left), speed, metres along the path."""
        k = time / _STEP
        grid = np.arange(len(self._where))
        s = float(np.interp(k, grid, self._where))
        direction = self._path[-1] - self._path[-2]
        beyond = max(s - self.length, 0.0) * direction / np.linalg.norm(direction)
        position = np.array([np.interp(s, self._s, self._path[:, axis]) for axis in (0, 1)]) + beyond
        return position, float(np.interp(k, grid, self._heading)), float(np.interp(k, grid, self._speed)), s

    def positions(self, times: Array) -> Array:
        """(T, 2), for checks of who meets whom."""
        return np.array([self.at(float(time))[0] for time in times])


def walking(route: Route, scale: float, habit: str, style: Array) -> Callable[[float], Pose]:
    """The motion of someone who walks a route and falls into `habit` where it stops. style: (4,) personal habits in [-1, 1]."""
    rest = skeleton.rest_joints()
    vigour = float(np.clip(route.speed / (1.2 * scale), 0.55, 1.15)) ** 0.6
    stride = motion.STRIDE * scale * vigour
    offset = float(style[0]) * 3

    def pose(time: float) -> Pose:
        position, heading, speed, travelled = route.at(time)
        pace = min(speed / max(route.speed, 0.1), 1.0)
        moving = min(1.0, 1.6 * pace)
        result = motion.walk(rest, scale, np.array([*position, 0.0]), heading, travelled / stride + offset, vigour * moving, style)
        if moving < 1:
            motion.idle(rest, scale, result, time, 1 - moving, habit, style)
        return result

    return pose
