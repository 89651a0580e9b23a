"""Numbers as people read them, the same in the printed report and in HTML."""

from __future__ import annotations


def count(value: float) -> str:
    """Three significant digits with k, M, G or T: 6104123456 -> "6.10 G"."""
    if abs(value) < 999.5:
        return f"{value:.0f}"
    for unit in ("k", "M", "G"):
        value /= 1000.0
        if abs(value) < 999.5:
            return f"{_three_digits(value)} {unit}"
    return f"{_three_digits(value / 1000.0)} T"


def percent(fraction: float) -> str:
    """A fraction with one digit after the point: 0.684 -> "68.4%". What is not quite none or all is never rounded to it."""
    shown = f"{fraction:.1%}"
    if shown == "100.0%" and fraction < 1.0:
        return "99.9%"
    if shown in ("0.0%", "-0.0%"):
        return "<0.1%" if fraction > 0.0 else ">-0.1%" if fraction < 0.0 else "0.0%"
    return shown


def milliseconds(value: float) -> str:
    """Three significant digits, but no more than two after the point: 21.34 -> "21.3"."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def times(ratio: float) -> str:
    """A ratio: 2.256 -> "2.26x"."""
    return f"{ratio:.0f}x" if ratio >= 99.5 else f"{ratio:.1f}x" if ratio >= 9.995 else f"{ratio:.2f}x"


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _three_digits(value: float) -> str:
    return f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
