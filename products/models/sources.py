"""What was found in an image: source lists, the PSF and the sky behind them."""

from __future__ import annotations

from astropy.io import fits as astropy_fits
from django.db import models

from products.models import badness
from products.models.base import FileProduct, OfKind, WithQuality
from products.models.files import Plane

SOURCE_UNITS = {
    "x": "pix",
    "y": "pix",
    "x_err": "pix",
    "y_err": "pix",
    "flux": "electron",
    "flux_err": "electron",
    "flux_aper": "electron",
    "flux_aper_err": "electron",
    "flux_psf": "electron",
    "flux_psf_err": "electron",
    "x_psf": "pix",
    "y_psf": "pix",
    "peak": "electron",
    "r50": "pix",
    "fwhm": "pix",
    "theta": "deg",
    "a": "pix",
    "b": "pix",
    "ra": "deg",
    "dec": "deg",
    "footprint_area": "pix2",
    "footprint_x0": "pix",
    "footprint_x1": "pix",
    "footprint_y0": "pix",
    "footprint_y1": "pix",
}


class SourceList(WithQuality, FileProduct):
    """A list of sources of an image, one row a source."""

    ALLOWED_BADNESS = badness.SOURCES
    UNITS = SOURCE_UNITS
    KIND = "sources"

    class Kind(models.TextChoices):
        SOURCES = "sources", "everything in an image"
        DETECTIONS = "detections", "what changed, in a difference image"

    kind = models.CharField(
        max_length=10, choices=Kind.choices, default=Kind.SOURCES, editable=False, help_text="Of what it is a list."
    )
    image = models.ForeignKey("products.Image", models.PROTECT, related_name="source_lists")
    n_sources = models.PositiveIntegerField(help_text="Number of rows in the table.")
    n_stars = models.PositiveIntegerField(default=0, help_text="Stars that the PSF was measured on.")
    aperture_radii = models.JSONField(default=list, help_text="Radii of the apertures, pixels.")
    best_aperture = models.SmallIntegerField(
        null=True,
        blank=True,
        help_text="Place, from 0, in the radii of the aperture that gave `flux`; −1: the flux is that of the PSF.",
    )
    threshold = models.FloatField(null=True, blank=True, help_text="Of detection, in S/N.")

    table = Plane("SOURCES", table=True, help="One row a source; positions in pixels from 0, fluxes in electrons.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["image", "provenance"], condition=models.Q(kind="sources"), name="one_source_list"
            ),
            models.UniqueConstraint(
                fields=["image", "provenance"], condition=models.Q(kind="detections"), name="one_detections"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.n_sources} {self.kind} of {self.image}"

    def counts(self) -> dict[str, int | float]:
        stars = {"psf_stars": self.n_stars} if self.kind == "sources" else {}
        return {str(self.kind): self.n_sources} | stars | self.quality

    def file_stem(self) -> str:
        return f"{self.kind}/{int(self.image.mjd)}/{self.image.section or 'field'}_{self.kind}"


class Detections(SourceList):
    """What was found in a difference image: candidates of transients and variables, of either sign."""

    KIND = SourceList.Kind.DETECTIONS
    objects = OfKind()

    class Meta:
        proxy = True


class PSF(WithQuality, FileProduct):
    """The point spread function as a polynomial of position."""

    ALLOWED_BADNESS = badness.PSF_BITS

    sources = models.ForeignKey(SourceList, models.PROTECT, related_name="psfs")
    fwhm_pixels = models.FloatField("FWHM", help_text="Median over the image, pixels.")
    order = models.PositiveSmallIntegerField(help_text="Order of the polynomial of position.")
    n_stars = models.PositiveIntegerField(help_text="Stars that it was measured on.")
    chi2 = models.FloatField(null=True, blank=True, help_text="Median reduced χ² of these stars.")
    model_header = models.JSONField(default=dict, help_text="How to read the planes.")

    planes = Plane("PSF", compression="none", help="(terms, m, m) float32 on a grid finer than the pixels.")

    class Meta:
        verbose_name = "PSF"
        constraints = [models.UniqueConstraint(fields=["sources", "provenance"], name="one_psf")]

    def file_header(self) -> astropy_fits.Header:
        return astropy_fits.Header([(key, value) for key, value in self.model_header.items()])

    def file_stem(self) -> str:
        return f"psf/{int(self.sources.image.mjd)}/{self.sources.image.section or 'field'}_psf"

    def counts(self) -> dict[str, int | float]:
        return {"fwhm_pixels": round(self.fwhm_pixels, 3)} | self.quality


class Background(WithQuality, FileProduct):
    """The sky behind the sources."""

    ALLOWED_BADNESS = badness.BACKGROUND

    sources = models.ForeignKey(SourceList, models.PROTECT, related_name="backgrounds")
    value = models.FloatField(help_text="Median level, electrons.")
    noise = models.FloatField(help_text="Median rms of the sky, electrons.")

    level = Plane("LEVEL", unit="electron", compression="smooth", help="(ny, nx) float32.")
    rms = Plane("RMS", unit="electron", compression="smooth", help="Noise of the sky alone, (ny, nx) float32.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sources", "provenance"], name="one_background")]

    def file_stem(self) -> str:
        return f"background/{int(self.sources.image.mjd)}/{self.sources.image.section or 'field'}_background"

    def counts(self) -> dict[str, int | float]:
        return {"sky": round(self.value, 1), "noise": round(self.noise, 2)} | self.quality
