"""Two epochs of one SDSS field, from the command line to alerts, in g and r."""

from __future__ import annotations

import json

import numpy as np
import pytest
from django.core.management import call_command
from scipy.spatial import cKDTree

from processing.algorithms.sky import tangent_plane
from processing.algorithms.statistics import mad_std
from processing.pipelines import SCIENCE
from products.models import Alert, CatalogExcerpt, Image, Measurement, Object, WorldCoordinates, ZeroPoint

pytestmark = [pytest.mark.real, pytest.mark.night, pytest.mark.django_db]
FRAMES = {"g": ("fpC-004192-g4-0300", "fpC-006377-g4-0399"), "r": ("fpC-004192-r4-0300", "fpC-006377-r4-0399")}


def residuals(world: WorldCoordinates) -> tuple[float, float]:
    """Robust rms along ra and dec, arcsec, of stars of S/N > 50 against the excerpt, where no fit left them out."""
    table, stars = world.sources.table, CatalogExcerpt.objects.get().table
    good = (table["snr"] > 50) & ~table["is_saturated"] & ~table["is_masked"] & table["is_star"]
    ra, dec = world.wcs.all_pix2world(table["x"][good], table["y"][good], 0)
    xi, eta = tangent_plane(stars["ra"], stars["dec"], ra.mean(), dec.mean())
    here = np.c_[tangent_plane(ra, dec, ra.mean(), dec.mean())]
    distance, nearest = cKDTree(np.c_[xi, eta]).query(here)
    matched = distance < 1
    assert matched.sum() >= 20
    away = (here - np.c_[xi, eta][nearest])[matched]
    return mad_std(away[:, 0]), mad_std(away[:, 1])


@pytest.mark.parametrize("band", FRAMES)
def test_two_epochs_give_few_and_trustworthy_candidates(band, real_data, tmp_path):
    folder = real_data / "sdss_stripe82"
    reference, new = (str(folder / f"{name}.fit.gz") for name in FRAMES[band])
    call_command("import_catalog", str(folder / "sdss_stars_excerpt.fits"), name="sdss", epoch=2004.0)
    call_command("process_exposure", reference, instrument="sdss", through_step="photocal", numprocs=0)
    call_command("make_reference", instrument="sdss", filter=band)
    call_command("process_exposure", new, instrument="sdss", numprocs=0, json=str(tmp_path / "run.json"))

    section = json.loads((tmp_path / "run.json").read_text())["sections"][f"{band}4"]
    assert section["status"] == "done"
    assert [step["name"] for step in section["steps"]] == [*(step.name for step in SCIENCE), "sending"]
    for solution in ZeroPoint.objects.all():  # both epochs and the reference
        world = solution.world_coordinates
        assert np.hypot(world.rms_ra, world.rms_dec) / np.sqrt(2) <= 0.05
        assert world.n_matches >= 40
        assert max(residuals(world)) <= 0.025
        assert solution.scatter <= 0.02 and solution.zp_error <= 0.003
        assert (
            not solution.badness and solution.description == ""
        )  # it passes every gate, and so does what is behind it
        image = solution.image  # the survey calibrated in photometric nights: FLUX20 holds to a tenth of a magnitude
        assert image.telescope == "SDSS 2.5m"
        assert image.zero_point_estimate == pytest.approx(solution.zp, abs=0.15)
        assert image.limiting_magnitude_estimate == pytest.approx(solution.limiting_magnitude, abs=0.4)

    difference = Image.objects.get(kind="difference").as_kind()
    assert abs(difference.score_mean) <= 0.05
    assert 0.97 <= difference.score_std <= 1.03
    kept = Measurement.objects.filter(is_bad=False)
    assert 1 <= kept.count() <= 15  # something did change in this field, and little of it
    assert Object.objects.filter(measurements__in=kept).count() == kept.count()
    assert Alert.objects.filter(state=Alert.State.SENT).count() == Alert.objects.count() <= kept.count()
