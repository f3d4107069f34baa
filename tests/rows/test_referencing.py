"""Which reference is chosen, and which is passed over."""

from __future__ import annotations

import pytest

from processing.datastore import DataStore
from processing.errors import NoReference
from processing.steps.referencing import Referencing
from products.models import Reference, RefSet, ZeroPoint
from tests import factories
from tests.skies_tiny import Sky

pytestmark = pytest.mark.django_db


def deep(zero_point: ZeroPoint, *components: ZeroPoint) -> Reference:
    """A reference in the set `default`, made of `components`."""
    row = factories.reference(zero_point, Sky(1))
    row.image.components.set(components)
    RefSet.objects.get_or_create(name="default", defaults={"provenance": row.provenance})
    return row


def calibrated(name: str) -> ZeroPoint:
    return factories.calibrated(factories.science_image(factories.exposure(name)), Sky(1))


def chosen_for(zero_point: ZeroPoint) -> Reference:
    image = zero_point.image
    return Referencing().find(DataStore(image.exposure, image, zero_point, section=image.section))


def test_a_reference_that_holds_the_new_image_is_passed_over_and_said_to():
    new, early, late = calibrated("new"), calibrated("early"), calibrated("late")
    of_itself = deep(new, early, new)
    with pytest.raises(NoReference, match=r"those of 'default' here hold this exposure itself; .*make_reference"):
        chosen_for(new)
    assert chosen_for(late) == of_itself
    other = deep(early, early)
    assert chosen_for(new) == other


def test_an_image_that_was_taken_as_a_reference_is_not_subtracted_from_itself():
    new, late = calibrated("new"), calibrated("late")
    row = deep(new)
    Reference.objects.filter(pk=row.pk).update(zero_point=new)
    with pytest.raises(NoReference, match="hold this exposure itself"):
        chosen_for(new)
    assert chosen_for(late) == row


def test_a_set_that_is_not_there_is_refused_with_those_that_are():
    new = calibrated("new")
    with pytest.raises(NoReference, match=r"no set 'default'; make one: manage.py make_reference --refset default"):
        chosen_for(new)
    RefSet.objects.create(name="deep", provenance=new.provenance)
    with pytest.raises(NoReference, match=r"no set 'default'; there are: deep \(--refset NAME\); or make one"):
        chosen_for(new)
