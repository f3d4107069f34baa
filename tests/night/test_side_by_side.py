"""Processes that do the same at once end with one of everything, no error, and no file that no row names."""

from __future__ import annotations

import time
from functools import partial

import pytest

from processing.config import load
from processing.exposures import RunSettings, ingest, process_section
from processing.instruments.base import Instrument
from processing.provenances import keep_one
from processing.reference_choice import Choice
from processing.references import make_reference
from processing.star_catalogs import keep_excerpt
from products.models import (
    Alert,
    CatalogExcerpt,
    CodeVersion,
    DeepScoreSet,
    DifferenceImage,
    Exposure,
    Measurement,
    MeasurementSet,
    Provenance,
    ProvenanceTag,
    Reference,
    RefSet,
    Report,
    ScienceImage,
)
from products.services.tagging import tag_provenances
from tests.night.conftest import forked
from tests.night.same import counts, recorded, stored

pytestmark = pytest.mark.night

SETTINGS = RunSettings(configuration=load())


def together(start: float, work) -> None:
    """Wait for the common start, then work."""
    time.sleep(max(0.0, start - time.time()))
    work()


def at_once(*works) -> list[int]:
    start = time.time() + 0.3
    return forked(*(partial(together, start, work) for work in works))


def processed(exposure: Exposure, section: str) -> None:
    report = process_section(exposure, section, SETTINGS)
    assert report.state == Report.State.DONE, f"{report.error_step}: {report.error_message}"


def test_three_processes_on_one_ccd_and_two_on_its_neighbours_make_one_set_of_products(night):
    first, second = Exposure.objects.filter(name__contains="late").order_by("mjd")
    jobs = [(first, "N1"), (first, "N1"), (first, "N1"), (first, "N2"), (second, "N1")]
    assert at_once(*(partial(processed, *job) for job in jobs)) == [0] * len(jobs)
    for exposure, section in {(row, name) for row, name in jobs}:
        for model in (ScienceImage, DifferenceImage):
            assert model.objects.filter(exposure=exposure, section=section).count() == 1
    assert MeasurementSet.objects.count() == DeepScoreSet.objects.count() == 3
    for result in MeasurementSet.objects.all():
        assert result.measurements.count() == result.n_saved
        for row in result.measurements.filter(is_bad=False):
            kept = Measurement.objects.filter(object=row.object, is_bad=False)
            assert row.object.n_measurements == kept.count()
    assert recorded() == stored()
    sent = Alert.objects.all()
    assert {alert.state for alert in sent} == {Alert.State.SENT}
    assert len(list((night.folder / "alerts").rglob("*.avro"))) == len(sent) > 0
    before = counts()
    for job in set(jobs):
        processed(*job)
    assert counts() == before


def test_eight_processes_get_the_same_provenance_and_tag(night):
    def work():
        upstream = keep_one("acquisition", (9, 1, 0), {"instrument": "somewhere"})
        row = keep_one("extraction", (9, 1, 0), {"threshold": 3.5}, [upstream.pk])
        assert [found.pk for found in row.upstreams.all()] == [upstream.pk]
        tag_provenances("at once", [row, upstream])

    assert at_once(*[work] * 8) == [0] * 8
    assert CodeVersion.objects.filter(major=9).count() == 2
    assert Provenance.objects.filter(code_version__major=9).count() == 2
    assert ProvenanceTag.objects.filter(tag="at once").count() == 2


def test_four_processes_take_in_the_same_file_and_the_same_catalogue(night):
    path = night.raw("early")[0]
    Exposure.objects.filter(name__contains="late").delete()
    new, table = night.raw("late")[0], CatalogExcerpt.objects.get().table
    table["ra"] += 1e-4

    def work():
        row = ingest(new, Instrument.member("demo")())
        assert row.path().read_bytes() == new.read_bytes()
        ingest(path, Instrument.member("demo")())
        keep_excerpt(table, "demo", 2026.0)

    assert at_once(*[work] * 4) == [0] * 4
    assert Exposure.objects.filter(name__contains="late").count() == 1
    assert CatalogExcerpt.objects.count() == 2
    assert recorded() <= stored()
    assert len([key for key in stored() if key.startswith("catalogs")]) == 2


def test_three_processes_make_the_same_reference(night):
    groups = Choice(("demo",), filter="r", sections=("N1",), max_number=1).groups()

    def work():
        make_reference(groups["N1"], "another", SETTINGS.configuration)

    assert at_once(*[work] * 3) == [0] * 3
    assert Reference.objects.filter(provenance__refsets__name="another").count() == 1
    assert Reference.objects.filter(provenance__refsets__name="default").count() == 2
    assert RefSet.objects.filter(name="another").count() == 1
    assert recorded() == stored()
