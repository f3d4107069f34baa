"""`export` writes what was found for other programs, with units, or says in one line why it cannot."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from django.core.management import call_command
from django.core.management.base import CommandError

from products.models import Alert, Badness, DeepScore, Measurement, ProvenanceTag
from products.services.badness import set_badness
from tests import factories

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:'electron.*' did not parse"),  # astropy reading back, not writing
]


@pytest.fixture
def ccd():
    return factories.full_ccd()


def rows(*options: str) -> list[dict[str, str]]:
    """What is written to standard output."""
    out = io.StringIO()
    call_command("export", *options, "-o", "-", stdout=out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_measurements_are_written_as_they_are_in_the_database(ccd):
    found = rows("measurements", "--exposure", ccd.exposure.name)
    assert len(found) == 6
    for row, stored in zip(found, ccd.measurements):
        assert row["object"] == stored.object.name and row["id"] == str(stored.pk)
        for name in ("ra", "dec", "x", "y", "flux", "flux_error", "snr", "magnitude", "magnitude_error", "mjd"):
            assert float(row[name]) == pytest.approx(getattr(stored, name), rel=1e-12)
        assert float(row["score"]) == stored.scores.get().score
        assert float(row["background_per_pixel"]) == stored.background_per_pixel == 0.37
        assert row["telescope"] == "Blanco 4 m"
        assert (row["exposure"], row["section"], row["filter"]) == (ccd.exposure.name, "N1", "r")


def test_bad_measurements_say_why(ccd):
    set_badness(ccd.image, Badness.BANDING)
    found = rows("measurements")
    assert [(row["is_bad"], row["failed_cuts"]) for row in found[3:]] == [
        ("False", ""),
        ("True", "negative_flux"),
        ("True", "elongation"),
    ]
    assert {row["badness"] for row in found} == {"banding"}


def test_detections_say_what_became_of_them(ccd):
    Alert.objects.all().delete()
    Measurement.objects.filter(index_in_sources=0).delete()
    found = rows("detections")
    assert {row["telescope"] for row in found} == {"Blanco 4 m"}
    assert [row["outcome"] for row in found] == ["not saved", "kept", "kept", "kept", "cut", "cut"]
    assert found[0]["magnitude"] == "" and found[0]["object"] == ""
    assert found[5]["failed_cuts"] == "elongation"
    for row, stored in zip(found[1:], ccd.measurements[1:]):
        assert float(row["ra"]) == pytest.approx(stored.ra, abs=1e-7)
        assert float(row["score"]) == stored.scores.get().score


def test_objects_gather_their_measurements(ccd):
    later = factories.exposure("second", mjd=ccd.exposure.mjd + 3)
    factories.full_ccd(2, of=later, objects=[row.object for row in ccd.measurements[:2]])
    found = {row["name"]: row for row in rows("objects")}
    assert len(found) == 10
    twice = found[ccd.measurements[0].object.name]
    assert (twice["n_measurements"], twice["n_kept"]) == ("2", "2")
    assert float(twice["last_seen"]) - float(twice["first_seen"]) == pytest.approx(3)
    brightest = min(row.magnitude for row in Measurement.objects.filter(object=ccd.measurements[0].object))
    assert float(twice["brightest"]) == pytest.approx(brightest)
    assert float(twice["best_score"]) == pytest.approx(0.98)
    assert found[ccd.measurements[5].object.name]["n_kept"] == "0"
    assert found[ccd.measurements[5].object.name]["brightest"] == ""
    assert len(rows("objects", "--exposure", "second")) == 6


def test_an_exposure_a_section_and_a_tag_narrow_the_table(ccd):
    factories.full_ccd(2, of=ccd.exposure, section="S1")
    factories.full_ccd(3, of=factories.exposure("second", mjd=ccd.exposure.mjd + 3, tag="other"), tag="other")
    for what in ("measurements", "detections"):
        assert len(rows(what)) == 18  # factories give all CCDs one provenance
        assert len(rows(what, "--exposure", ccd.exposure.name)) == 12
        assert len(rows(what, "--exposure", str(ccd.exposure.pk), "--section", "S1")) == 6
        assert {row["section"] for row in rows(what, "--section", "S1")} == {"S1"}
        assert len(rows(what, "--provenance-tag", "other")) == 18


def test_another_tag_has_other_scores(ccd):
    scoring = factories.provenance("scoring", ccd.measurement_set.provenance, tag="other", scorer={"name": "random"})
    other = ccd.measurement_set.score_sets.create(algorithm="random", threshold=0.5, n_real=0, provenance=scoring)
    ProvenanceTag.objects.create(tag="other", provenance=ccd.measurement_set.provenance)
    for row in ccd.measurements:
        DeepScore.objects.create(score_set=other, measurement=row, score=0.25)
    assert {row["score"] for row in rows("measurements", "--provenance-tag", "other")} == {"0.25"}
    assert "0.25" not in {row["score"] for row in rows("measurements")}
    assert {row["best_score"] for row in rows("objects", "--provenance-tag", "other")} == {"0.25"}


@pytest.mark.parametrize("what", ["measurements", "objects", "detections"])
@pytest.mark.parametrize("ending", ["fits", "ecsv", "csv", "json"])
def test_every_table_reads_back_in_every_format(ccd, tmp_path, what, ending):
    path = tmp_path / f"x.{ending}"
    call_command("export", what, "-o", str(path), verbosity=0)
    assert [file.name for file in tmp_path.glob("x*")] == [path.name]
    expected = rows(what)
    if ending == "json":
        found = json.loads(path.read_text())
        assert found["units"]["ra"] == "deg" and found["tag"] == "current"
        names, ra = list(found["rows"][0]), [row["ra"] for row in found["rows"]]
    else:
        found = Table.read(path, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(ending))
        names, ra = found.colnames, found["ra"]
    assert names == list(expected[0])
    np.testing.assert_allclose(ra, [float(row["ra"]) for row in expected])


def test_fits_and_ecsv_carry_units_and_explanations(ccd, tmp_path):
    for ending in ("fits", "ecsv"):
        call_command("export", "measurements", "-o", str(tmp_path / f"x.{ending}"), verbosity=0)
    table = Table.read(tmp_path / "x.ecsv", format="ascii.ecsv")
    units = {name: str(table[name].unit) for name in ("ra", "x", "flux", "background_per_pixel", "magnitude", "mjd")}
    assert units == {
        "ra": "deg", "x": "pix", "flux": "electron", "background_per_pixel": "electron / pix", "magnitude": "mag",
        "mjd": "d",
    }  # fmt: skip
    assert all(table[name].description for name in table.colnames if name not in ("x", "y"))
    with fits.open(tmp_path / "x.fits", checksum=True) as hdus:
        assert {column.name: column.unit for column in hdus[1].columns if column.name in units} == units
        assert hdus[1].header["TAG"] == "current"
        hdus.verify("exception")


def test_what_has_no_value_is_empty_null_or_nan(ccd, tmp_path):
    Measurement.objects.filter(index_in_sources=0).update(magnitude=None, magnitude_error=None)
    Alert.objects.all().delete()
    DeepScore.objects.filter(measurement=ccd.measurements[0]).delete()
    first = rows("measurements")[0]
    assert (first["magnitude"], first["score"]) == ("", "")
    call_command("export", "measurements", "-o", str(tmp_path / "x.json"), verbosity=0)
    first = json.loads((tmp_path / "x.json").read_text())["rows"][0]
    assert first["magnitude"] is None and first["score"] is None
    call_command("export", "measurements", "-o", str(tmp_path / "x.fits"), verbosity=0)
    assert np.isnan(fits.getdata(tmp_path / "x.fits")["magnitude"][0])


def test_an_exposure_without_measurements_gives_an_empty_table_with_its_columns(ccd, tmp_path):
    factories.exposure("empty", mjd=61000.0)
    assert rows("measurements", "--exposure", "empty") == []
    for ending in ("fits", "ecsv", "csv", "json"):
        for what in ("measurements", "objects", "detections"):
            call_command("export", what, "--exposure", "empty", "-o", str(tmp_path / f"x.{ending}"), verbosity=0)
    assert len(Table.read(tmp_path / "x.fits")) == 0
    assert "outcome" in Table.read(tmp_path / "x.fits").colnames


def test_the_newest_tag_is_taken_where_there_is_no_current_one(ccd):
    ProvenanceTag.objects.update(tag="demo")
    assert len(rows("measurements")) == 6


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("measurements", "--exposure", "demo_20261123_04221", "-o", "-"), "did you mean 'demo_20261123_042219'"),
        (("measurements", "--exposure", "nothing like it", "-o", "-"), "/exposures/"),
        (("measurements", "--exposure", "01a219f8-141d-79a2-b092-67d2f715f109", "-o", "-"), "there is no exposure"),
        (("objects", "--section", "N7", "-o", "-"), "no image of section 'N7'.*there are: N1"),
        (("objects", "--provenance-tag", "gone", "-o", "-"), "no tag 'gone'; there are: current"),
        (("detections", "-o", "x.txt"), r"x\.txt ends in none of \.csv"),
        (("detections", "-o", "noending"), "ends in none of"),
    ],
)
def test_what_is_not_there_or_not_written_is_said_in_one_line(ccd, options, complaint):
    with pytest.raises(CommandError, match=complaint) as error:
        call_command("export", *options)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(ccd, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=r"Not a directory|File exists"):
        call_command("export", "objects", "-o", str(tmp_path / "file" / "x.csv"))
