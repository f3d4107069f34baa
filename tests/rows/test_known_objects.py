"""Known bodies: from a file of orbits to the match of a measurement, its packet, pages and the REST API."""

from __future__ import annotations

import io

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from processing.algorithms.ephemerides import Cap, ephemeris
from processing.algorithms.orbits import ORBIT
from processing.datastore import DataStore
from processing.ephemerides.base import KnownBodies
from processing.ephemerides.mpcorb import Mpcorb
from processing.errors import BadInput
from processing.orbit_catalogs import catalog_for, import_orbits, names_of, orbits_of
from processing.pipeline import Pipeline
from processing.steps.alerting import Alerting
from processing.steps.knownobjects import KnownObjects
from products.alerts import frozen
from products.alerts.avro import decode, encode
from products.models import Alert, KnownObject, KnownObjectSet, OrbitCatalog
from tests import factories
from tests.algorithms.test_orbits import population
from tests.ephemerides.orbit_lines import CERES, HEAD, line

pytestmark = pytest.mark.django_db
EPOCH = 61360.0  # MJD, 2026-11-16: K26BG


@pytest.fixture
def ccd():
    return factories.full_ccd()


def passing(mjd: float, ra: float, dec: float) -> np.ndarray:
    """Orbits of the main belt that are seen near a position (degrees): turned until they are."""
    rows = population(6000, seed=7, epoch=EPOCH)
    for name in ("perihelion", "node", "inclination", "mean_anomaly"):
        rows[name] = np.round(rows[name], 5)
    rows["eccentricity"], rows["semi_major_axis"] = (
        np.round(rows["eccentricity"], 7),
        np.round(rows["semi_major_axis"], 7),
    )
    seen = ephemeris(rows, mjd, None)
    away = np.hypot((seen["ra"] - ra + 180) % 360 - 180, seen["dec"] - dec)
    return rows[np.argsort(away)[:40]]


@pytest.fixture
def orbits_file(tmp_path):
    rows = passing(61367.2, 35.5, 14.0)
    path = tmp_path / "MPCORB.DAT"
    lines = [line(number, row, "K26BG", observed="20261101") for number, row in enumerate(rows, start=101)]
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return path


# Catalogues --------------------------------------------------------------------------------------------------


def test_an_imported_catalogue_is_what_the_file_holds_and_the_same_file_is_kept_once(orbits_file):
    row, lines = import_orbits(orbits_file, "mpc")
    again, _ = import_orbits(orbits_file, "mpc")
    assert again.pk == row.pk and OrbitCatalog.objects.count() == 1
    row.free()
    held = orbits_of(OrbitCatalog.objects.get())
    assert held.dtype == ORBIT and np.array_equal(held, lines.table) and row.epoch == EPOCH
    assert names_of(row, np.array([0, 39])) == ("(101)", "(140)")


def test_the_command_imports_and_tells_what_it_left_out(orbits_file):
    text = orbits_file.read_text() + CERES + "\n"
    orbits_file.write_text(text.replace("0.07891", "9.07891") + "\n".join([CERES] * 120))
    out, err = io.StringIO(), io.StringIO()
    call_command("import_orbits", str(orbits_file), "--name=mpc", stdout=out, stderr=err)
    assert out.getvalue() == "160 orbits of mpc, epoch 2023-09-13\n"
    assert "1 lines are no orbits" in err.getvalue() and "no ellipse" in err.getvalue()
    with pytest.raises(CommandError, match="no such file"):
        call_command("import_orbits", "nowhere.dat")
    with pytest.raises(CommandError, match="letters"):
        call_command("import_orbits", str(orbits_file), "--name=a b")


def test_the_catalogue_of_the_nearest_epoch_is_used():
    early, late = factories.orbit_catalog(epoch=61000.0), factories.orbit_catalog(epoch=61400.0)
    assert catalog_for("mpc", 61100.0) == early and catalog_for("mpc", 61390.0) == late
    with pytest.raises(BadInput, match=r"there are: mpc.*import_orbits"):
        catalog_for("lowell", 61100.0)


