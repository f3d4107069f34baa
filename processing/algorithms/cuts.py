"""Deterministic cuts: which measured number is held against which threshold, and who passes.

The thresholds were set so that injected sources survive at FWHM 2 to 4.5 px; those on shapes start at the S/N
where noise alone no longer reaches them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from processing.parameters import Parameters, param


class CutParameters(Parameters):
    """One threshold a cut; None switches the cut off."""

    bad_pixels: int | None = param(0, ge=0, le=9, help="Masked pixels allowed among the central 3×3.")
    halo: bool | None = param(True, help="Fail what lies in the halo or a spike of a saturated star.")
    psf_chi2: float | None = param(2.0, gt=0, help="Largest reduced χ² of the PSF fit on the difference.")
    psf_chi2_snr: float = param(
        50.0, gt=0, help="S/N above which that limit grows as (S/N)²: the PSF is known to a few %."
    )
    centroid: float | None = param(0.5, gt=0, unit="FWHM", help="Largest distance from the peak to the centroid.")
    elongation: float | None = param(2.0, ge=1, help="Largest ratio of the axes.")
    elongation_snr: float = param(8.0, ge=0, help="S/N below which elongation and centroid are not judged.")
    narrow: float | None = param(0.6, ge=0, help="Smallest width in units of that of the PSF.")
    broad: float | None = param(1.6, gt=0, help="Largest width in units of that of the PSF.")
    width_snr: float = param(8.0, ge=0, help="S/N below which the width is not judged.")
    negative_flux: float | None = param(0.4, ge=0, help="Largest ratio of the flux of the wrong sign to the right one.")
    negative_flux_snr: float = param(8.0, ge=0, help="S/N below which the flux of the wrong sign is not judged.")
    dipole: float | None = param(0.4, gt=0, help="Strongest opposite peak within 2 FWHM in units of the peak.")
    dipole_floor: float = param(3.5, ge=0, unit="sigma", help="Opposite peaks below this are noise.")
    translient: float | None = param(0.0, help="Largest excess of the statistic of motion over that of a new source.")
    translient_snr: float = param(8.0, ge=0, help="S/N below which noise moves sources too.")
    cosmic_ray: float | None = param(1.5, gt=0, help="Largest C/S in units of what a point source has.")
    cosmic_ray_floor: float = param(0.85, ge=0, help="C/S below which nothing is called a cosmic ray.")
    cosmic_ray_snr: float = param(6.0, ge=0, help="S/N below which a cosmic ray cannot be told from a source.")
    streak: float | None = param(
        2.5,
        gt=0,
        unit="sigma",
        help="Largest median of the score along a line through it, or S/N over 4.",
    )
    consistency: float | None = param(
        4.0, gt=0, unit="sigma", help="Largest distance from the forced flux of new minus reference."
    )


NO_CUTS = CutParameters(
    bad_pixels=None,
    halo=None,
    psf_chi2=None,
    centroid=None,
    elongation=None,
    narrow=None,
    broad=None,
    negative_flux=None,
    dipole=None,
    translient=None,
    cosmic_ray=None,
    streak=None,
    consistency=None,
)

Limit = Callable[
    [np.ndarray, CutParameters], np.ndarray
]  # (rows, parameters) -> threshold of each row; ±inf: not judged


@dataclass(frozen=True)
class Cut:
    """A declared cut: rows fail when the value is above the limit (below it if `is_minimum`)."""

    name: str  # also the name of its threshold in CutParameters
    column: str  # of DIAGNOSTICS
    threshold: str  # the rule, for people
    sentence: str  # what failing means
    limit: Limit
    is_minimum: bool = False

    def is_on(self, parameters: CutParameters) -> bool:
        """Whether the parameters use this cut."""
        value = getattr(parameters, self.name)
        return value is not None and value is not False

    def limits(self, rows: np.ndarray, parameters: CutParameters) -> np.ndarray:
        """The threshold of each row (n,); infinite where the row is not judged."""
        return np.broadcast_to(np.asarray(self.limit(rows, parameters), float), rows.shape)

    def failed(self, rows: np.ndarray, parameters: CutParameters) -> np.ndarray:
        """Which rows fail (n,) bool; a value that was not measured (NaN) passes."""
        if not self.is_on(parameters):
            return np.zeros(len(rows), bool)
        value, limit = rows[self.column].astype(float), self.limits(rows, parameters)
        return value < limit if self.is_minimum else value > limit


def _above(snr: float, rows: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """The limit for rows brighter than `snr`, no limit for the others."""
    return np.where(rows["snr"] > snr, limit, np.inf)


CUTS: tuple[Cut, ...] = (
    Cut(
        "bad_pixels",
        "bad_pixel_count",
        "at most this many",
        "Masked pixels lie under the centre of the candidate.",
        lambda rows, p: p.bad_pixels,
    ),
    Cut(
        "halo",
        "in_halo",
        "outside haloes and spikes",
        "It lies in the halo or a diffraction spike of a saturated star.",
        lambda rows, p: 0,
    ),
    Cut(
        "psf_chi2",
        "psf_chi2",
        "at most this, growing as (S/N)² for bright candidates",
        "It does not have the shape of the PSF.",
        lambda rows, p: p.psf_chi2 * np.maximum(1, rows["snr"] / p.psf_chi2_snr) ** 2,
    ),
    Cut(
        "centroid",
        "centroid_distance",
        "at most this many FWHM, for candidates bright enough",
        "Its light is not centred on its peak.",
        lambda rows, p: _above(p.elongation_snr, rows, p.centroid),
    ),
    Cut(
        "elongation",
        "elongation",
        "at most this, for candidates bright enough",
        "It is elongated: a trail, a bad column or half of a dipole.",
        lambda rows, p: _above(p.elongation_snr, rows, p.elongation),
    ),
    Cut(
        "narrow",
        "width_ratio",
        "at least this, for candidates bright enough",
        "It is narrower than the PSF: a hot pixel or a cosmic ray.",
        lambda rows, p: np.where(rows["snr"] > p.width_snr, p.narrow, -np.inf),
        is_minimum=True,
    ),
    Cut(
        "broad",
        "width_ratio",
        "at most this, for candidates bright enough",
        "It is broader than the PSF: a badly subtracted galaxy or a halo.",
        lambda rows, p: _above(p.width_snr, rows, p.broad),
    ),
    Cut(
        "negative_flux",
        "negative_flux_fraction",
        "at most this, for candidates bright enough",
        "Much of the flux around it has the opposite sign.",
        lambda rows, p: _above(p.negative_flux_snr, rows, p.negative_flux),
    ),
    Cut(
        "dipole",
        "opposite_score",
        "at most this part of the peak, or the floor",
        "A peak of the opposite sign stands next to it: the images were not aligned there, or the star moved.",
        lambda rows, p: np.maximum(p.dipole * rows["score_unsystematic"], p.dipole_floor),
    ),
    Cut(
        "translient",
        "translient_excess",
        "at most this, for candidates bright enough",
        "Motion between the images explains it better than a new source.",
        lambda rows, p: _above(p.translient_snr, rows, p.translient),
    ),
    Cut(
        "cosmic_ray",
        "cosmic_ratio",
        "at most this, for candidates bright enough",
        "A hit of single pixels explains it better than the PSF: a cosmic ray.",
        lambda rows, p: _above(
            p.cosmic_ray_snr, rows, np.maximum(p.cosmic_ray, p.cosmic_ray_floor / rows["psf_cosmic_ratio"])
        ),
    ),
    Cut(
        "streak",
        "streak",
        "at most this many σ, or a quarter of the S/N",
        "It lies on a line of light: a diffraction spike, a trail or a bad column.",
        lambda rows, p: np.maximum(p.streak, rows["snr"] / 4),
    ),
    Cut(
        "consistency",
        "consistency",
        "at most this many σ",
        "Its flux is not the difference of the fluxes in the two images.",
        lambda rows, p: p.consistency,
    ),
)


class Verdict(NamedTuple):
    """One value against its threshold; `threshold` is None where the cut is off or does not judge this candidate."""

    name: str
    value: float
    threshold: float | None
    passed: bool


def apply_cuts(diagnostics: np.ndarray, parameters: CutParameters) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which of the `diagnostics` (n,) fail which cut: bool (n, cuts), and the names of the cuts."""
    failed = np.stack([cut.failed(diagnostics, parameters) for cut in CUTS], axis=1)
    return failed, tuple(cut.name for cut in CUTS)


def explain(diagnostics: np.ndarray, parameters: CutParameters) -> list[list[Verdict]]:
    """The values of each of the `diagnostics` (n,) against the threshold of every cut, in the order of CUTS."""
    columns = []
    for cut in CUTS:
        limits = cut.limits(diagnostics, parameters) if cut.is_on(parameters) else np.full(len(diagnostics), np.inf)
        values = diagnostics[cut.column].astype(float).tolist()
        thresholds = [limit if np.isfinite(limit) else None for limit in limits.tolist()]
        passed = (~cut.failed(diagnostics, parameters)).tolist()
        columns.append([Verdict(cut.name, *entry) for entry in zip(values, thresholds, passed)])
    return [list(row) for row in zip(*columns)]
