"""From pixels to the sky and from electrons to magnitudes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits as astropy_fits
from astropy.wcs import WCS
from django.db import models

from products.models import badness
from products.models.base import Product, WithQuality

if TYPE_CHECKING:
    from products.models.images import Image
    from products.models.sources import PSF, Background


AB_MICROJANSKY = 23.9  # AB magnitude of 1 μJy


class WorldCoordinates(WithQuality, Product):
    """The astrometric solution of a source list."""

    ALLOWED_BADNESS = badness.CALIBRATION

    sources = models.ForeignKey("products.SourceList", models.PROTECT, related_name="world_coordinates")
    catalog_excerpts = models.ManyToManyField(
        "products.CatalogExcerpt",
        blank=True,
        related_name="world_coordinates",
        help_text="Pieces of the star catalogue that it was compared with.",
    )
    header = models.TextField(help_text="FITS cards of the solution, TAN or TAN-SIP, one a line.")
    n_matches = models.PositiveIntegerField(help_text="Catalogue stars that were matched.")
    rms_ra = models.FloatField(help_text="Robust leave-one-out residual along ra, arcsec.")
    rms_dec = models.FloatField(help_text="The same along dec, arcsec.")
    order = models.PositiveSmallIntegerField(help_text="Order of the polynomial.")
    catalog = models.CharField(max_length=40, blank=True, help_text="Star catalogue that was used.")

    class Meta:
        verbose_name_plural = "world coordinates"
        constraints = [models.UniqueConstraint(fields=["sources", "provenance"], name="one_world_coordinates")]

    @property
    def wcs(self) -> WCS:
        """The solution as astropy's WCS (FITS pixel convention inside; use the `_0` or `pixel_to_world` calls)."""
        return WCS(self.wcs_header)

    @property
    def wcs_header(self) -> astropy_fits.Header:
        """Its cards; those that begin with AST say how far it can be trusted."""
        return astropy_fits.Header.fromstring(self.header, sep="\n")

    @property
    def rms(self) -> float:
        """Residual per axis, arcsec."""
        return float(np.hypot(self.rms_ra, self.rms_dec) / np.sqrt(2))

    def counts(self) -> dict[str, int | float]:
        return {"wcs_matches": self.n_matches, "wcs_rms_arcsec": round(self.rms, 4)} | self.quality


class ZeroPoint(WithQuality, Product):
    """The photometric solution: m = −2.5 log10(flux) + zp with flux in electrons, full PSF, AB magnitudes.

    Where the stars ask for it, the zero point varies over the image: `at` gives it at a place, `zp` is its mean.
    """

    ALLOWED_BADNESS = badness.CALIBRATION

    world_coordinates = models.ForeignKey(WorldCoordinates, models.PROTECT, related_name="zero_points")
    catalog_excerpts = models.ManyToManyField(
        "products.CatalogExcerpt",
        blank=True,
        related_name="zero_points",
        help_text="Pieces of the star catalogue that it was compared with.",
    )
    zp = models.FloatField("zero point", help_text="AB magnitude of one electron.")
    zp_error = models.FloatField(help_text="Statistical error of the zero point, mag.")
    surface = models.JSONField(
        default=dict,
        blank=True,
        help_text="What is added to the zero point at x, y: `coefficients` [i][j] in mag of uⁱ vʲ, with u and v "
        "from −1 to 1 over `shape` (ny, nx); empty: nothing.",
    )
    color_term = models.FloatField(default=0.0, help_text="Magnitudes per magnitude of colour.")
    scatter = models.FloatField(help_text="Robust scatter of the stars, mag.")
    n_stars = models.PositiveIntegerField(help_text="Stars used.")
    catalog = models.CharField(max_length=40, blank=True, help_text="Star catalogue that was used.")
    limiting_magnitude = models.FloatField(null=True, blank=True, help_text="5σ, point source, median sky, AB mag.")
    aperture_radii = models.JSONField(default=list, help_text="Pixels.")
    aperture_corrections = models.JSONField(default=list, help_text="Add to aperture magnitudes, mag.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["world_coordinates", "provenance"], name="one_zero_point")]

    def __str__(self) -> str:
        return f"{self.zp:.3f} mag"

    @property
    def image(self) -> Image:
        """The image that was calibrated."""
        return self.world_coordinates.sources.image

    @property
    def psf(self) -> PSF:
        """Its PSF."""
        return self.world_coordinates.sources.psfs.get(provenance=self.world_coordinates.sources.provenance)

    @property
    def background(self) -> Background:
        """Its background."""
        return self.world_coordinates.sources.backgrounds.get(provenance=self.world_coordinates.sources.provenance)

    def at(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """AB magnitude of one electron at pixels (n,); beyond the image that of its edge."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if not self.surface:
            return np.full(x.shape, self.zp)
        ny, nx = self.surface["shape"]
        u, v = (np.clip(2 * at / max(size - 1, 1) - 1, -1, 1) for at, size in ((x, nx), (y, ny)))
        return self.zp + np.polynomial.polynomial.polyval2d(u, v, self.surface["coefficients"])

    def cards(self) -> dict[str, tuple[float, str]]:
        """FITS cards: MAGZP, its error, and where it varies MAGZPij, which times uⁱ vʲ is added at its pixels."""
        found = {"MAGZP": (self.zp, "AB magnitude of one electron"), "MAGZPERR": (self.zp_error, "its error")}
        for i, row in enumerate(self.surface.get("coefficients", [])):
            for j, value in enumerate(row):
                if value:
                    found[f"MAGZP{i}{j}"] = (value, f"+ this u^{i} v^{j}; u, v: -1 to 1 along x, y")
        return found

    def magnitude(self, flux: float, flux_error: float, x: float, y: float) -> tuple[float | None, float | None]:
        """AB magnitude of a source at a pixel and its error; (None, None) for a flux that is not positive."""
        if not flux > 0:
            return None, None
        statistical = 2.5 / np.log(10) * flux_error / flux
        return float(-2.5 * np.log10(flux) + self.at(x, y)), float(np.hypot(statistical, self.zp_error))

    def counts(self) -> dict[str, int | float]:
        return {
            "zp": round(self.zp, 4),
            "zp_scatter": round(self.scatter, 4),
            "zp_stars": self.n_stars,
            "limiting_magnitude": round(self.limiting_magnitude, 3) if self.limiting_magnitude else None,
        } | self.quality
