"""Gaia DR3 from an archive with TAP, with SDSS-like magnitudes from its colours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from processing.algorithms.zero_point import polynomial_magnitude
from processing.catalogs.base import StarCatalogSource, floats, star_table
from processing.catalogs.synthetic import gspc_magnitudes
from processing.errors import CatalogAway
from processing.parameters import param

COLUMNS = ("ra", "dec", "pmra", "pmdec", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag")
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

    url: str = param("https://gea.esac.esa.int/tap-server/tap", critical=False, help="Address of a TAP service.")
    table: str = param("gaiadr3.gaia_source", help="Table to ask.")
    max_stars: int = param(20_000, ge=1, help="The brightest of them are taken.")

    def fetch(self, ra: float, dec: float, radius: float, faintest: float) -> np.ndarray:
        from pyvo.dal import DALServiceError, TAPService
        from pyvo.dal.exceptions import DALFormatError, DALQueryError

        query = (
            f"SELECT TOP {self.max_stars} {', '.join(COLUMNS)} FROM {self.table} "
            f"WHERE phot_g_mean_mag < {faintest:.2f} "
            f"AND 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra:.6f}, {dec:.6f}, {radius:.6f})) ORDER BY phot_g_mean_mag"
        )
        try:
            found = TAPService(self.url).run_sync(query, maxrec=self.max_stars).to_table()
        except (DALServiceError, DALQueryError, DALFormatError, OSError) as error:
            reason = f"it does not answer: {' '.join(str(error).split())[:150]}; import a catalogue or try again"
            raise CatalogAway(what=f"the Gaia archive at {self.url}", reason=reason) from error
        return from_gaia({name: floats(found[name]) for name in COLUMNS})


def from_gaia(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Stars from columns named as in the Gaia archive.

    Magnitudes are G, BP, RP (Vega), those of the GSPC where it is there, and g, r, i (AB) where the colour allows.
    """
    g, color = columns["phot_g_mean_mag"], columns["phot_bp_mean_mag"] - columns["phot_rp_mean_mag"]
    table = {name: columns[name] for name in ("ra", "dec", "pmra", "pmdec")}
    for band, (coefficients, scatter, (low, high)) in _TO_SDSS.items():
        known = (color > low) & (color < high)
        table[f"mag_{band}"] = np.where(known, polynomial_magnitude(g, color, coefficients), np.nan)
        table[f"err_{band}"] = np.full(len(g), scatter)
    for name, band in (("mag_G", "g"), ("mag_BP", "bp"), ("mag_RP", "rp")):
        table[name] = columns[f"phot_{band}_mean_mag"]
    return star_table(table | gspc_magnitudes(columns))
