"""Plots about fakes: efficiency against magnitude, and measured against injected magnitudes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from products.efficiency import BIN, Efficiency
from products.recovery import Fake
from products.views.plotting import Frame, frame, padded


@dataclass(frozen=True)
class Point:
    """A mark with its error bar and what its title says."""

    x: float
    y: float
    low: float
    high: float
    title: str
    is_open: bool = False


@dataclass(frozen=True)
class Series:
    """The efficiency of one set of fakes."""

    name: str
    rank: int  # the first is grey and dashed, the second blue, the third green
    points: list[Point]
    line: str
    half: float | None  # place of the magnitude at which half are found
    found: Efficiency


@dataclass(frozen=True)
class Plot:
    """Marks in a frame."""

    frame: Frame
    x_title: str
    y_title: str
    series: Sequence[Series] = ()
    points: Sequence[Point] = ()
    limit: float | None = None  # place of the 5σ limit
    zero: float | None = None  # place of no difference


def efficiency_plot(
    sets: Sequence[tuple[str, Efficiency]],
    *,
    limit: float | None = None,
    from_limit: bool = False,
    size: tuple[int, int] = (560, 300),
) -> Plot | None:
    """Fractions found against magnitude, up to three sets; None without fakes."""
    filled = [(name, found) for name, found in sets if found.bins]
    if not filled:
        return None
    mags = [one.magnitude for _, found in filled for one in found.bins]
    low, high = min(mags) - BIN, max(mags) + BIN
    drawn = frame((low, high), (0.0, 100.0), width=size[0], height=size[1])
    series = []
    for rank, (name, found) in enumerate(filled):
        points = [
            Point(
                drawn.x.at(one.magnitude), drawn.y.at(100 * one.fraction), drawn.y.at(100 * one.low),
                drawn.y.at(100 * one.high), f"{name}: {one.found} of {one.n} at {one.magnitude:.2f}".replace("-", "−"),
                is_open=rank == 0,
            )
            for one in found.bins
        ]  # fmt: skip
        line = "M" + "L".join(f"{point.x} {point.y}" for point in points)
        half = drawn.x.at(found.half) if found.half is not None else None
        series.append(Series(name, rank, points, line, half, found))
    title = "magnitude of the fake − 5σ limit of its image" if from_limit else "AB magnitude of the fake"
    place = drawn.x.at(limit) if limit is not None and low <= limit <= high else None
    return Plot(drawn, title, "found (%)", series, limit=place)


def residual_plot(fakes: Sequence[Fake], limit: float | None) -> Plot | None:
    """Measured minus injected magnitude of what was detected; None where nothing was."""
    seen = [fake for fake in fakes if fake.residual is not None]
    if not seen:
        return None
    sizes = sorted(abs(fake.residual) for fake in seen)
    reach = max(0.2, 1.3 * sizes[int(0.95 * (len(sizes) - 1))])
    low, high = padded([fake.magnitude for fake in seen])
    drawn = frame((low, high), (-reach, reach), width=560, height=300, upside_down=True)

    def place(value: float) -> float:
        return drawn.y.at(min(max(value, -reach), reach))

    points = [
        Point(
            drawn.x.at(fake.magnitude), place(fake.residual), place(fake.residual - (fake.residual_error or 0)),
            place(fake.residual + (fake.residual_error or 0)),
            f"fake {fake.index}: {fake.residual:+.3f} mag at {fake.magnitude:.2f}".replace("-", "−"), not fake.is_kept,
        )
        for fake in seen
    ]  # fmt: skip
    place_of_limit = drawn.x.at(limit) if limit is not None and low <= limit <= high else None
    title = "measured − injected (mag)"
    return Plot(drawn, "AB magnitude of the fake", title, (), points, place_of_limit, drawn.y.at(0.0))
