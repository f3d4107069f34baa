"""Star lists of one exposure of Hyper Suprime-Cam against Gaia: few stars a CCD, a header that is off and distorted."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.sky import stars_at
from processing.algorithms.statistics import mad_std
from processing.algorithms.wcs_fit import AstrometryParameters, PixelStars, SkyStars, solve_wcs, wcs_from_header
from processing.errors import NoSolution

pytestmark = pytest.mark.real
SHAPE = (4176, 2048)
MAS = np.degrees(1) * 3.6e6  # in a radian
NANOJANSKY = 31.4  # AB magnitude of one


@pytest.fixture
def catalog(real_data) -> SkyStars:
    """Gaia's stars brighter than 21.5 mag at the date of the exposure."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(real_data / "hsc_gaia_astrometry" / "gaia_refCat.parquet")
    column = {name: table[name].to_numpy() for name in table.column_names}
    stars = {
        "ra": np.degrees(column["coord_ra"]), "dec": np.degrees(column["coord_dec"]),
        "pmra": column["pm_ra"] * MAS, "pmdec": column["pm_dec"] * MAS,
        "ra_error": column["coord_raErr"] * MAS, "dec_error": column["coord_decErr"] * MAS,
        "pmra_error": column["pm_raErr"] * MAS, "pmdec_error": column["pm_decErr"] * MAS,
        "parallax": column["parallax"] * MAS, "parallax_error": column["parallaxErr"] * MAS,
        "mag_G": -2.5 * np.log10(column["phot_g_mean_flux"]) + NANOJANSKY,
    }  # fmt: skip
    known = np.isfinite(stars["ra"]) & (stars["mag_G"] < 21.5)
    found = np.zeros(known.sum(), [(name, "f8") for name in stars])
    for name, values in stars.items():
        found[name] = values[known]
    at = stars_at(found, 2016.0, 56744.291)
    return SkyStars(at["ra"], at["dec"], at["mag_G"], at["position_error"].astype(float) / 1000)


def test_nearly_all_ccds_are_solved_to_a_few_hundredths_of_an_arcsecond(real_data, catalog):
    paths = sorted((real_data / "hsc_gaia_astrometry").glob("*.fits"))
    assert len(paths) == 34
    left_out, residuals, refused = [], [], []
    for path in paths:
        with fits.open(path) as hdus:
            guess, table = wcs_from_header(hdus[0].header), np.array(hdus[1].data)
        x, y = table["x"].astype(float), table["y"].astype(float)
        error = np.hypot(table["xErr"], table["yErr"]) / np.sqrt(2)
        try:
            found = solve_wcs(PixelStars(x, y, 1 / error**2, error), catalog, guess, SHAPE, AstrometryParameters())
        except NoSolution as problem:
            refused.append(f"{path.name}: {problem}")
            continue
        assert found.n_matches >= 9
        left_out.append((found.rms_ra_arcsec, found.rms_dec_arcsec))
        ra, dec = found.wcs.all_pix2world(x[found.detected], y[found.detected], 0)
        away = (ra - catalog.ra[found.matched]) * np.cos(np.radians(dec)), dec - catalog.dec[found.matched]
        residuals.append([3600 * mad_std(one) for one in away])
        moved = guess.all_pix2world([[1024, 2088]], 0)[0] - found.wcs.all_pix2world([[1024, 2088]], 0)[0]
        assert (
            np.hypot(moved[0] * np.cos(np.radians(dec.mean())), moved[1]) * 3600 < 12
        )  # the header is off by 0.7 to 10
    assert len(left_out) >= 33, refused
    assert np.max(residuals) <= 0.050
    assert np.all(np.median(left_out, axis=0) <= 0.045)
