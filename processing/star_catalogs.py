"""Keep star catalogues that people bring."""

from __future__ import annotations

import hashlib

import numpy as np

from processing.errors import EmptyCatalog
from processing.provenances import keep_one
from products.models import CatalogExcerpt
from products.services.keeping import keep
from products.sky import unit_vectors

IMPORT = ("catalog import", (1, 0, 0))


def keep_excerpt(table: np.ndarray, name: str, epoch: float, *, faintest: float | None = None) -> CatalogExcerpt:
    """A row for stars (ra, dec, pmra, pmdec, mag_*, err_*, is_star); the same stars again give the same row.

    `faintest` is the magnitude down to which they were asked for, where somebody was asked.
    """
    if len(table) == 0:
        raise EmptyCatalog(catalog=name, found=0, needed=1, hint="the table has no rows with a position")
    process, version = IMPORT
    limit = {} if faintest is None else {"faintest": faintest}
    provenance = keep_one(process, version, {"catalog": name, "epoch": epoch, **limit})
    digest = hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()
    if row := CatalogExcerpt.objects.filter(contents_sha256=digest, provenance=provenance).first():
        return row
    bands = [column.removeprefix("mag_") for column in table.dtype.names if column.startswith("mag_")]
    mags = np.concatenate([table[f"mag_{band}"] for band in bands]) if bands else np.zeros(0)
    mags = mags[np.isfinite(mags)]
    row = CatalogExcerpt(
        origin=name,
        epoch=epoch,
        n_stars=len(table),
        filters=bands,
        brightest=float(mags.min()) if mags.size else None,
        faintest=float(mags.max()) if mags.size else None,
        contents_sha256=digest,
        table=table,
    ).set_footprint(bounding_corners(table["ra"], table["dec"]))
    if keep([row], provenance):
        return row
    return CatalogExcerpt.objects.get(contents_sha256=digest, provenance=provenance)


def bounding_corners(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Corners (4, 2) of the smallest box along ra and dec around positions (degrees); RA 0 is no special place."""
    middle = unit_vectors(ra, dec).mean(axis=0)
    centre = float(np.degrees(np.arctan2(middle[1], middle[0])))
    offset = (np.asarray(ra) - centre + 180) % 360 - 180
    pad = 1e-4
    low, high = centre + offset.min() - pad, centre + offset.max() + pad
    bottom, top = max(dec.min() - pad, -90.0), min(dec.max() + pad, 90.0)
    return np.array([[low % 360, bottom], [high % 360, bottom], [high % 360, top], [low % 360, top]])
