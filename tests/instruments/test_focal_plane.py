"""Focal planes: rough WCSs from places, places from WCSs, and the fit from solved exposures."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from processing.algorithms.sky import from_tangent_plane
from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.instruments.focal_plane import (
    Place,
    axes,
    focal_plane,
    place_of,
    rough_wcs,
    similarity,
    write_places,
)
from processing.instruments.focal_plane_fit import NoFocalPlane, SolvedCcd, fit_focal_plane
from processing.instruments.section_tables import TABLES, own_path, read_table

SHAPE = (4096, 2048)
POINTINGS = [(10.0, -29.0), (359.99, 0.01), (123.0, -89.5), (77.0, 84.0)]


@pytest.mark.parametrize(("ra", "dec"), POINTINGS)
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_place_is_found_again_in_the_wcs_that_it_gives(ra, dec, mirrored):
    for xi, eta, rotation in ((-3.2, 2.1, -0.4), (0.0, 0.0, 90.0), (1.3, -1.5, 179.9)):
        place = Place(xi, eta, rotation, scale=1.0177, mirrored=mirrored)
        found = place_of(similarity(WCS(rough_wcs(place, ra, dec, SHAPE)), SHAPE), axes(ra, dec))
        assert (found.xi, found.eta) == (pytest.approx(xi, abs=1e-8), pytest.approx(eta, abs=1e-8))
        assert found.rotation == pytest.approx(rotation, abs=1e-4)
        assert found.scale == pytest.approx(1.0177, rel=2e-6)  # TAN is a little larger away from its centre
        assert found.mirrored == mirrored


def test_offsets_and_directions_are_those_of_an_independent_library():
    place, boresight = (
        Place(xi=1.5, eta=-0.8, rotation=0.0, scale=1.0, mirrored=True),
        SkyCoord(40.0, -60.0, unit="deg"),
    )
    wcs = WCS(rough_wcs(place, 40.0, -60.0, SHAPE))
    middle = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2])
    centre, above = (SkyCoord(*wcs.all_pix2world([middle + shift], 0)[0], unit="deg") for shift in ((0, 0), (0, 50)))
    distance, direction = np.degrees(np.arctan(np.radians(1.7))), np.degrees(np.arctan2(1.5, -0.8))
    assert boresight.separation(centre).deg == pytest.approx(distance, rel=1e-9)
    assert boresight.position_angle(centre).deg == pytest.approx(direction, abs=1e-6)
    # What is carried along a great circle keeps its angle to it: rows run along the boresight's north.
    onwards = boresight.directional_offset_by(direction * u.deg, 2 * distance * u.deg)
    turned = centre.position_angle(onwards) - centre.position_angle(above)
    assert turned.wrap_at(360 * u.deg).deg == pytest.approx(direction, abs=1e-4)


def test_every_focal_plane_that_comes_with_the_code_can_be_used():
    tables = sorted(TABLES.glob("*_focal_plane.ecsv"))
    assert tables
    for path in tables:
        assert path.name.removesuffix("_focal_plane.ecsv") in Instrument.members()
        assert all(str(row["source"]).strip() for row in read_table(path))


def test_the_ccds_of_ls4_neither_overlap_nor_leave_large_gaps():
    places = focal_plane("ls4")
    assert len(places) == 32
    centres = np.array([(place.xi, place.eta) for place in places.values()])
    width, height = 2048 * 1.0177 / 3600, 4096 * 1.0177 / 3600
    for name, place in places.items():
        assert 1.0165 < place.scale < 1.019 and abs(place.rotation) < 0.6 and place.mirrored, name
        gap = np.abs(centres - (place.xi, place.eta))
        beside = (gap > 0.1).any(axis=1)
        assert ((gap[:, 0] > width) | (gap[:, 1] > height))[beside].all(), f"{name} lies on another"
    assert np.ptp(centres[:, 0]) + width == pytest.approx(5.05, abs=0.1)  # about 20 square degrees
    assert np.ptp(centres[:, 1]) + height == pytest.approx(4.8, abs=0.1)


def test_a_table_of_ones_own_goes_before_ccd_by_ccd():
    mine = Place(0.5, 0.25, 1.5, 1.02, mirrored=False)
    write_places(own_path("ls4", "focal_plane"), "ls4", {"NE_A": mine}, "measured here")
    found = focal_plane("ls4")
    assert found["NE_A"] == mine
    assert found["NE_B"].mirrored and len(found) == 32
    assert str(read_table(own_path("ls4", "focal_plane"))[0]["source"]) == "measured here"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.5,", "nan,", "row 1"), ("1.02", "-1.02", "row 1"), ("0.5,", "100.0,", "row 1"), ("xi", "x", "no column xi"),
        ("NE_A,", "NE_A", "cannot be read"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_says_where(old, new, reason):
    path = own_path("ls4", "focal_plane")
    write_places(path, "ls4", {"NE_A": Place(0.5, 0.25, 1.5, 1.02, mirrored=False)}, "measured here")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInput, match=reason):
        focal_plane("ls4")


# The fit --------------------------------------------------------------------------------------------------------
def mosaic(rng) -> dict[str, Place]:
    return {
        f"C{k}{m}": Place(
            xi=-1.8 + 0.64 * k + rng.normal(0, 0.003),
            eta=-0.6 + 1.2 * m + rng.normal(0, 0.003),
            rotation=-0.4 + rng.normal(0, 0.05),
            scale=1.0177 + rng.normal(0, 0.0005),
            mirrored=True,
        )
        for k in range(6) for m in range(2)
    }  # fmt: skip


def turned(place: Place, angle: float) -> Place:
    """The place in a camera whose north is turned eastwards by an angle (degrees)."""
    c, t = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    xi, eta = place.xi * c + place.eta * t, place.eta * c - place.xi * t
    return replace(place, xi=xi, eta=eta, rotation=place.rotation + angle)


def night(places, rng, *, pairs=6, noise=0.03, error=40.0, roll=0.05, missing=0.2):
    """Solved CCDs of exposures in pairs that miss their field in opposite ways; some CCDs have no solution."""
    solved = []
    for number in range(pairs):
        ra, dec = rng.uniform(0, 360), rng.uniform(-88, 60)
        missed = rng.normal(0, [error, error, roll])
        for sign in (1, -1):
            at = [float(value) for value in from_tangent_plane(*(sign * missed[:2]), ra, dec)]
            for name, place in places.items():
                if rng.uniform() < missing:
                    continue
                wcs = WCS(rough_wcs(turned(place, sign * missed[2]), *at, SHAPE))
                where = from_tangent_plane(*rng.normal(0, noise, 2), *wcs.wcs.crval)
                wcs.wcs.crval = [float(value) for value in where]
                solved.append(SolvedCcd(f"e{number}{sign:+d}", name, similarity(wcs, SHAPE), ra, dec))
    return solved


def distances(fit, places) -> np.ndarray:
    """From the fitted to the true centres, arcsec."""
    found = [fit.places[name].place for name in places]
    return 3600 * np.hypot(*np.array([(a.xi - b.xi, a.eta - b.eta) for a, b in zip(found, places.values())]).T)


@pytest.fixture(scope="module")
def places() -> dict[str, Place]:
    return mosaic(np.random.default_rng(1))


@pytest.fixture(scope="module")
def solved(places) -> list[SolvedCcd]:
    return night(places, np.random.default_rng(2))


def test_places_are_found_to_a_tenth_of_an_arcsecond_though_no_exposure_hit_its_field(places, solved):
    fit = fit_focal_plane(solved)
    assert distances(fit, places).max() < 0.1
    for name, true in places.items():
        found = fit.places[name]
        assert found.place.rotation == pytest.approx(true.rotation, abs=0.01)
        assert found.place.scale == pytest.approx(true.scale, rel=1e-5)
        assert found.place.mirrored and found.rejected == 0
        assert 0.02 < found.rms < 0.07  # the noise of a position, in two axes
    errors = [fit.pointing[name] for name in sorted(fit.pointing)]
    assert np.ptp([error.east for error in errors]) > 20
    for one, other in zip(errors[::2], errors[1::2]):
        assert (one.east, one.north) == (pytest.approx(-other.east, abs=0.3), pytest.approx(-other.north, abs=0.3))


def test_pointing_errors_are_those_that_were_made(places):
    rng, truth = np.random.default_rng(5), {}
    solved = []
    for number in range(9):
        missed = rng.normal(0, 30, 2) if number else np.zeros(2)
        truth[f"e{number}"] = missed
        at = [float(value) for value in from_tangent_plane(*missed, 50.0, -20.0)]
        for name, place in places.items():
            found = similarity(WCS(rough_wcs(place, *at, SHAPE)), SHAPE)
            solved.append(SolvedCcd(f"e{number}", name, found, 50.0, -20.0))
    fit = fit_focal_plane(solved)
    middle = np.median(list(truth.values()), axis=0)
    for name, missed in truth.items():
        error = fit.pointing[name]
        assert (error.east, error.north) == tuple(pytest.approx(value, abs=0.05) for value in missed - middle)


def test_false_solutions_have_no_say(places, solved):
    chosen = np.random.default_rng(6).choice(len(solved), 12, replace=False)
    wrong = list(solved)
    for number, distance in zip(chosen, np.linspace(1, 60, len(chosen))):
        found = solved[number].found
        wrong[number] = replace(solved[number], found=replace(found, dec=found.dec + distance / 3600))
    fit = fit_focal_plane(wrong)
    assert sum(found.rejected for found in fit.places.values()) == len(chosen)
    assert distances(fit, places).max() < 0.1


def test_one_exposure_gives_the_places_from_where_its_header_points(places):
    solved = night(places, np.random.default_rng(3), pairs=1, noise=0.0, error=0.0, roll=0.0, missing=0.0)
    fit = fit_focal_plane([one for one in solved if one.exposure == "e0+1"])
    assert distances(fit, places).max() < 1e-3
    assert all(found.count == 1 and found.rms < 1e-3 for found in fit.places.values())
    assert abs(fit.pointing["e0+1"].east) < 1e-6


def test_ccds_that_never_meet_in_an_exposure_are_fitted_too(places):
    solved = night(places, np.random.default_rng(4), missing=0.0)
    apart = [one for one in solved if (one.section < "C3") == (one.exposure < "e3")]
    fit = fit_focal_plane(apart)
    assert set(fit.places) == set(places)
    assert all(np.isfinite((found.place.xi, found.place.eta)).all() for found in fit.places.values())


def test_nothing_can_be_fitted_to_nothing():
    with pytest.raises(NoFocalPlane, match="through-step astrocal"):
        fit_focal_plane([])
