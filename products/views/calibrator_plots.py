"""Plots of calibrators that are tables: the correction of linearity, and what is left of the flats around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from products.views.plotting import Frame, frame, padded

COLORS = ("var(--accent)", "var(--warn)", "var(--ink-2)", "var(--ink-3)")


@dataclass(frozen=True)
class Curve:
    """One amplifier."""

    name: str
    color: str
    line: str
    points: Sequence[tuple[float, float, str]]  # places and titles of flats


@dataclass(frozen=True)
class CurvePlot:
    """The curves of a CCD in one frame."""

    frame: Frame
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    zero: float  # place of no correction


def linearity_plot(table: np.ndarray, quality: Mapping[str, Any]) -> CurvePlot | None:
    """Correction (%) against measured ADU of each amplifier, flats as marks; None without values."""
    rows = {}
    for name in dict.fromkeys(map(str, table["amplifier"])):
        of_one = table[(table["amplifier"] == name) & (table["adu"] > 0)]
        if len(of_one):
            rows[name] = of_one["adu"].astype(float), 100 * (of_one["linear_adu"].astype(float) / of_one["adu"] - 1)
    if not rows:
        return None
    drawn = frame(
        (0.0, max(float(adu[-1]) for adu, _ in rows.values()) * 1.02),
        padded([0.0, *(float(v) for _, correction in rows.values() for v in correction)], 0.1, 0.02),
        width=760, height=320,
    )  # fmt: skip
    curves = []
    for number, (name, (adu, correction)) in enumerate(rows.items()):
        line = "M" + "L".join(f"{drawn.x.at(x)} {drawn.y.at(y)}" for x, y in zip(adu, correction))
        of_one = [point for point in quality.get("points", ()) if point.get("amplifier") == name]
        points = [_point(drawn, point, float(np.interp(point["adu"], adu, correction))) for point in of_one]
        curves.append(Curve(name, COLORS[number % len(COLORS)], line, points))
    return CurvePlot(drawn, "measured (ADU above the bias)", "correction (%)", curves, drawn.y.at(0.0))


def _point(drawn: Frame, point: Mapping[str, Any], correction: float) -> tuple[float, float, str]:
    """Place and title of a flat, by its residual off the curve."""
    off = 100 * point["off"]
    title = f"amplifier {point['amplifier']}, {point['time']:g} s: {point['adu']:.0f} ADU, {off:+.3f} % off"
    return drawn.x.at(point["adu"]), drawn.y.at(correction - off), title.replace("-", "−")


def coefficients(table: np.ndarray) -> list[dict[str, Any]]:
    """The rows of a crosstalk table, the largest first, in units of 10⁻⁴."""
    order = np.argsort(-np.abs(table["coefficient"]))
    return [
        {
            "victim": str(row["amplifier"]),
            "section": str(row["source_section"]),
            "source": str(row["source_amplifier"]),
            "value": 1e4 * float(row["coefficient"]),
            "error": 1e4 * float(row["error"]),
        }
        for row in table[order]
    ]
