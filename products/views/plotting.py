"""Numbers for plots that templates draw as SVG: scales, round ticks, places of marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 52, 20, 16, 40


def round_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round values between `low` and `high`, about that many."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(about, 1)
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 10) for i in range(math.floor(high / step + 1e-9) - first + 1)]


def clock_ticks(low: float, high: float, about: int = 8) -> list[tuple[float, str]]:
    """(hours, `02:30`) of round times between `low` and `high`, hours that may go beyond 24, about that many."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360)
    step = next((minutes for minutes in steps if (high - low) * 60 / minutes <= about), 720)
    first, last = math.ceil(low * 60 / step - 1e-9), math.floor(high * 60 / step + 1e-9)
    times = [index * step for index in range(first, last + 1)]
    return [(minutes / 60, f"{minutes // 60 % 24:02d}:{minutes % 60:02d}") for minutes in times]


def padded(values: Sequence[float], part: float = 0.06, least: float = 0.1) -> tuple[float, float]:
    """The range of `values` with some room at both ends."""
    low, high = min(values), max(values)
    room = max((high - low) * part, least)
    return low - room, high + room


@dataclass(frozen=True)
class Axis:
    """Values of the data from `low` to `high` placed from `start` to `end` in the drawing."""

    low: float
    high: float
    start: float
    end: float
    about: int = 6
    is_clock: bool = False  # hours, written as times of the day

    def at(self, value: float) -> float:
        """Where a value is, one decimal."""
        span = self.high - self.low or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(place, text) of round values."""
        if self.is_clock:
            return [(self.at(hours), text) for hours, text in clock_ticks(self.low, self.high, self.about)]
        values = round_ticks(self.low, self.high, self.about)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
        if round(step, decimals) != round(step, 6):
            decimals += 1
        return [(self.at(value), f"{value:.{decimals}f}".replace("-", "−")) for value in values]


@dataclass(frozen=True)
class Frame:
    """A plot of width × height units with an x and a y axis."""

    width: int
    height: int
    x: Axis
    y: Axis

    @property
    def left(self) -> int:
        """Where the y axis is."""
        return MARGIN_LEFT

    @property
    def right(self) -> int:
        """Where the plot ends."""
        return self.width - MARGIN_RIGHT

    @property
    def bottom(self) -> int:
        """Where the x axis is."""
        return self.height - MARGIN_BOTTOM

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of both axes, for their titles."""
        return (self.left + self.right) / 2, (MARGIN_TOP + self.bottom) / 2


def frame(
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    width: int = 1010,
    height: int = 372,
    upside_down: bool = False,
    is_clock: bool = False,
) -> Frame:
    """A plot with these ranges; `upside_down` puts small values on top, as for magnitudes; `is_clock`: x in hours."""
    bottom, top = height - MARGIN_BOTTOM, MARGIN_TOP
    ends = (top, bottom) if upside_down else (bottom, top)
    return Frame(
        width,
        height,
        Axis(*x, MARGIN_LEFT, width - MARGIN_RIGHT, 8, is_clock),
        Axis(*y, *ends, max(3, (height - 56) // 48)),
    )
