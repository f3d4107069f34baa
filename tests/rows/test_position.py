"""Positions: every way to set one fills the same columns."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from processing.algorithms.sky import from_tangent_plane
from products import sky
from products.models import Image, Object
from tests import factories

PLACES = np.array([[0.0, 0.0], [359.99999, -89.9], [266.4, -28.94], [192.86, 27.13], [10.0, 90.0], [-30.0, 45.0]])


@pytest.mark.parametrize(("ra", "dec"), PLACES.tolist())
def test_galactic_and_ecliptic_coordinates_are_those_of_astropy(ra, dec):
    row, there = Object().set_position(ra, dec), SkyCoord(ra, dec, unit="deg")
    galactic = SkyCoord(row.gal_lon, row.gal_lat, unit="deg", frame="galactic")
    ecliptic = SkyCoord(row.ecl_lon, row.ecl_lat, unit="deg", frame="barycentricmeanecliptic")
    assert galactic.separation(there.galactic).arcsec < 0.01
    assert ecliptic.separation(there.barycentricmeanecliptic).arcsec < 0.01
    assert 0 <= row.ra < 360


def test_many_positions_at_once_are_those_set_one_by_one():
    many = [Object() for _ in PLACES]
    Object.set_positions(many, *PLACES.T)
    for row, (ra, dec) in zip(many, PLACES):
        assert row.position() == pytest.approx(Object().set_position(ra, dec).position(), rel=1e-12)


@pytest.mark.django_db
def test_a_row_with_bare_coordinates_gets_the_rest_when_it_is_saved():
    row = Object(name="x", ra=10.0, dec=-5.0, first_seen=1.0, last_seen=1.0)
    row.save()
    row.refresh_from_db()
    assert row.position() == Object().set_position(10.0, -5.0).position()


@pytest.mark.django_db
@pytest.mark.parametrize("side", [0.1, 5.0, 30.0])  # degrees
@pytest.mark.parametrize("ra", [0.0, 180.0])
def test_a_footprint_of_any_size_is_found_from_its_corners(side, ra):
    image = factories.science_image()
    half = side / 2
    corners = np.array([[ra - half, -half], [ra + half, -half], [ra + half, half], [ra - half, half]])
    corners[:, 0] %= 360
    image.set_footprint(corners).save()
    inside = (ra + 0.95 * half) % 360, 0.95 * half * np.cos(np.radians(half))
    assert [row.pk for row in Image.objects.containing(*inside)] == [image.pk]
    beside = np.array([[inside[0], inside[1] - 0.01], [inside[0] + 0.02, inside[1]], [inside[0], inside[1] + 0.01]])
    assert Image.objects.overlapping(np.vstack([beside, [[(inside[0] - 0.02) % 360, inside[1]]]]))
    assert Image.objects.containing((ra + 1.5 * half) % 360, 0.0) == []


@pytest.mark.parametrize(("ra", "dec"), [(10.0, 0.0), (359.99, -60.0), (77.0, 89.9), (200.0, -90.0)])
def test_the_distance_to_a_footprint_is_that_of_its_nearest_point(ra, dec):
    half = np.array([-1800, 1800, 1800, -1800]), np.array([-600, -600, 600, 600])  # arcsec
    corners = np.stack(from_tangent_plane(*half, ra, dec), axis=1)
    share = np.linspace(0, 1, 2001)[:, None]
    edges = np.concatenate([(1 - share) * a + share * b for a, b in zip(np.c_[half], np.roll(np.c_[half], -1, axis=0))])
    there = from_tangent_plane(*edges.T, ra, dec)
    rng = np.random.default_rng(1)
    for xi, eta in rng.uniform(-6000, 6000, (40, 2)):
        at = tuple(map(float, from_tangent_plane(xi, eta, ra, dec)))
        outside = abs(xi) > 1800 or abs(eta) > 600
        expected = float(sky.separation(*at, *there).min()) if outside else 0.0
        assert sky.distance_to(corners, *at) == pytest.approx(expected, abs=1e-6)
