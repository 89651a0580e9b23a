"""The charts of reports as inline SVG. Colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from skipvid.core.costs import LayerCost
from skipvid.report.summary import CurvePoint
from skipvid.report.units import count, percent

_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 948, 12, 192
_MOST_TICKS = 120


def saving_chart(points: Sequence[CurvePoint]) -> str:
    """The saving over the run as a line, with a tick below for each stretch that has a keyframe."""
    first, end = points[0].frame, max(points[-1].frame + points[-1].frames, points[0].frame + 1)
    low = min(0.0, *(point.saving for point in points)) if len(points) > 1 else min(0.0, points[0].saving)

    def x(frame: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (frame - first) / (end - first)

    def y(saving: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (saving - low) / (1.0 - low)

    parts = [_grid_line(y(level), f"{level:.0%}") for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    line = " ".join(f"{x(point.frame + point.frames / 2):.1f},{y(point.saving):.1f}" for point in points)
    parts.append(f'<polygon class="area" points="{x(first):.1f},{y(low):.1f} {line} {x(end):.1f},{y(low):.1f}"/>')
    parts.append(f'<polyline class="line" points="{line}"/>')
    keys = [point for point in points if point.keyframes]
    if len(keys) <= _MOST_TICKS:
        parts += [f'<path class="key" d="M{x(point.frame + point.frames / 2):.1f} {_BOTTOM}v7"/>' for point in keys]
    for frame, anchor in ((first, "start"), ((first + end) // 2, "middle"), (end - 1, "end")):
        place = {"start": _LEFT, "middle": x(frame), "end": _RIGHT}[anchor]
        parts.append(f'<text x="{place:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">frame {frame}</text>')
    return _svg("MACs saved over the run", parts)


def layer_chart(layers: Sequence[LayerCost], frames: int) -> str:
    """A bar per layer in the network's order: the dense MACs of a frame, and the executed part of them from below."""
    highest = max(1, *(max(layer.dense_macs, layer.macs + layer.gate_macs) for layer in layers)) if layers else 1
    frames = max(1, frames)
    pitch = (_RIGHT - _LEFT) / max(1, len(layers))
    parts = [_grid_line(_BOTTOM - (_BOTTOM - _TOP) * level, count(level * highest / frames)) for level in (0.0, 0.5, 1.0)]
    for index, layer in enumerate(layers):
        spent = layer.macs + layer.gate_macs
        tip = f"{layer.name}: {count(spent / frames)} of {count(layer.dense_macs / frames)} MACs per frame, {percent(layer.saving)} saved"
        bars = _bar("dense", index * pitch, pitch, layer.dense_macs / highest) + _bar("spent", index * pitch, pitch, spent / highest)
        parts.append(f"<g><title>{escape(tip)}</title>{bars}</g>")
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}">input</text>')
    parts.append(f'<text x="{_RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">output</text>')
    return _svg("MACs by layer", parts)


def _bar(kind: str, x: float, pitch: float, share: float) -> str:
    height = (_BOTTOM - _TOP) * share
    return f'<rect class="{kind}" x="{_LEFT + x:.2f}" y="{_BOTTOM - height:.2f}" width="{0.8 * pitch:.2f}" height="{height:.2f}"/>'


def _grid_line(y: float, label: str) -> str:
    return f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _svg(label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
