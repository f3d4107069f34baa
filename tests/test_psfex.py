"""Files of PSFEx: what is none, or what is not understood, is an error that says why."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.psf_model import moffat_model
from processing.errors import BadInput
from processing.psfex import read_psfex

SHAPE = (200, 300)
CARDS = {
    "POLNAME1": "X_IMAGE", "POLNAME2": "Y_IMAGE", "POLNAXIS": 2, "POLNGRP": 1, "POLDEG1": 1, "POLZERO1": 150.5,
    "POLZERO2": 100.5, "POLSCAL1": 300.0, "POLSCAL2": 200.0, "PSF_SAMP": 0.5, "PSF_FWHM": 3.0, "ACCEPTED": 57, "CHI2": 1.2,
}  # fmt: skip


def planes() -> np.ndarray:
    """A Moffat profile at steps of half a pixel that is sharper to the right."""
    narrow, wide = (moffat_model(fwhm, SHAPE, half_size=12).planes[0].astype(float) for fwhm in (2.8, 3.2))
    narrow, wide = narrow / narrow.sum(), wide / wide.sum()
    return np.stack([(narrow + wide) / 2, narrow - wide, np.zeros_like(narrow)])


def written(path, values: np.ndarray, cards: dict, **columns):
    size = values.shape[-1]
    mask = fits.Column("PSF_MASK", f"{values.size}E", array=values.reshape(1, -1), dim=f"({size},{size},{len(values)})")
    others = [
        fits.Column(name, "20A" if isinstance(value, str) else "D", array=[value]) for name, value in columns.items()
    ]
    hdu = fits.BinTableHDU.from_columns([mask, *others])
    hdu.header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def test_positions_sampling_and_figures_are_those_of_the_file(tmp_path):
    model = read_psfex(written(tmp_path / "a.psf", planes(), CARDS), SHAPE)
    assert (model.order, model.n_stars, model.chi2, model.fwhm) == (1, 57, 1.2, 3.0)
    # Half a scale to the right of the zero, a FITS pixel from 1: narrow by half of the difference of the planes.
    for x, weight in ((149.5, 0.5), (299.5, 1.0), (0.0, 0.5 - 149.5 / 300)):
        expected = sum(
            w * moffat_model(f, SHAPE, half_size=12).stamp(0, 0, half_size=10)
            for f, w in ((2.8, weight), (3.2, 1 - weight))
        )
        np.testing.assert_allclose(model.stamp(x, 50, half_size=10), expected / expected.sum(), atol=2e-4)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"POLNAME1": "MAG_AUTO"}, "only position is understood"),
        ({"POLNGRP": 2}, "only position is understood"),
        ({"POLDEG1": 2}, "6 odd squares belong to degree 2"),
        ({"PSF_SAMP": 0.0}, "not positive"),
        ({"PSF_SAMP": None}, "keyword PSF_SAMP is missing"),
        ({"PSF_SAMP": 0.05}, "too few"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path, change, said):
    cards = {key: value for key, value in (CARDS | change).items() if value is not None}
    with pytest.raises(BadInput, match=said):
        read_psfex(written(tmp_path / "b.psf", planes(), cards), SHAPE)


def test_a_ccd_that_is_not_in_the_file_is_an_error_with_those_that_are(tmp_path):
    path = written(tmp_path / "c.psf", planes(), CARDS, ccdname="N4")
    assert read_psfex(path, SHAPE, ccd="N4").order == read_psfex(path, SHAPE).order == 1
    with pytest.raises(BadInput, match="no CCD S7; there are: N4"):
        read_psfex(path, SHAPE, ccd="S7")


def test_other_files_are_errors(tmp_path):
    (tmp_path / "text.psf").write_text("no FITS")
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(tmp_path / "image.psf")
    spoiled = planes()
    spoiled[0, 3, 3] = np.nan
    for path in (tmp_path / "text.psf", tmp_path / "image.psf", written(tmp_path / "nan.psf", spoiled, CARDS)):
        with pytest.raises(BadInput):
            read_psfex(path, SHAPE)
