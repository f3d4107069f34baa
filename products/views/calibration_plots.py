"""Plots of a calibration: residuals of stars against magnitude, colour and place; maps over the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from products.views.focal_plane import diverging, sequential
from products.views.plotting import Frame, frame, padded

WIDTH, HEIGHT = 560, 280
MAP_LONGEST, MAP_WIDEST = 420.0, 420.0  # of an image, in the drawing
MOST_ARROWS = 400


@dataclass(frozen=True)
class Dot:
    """A star: where it is drawn, whether it was used."""

    x: float
    y: float
    is_open: bool
    title: str


@dataclass(frozen=True)
class Scatter:
    """Residuals against something."""

    frame: Frame
    x_title: str
    y_title: str
    dots: Sequence[Dot]
    zero: float
    says: str  # for those who do not see it
    line: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a map."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    ink: str
    text: str
    title: str
    whisker: str = ""  # line along the long axis of the PSF

    @property
    def middle(self) -> tuple[float, float]:
        """Where its words are."""
        return round(self.x + self.width / 2, 1), round(self.y + self.height / 2 + 4, 1)


@dataclass(frozen=True)
class CellMap:
    """Values over the image, y up."""

    width: float
    height: float
    cells: Sequence[Cell]
    low: str
    high: str
    unit: str
    is_diverging: bool
    says: str

    @property
    def box(self) -> tuple[float, float]:
        """Width and height of the drawing with its frame."""
        return round(self.width + 2, 1), round(self.height + 2, 1)


@dataclass(frozen=True)
class Arrow:
    """A residual: from the place of the star."""

    x: float
    y: float
    dx: float
    dy: float
    title: str


@dataclass(frozen=True)
class ArrowMap:
    """Residuals as vectors over the image, y up."""

    width: float
    height: float
    arrows: Sequence[Arrow]
    key: float  # length of the arrow beside the map
    key_says: str
    says: str

    @property
    def box(self) -> tuple[float, float]:
        """Width and height of the drawing with its frame."""
        return round(self.width + 2, 1), round(self.height + 2, 1)


def scatter(
    x: Sequence[float | None],
    y: Sequence[float | None],
    used: Sequence[bool],
    *,
    titles: tuple[str, str],
    unit: str = "mag",
    slope: tuple[float, float] | None = None,
) -> Scatter | None:
    """Residuals `y` against `x`, open where not used; `slope` (per unit, around) draws a line. None without stars."""
    good = [i for i, (a, b) in enumerate(zip(x, y)) if a is not None and b is not None]
    if not good:
        return None
    across, away = np.array([x[i] for i in good], float), np.array([y[i] for i in good], float)
    inside = np.abs(away[[used[i] for i in good]]) if any(used[i] for i in good) else np.abs(away)
    reach = max(1.5 * float(np.percentile(inside, 98)), 1e-3)
    low, high = padded(across.tolist(), least=0.02)
    drawn = frame((low, high), (-reach, reach), width=WIDTH, height=HEIGHT)
    dots = [
        Dot(
            drawn.x.at(a), drawn.y.at(min(max(b, -reach), reach)), not used[i],
            f"{b:+.3g} {unit} at {a:.2f}{'' if used[i] else ', not used'}".replace("-", "−"),
        )
        for i, a, b in zip(good, across.tolist(), away.tolist())
    ]  # fmt: skip
    line = ""
    if slope is not None:
        ends = [(at, min(max(slope[0] * (at - slope[1]), -reach), reach)) for at in (low, high)]
        line = "M" + "L".join(f"{drawn.x.at(a)} {drawn.y.at(b)}" for a, b in ends)
    says = f"{titles[1]} against {titles[0]}: {len(dots)} stars, scatter {1.4826 * np.median(np.abs(away)):.3g} {unit}"
    return Scatter(drawn, titles[0], f"{titles[1]} ({unit})", dots, drawn.y.at(0.0), says, line)


def cell_map(
    values: Sequence[Sequence[float | None]],
    shape: tuple[int, int],
    *,
    name: str,
    unit: str = "",
    decimals: int = 2,
    around_zero: bool = False,
    describe: Callable[[int, int], str] | None = None,
) -> CellMap | None:
    """Cells over an image of `shape` (ny, nx), the lowest row first; hatched where not known, None if nowhere."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    if around_zero:
        high = max(abs(low), abs(high), 1e-6)
        low = -high
    width, height = _size(shape)
    wide, tall = width / len(values[0]), height / len(values)
    cells = []
    for j, row in enumerate(values):
        for i, value in enumerate(row):
            x, y = i * wide, height - (j + 1) * tall
            part = 0.5 if value is None or high == low else (value - low) / (high - low)
            fill, ink = (
                ("url(#hatch)", "var(--ink)") if value is None else (diverging if around_zero else sequential)(part)
            )
            text = "–" if value is None else _text(value, decimals)
            title = (
                f"{name} {text}{f' {unit}' if unit and value is not None else ''}{describe(j, i) if describe else ''}"
            )
            shown = text if wide >= 6.5 * len(text) + 4 and value is not None else ""
            cells.append(Cell(round(x, 1), round(y, 1), round(wide, 1), round(tall, 1), fill, ink, shown, title))
    ends = (_text(low, decimals), _text(high, decimals))
    says = f"{name} over the image, from {_text(min(known), decimals)} to {_text(max(known), decimals)} {unit}".strip()
    return CellMap(round(width, 1), round(height, 1), cells, *ends, unit, around_zero, says)


