"""A provenance that is marked as bad stops the pipeline: nothing is found with it and nothing is made."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.core.management import call_command

from processing.calibrator_choice import calibrator
from processing.datastore import DataStore
from processing.errors import BadProvenance, MissingCalibrator
from processing.outbox import claim
from processing.pipeline import Pipeline
from products.models import Alert, Badness, Provenance, ScienceImage
from products.selectors.provenances import bad_provenances
from products.services.badness import set_badness
from tests import factories

pytestmark = pytest.mark.django_db


def mark(row: Provenance, comment: str = "a wrong sign") -> None:
    Provenance.objects.filter(pk=row.pk).update(is_bad=True, bad_comment=comment)


def found(pipeline: Pipeline, ccd: factories.CCD, name: str) -> list:
    """What a step of the pipeline finds for a CCD under the tag."""
    data = DataStore.from_tag(ccd.exposure, "N1", "current")
    tree = {row.process: row for row in Provenance.objects.filter(tags__tag="current")}
    return pipeline.one(pipeline.step(name), data, tree, {"warnings": []})


def test_products_of_a_good_provenance_are_found_those_of_a_bad_one_are_refused_with_the_reason():
    ccd = factories.full_ccd()
    pipeline = Pipeline(configuration={})
    assert found(pipeline, ccd, "preprocessing") == [ccd.image]
    mark(ccd.image.provenance)
    with pytest.raises(BadProvenance, match="a wrong sign") as caught:
        found(pipeline, ccd, "preprocessing")
    assert caught.value.details["provenance"] == ccd.image.provenance_id
    assert ScienceImage.objects.count() == 1


def test_what_comes_from_a_bad_provenance_is_refused_too():
    ccd = factories.full_ccd()
    mark(ccd.exposure.provenance)
    with pytest.raises(BadProvenance, match="acquisition"):
        found(Pipeline(configuration={}), ccd, "photocal")


def test_upstreams_are_followed_only_where_something_is_marked(django_assert_num_queries):
    ccd = factories.full_ccd()
    with django_assert_num_queries(1):
        assert bad_provenances([ccd.measurement_set.provenance_id]) == []
    mark(ccd.zero_point.provenance)
    assert [row.process for row in bad_provenances([ccd.measurement_set.provenance_id])] == ["photocal"]
    assert bad_provenances([ccd.image.provenance_id]) == []


def test_a_calibration_frame_of_a_bad_provenance_is_passed_over():
    row, exposure = factories.calibrator(), factories.exposure()
    assert calibrator("bias", exposure, "N1", "general") == row
    mark(row.image.provenance)
    with pytest.raises(MissingCalibrator):
        calibrator("bias", exposure, "N1", "general")


def test_alerts_that_wait_are_not_sent_while_a_provenance_of_theirs_is_marked_which_is_said(capsys):
    ccd = factories.full_ccd()
    Alert.objects.update(state=Alert.State.PENDING)
    mark(ccd.zero_point.provenance)
    assert claim(Alert.objects.all(), uuid4(), at_most=10) == []
    told = Alert.objects.with_marks().first()
    assert (told.shown_state, told.reasons) == ("withheld", "made with a bad provenance")
    set_badness(ccd.image, Badness.SHAKING)
    assert Alert.objects.with_marks().first().reasons == "shaking, made with a bad provenance"
    set_badness(ccd.image, Badness(0))
    call_command("send_alerts")
    assert f"{Alert.objects.count()} withheld: what they rest on is marked as bad" in capsys.readouterr().out
    Provenance.objects.update(is_bad=False)
    assert len(claim(Alert.objects.all(), uuid4(), at_most=10)) == Alert.objects.count() > 0
