"""Forced photometry over the images of a tag: each flux once, new images add theirs, bad ones are left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from processing.errors import BadProvenance, NotCovered
from processing.forced import Found, Wanted, measure, measure_image
from processing.pipelines import ForcedPhotometry
from processing.steps.forced import Places
from products import storage
from products.errors import TagConflict, UnknownTag
from products.models import Badness, DifferenceImage, ForcedFlux, Object, ObjectPosition, Provenance, ProvenanceTag
from products.selectors import forced as selector
from products.selectors.tags import of_name
from products.services.badness import set_badness
from tests import factories
from tests.rows.sharing import shared_database

pytestmark = pytest.mark.django_db
CURRENT = "current"


def measured(place, tag: str = CURRENT, step: ForcedPhotometry | None = None, **dates) -> Found:
    step = step or ForcedPhotometry()
    return measure(Wanted.of(place, tag, step, **dates), step)


def path_of(image: DifferenceImage) -> Path:
    return storage.local_path(image.filepath)


@pytest.fixture
def thing(site) -> Object:
    """An object that two exposures cover."""
    return Object.objects.get(name=site.object)


def test_every_image_that_covers_an_object_gives_one_flux_and_the_second_time_nothing_new(site, thing):
    first = measured(thing)
    assert {row.image_id for row in first.rows} == {site.ccd.difference.pk, site.again.difference.pk}
    assert (first.new, first.failures, len(first.keys)) == (2, [], 2)
    again = measured(thing)
    assert (again.new, again.rows) == (0, first.rows)
    assert ForcedFlux.objects.count() == 2


def test_a_flux_is_that_of_the_detection_there(site, thing):
    row, *_ = measured(thing).rows
    one = site.ccd.measurements[0]
    image = site.ccd.difference
    assert (row.x, row.y) == pytest.approx((one.x, one.y), abs=1e-3)
    alpha = image.alpha
    assert 0.97 < row.flux / alpha[round(row.y), round(row.x)] < 1.1
    assert row.magnitude == pytest.approx(image.zero_point.magnitude(row.flux, row.flux_error, row.x, row.y)[0])
    assert (row.mjd, row.filter) == (pytest.approx(image.mjd_middle), "r")
    assert not row.is_bad and not row.is_limit


def test_a_new_image_adds_its_own_flux_and_leaves_the_others(site, thing):
    before = {row.pk for row in measured(thing).rows}
    third = factories.exposure("demo_20261125_031500", mjd=61369.1355)
    added = factories.full_ccd(3, of=third, objects=[row.object for row in site.ccd.measurements])
    found = measured(thing)
    assert found.new == 1
    assert {row.pk for row in found.rows} > before
    assert [row.image_id for row in found.rows if row.pk not in before] == [added.difference.pk]


def test_its_provenance_comes_from_that_of_the_image_and_is_in_the_tag(site, thing):
    row, *_ = measured(thing).rows
    difference, point = site.ccd.difference, site.ccd.zero_point
    upstreams = {difference.provenance_id, point.provenance_id, point.world_coordinates.provenance_id}
    assert set(row.provenance.upstreams.values_list("pk", flat=True)) == upstreams
    assert (row.provenance.process, row.provenance.parameters) == ("forced_photometry", {"core": 0.5, "edge": 1.0})
    assert ProvenanceTag.objects.filter(tag=CURRENT, provenance=row.provenance).exists()


def test_other_parameters_are_another_provenance_that_the_tag_does_not_take(site, thing):
    measured(thing)
    with pytest.raises(TagConflict, match="forced_photometry"):
        measured(thing, step=ForcedPhotometry(core=1.0))
    assert ForcedFlux.objects.count() == 2
    ProvenanceTag.objects.filter(provenance__process="forced_photometry").delete()
    assert measured(thing, step=ForcedPhotometry(core=1.0)).new == 2


def test_dates_choose_the_images(site, thing):
    later = site.again.difference
    found = measured(thing, start=later.mjd - 0.1)
    assert [row.image_id for row in found.rows] == [later.pk]
    with pytest.raises(NotCovered, match="from MJD 61400"):
        measured(thing, start=61400.0)
    assert [row.image_id for row in measured(thing, end=later.mjd).rows] == [site.ccd.difference.pk]


def test_a_place_that_no_image_covers_and_a_tag_that_is_none_are_refused(site):
    with pytest.raises(NotCovered, match=r"tag 'current' covers ra 40\.00000, dec 10\.00000"):
        measured((40.0, 10.0))
    with pytest.raises(UnknownTag, match="there is no tag 'curent'; there are: current"):
        measured((40.0, 10.0), "curent")


def test_a_missing_and_a_truncated_file_are_noted_and_the_other_images_measured(site, thing):
    third = factories.full_ccd(3, of=factories.exposure("demo_20261125_031500", mjd=61369.1355))
    path_of(site.ccd.difference).unlink()
    whole = path_of(third.difference).read_bytes()
    path_of(third.difference).write_bytes(whole[: len(whole) // 2])
    found = measured(thing)
    assert [row.image_id for row in found.rows] == [site.again.difference.pk]
    said = {one["exposure"]: (one["section"], one["error"]) for one in found.failures}
    assert said == {site.name: ("N1", "MissingFile"), third.exposure.name: ("N1", "DamagedFile")}
    path_of(third.difference).write_bytes(whole)
    assert measured(thing).new == 1


def test_an_image_that_is_marked_as_bad_is_left_out_before_and_hidden_after(site, thing):
    set_badness(site.ccd.difference, Badness.BAD_SUBTRACTION)
    assert [row.image_id for row in measured(thing).rows] == [site.again.difference.pk]
    set_badness(site.again.difference, Badness.BAD_SUBTRACTION)
    assert ForcedFlux.objects.get().badness == Badness.BAD_SUBTRACTION
    assert selector.of_object(thing, of_name(CURRENT)) == []
    set_badness(site.again.difference, Badness(0))
    assert len(selector.of_object(thing, of_name(CURRENT))) == 1


def test_an_image_that_is_marked_while_it_is_measured_tells_its_flux(site, thing):
    difference, step = site.ccd.difference, ForcedPhotometry()
    provenance = measured(thing, end=site.again.difference.mjd).rows[0].provenance
    DifferenceImage.objects.filter(pk=difference.pk).update(badness_own=int(Badness.SHAKING))
    places = Places(*(site.ccd.zero_point.world_coordinates.wcs.all_pix2world([40.0], [41.0], 0)))
    assert measure_image(difference, places, step, provenance) == 1
    assert ForcedFlux.objects.latest("created_at").badness == Badness.SHAKING


def test_what_was_made_in_a_bad_way_is_neither_measured_nor_measured_with(site, thing):
    found = measured(thing)
    Provenance.objects.filter(pk=found.rows[0].provenance_id).update(is_bad=True)
    with pytest.raises(BadProvenance):
        measured(thing)
    Provenance.objects.filter(pk=site.ccd.difference.provenance_id).update(is_bad=True)
    with pytest.raises(NotCovered):
        measured(thing)


def test_an_object_is_measured_at_its_mean_position_until_that_is_farther_away(site, thing):
    means = site.ccd.measurement_set.provenance

    def mean(north_arcsec: float, n: int) -> ObjectPosition:
        row = ObjectPosition(
            object=thing, provenance=means, n_measurements=n, ra_error=0.1, dec_error=0.1, mjd_last=1.0
        )
        row.set_position(thing.ra, thing.dec + north_arcsec / 3600).save()
        return row

    assert selector.place_of(thing, of_name(CURRENT), 0.1) == (thing.ra, thing.dec)
    second = mean(0.3, 2)
    assert selector.place_of(thing, of_name(CURRENT), 0.1) == (second.ra, second.dec)
    assert {row.dec for row in measured(thing).rows} == {second.dec}
    mean(0.35, 3)
    assert selector.place_of(thing, of_name(CURRENT), 0.1) == (second.ra, second.dec)
    assert measured(thing).new == 0
    fourth = mean(0.45, 4)
    found = measured(thing)
    assert (found.new, {row.dec for row in found.rows}) == (2, {fourth.dec})
    assert selector.of_object(thing, of_name(CURRENT)) == found.rows


def test_a_position_near_an_object_is_not_the_object(site, thing):
    measured((thing.ra, thing.dec + 0.5 / 3600))
    assert selector.of_object(thing, of_name(CURRENT)) == []


def test_right_ascension_beyond_a_turn_is_the_same_place(site, thing):
    measured((thing.ra - 360, thing.dec))
    assert measured((thing.ra, thing.dec)).new == 0


def test_many_places_of_an_image_are_measured_at_once_and_each_once(site, django_assert_max_num_queries):
    difference, step = site.ccd.difference, ForcedPhotometry()
    provenance = measured(site.ccd.measurements[0].object).rows[0].provenance
    wcs = site.ccd.zero_point.world_coordinates.wcs
    places = Places(*wcs.all_pix2world([r.x for r in site.ccd.measurements], [r.y for r in site.ccd.measurements], 0))
    image = DifferenceImage.objects.select_related("zero_point__world_coordinates").get(pk=difference.pk)
    with django_assert_max_num_queries(10):
        made = measure_image(image, places, step, provenance)
    assert made == len(places.ra) - 1  # the first one has its flux
    assert measure_image(image, places, step, provenance) == 0


ASK = """
import django, sys
django.setup()
from processing.forced import Wanted, measure
from processing.pipelines import ForcedPhotometry
from processing import forced
from products.models import Object
from products.services import forced as service
kept = service.keep
def keep(rows, provenance):
    print("ready", flush=True)
    sys.stdin.readline()
    return kept(rows, provenance)