def test_predictions_are_those_in_the_circle_and_old_epochs_are_told(orbits_file):
    import_orbits(orbits_file, "mpc")
    found = Mpcorb().predict(Cap(35.5, 14.0, 3.0), 61367.2, None)
    assert len(found.table) == len(found.names) > 3 and found.catalog == OrbitCatalog.objects.get()
    assert np.all(np.hypot((found.table["ra"] - 35.5) * np.cos(np.radians(14)), found.table["dec"] - 14) < 3.01)
    assert any("centre of the Earth" in note for note in found.notes) and len(found.notes) == 1
    aged = Mpcorb().predict(Cap(35.5, 14.0, 3.0), EPOCH + 300, None)
    assert any("300 days away" in note for note in aged.notes)
    none = Mpcorb().predict(Cap(35.5, -80.0, 0.1), 61367.2, None)
    assert len(none.table) == 0 and none.names == ()


# Matches -----------------------------------------------------------------------------------------------------


def bodies_at(rows, shifts, **values) -> KnownBodies:
    """Bodies so many arcsec north of measurements."""
    from processing.algorithms.ephemerides import EPHEMERIS

    table = np.zeros(len(rows), EPHEMERIS)
    table["ra"], table["dec"] = [row.ra for row in rows], [row.dec + s / 3600 for row, s in zip(rows, shifts)]
    table["uncertainty"], table["magnitude"], table["rate"] = 0.3, 19.0, 30.0
    for name, value in values.items():
        table[name] = value
    return KnownBodies(table, tuple(f"({number})" for number in range(1, len(rows) + 1)))


def matched(found: KnownObjectSet) -> dict[str, int]:
    return {row.name: row.measurement.index_in_sources for row in found.rows}


def test_the_closest_body_within_the_radius_is_it(ccd):
    rows, step = ccd.measurements, KnownObjects(source="mpcorb")
    near = bodies_at([rows[0], rows[1], rows[2], rows[0]], [0.4, 1.9, 2.1, 0.9])
    found = step.run(measurement_set=ccd.measurement_set, bodies=near)
    assert matched(found) == {"(1)": 0, "(2)": 1} and (found.n_predicted, found.n_matched) == (4, 2)
    assert found.rows[0].separation == pytest.approx(0.4, abs=1e-3) and found.is_searched


def test_the_radius_grows_with_the_error_and_bodies_that_are_too_unsure_or_faint_are_left_out(ccd):
    rows, step = ccd.measurements, KnownObjects(source="mpcorb")
    unsure = bodies_at(rows[:3], [5.0] * 3, uncertainty=[2.0, 1.0, 11.0])
    found = step.run(measurement_set=ccd.measurement_set, bodies=unsure)
    assert matched(found) == {"(1)": 0} and found.n_predicted == 2
    faint = bodies_at(rows[:2], [0.1] * 2, magnitude=[27.0, np.nan])
    found = step.run(measurement_set=ccd.measurement_set, bodies=faint)
    assert matched(found) == {"(2)": 1} and found.rows[0].magnitude is None


def test_without_a_source_nothing_is_looked_for(ccd):
    found = KnownObjects().run(measurement_set=ccd.measurement_set, bodies=KnownBodies())
    assert not found.is_searched and found.counts() == {} and found.n_predicted == 0
    assert len(KnownObjects().parameters.source.predict(Cap(0, 0, 1), 61000.0, None).table) == 0


def test_the_step_finds_the_body_that_was_measured_and_keeps_it_once(ccd, orbits_file):
    """A measurement is put where a body of the catalogue is predicted for the time of the image."""
    import_orbits(orbits_file, "mpc")
    row = ccd.measurements[0]
    orbits = orbits_of(OrbitCatalog.objects.get())
    place = ephemeris(orbits[:1], ccd.image.mjd_middle, None)[0]
    corners = np.array(ccd.image.corners) - [ccd.image.ra, ccd.image.dec] + [place["ra"], place["dec"]]
    ccd.image.set_footprint(corners)
    row.set_position(place["ra"] + 0.2 / 3600, place["dec"]).save()
    data = DataStore(ccd.exposure, ccd.image, ccd.measurement_set, section="N1")
    step = KnownObjects(source="mpcorb")
    (found,) = Pipeline.make(step, data)
    assert [(one.name, one.measurement_id) for one in found.rows] == [("(101)", row.pk)]
    assert found.orbit_catalog == OrbitCatalog.objects.get()
    found = factories.saved(_with(found, ccd))
    assert data.find(KnownObjects, found.provenance) == [found]


