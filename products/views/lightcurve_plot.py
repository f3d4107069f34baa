"""The light curve as a drawing of the server, and as numbers for the script that zooms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

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
    axis: str


def plot_of(curve: LightCurve, flux: bool, off: Collection[str] = ()) -> Plot | None:
    """Places of detections and limits, in AB magnitudes (brighter up) or in μJy; None where nothing can be drawn.

    `off` names filters, or `limits`, that are left out.
    """
    epochs = [
        e for e in curve.epochs if e.measurement.filter not in off and (flux or e.measurement.magnitude is not None)
    ]
    limits = [limit for limit in curve.limits if "limits" not in off and limit.filter not in off]
    if not epochs and not limits:
        return None
    if flux:
        points = [(e, e.flux, e.flux_error) for e in epochs]
    else:
        points = [(e, e.measurement.magnitude, e.measurement.magnitude_error or 0.0) for e in epochs]
    heights = [limit.flux if flux else limit.magnitude for limit in limits]
    ends = [value for _, y, error in points for value in (y - error, y + error)] + heights
    times = [e.measurement.mjd for e in epochs] + [limit.mjd for limit in limits]
    drawn = frame(padded(times, least=0.02), padded(ends), upside_down=not flux)
    marks = [
        Mark(e, drawn.x.at(e.measurement.mjd), drawn.y.at(y), drawn.y.at(y - error), drawn.y.at(y + error))
        for e, y, error in points
    ]
    arrows = [Arrow(limit, drawn.x.at(limit.mjd), drawn.y.at(y)) for limit, y in zip(limits, heights)]
    return Plot(drawn, marks, arrows, "flux of the difference (μJy)" if flux else "AB magnitude")


def numbers(curve: LightCurve, chosen: Epoch | None) -> dict[str, Any]:
    """Points and limits for the script: [MJD, filter, magnitude, error, flux, error, open, id] and
    [MJD, filter, magnitude, flux, address]."""
    points = [
        [
            row.mjd, row.filter, row.magnitude, row.magnitude_error, round(e.flux, 4), round(e.flux_error, 4),
            row.is_bad or row.is_negative, str(row.pk),
        ]
        for e in curve.epochs for row in (e.measurement,)
    ]  # fmt: skip
    limits = [
        [
            limit.mjd, limit.filter, limit.magnitude, round(limit.flux, 4),
            reverse("ccd", args=[limit.exposure, limit.section]) if limit.exposure else "",
        ]
        for limit in curve.limits
    ]  # fmt: skip
    return {"points": points, "limits": limits, "chosen": str(chosen.measurement.pk) if chosen else ""}
