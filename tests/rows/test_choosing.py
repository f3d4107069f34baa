"""Dense and sparse fields choose their configuration."""

from __future__ import annotations

import numpy as np
import pytest

from processing.choosing import ConfigChoice, choose, is_dense, star_density
from processing.star_catalogs import keep_excerpt

pytestmark = pytest.mark.django_db
FIELD = (150.0, 30.0)  # Galactic latitude 52°
PLANE = (266.4, -28.94)  # towards the Galactic centre
BY_STARS = {"configchoice": {"algorithm": "star_density"}}


def stars(count: int, ra: float, dec: float) -> None:
    """A catalogue of one square degree."""
    rng = np.random.default_rng(1)
    names = [
        ("ra", "f8"),
        ("dec", "f8"),
        ("pmra", "f4"),
        ("pmdec", "f4"),
        ("mag_r", "f4"),
        ("err_r", "f4"),
        ("is_star", "?"),
    ]
    table = np.zeros(count, names)
    table["ra"] = ra + rng.uniform(-0.5, 0.5, count) / np.cos(np.radians(dec))
    table["dec"] = dec + rng.uniform(-0.5, 0.5, count)
    table["mag_r"], table["is_star"] = rng.uniform(15, 25, count), True
    keep_excerpt(table, "mine", 2016.0)


def test_by_default_every_field_has_the_configuration_that_was_given():
    assert choose({"detection": {"warn_score_std": 1.2}}, *PLANE) == {"detection": {"warn_score_std": 1.2}}


def test_the_density_of_stars_is_that_of_the_imported_catalogue_down_to_the_magnitude():
    stars(20_000, *FIELD)
    assert star_density(*FIELD, faintest=20.0) == pytest.approx(10_000, rel=0.05)
    assert star_density(FIELD[0], -40.0, faintest=20.0) is None


def test_a_dense_field_takes_the_dense_configuration_over_its_own():
    stars(80_000, *FIELD)
    found = choose(BY_STARS | {"cutting": {"size": 41}}, *FIELD)
    assert found["detection"]["peaks"]["threshold"] == 6.0
    assert found["cutting"]["size"] == 41


def test_a_sparse_field_keeps_the_thresholds():
    stars(2_000, *FIELD)
    assert choose(BY_STARS, *FIELD).get("detection", {}).get("peaks", {}).get("threshold", 5.0) == 5.0


@pytest.mark.parametrize(("place", "dense"), [(FIELD, False), (PLANE, True)])
def test_without_a_catalogue_the_galactic_latitude_decides(place, dense):
    assert is_dense(*place, ConfigChoice(algorithm="star_density")) is dense