service.keep = keep
step = ForcedPhotometry()
found = measure(Wanted.of(Object.objects.get(name=sys.argv[1]), "current", step), step)
print("new", found.new, *sorted(str(row.pk) for row in found.rows), flush=True)
"""


@pytest.mark.django_db(transaction=True)
def test_two_that_measure_the_same_at_once_end_with_the_same_rows(site, thing, tmp_path):
    """Both have computed every flux before either may save it."""
    environment = {**os.environ, "DATABASE_URL": shared_database(tmp_path), "SEECHANGE_DATA": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "seechange_site.settings"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, thing.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment, cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]  # fmt: skip
    for _ in range(2):  # images
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 2
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
    said = [worker.stdout.readline().split() for worker in workers]
    assert [worker.wait(30) for worker in workers] == [0, 0]
    assert said[0][2:] == said[1][2:] and len(said[0][2:]) == 2
    assert int(said[0][1]) + int(said[1][1]) == 2


# The command -----------------------------------------------------------------------------------------------


def test_the_command_shows_and_writes_what_was_measured(site, thing, capsys, tmp_path):
    call_command("forced_photometry", object=thing.name, output=str(tmp_path / "fluxes.json"))
    out = capsys.readouterr().out
    assert "2 fluxes of 2 images, 2 of them new" in out and site.name in out
    found = json.loads((tmp_path / "fluxes.json").read_text())
    assert len(found["rows"]) == 2 and found["units"]["flux_ujy"] == "uJy"
    assert all(row["exposure"] and row["image"] and row["is_limit"] in (0, 1) for row in found["rows"])
    for ending in ("csv", "ecsv", "fits"):
        call_command("forced_photometry", object=thing.name, output=str(tmp_path / f"fluxes.{ending}"))
        assert (tmp_path / f"fluxes.{ending}").stat().st_size > 300


def test_the_command_takes_positions_as_people_write_them(site, thing, capsys):
    call_command("forced_photometry", ra=str(thing.ra), dec=str(thing.dec), start="2026-11-24", end="2026-11-24")
    assert "1 fluxes of 1 images" in capsys.readouterr().out


def test_the_command_says_which_image_could_not_be_read_and_fails_at_the_end(site, thing, capsys):
    path_of(site.ccd.difference).unlink()
    with pytest.raises(CommandError, match="1 of 2 images could not be used"):
        call_command("forced_photometry", object=thing.name)
    out = capsys.readouterr().out
    assert f"{site.name} N1: " in out and "neither in the data folder nor in the archive" in out
    assert "1 fluxes of 2 images, 1 of them new" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say where"),
        ({"object": "x", "ra": "1", "dec": "2"}, "say where"),
        ({"ra": "1"}, "say where"),
        ({"object": "nothing"}, "there is no object called nothing"),
        ({"ra": "40", "dec": "10"}, "no usable difference image"),
        ({"ra": "40", "dec": "10", "provenance_tag": "curent"}, "there is no tag 'curent'"),
        ({"ra": "40", "dec": "100"}, "not a position"),
        ({"ra": "40", "dec": "10", "start": "yesterday"}, "--from yesterday: a date"),
        ({"ra": "40", "dec": "10", "output": "fluxes.txt"}, "the ending chooses the format"),
        ({"ra": "40", "dec": "10", "output": "/nowhere/fluxes.csv"}, "name a file in a folder that exists"),
    ],
)  # fmt: skip
def test_the_command_says_what_is_wrong_with_what_it_is_given(site, options, said):
    with pytest.raises(CommandError, match=said):
        call_command("forced_photometry", **options)
