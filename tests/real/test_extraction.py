"""Sources, PSF and sky of real frames: four of SDSS Stripe 82, and files that PSFEx wrote of DECam."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from django.core.management import call_command

from processing.algorithms.background import object_mask
from processing.algorithms.psfex_model import PSFExBasis
from processing.algorithms.statistics import clipped_mean
from processing.psfex import read_psfex
from products.models import PSF
from products.pixel_flags import PixelFlag
from products.source_flags import SourceFlag
from tests.real.test_sdss_stripe82 import FRAMES

pytestmark = pytest.mark.real
GROW, BLOCK = 8, 32  # px


@pytest.mark.django_db
@pytest.mark.parametrize("band", FRAMES)
def test_psf_stars_fit_and_the_sky_is_unbiased(band, real_data):
    for name in FRAMES[band]:
        path = str(real_data / "sdss_stripe82" / f"{name}.fit.gz")
        call_command("process_exposure", path, instrument="sdss", through_step="extraction", numprocs=0)
    for psf in PSF.objects.all():
        sources, background = psf.sources, psf.sources.backgrounds.get()
        table, image = sources.table, sources.image.as_kind()
        assert psf.n_stars >= 50
        assert sources.badness_own == psf.badness_own == background.badness_own == 0
        snr = table["flux_psf"] / np.maximum(table["flux_psf_err"], 1e-9)
        single = (table["flags"] & ~int(SourceFlag.PSF_STAR) == 0) & (table["p_star"] > 0.5)
        middling = single & (snr > 30) & (snr < 100)
        assert middling.sum() >= 25
        assert 0.9 <= np.median(table["psf_chi2"][middling]) <= 1.1
        mask = (image.weight <= 0) | ((image.flags & int(PixelFlag.UNUSABLE)) != 0)
        left = (image.data - background.level) / background.rms
        empty = ~(object_mask(left, 1.0, mask, threshold=1.0, grow=GROW) | mask)
        assert empty.mean() > 0.5
        assert abs(clipped_mean(left[empty])) < 0.02
        assert np.std(left[empty]) == pytest.approx(1, abs=0.015)
        limits = [psf.model_header[name] for name in ("LIMFOUND", "LIMFORCE", "LIMNOISE")]
        assert np.ptp(-2.5 * np.log10(limits)) < 0.25  # found, scatter of empty places, and noise: one depth


def test_psfex_models_are_their_samples_at_every_position(real_data):
    paths = sorted((real_data / "decam_cutouts").glob("*psfex.fits"))
    assert len(paths) == 10
    for path in paths:
        model = read_psfex(path, (4094, 2046))
        with fits.open(path) as file:
            values = {key.upper(): value for key, value in file[1].header.items()}
            values |= {name.upper(): file[1].data[name][0] for name in file[1].columns.names}
        basis = PSFExBasis(
            2, *(tuple(float(values[f"{key}{k}"]) for k in (1, 2)) for key in ("POLZERO", "POLSCAL")), 1, 1
        )
        middle, half = values["PSF_MASK"].shape[1] // 2, model.half_size
        inside = slice(middle - half, middle + half + 1)
        for x, y in [(0, 0), (2045, 4093), (700.5, 1234.25)]:
            samples = np.tensordot(basis.values(x, y), np.asarray(values["PSF_MASK"], float), axes=1)[inside, inside]
            samples /= samples.sum()
            np.testing.assert_allclose(model.stamp(x, y), samples, atol=1e-6 * samples.max())
