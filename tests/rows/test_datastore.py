"""The DataStore: products by class, loaded through a tag."""

from __future__ import annotations

import pytest

from processing.datastore import DataStore
from processing.pipeline import Pipeline
from products.models import (
    PSF,
    Cutouts,
    DeepScoreSet,
    DifferenceImage,
    Exposure,
    MeasurementSet,
    Reference,
    ScienceImage,
    SourceList,
    ZeroPoint,
)
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_tag_gives_the_whole_tree_of_a_ccd():
    ccd = factories.full_ccd()
    data = DataStore.from_tag(ccd.exposure, "N1", "current")
    assert data[ScienceImage].pk == ccd.image.pk
    assert data[ZeroPoint].pk == ccd.zero_point.pk
    assert data[DifferenceImage].pk == ccd.difference.pk
    assert data[Reference].pk == ccd.difference.reference_id
    assert data[MeasurementSet].pk == ccd.measurement_set.pk
    assert {Exposure, SourceList, PSF, Cutouts, DeepScoreSet} <= {type(row) for row in data.products()}


def test_a_tag_or_a_ccd_without_products_gives_the_exposure_alone():
    ccd = factories.full_ccd()
    for section, tag in (("N1", "other"), ("N2", "current")):
        assert [type(row) for row in DataStore.from_tag(ccd.exposure, section, tag).products()] == [Exposure]


def test_what_is_not_there_is_an_error_that_says_what_is():
    data = DataStore(factories.exposure())
    with pytest.raises(KeyError, match=r"ScienceImage is not in the DataStore; it holds Exposure"):
        data[ScienceImage]


def test_what_is_put_into_a_fork_does_not_show_in_the_original():
    data = DataStore(factories.exposure())
    data.fork().put(factories.science_image(data[Exposure]))
    assert ScienceImage not in data


def test_a_pipeline_takes_dictionaries_by_the_names_of_its_steps():
    pipeline = Pipeline(
        pipeline={"provenance_tag": "mine"}, detection={"peaks": {"threshold": 6.5}}, cutting={"size": 31}
    )
    assert pipeline.tag == "mine"
    assert pipeline.step("detection").parameters.peaks.threshold == 6.5
    assert pipeline.step("cutting").parameters.size == 31
