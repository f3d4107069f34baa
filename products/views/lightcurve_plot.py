"""The light curve as a drawing of the server, and as numbers for the script that zooms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from products.models import ForcedFlux, Measurement
from products.selectors.lightcurves import Epoch, LightCurve, Limit
from products.views.plotting import Frame, frame, padded


@dataclass(frozen=True)
class Mark:
    """One detection in the plot."""

    epoch: Epoch
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """One forced flux in the plot."""

    row: ForcedFlux
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Arrow:
    """One upper limit in the plot."""

    limit: Limit
    x: float
    y: float


@dataclass(frozen=True)
class Plot:
    """The light curve as drawn."""

    frame: Frame
    marks: list[Mark]
    arrows: list[Arrow]
    forced: list[Point]
    axis: str


def plot_of(curve: LightCurve, flux: bool, off: Collection[str] = ()) -> Plot | None:
    """Places of detections, forced fluxes and limits, in AB magnitudes (brighter up) or in μJy; None without any.

    `off` names filters, or `limits` or `forced`, that are left out. Forced fluxes below 5σ are limits in magnitudes.
    """
    epochs = [
        e for e in curve.epochs if e.measurement.filter not in off and (flux or e.measurement.magnitude is not None)
    ]
    limits = [limit for limit in limits_of(curve, flux) if "limits" not in off and limit.filter not in off]
    forced = [row for row in forced_of(curve, flux) if "forced" not in off and row.filter not in off]
    if not epochs and not limits and not forced:
        return None
    points = [_values(e.measurement, e.flux, e.flux_error, flux) for e in epochs]
    others = [_values(row, row.flux_ujy, row.flux_error_ujy, flux) for row in forced]
    heights = [limit.flux if flux else limit.magnitude for limit in limits]
    ends = [value for y, error in points + others for value in (y - error, y + error)] + heights
    times = [e.measurement.mjd for e in epochs] + [one.mjd for one in (*limits, *forced)]
    drawn = frame(padded(times, least=0.02), padded(ends), upside_down=not flux)

    def place(mjd: float, y: float, error: float) -> tuple[float, float, float, float]:
        return drawn.x.at(mjd), drawn.y.at(y), drawn.y.at(y - error), drawn.y.at(y + error)

    marks = [Mark(e, *place(e.measurement.mjd, *values)) for e, values in zip(epochs, points)]
    forced_points = [Point(row, *place(row.mjd, *values)) for row, values in zip(forced, others)]
    arrows = [Arrow(limit, drawn.x.at(limit.mjd), drawn.y.at(y)) for limit, y in zip(limits, heights)]
    return Plot(drawn, marks, arrows, forced_points, "flux of the difference (μJy)" if flux else "AB magnitude")


def limits_of(curve: LightCurve, flux: bool) -> list[Limit]:
    """The limits that are drawn: what was measured by force has a flux, but below 5σ no magnitude."""
    return [limit for limit in curve.limits if not (flux and limit.is_forced)]


def forced_of(curve: LightCurve, flux: bool) -> list[ForcedFlux]:
    """The forced fluxes that are drawn as points."""
    return [row for row in curve.forced if flux or not row.is_limit]


def _values(row: Measurement | ForcedFlux, flux: float, flux_error: float, is_flux: bool) -> tuple[float, float]:
    return (flux, flux_error) if is_flux else (row.magnitude, row.magnitude_error or 0.0)


def numbers(curve: LightCurve, chosen: Epoch | None) -> dict[str, Any]:
    """Points and limits for the script: [MJD, filter, magnitude, error, flux, error, open, id, forced] and
    [MJD, filter, magnitude, flux, address, forced].

    A forced flux has the address of its image for an id, and no magnitude below 5σ.
    """
    points = [
        [
            row.mjd, row.filter, row.magnitude, row.magnitude_error, round(e.flux, 4), round(e.flux_error, 4),
            row.is_bad or row.is_negative, str(row.pk), False,
        ]
        for e in curve.epochs for row in (e.measurement,)
    ]  # fmt: skip
    points += [
        [
            row.mjd, row.filter, None if row.is_limit else row.magnitude, row.magnitude_error, round(row.flux_ujy, 4),
            round(row.flux_error_ujy, 4), True, _address(row.exposure_name, row.image.section), True,
        ]
        for row in curve.forced
    ]  # fmt: skip
    limits = [
        [
            limit.mjd, limit.filter, limit.magnitude, round(limit.flux, 4), _address(limit.exposure, limit.section),
            limit.is_forced,
        ]
        for limit in curve.limits
    ]  # fmt: skip
    return {"points": points, "limits": limits, "chosen": str(chosen.measurement.pk) if chosen else ""}


def _address(exposure: str, section: str) -> str:
    return reverse("ccd", args=[exposure, section]) if exposure else ""
