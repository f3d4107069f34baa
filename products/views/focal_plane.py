"""The focal plane as polygons of the footprints of its CCDs, coloured by state or by a number."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from products.selectors.exposures import CCDRow

SEQUENTIAL = 7  # custom properties --s0 … --s6
SWITCH = 0.37  # of the scale: brighter cells carry black words
WIDTH, LOOSE = 480.0, 54.0


@dataclass(frozen=True)
class Quantity:
    """Something to colour CCDs by."""

    name: str
    unit: str
    decimals: int
    value: Callable[[CCDRow], float | None]
    by_filter: bool = False  # coloured by the difference from the median of the filter


QUANTITIES = {
    "seeing": Quantity("seeing", "″", 2, lambda row: row.seeing),
    "zp": Quantity("zero point − median of its filter", "mag", 2, lambda row: row.counts.get("zp"), True),
    "limit": Quantity(
        "limit 5σ − median of its filter", "mag", 2, lambda row: row.counts.get("limiting_magnitude"), True
    ),
    "detected": Quantity("detected", "", 0, lambda row: row.counts.get("detections")),
    "kept": Quantity("kept", "", 0, lambda row: row.counts.get("kept")),
    "time": Quantity("run time", "s", 1, lambda row: row.seconds),
    "memory": Quantity("peak memory", "MB", 0, lambda row: row.peak_mb),
}


@dataclass
class Cell:
    """One CCD in the drawing."""

    row: CCDRow
    points: str
    x: float
    y: float
    fill: str = "var(--line)"
    ink: str = "var(--ink)"
    text: str = ""
    corner: tuple[float, float] = (0, 0)  # of the mark of failure


@dataclass
class FocalPlane:
    """The drawing: cells, its size, the ends of the scale."""

    cells: list[Cell]
    height: float
    low: float | None = None
    high: float | None = None
    quantity: Quantity | None = None
    on_sky: bool = True
    choices: dict[str, Quantity] = field(default_factory=lambda: QUANTITIES)

    @property
    def diverging(self) -> bool:
        """Whether zero is in the middle of the scale."""
        return bool(self.quantity and self.quantity.by_filter)


def focal_plane(rows: list[CCDRow], by: str) -> FocalPlane:
    """Cells where the footprints are, north up and east left; CCDs without an image stand below them."""
    placed = [row for row in rows if row.image and row.image.corners]
    cells, height = _on_sky(placed)
    loose = sorted((row for row in rows if row not in placed), key=lambda row: row.section)
    per_line = int(WIDTH // LOOSE)
    for index, row in enumerate(loose):
        x, y = index % per_line * LOOSE, height + index // per_line * LOOSE + (10 if cells else 0)
        cells.append(_square(row, x, y))
    if loose:
        height += -(-len(loose) // per_line) * LOOSE + 10
    plane = FocalPlane(cells, round(height, 1), on_sky=bool(placed))
    if by in QUANTITIES:
        _colour(plane, QUANTITIES[by])
    else:
        colours = {"failed": "var(--bad)", "running": "var(--busy)", "done": "var(--line)"}
        for cell in cells:
            cell.fill = colours.get(cell.row.state, "none")
            cell.ink = "var(--surface)" if cell.row.state in {"failed", "running"} else "var(--ink)"
            cell.text = "" if cell.row.state == "done" else cell.row.state
    return plane


def _square(row: CCDRow, x: float, y: float) -> Cell:
    side = LOOSE - 3
    points = f"{x},{y} {x + side},{y} {x + side},{y + side} {x},{y + side}"
    return Cell(row, points, x + side / 2, y + side / 2, corner=(x + side, y + side))


def _on_sky(rows: list[CCDRow]) -> tuple[list[Cell], float]:
    """Cells from the footprints, projected onto a plane; and the height of the drawing."""
    if not rows:
        return [], 0.0
    corners = np.array([row.image.corners for row in rows], float)  # (n, 4, 2)
    ra0, dec0 = corners[0, 0, 0], corners[..., 1].mean()
    east = ((corners[..., 0] - ra0 + 180) % 360 - 180) * np.cos(np.radians(dec0))
    x, y = -east, -(corners[..., 1] - dec0)
    scale = min(WIDTH / (np.ptp(x) or 1), 560 / (np.ptp(y) or 1))
    x, y = (x - x.min()) * scale, (y - y.min()) * scale
    x += (WIDTH - x.max()) / 2
    cells = []
    for row, px, py in zip(rows, x, y):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py))
        cells.append(
            Cell(row, points, round(px.mean(), 1), round(py.mean(), 1), corner=(round(px.max(), 1), round(py.max(), 1)))
        )
    return cells, float(y.max())


def _colour(plane: FocalPlane, quantity: Quantity) -> None:
    values = {cell.row.section: quantity.value(cell.row) for cell in plane.cells}
    if quantity.by_filter:
        medians = {}
        for band in {cell.row.filter for cell in plane.cells}:
            known = [
                values[c.row.section] for c in plane.cells if c.row.filter == band and values[c.row.section] is not None
            ]
            medians[band] = statistics.median(known) if known else 0.0
        values = {
            c.row.section: None if values[c.row.section] is None else values[c.row.section] - medians[c.row.filter]
            for c in plane.cells
        }
    known = [value for value in values.values() if value is not None]
    plane.quantity = quantity
    if known:
        plane.low, plane.high = min(known), max(known)
        if quantity.by_filter:
            end = max(abs(plane.low), abs(plane.high), 0.01)
            plane.low, plane.high = -end, end
    for cell in plane.cells:
        value = values[cell.row.section]
        if value is None:
            cell.fill, cell.text = "url(#hatch)", "–"
            continue
        t = (value - plane.low) / ((plane.high - plane.low) or 1)
        cell.fill, cell.ink = diverging(t) if quantity.by_filter else sequential(t)
        cell.text = f"{value:.{quantity.decimals}f}".replace("-", "−")


def sequential(t: float) -> tuple[str, str]:
    """Fill and ink of a cell at `t` from 0 to 1 of the scale."""
    place = min(SEQUENTIAL - 1.001, max(0.0, t * (SEQUENTIAL - 1)))
    step = int(place)
    part = round(100 * (place - step))
    return f"color-mix(in oklab, var(--s{step + 1}) {part}%, var(--s{step}))", "#000" if t > SWITCH else "#fff"


def diverging(t: float) -> tuple[str, str]:
    """The same of a scale with 0 in its middle."""
    part = min(1.0, abs(2 * t - 1))
    fill = f"color-mix(in oklab, var(--{'d0' if t < 0.5 else 'd2'}) {round(100 * part)}%, var(--d1))"
    return fill, "#fff" if part > (0.71 if t < 0.5 else 0.79) else "#000"
