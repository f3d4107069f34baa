"""Pieces of large star catalogues, kept for use."""

from __future__ import annotations

import numpy as np
from django.db import models

from products import sky
from products.models.base import FileProduct, Identified
from products.models.files import Plane
from products.models.position import Footprint


class CatalogExcerpt(FileProduct, Footprint):
    """Stars of one catalogue in one piece of sky: a HEALPix cell, or the field of a table that was brought."""

    UNITS = {
        **dict.fromkeys(("ra", "dec"), "deg"),
        **dict.fromkeys(("ra_error", "dec_error", "parallax", "parallax_error"), "mas"),
        **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas/yr"),
    }

    origin = models.CharField(max_length=40, db_index=True, help_text="Name of the catalogue, e.g. gaia_dr3.")
    epoch = models.FloatField(help_text="Of the positions, Julian year.")
    n_stars = models.PositiveIntegerField(help_text="Rows of the table.")
    filters = models.JSONField(default=list, help_text="Filters with a magnitude column `mag_<filter>`.")
    order = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="HEALPix order of its cell; empty for a field of any shape."
    )
    cell = models.BigIntegerField(null=True, blank=True, help_text="Nested HEALPix number of its cell.")
    limit = models.FloatField(
        "limiting magnitude",
        null=True,
        blank=True,
        help_text="All stars down to it were asked for; empty where the catalogue itself is the limit.",
    )
    is_whole = models.BooleanField(default=False, help_text="Whether it has the stars of all of its cell.")
    brightest = models.FloatField(null=True, blank=True, help_text="Brightest magnitude.")
    faintest = models.FloatField(null=True, blank=True, help_text="Faintest magnitude.")
    contents_sha256 = models.CharField(max_length=64, help_text="Of the table; the same stars are not kept twice.")

    table = Plane(
        "STARS",
        table=True,
        help="ra, dec, pmra, pmdec, mag_<filter>, err_<filter>, is_star; where the catalogue has them: errors of the "
        "positions and motions, parallax, ruwe, source_id, is_variable, is_duplicate.",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contents_sha256", "provenance"], name="one_excerpt")]
        indexes = [models.Index(fields=["origin", "order", "cell"], name="excerpt_of_cell")]

    def __str__(self) -> str:
        return f"{self.n_stars} stars of {self.origin}{f', cell {self.place}' if self.order is not None else ''}"

    @property
    def place(self) -> str:
        """Order and number of its cell as `6/12345`; empty for a field of any shape."""
        return "" if self.order is None else f"{self.order}/{self.cell}"

    def covers(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Which positions (n,), degrees, lie in it, bool (n,)."""
        inside = np.ones(np.shape(ra), bool)
        if self.order is not None:
            inside &= sky.cells(ra, dec, self.order) == self.cell
        if not self.is_whole:
            inside &= sky.contains(np.array(self.corners), ra, dec) if self.corners else False
        return inside

    def counts(self) -> dict[str, int | float | str]:
        limit = {} if self.limit is None else {"limiting_magnitude": self.limit}
        place = {} if self.order is None else {"HEALPix_cell": self.place}
        return {"stars": self.n_stars, "epoch": f"J{self.epoch:g}", **limit, **place}

    def file_stem(self) -> str:
        where = f"{self.ra:.3f}_{self.dec:+.3f}" if self.order is None else f"{self.order}_{self.cell}"
        return f"catalogs/{self.origin}/{where}"


class CatalogCell(Identified):
    """One HEALPix cell of a catalogue that is fetched: who fetches it now, and what came of it.

    The lease decides who of all that need the cell asks for it; it ends when its holder was silent for a while.
    """

    origin = models.CharField(max_length=40, help_text="Name of the catalogue, e.g. gaia_dr3.")
    order = models.PositiveSmallIntegerField(help_text="HEALPix order.")
    cell = models.BigIntegerField(help_text="Nested HEALPix number.")
    limit = models.FloatField("limiting magnitude", help_text="All stars down to it are asked for.")
    excerpt = models.ForeignKey(
        CatalogExcerpt,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="fetched",
        help_text="What was fetched last.",
    )
    lease_token = models.UUIDField(null=True, blank=True, editable=False, help_text="Of who fetches it now.")
    lease_expires = models.DateTimeField(null=True, blank=True, help_text="UTC.")
    node = models.CharField(max_length=100, blank=True, help_text="Machine that fetches it, or did so last.")
    process = models.CharField(max_length=40, blank=True, help_text="Process there: its number and when it began.")
    failures = models.PositiveIntegerField(default=0, help_text="How often it could not be fetched.")
    last_error = models.CharField(max_length=500, blank=True, help_text="Why, the last time.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["origin", "order", "cell", "limit"], name="one_catalog_cell"),
        ]

    def __str__(self) -> str:
        return f"{self.origin} {self.order}/{self.cell} to {self.limit:g} mag"
