"""Pieces of large star catalogues, kept for use."""

from __future__ import annotations

from django.db import models

from products.models.base import FileProduct
from products.models.files import Plane
from products.models.position import Footprint


class CatalogExcerpt(FileProduct, Footprint):
    """Stars of one catalogue in one piece of sky."""

    UNITS = {"ra": "deg", "dec": "deg", "pmra": "mas/yr", "pmdec": "mas/yr"}

    origin = models.CharField(max_length=40, db_index=True, help_text="Name of the catalogue, e.g. gaia_dr3.")
    epoch = models.FloatField(help_text="Of the positions, Julian year.")
    n_stars = models.PositiveIntegerField(help_text="Rows of the table.")
    filters = models.JSONField(default=list, help_text="Filters with a magnitude column `mag_<filter>`.")
    brightest = models.FloatField(null=True, blank=True, help_text="Brightest magnitude.")
    faintest = models.FloatField(null=True, blank=True, help_text="Faintest magnitude.")
    contents_sha256 = models.CharField(max_length=64, help_text="Of the table; the same stars are not kept twice.")

    table = Plane("STARS", table=True, help="ra, dec, pmra, pmdec, mag_<filter>, err_<filter>, is_star.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contents_sha256", "provenance"], name="one_excerpt")]

    def __str__(self) -> str:
        return f"{self.n_stars} stars of {self.origin}"

    def file_stem(self) -> str:
        return f"catalogs/{self.origin}/{self.ra:.3f}_{self.dec:+.3f}"