def _with(found: KnownObjectSet, ccd) -> KnownObjectSet:
    found.provenance = factories.provenance("knownobjects", ccd.measurement_set.provenance)
    return found


# Alerts, pages, REST -------------------------------------------------------------------------------------------


def test_streams_can_leave_known_bodies_out_or_take_nothing_else(ccd):
    known = factories.known_object(ccd)
    score_set = ccd.measurement_set.score_sets.get()
    everything = {"min_score": 0.0, "also_bad": True}
    streams = [{"name": word, "known_objects": word, **everything} for word in ("any", "none", "only")]
    batch = Alerting(streams=streams).run(score_set, ccd.measurement_set, known.known_object_set)
    told = {
        word: {row.score.measurement_id for row in batch.rows if row.stream == word} for word in ("any", "none", "only")
    }
    assert (
        told["only"] == {known.measurement_id} and told["any"] - told["none"] == told["only"] and len(told["any"]) == 6
    )
    assert batch.refused["none"] == {"known_objects": 1} and batch.refused["only"] == {"known_objects": 5}
    assert batch.known_set == known.known_object_set


def test_a_packet_tells_the_known_body_and_whether_any_was_looked_for(ccd):
    alert = Alert.objects.get()
    before = frozen.packet_of(alert)
    assert before["knownObject"] is None and before["knownObjectsSearched"] is False
    known = factories.known_object(ccd)
    alert.batch.known_set, alert.batch.rows = known.known_object_set, [alert]
    packet = decode(encode(frozen.records([alert])[0]))
    told = packet["knownObject"]
    assert packet["knownObjectsSearched"] and told["designation"] == "(1) Ceres" and told["orbitCatalog"] == "mpc"
    assert told["separation"] == pytest.approx(0.31) and told["positionAngle"] == pytest.approx(288)


def test_pages_and_lists_show_what_is_known_and_what_moves(ccd, client, admin_client):
    known = factories.known_object(ccd)
    one = factories.tracklet(ccd.measurements[:3], known_as="(1) Ceres")
    name = ccd.measurements[0].object.name
    for address in ("/candidates/?show=all", f"/objects/{name}/", f"/moving/{one.pk}/", "/moving/", "/"):
        assert "(1) Ceres" in client.get(address).content.decode(), address
    assert f"/moving/{one.pk}/" in client.get(f"/objects/{name}/").content.decode()
    passing_filter = {
        word: client.get(f"/candidates/?show=all&known={word}").context["facets"].passing for word in ("yes", "no")
    }
    assert passing_filter == {"yes": 1, "no": 5}
    assert one.pk not in [row.pk for row in client.get("/moving/?min_rate=50").context["page"]]
    get = lambda address: admin_client.get(f"/api/v1/{address}").json()  # noqa: E731
    assert get(f"measurements/{known.measurement_id}/")["known_object"]["name"] == "(1) Ceres"
    assert [row["known_object"] is None for row in get("measurements/?known=no")["results"]] == [True] * 5
    (row,) = get("known-objects/?name=ceres")["results"]
    assert row["measurement"] == str(known.measurement_id) and row["object"] == name
    assert get(f"tracklets/{one.pk}/")["measurements"] == [str(row.pk) for row in ccd.measurements[:3]]
    assert get("tracklets/?night=2026-11-22&known=yes")["results"][0]["rate"] == 31.4
    assert get("tracklets/?known=no")["results"] == [] and get("tracklets/?min_rate=50")["results"] == []
    assert get("orbit-catalogs/")["results"][0]["n_orbits"] == 1


def test_matches_of_another_tag_are_not_shown(ccd, client):
    factories.known_object(ccd, tag="other")
    KnownObjectSet.objects.update(provenance=factories.provenance("knownobjects", tag="other", source="x"))
    assert "(1) Ceres" not in client.get("/candidates/?show=all&tag=current").content.decode()
    assert KnownObject.objects.exists()
