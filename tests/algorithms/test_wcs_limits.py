"""Headers and stars with which there is no solution: each is refused, none ends in a wrong one or in a fault."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.wcs_fit import AstrometryParameters, PixelStars, SkyStars, solve_wcs, wcs_from_header
from processing.errors import BadInput, NoSolution

SHAPE = (200, 200)
COUNT = 40


def header(**cards) -> fits.Header:
    found = fits.Header()
    found.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 100.5})
    found.update({"CRPIX2": 100.5, "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4} | cards)
    return found


def solved(wcs: WCS, x: np.ndarray, y: np.ndarray, *, error: np.ndarray | None = None, guess: WCS | None = None):
    """The solution of noiseless detections at x, y that are all in the catalogue."""
    rng = np.random.default_rng(1)
    ra, dec = wcs.all_pix2world(x, y, 0)
    detected = PixelStars(x, y, rng.uniform(1, 2, len(x)), np.full(len(x), 0.05))
    stars = SkyStars(ra, dec, rng.uniform(15, 20, len(x)), error)
    return solve_wcs(detected, stars, guess or wcs, SHAPE, AstrometryParameters())


def scattered() -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 199, (2, COUNT))


@pytest.mark.parametrize(
    ("cards", "axes"),
    [
        ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, "GLON-TAN and GLAT-TAN"),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, "ELON-TAN and ELAT-TAN"),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0}, "DEC--TAN and RA---TAN"),
    ],
)
def test_a_header_in_other_coordinates_is_refused_and_not_taken_for_equatorial(cards, axes):
    with pytest.raises(BadInput, match=f"its axes are {axes}; right ascension and declination"):
        wcs_from_header(header(**cards))


def test_a_distortion_that_leaves_no_size_to_a_pixel_is_refused():
    flat = wcs_from_header(header(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=0.0, PV2_1=0.0))
    with pytest.raises(BadInput, match="leaves no size"):
        solved(wcs_from_header(header()), *scattered(), guess=flat)


@pytest.mark.parametrize("seed", [6, 7, 8])
@pytest.mark.parametrize("bend", [0.0, 2e-5])  # px⁻¹; with it a polynomial of the second order fits better
def test_stars_on_a_diagonal_are_no_solution_however_well_they_fit(bend, seed):
    along = np.random.default_rng(seed).uniform(0, 199, COUNT)
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": bend, "B_0_2": bend}
    wcs = wcs_from_header(header(**(sip if bend else {})))
    with pytest.raises(NoSolution, match="stars that match lie on a line"):
        solved(wcs, along, along, guess=wcs_from_header(header()))


def test_catalogue_stars_with_errors_that_nobody_knows_are_left_out():
    error = np.full(COUNT, 0.01)
    error[:5] = np.nan, np.nan, np.inf, np.nan, np.nan
    found = solved(wcs_from_header(header()), *scattered(), error=error)
    assert found.n_matches == COUNT - 5 and not set(found.matched) & set(range(5))
    with pytest.raises(NoSolution, match="40 detections and 0 catalogue stars, 8 of each needed"):
        solved(wcs_from_header(header()), *scattered(), error=np.full(COUNT, np.nan))