def with_whiskers(
    drawn: CellMap, ellipticity: Sequence[Sequence[float | None]], angle: Sequence[Sequence[float | None]]
) -> CellMap:
    """The same map with lines along the long axis (degrees from x towards y), longer where it is less round."""
    flat = [(e, a) for es, angles in zip(ellipticity, angle) for e, a in zip(es, angles)]
    largest = max((e for e, _ in flat if e is not None), default=0.0) or 1.0
    cells = []
    for cell, (e, a) in zip(drawn.cells, flat):
        if e is None or a is None:
            cells.append(cell)
            continue
        half = 0.45 * min(cell.width, cell.height) * e / max(largest, 0.05)
        dx, dy = half * np.cos(np.radians(a)), -half * np.sin(np.radians(a))
        x, y = cell.x + cell.width / 2, cell.y + cell.height / 2
        line = f"M{x - dx:.1f} {y - dy:.1f}L{x + dx:.1f} {y + dy:.1f}"
        cells.append(replace(cell, text="", whisker=line))
    return replace(drawn, cells=cells)


def arrow_map(stars: Mapping[str, Sequence[Any]], shape: tuple[int, int], matrix: np.ndarray) -> ArrowMap | None:
    """Residuals (east, north in mas) of the used stars as vectors in pixels; `matrix` (2, 2) is that of the WCS."""
    known = zip(stars["used"], stars["east"], stars["north"])
    used = [i for i, (is_used, *residual) in enumerate(known) if is_used and None not in residual][:MOST_ARROWS]
    if not used:
        return None
    east, north = (np.array([stars[name][i] for i in used], float) for name in ("east", "north"))
    dx, dy = np.linalg.solve(matrix, np.stack([east, north]) / 3.6e6)
    length = np.hypot(east, north)
    scale_mas = float(np.mean(length / np.maximum(np.hypot(dx, dy), 1e-12)))  # mas per pixel of the image
    width, height = _size(shape)
    typical = float(np.percentile(length, 90)) or 1.0
    key = _round_up(typical)
    stretch = 26.0 / key  # drawing units per mas
    arrows = [
        Arrow(
            round(stars["x"][i] * width / shape[1], 1), round(height - stars["y"][i] * height / shape[0], 1),
            round(float(a * scale_mas * stretch), 1), round(float(-b * scale_mas * stretch), 1),
            f"{stars['mag'][i]:.2f} mag: east {e:+.0f}, north {n:+.0f} mas".replace("-", "−"),
        )
        for i, a, b, e, n in zip(used, dx, dy, east, north)
    ]  # fmt: skip
    says = f"residual vectors of {len(used)} stars; 90 % are shorter than {typical:.0f} mas"
    return ArrowMap(round(width, 1), round(height, 1), arrows, 26.0, f"{key:g} mas", says)


def _size(shape: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the image in the drawing."""
    ny, nx = shape
    scale = min(MAP_WIDEST / nx, MAP_LONGEST / ny)
    return nx * scale, ny * scale


def _round_up(value: float) -> float:
    magnitude = 10.0 ** np.floor(np.log10(value))
    return float(next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= value * 0.999))


def _text(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")
