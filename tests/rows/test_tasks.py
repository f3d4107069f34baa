"""The queue: what is put in is a function of ours with plain values, and it does what the command would do."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from django_q.models import OrmQ

from processing import tasks
from processing.exposures import RunSettings, ingest
from processing.instruments.generic import Generic
from products.models import Alert, Report
from tests import factories

pytestmark = pytest.mark.django_db


def test_an_exposure_in_the_queue_is_a_task_with_plain_values():
    exposure = factories.exposure()
    settings = RunSettings(
        configuration={"pipeline": {"provenance_tag": "q"}}, assignments=("a.b=1",), through="cutting"
    )
    tasks.enqueue_exposure(exposure, settings, sections=["N1"], numprocs=0)
    task = OrmQ.objects.get().task
    assert task["func"] == "processing.tasks.process"
    assert task["args"][0] == str(exposure.pk)
    assert task["args"][1]["configuration"] == {"pipeline": {"provenance_tag": "q"}}


def test_a_task_whose_ccd_fails_says_which_and_why_and_leaves_the_report(tmp_path):
    header = fits.Header({"EXPTIME": 30.0, "MJD-OBS": 61000.0, "FILTER": "r", "GAIN": 1.0, "SATURATE": 60000.0})
    sky = np.random.default_rng(1).normal(1000, 30, (128, 128)).astype(np.float32)  # no star in it
    path = tmp_path / "empty_sky.fits"
    fits.PrimaryHDU(sky, header).writeto(path)
    exposure = ingest(path, Generic(ra=10.0, dec=5.0, pixel_scale=1.0))
    plain = {"configuration": {}, "assignments": [], "through": "", "fakes": False}
    with pytest.raises(RuntimeError, match=r"empty_sky: 1: .+"):
        tasks.process(str(exposure.pk), plain, [], 0)
    report = Report.objects.get(exposure=exposure)
    assert (report.state, report.cluster) == (Report.State.FAILED, "queue")
    assert report.error_step and report.error_message


def test_alerts_that_wait_are_sent_by_the_task_once():
    factories.full_ccd()
    Alert.objects.update(state=Alert.State.PENDING, sent_at=None)
    waiting = Alert.objects.count()
    assert waiting
    assert tasks.send_alerts() == waiting
    assert tasks.send_alerts() == 0
    assert not Report.objects.filter(state=Report.State.RUNNING).exists()
