"""The DataStore: products by class, loaded through a tag."""

from __future__ import annotations

import numpy as np
import pytest

from processing.datastore import DataStore
from processing.errors import BadInput
from processing.pipeline import Pipeline
from products.errors import UnknownTag
from products.models import (
    PSF,
    Cutouts,
    DeepScoreSet,
    DifferenceImage,
    Exposure,
    FakeSet,
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


def test_a_ccd_without_products_gives_the_exposure_alone():
    exposure = factories.exposure(header={"sections": ["N1", "N2"]})
    factories.full_ccd(of=exposure)
    assert [type(row) for row in DataStore.from_tag(exposure, "N2", "current").products()] == [Exposure]


def test_a_tag_or_a_ccd_that_there_is_not_is_refused_by_name():
    exposure = factories.exposure(header={"sections": ["N1"]})
    with pytest.raises(UnknownTag, match=r"no tag 'curent'; there are: current"):
        DataStore.from_tag(exposure, "N1", "curent")
    with pytest.raises(BadInput, match=r"section N9: demo_\d+_\d+ has N1"):
        DataStore.from_tag(exposure, "N9", "current")


def test_a_tag_gives_the_fakes_of_a_ccd_too():
    ccd = factories.full_ccd()
    made_with = {"provenance": factories.provenance("fakeinjection", ccd.zero_point.provenance)}
    table = np.zeros(3, [("x", "f8")])
    fakes = FakeSet(zero_point=ccd.zero_point, random_seed=1, n_fakes=3, table=table, **made_with)
    fakes.write_file()
    fakes.save(force_insert=True)
    assert DataStore.from_tag(ccd.exposure, "N1", "current")[FakeSet].pk == fakes.pk


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


def test_the_steps_of_a_pipeline_are_its_attributes(capsys):
    pipeline = Pipeline(cutting={"size": 31})
    assert pipeline.cutting is pipeline.step("cutting")
    pipeline.cutting.parameters.show()
    assert "size = 31" in capsys.readouterr().out
    assert "size=31" in repr(pipeline.cutting) and "cutting → measuring" in repr(pipeline)
    with pytest.raises(AttributeError, match=r"no 'cuting'; its steps are: preprocessing, "):
        print(pipeline.cuting)
