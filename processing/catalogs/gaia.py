"""Gaia DR3: from an archive with TAP, from a server of cones, or from a copy of one's own that is split by HEALPix."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from processing.algorithms.zero_point import polynomial_magnitude
from processing.catalogs.base import StarCatalogSource
from processing.catalogs.partitions import Partitions
from processing.catalogs.services import ConeService, Patience, TableService
from processing.parameters import param

_LIMITED = "phot_g_mean_mag"
# Names of the Gaia archive; what a copy of it lacks is left out, but for positions and magnitudes.
COLUMNS = (
    *("source_id", "ra", "ra_error", "dec", "dec_error", "parallax", "parallax_error"),
    *("pmra", "pmra_error", "pmdec", "pmdec_error", "ruwe", "duplicated_source", "phot_variable_flag"),
    *("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"),
    *("phot_g_mean_flux_over_error", "phot_bp_mean_flux_over_error", "phot_rp_mean_flux_over_error"),
)
# G − magnitude as polynomials in BP − RP, with scatter and range: Gaia DR3 documentation, section 5.5.1, table 5.7.
_TO_SDSS = {
    "g": ((0.2199, -0.6365, -0.1548, 0.0064), 0.0745, (0.3, 3.0)),
    "r": ((-0.09837, 0.08592, 0.1907, -0.1701, 0.02263), 0.0378, (0.0, 3.0)),
    "i": ((-0.293, 0.6404, -0.09609, -0.002104), 0.041, (0.5, 2.0)),
}


class Gaia(StarCatalogSource):
    """Gaia data release 3."""

    name = "gaia_dr3"
    epoch: ClassVar[float] = 2016.0
    limited_by: ClassVar[str] = "mag_G"

    service: Literal["tap", "cone", "healpix"] = param(
        "tap",
        critical=False,
        help="What is at the address: 'tap' is a TAP service, 'cone' one of Simple Cone Search, 'healpix' a folder (or "
        "the same folder on a web server) of Parquet or FITS files, one for each HEALPix cell.",
    )
    url: str = param(
        "https://gea.esac.esa.int/tap-server/tap", critical=False, help="Address of the service, or path of the folder."
    )
    table: str = param("gaiadr3.gaia_source", critical=False, help="Table to ask; of TAP.")
    is_queued: bool = param(
        True, critical=False, help="Ask by asynchronous jobs, for which archives have larger limits; of TAP."
    )
    max_stars: int = param(
        500_000,
        ge=10,
        critical=False,
        help="Largest answer to ask for; where there are more stars it is asked in parts.",
    )
    attempts: int = param(3, ge=1, le=20, critical=False, help="So often it is asked before it counts as away.")
    timeout: float = param(
        60.0, gt=0, le=90, unit="s", critical=False, help="So long nothing may come before an attempt has failed."
    )
    pause: float = param(
        2.0, ge=0, le=60, unit="s", critical=False, help="Between two attempts; doubled after each of them."
    )

    def fetch(self, ra: float, dec: float, radius: float, faintest: float) -> np.ndarray:
        patience = Patience(self.attempts, self.timeout, self.pause)
        if self.service == "healpix":
            return Partitions(self.url, patience).stars(ra, dec, radius)
        if self.service == "cone":
            return ConeService(self.url, patience, self.max_stars).stars(ra, dec, radius)
        service = TableService(self.url, patience, self.max_stars, self.table, self.is_queued)
        return service.stars(ra, dec, radius, COLUMNS, f"{_LIMITED} < {faintest:.3f}")


def magnitudes(
    g: np.ndarray, bp: np.ndarray, rp: np.ndarray, g_err: np.ndarray, bp_err: np.ndarray, rp_err: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns `mag_*` and `err_*` (n,): G, BP, RP as Gaia has them (Vega), and g, r, i (AB) where the colour allows."""
    found = {"mag_G": g, "err_G": g_err, "mag_BP": bp, "err_BP": bp_err, "mag_RP": rp, "err_RP": rp_err}
    color = bp - rp
    for band, (coefficients, scatter, (low, high)) in _TO_SDSS.items():
        known = (color > low) & (color < high)
        found[f"mag_{band}"] = np.where(known, polynomial_magnitude(g, color, coefficients), np.nan)
        found[f"err_{band}"] = np.full(len(g), scatter)
    return found
