"""Association: nearest first, one measurement an object and image, everywhere on the sky and beside others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from products import sky
from products.models import (
    Alert,
    AlertBatch,
    Cutouts,
    DeepScoreSet,
    Measurement,
    MeasurementSet,
    Object,
    ObjectPosition,
)
from products.services.keeping import keep
from products.services.naming import letters, new_names
from tests import factories
from tests.rows.sharing import shared_database

pytestmark = pytest.mark.django_db
MJD = 61367.0
ARCSEC = 1 / 3600
PLACES = {
    "anywhere": (35.5, -4.75),
    "ra_0": (0.0, 12.0),
    "north_pole": (123.0, 90.0),
    "near_north_pole": (200.0, 89.9999),
    "south_pole": (10.0, -90.0),
}


def offset(place: tuple[float, float], east: float, north: float) -> tuple[float, float]:
    """The position that lies (east, north) arcsec from `place` on the tangent plane; good at the poles."""
    ra, dec = np.radians(place)
    centre = sky.unit_vectors(*place)[0]
    to_east = np.array([-np.sin(ra), np.cos(ra), 0])
    to_north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    x, y, z = centre + np.radians(east * ARCSEC) * to_east + np.radians(north * ARCSEC) * to_north
    return float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


@pytest.fixture
def cutouts() -> Cutouts:
    """Cutouts of a difference image; what the factory measured on them is taken away."""
    factories.full_ccd()
    for model in (Alert, AlertBatch, DeepScoreSet, MeasurementSet, Object):
        model.objects.all().delete()
    return Cutouts.objects.get()


def measure(cutouts: Cutouts, *positions: tuple[float, float], mjd: float = MJD, tag: object = 0, **fields) -> list:
    """The measurements of one image at these positions, associated and kept; all share `fields`."""
    number = len(positions)
    made = MeasurementSet(cutouts=cutouts, n_measured=number, n_saved=number, n_kept=0, association_radius=1.0)
    values = {"filter": "r", "x": 0, "y": 0, "flux": 100.0, "flux_error": 10.0, "snr": 10.0} | fields
    for index, (ra, dec) in enumerate(positions):
        row = Measurement(measurement_set=made, index_in_sources=index, mjd=mjd, **values)
        made.rows.append(row.set_position(ra, dec))
    number = MeasurementSet.objects.count()
    assert keep([made], factories.provenance("measuring", cutouts.provenance, tag="", image=number))
    return made.rows


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_seen_again_within_the_radius_is_the_same_object(cutouts, place):
    (first,) = measure(cutouts, offset(place, 0, 0))
    for angle in np.arange(0, 2 * np.pi, np.pi / 4):
        (again,) = measure(cutouts, offset(place, 0.95 * np.sin(angle), 0.95 * np.cos(angle)))
        assert again.object_id == first.object_id
    (other,) = measure(cutouts, offset(place, 0, -1.05))
    assert other.object_id != first.object_id
    assert Object.objects.count() == 2


def test_the_closest_pairs_come_first_whatever_the_order(cutouts):
    place = PLACES["anywhere"]
    west, east = (row.object_id for row in measure(cutouts, offset(place, 0, 0), offset(place, 0.8, 0)))
    for order in (1, -1):  # 0.75 is 0.05 from the eastern one; 0.5 is nearer to it too, but gets what is left
        rows = measure(cutouts, *[offset(place, 0.5, 0), offset(place, 0.75, 0)][::order])[::order]
        assert [row.object_id for row in rows] == [west, east]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_object_gets_one_measurement_of_an_image_the_nearest(cutouts, place):
    (first,) = measure(cutouts, offset(place, 0, 0))
    near, nearer, nearest = measure(cutouts, offset(place, 0.6, 0), offset(place, 0, 0.4), offset(place, -0.1, 0))
    assert nearest.object_id == first.object_id
    assert len({near.object_id, nearer.object_id, first.object_id}) == 3


def test_the_very_same_position_is_the_same_object(cutouts):
    rows = [measure(cutouts, PLACES["anywhere"])[0] for _ in range(3)]
    assert len({row.object_id for row in rows}) == 1


def test_objects_of_tests_are_left_alone(cutouts):
    place = PLACES["anywhere"]
    test = factories.sky_object(*place)
    Object.objects.update(is_test=True)
    (row,) = measure(cutouts, place)
    assert row.object_id != test.pk


def test_counts_and_times_come_from_kept_measurements_only(cutouts):
    place = PLACES["anywhere"]
    (first,) = measure(cutouts, place, mjd=MJD, is_bad=True)
    thing = first.object
    thing.refresh_from_db()
    assert thing.n_measurements == 0
    for mjd, is_bad in ((MJD + 5, False), (MJD + 9, True), (MJD + 2, False), (MJD + 7, False)):
        measure(cutouts, place, mjd=mjd, is_bad=is_bad)
    thing.refresh_from_db()
    assert (thing.n_measurements, thing.first_seen, thing.last_seen) == (3, MJD + 2, MJD + 7)
    assert thing.measurements.count() == 5
    assert ObjectPosition.objects.filter(object=thing).count() == 3


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_position_gets_better_with_every_measurement(cutouts, place):
    """Each mean is the average weighted by (S/N)² and its error the one of such a mean, on the plane of the sky."""
    provenance = cutouts.provenance
    image = cutouts.sources.image
    offsets, ratios = [(0.3, 0.1), (-0.2, 0.2), (-0.1, -0.25), (0.05, -0.1)], [8.0, 20.0, 5.0, -40.0]
    for number, ((east, north), snr) in enumerate(zip(offsets, ratios)):
        made = MeasurementSet(cutouts=cutouts, n_measured=1, n_saved=1, n_kept=1, provenance=provenance)
        row = Measurement(
            measurement_set=made, index_in_sources=0, mjd=MJD - number, filter="r", x=0, y=0, flux=1, flux_error=1, snr=snr
        )  # fmt: skip
        row.set_position(*offset(place, east, north))
        _associate_under_one_provenance(row)
    positions = list(ObjectPosition.objects.order_by("n_measurements"))
    assert [row.n_measurements for row in positions] == [1, 2, 3, 4]
    weights = np.array(ratios) ** 2
    for count, found in enumerate(positions, start=1):
        mean = np.average(offsets[:count], axis=0, weights=weights[:count])
        assert sky.separation(found.ra, found.dec, *offset(place, *mean)) / ARCSEC < 1e-4
        expected = image.fwhm / 2.3548 / np.sqrt(weights[:count].sum())
        assert found.ra_error == pytest.approx(expected, rel=1e-6)
        assert found.dec_error == pytest.approx(expected, rel=1e-6)
        assert found.mjd_last == MJD
    assert Object.objects.count() == 1


def _associate_under_one_provenance(row: Measurement) -> None:
    """As `keep` does, but the means of all rows go on under the provenance that the set was given."""
    from django.db import transaction

    from products.services.association import associate

    with transaction.atomic():
        associate([row], radius_arcsec=1.0)


def test_means_of_different_provenances_do_not_mix(cutouts):
    place = PLACES["anywhere"]
    measure(cutouts, place)
    measure(cutouts, offset(place, 0.4, 0))
    assert [row.n_measurements for row in ObjectPosition.objects.all()] == [1, 1]
    assert Object.objects.get().n_measurements == 2


def test_names_tell_the_year_and_are_given_once(cutouts):
    place = PLACES["anywhere"]
    rows = measure(cutouts, *[offset(place, 10 * i, 0) for i in range(30)])
    names = [row.object.name for row in rows]
    assert names[:2] == ["SC26aaaa", "SC26aaab"]
    assert len(set(names)) == 30
    assert new_names(2026, 2) == [f"SC26{letters(30)}", f"SC26{letters(31)}"]


@pytest.mark.parametrize(
    ("number", "name"), [(0, "aaaa"), (25, "aaaz"), (26, "aaba"), (26**4 - 1, "zzzz"), (26**4, "aaaaa")]
)
def test_letters_count_and_grow(number, name):
    assert letters(number) == name


def test_names_have_the_format_of_the_site_and_are_not_given_twice(settings):
    assert new_names(2026, 2) == ["SC26aaaa", "SC26aaab"]
    settings.SEECHANGE_OBJECT_NAMES = "LS4-{yyyy}-{number:06d}"
    assert new_names(2026, 2) == ["LS4-2026-000003", "LS4-2026-000004"]


# Beside other processes ------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["anywhere", "ra_0", "north_pole"])
def test_eight_processes_with_the_same_hundred_positions_make_a_hundred_objects(cutouts, tmp_path, name):
    grid = [
        offset(PLACES[name], 200 * (i // 10 - 4.5), 200 * (i % 10 - 4.5)) for i in range(100)
    ]  # spans several cells
    jitter = np.random.default_rng(5).uniform(-0.2, 0.2, (8, 100, 2))
    asked = {
        "cutouts": str(cutouts.pk),
        "provenances": [
            [factories.provenance("measuring", cutouts.provenance, tag="", run=[i, k]).pk for k in range(5)]
            for i in range(8)
        ],
        "positions": [[offset(place, *jitter[i, k]) for k, place in enumerate(grid)] for i in range(8)],
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-m", "tests.rows.associating", str(tmp_path / "asked.json")],
        env={**os.environ, "DATABASE_URL": shared_database(tmp_path), "SEECHANGE_DATA": str(tmp_path)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("failed") == []
    assert found == {
        "objects": 100, "names": 100, "alone": 100, "seen": [8], "spans": [[MJD, MJD + 7]], "measurements": 800,
    }  # fmt: skip
