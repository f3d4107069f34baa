"""Without trusting the header: patterns of stars find the field, in any rotation and either parity, or nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.blind_search import blind_votes
from processing.algorithms.distortion import local_matrix
from processing.algorithms.sip import tan_header
from processing.algorithms.sky import from_tangent_plane
from processing.algorithms.wcs_fit import AstrometryParameters, PixelStars, solve_wcs
from processing.errors import NoSolution
from tests.benchmarks._astrometry_fields import SHAPE, ListField, list_field

CENTRE = (np.array(SHAPE[::-1]) - 1) / 2


def lost(field: ListField, seed: int) -> WCS:
    """A header that is turned by anything, has either parity and points elsewhere by a third of a field."""
    rng = np.random.default_rng(seed)
    sky, matrix = local_matrix(field.guess, *CENTRE)
    angle, along = rng.uniform(0, 2 * np.pi, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [rng.choice([-1, 1]), 1]
    away = 0.3 * SHAPE[0] * field.projection.scale * np.array([np.cos(along), np.sin(along)])
    return WCS(tan_header(from_tangent_plane(*away, *sky), CENTRE, matrix @ turn / 3600))


@pytest.mark.parametrize("camera", ["decam", "ls4"])
@pytest.mark.parametrize("seed", range(4))
def test_a_field_is_found_whatever_the_header_says_of_pointing_rotation_and_parity(camera, seed):
    field = list_field(camera, 500 + seed, in_image=300, spurious=0.4)
    found = solve_wcs(field.stars, field.catalog, lost(field, seed), SHAPE, AstrometryParameters())
    assert field.worst(found) < 0.3
    assert "the WCS of the header is wrong" in found.warnings[-1]


def test_it_is_not_asked_where_that_is_not_allowed():
    field = list_field("decam", 501, in_image=300, spurious=0.4)
    with pytest.raises(NoSolution):
        solve_wcs(field.stars, field.catalog, lost(field, 1), SHAPE, AstrometryParameters(is_blind_allowed=False))


@pytest.mark.parametrize("seed", range(3))
def test_the_stars_of_another_sky_are_found_nowhere(seed):
    field = list_field("ls4", 600 + seed, in_image=300, spurious=0.4)
    rng = np.random.default_rng(seed)
    mixed = replace(field.catalog, ra=rng.permutation(field.catalog.ra), dec=rng.permutation(field.catalog.dec))
    with pytest.raises(NoSolution, match="no pattern of stars") as caught:
        solve_wcs(field.stars, mixed, field.guess, SHAPE, AstrometryParameters())
    assert caught.value.details["detections"] == len(field.stars.x)


def test_stars_in_one_line_in_one_place_or_too_few_of_them_give_no_votes():
    field = list_field("decam", 502, in_image=60, spurious=0.0)
    n = len(field.stars.x)
    for x, y in ((np.linspace(0, 2000, n), np.full(n, 100.0)), (np.full(n, 7.0), np.full(n, 7.0))):
        stars = PixelStars(x, y, np.ones(n), np.full(n, 0.1))
        with pytest.raises(NoSolution):
            solve_wcs(stars, field.catalog, field.guess, SHAPE, AstrometryParameters())
    few = PixelStars(*(np.arange(5.0) for _ in range(4)))
    assert blind_votes(few, field.catalog, field.guess, SHAPE) == []
