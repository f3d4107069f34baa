"""Forced photometry of a night from raw files on: by the pipeline, by the command, and held against the detections."""

from __future__ import annotations

import numpy as np
import pytest

from products.models import DifferenceImage, Exposure, ForcedFlux, Measurement, Object, Report
from products.selectors.forced import of_object
from products.selectors.lightcurves import light_curve
from products.selectors.tags import of_name

pytestmark = pytest.mark.night
KNOWN = "forced_photometry.known_objects=true"


def test_known_objects_are_measured_after_a_ccd_where_that_is_asked_for(night, command):
    first, second = (row.name for row in Exposure.objects.filter(name__contains="late").order_by("mjd"))
    command("process_exposure", first, numprocs=0, sections="N1")
    assert not ForcedFlux.objects.exists(), "it is off by itself"
    command("process_exposure", second, numprocs=0, sections="N1", assignments=[KNOWN])
    kept = Object.objects.filter(n_measurements__gte=1)
    image = DifferenceImage.objects.get(exposure__name=second)
    assert ForcedFlux.objects.count() == kept.count() >= 2
    assert set(ForcedFlux.objects.values_list("image", flat=True)) == {image.pk}
    entry = Report.objects.get(exposure__name=second).steps[-1]
    assert (entry["name"], entry["counts"]) == ("forced_photometry", {"forced": kept.count()})
    command("process_exposure", second, numprocs=0, sections="N1", assignments=[KNOWN])
    assert ForcedFlux.objects.count() == kept.count()


def test_the_command_measures_an_object_as_the_detections_did_and_between_them(night, command):
    command(
        "process_exposure",
        *Exposure.objects.filter(name__contains="late").values_list("name", flat=True),
        numprocs=0,
        sections="N1",
    )
    for name in Object.objects.filter(n_measurements__gte=1).values_list("name", flat=True):
        assert "2 fluxes of 2 images, 2 of them new" in command("forced_photometry", object=name)
        assert "2 fluxes of 2 images, 0 of them new" in command("forced_photometry", object=name)
    rows = Measurement.objects.filter(is_bad=False).select_related("measurement_set__cutouts__sources__image", "object")
    pulls = []
    for row in rows:
        image = row.measurement_set.cutouts.sources.image
        (flux,) = [one for one in of_object(row.object, of_name("current")) if one.image_id == image.pk]
        assert not flux.is_bad
        pulls.append((flux.flux - row.flux) / np.hypot(row.flux_error, 0.02 * row.flux))
    assert len(pulls) >= 4
    assert np.max(np.abs(pulls)) < 2, "only the place differs"
    for thing in Object.objects.filter(n_measurements=1):
        curve = light_curve(thing, of_name("current"))
        assert len(curve.forced) == 2 and all(limit.is_forced for limit in curve.limits)
