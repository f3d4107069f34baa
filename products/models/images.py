"""Images: calibrated CCDs, coadds, warped references and differences, each with weight and flags."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits as astropy_fits
from django.db import models

from products import depth, fits
from products.models.badness import IMAGE
from products.models.base import FileProduct, OfKind, WithQuality
from products.models.files import Plane
from products.models.first_look import FirstLook
from products.models.position import Footprint, FootprintQuerySet


class ImageManager(models.Manager.from_queryset(FootprintQuerySet)):
    """All images."""


class KindManager(OfKind.from_queryset(FootprintQuerySet)):
    """The images of one kind."""


class Image(WithQuality, FileProduct, Footprint, FirstLook):
    """Pixels with weights and flags, on one grid."""

    ALLOWED_BADNESS = IMAGE

    class Kind(models.TextChoices):
        SCIENCE = "science", "one CCD of one exposure"
        COADD = "coadd", "a stack of science images"
        WARPED = "warped", "a reference on the grid of a science image"
        DIFFERENCE = "difference", "a science image minus a reference"
        BIAS = "bias", "a master bias"
        DARK = "dark", "a master dark"
        FLAT = "flat", "a master flat"
        FRINGE = "fringe", "a fringe pattern"
        ILLUMINATION = "illumination", "an illumination correction"
        BAD_PIXELS = "bad_pixels", "a mask of bad pixels"

    kind = models.CharField(
        max_length=12, choices=Kind.choices, editable=False, db_index=True, help_text="What was made of what."
    )
    exposure = models.ForeignKey(
        "products.Exposure",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="images",
        help_text="Of science images.",
    )
    section = models.CharField(max_length=20, blank=True, db_index=True, help_text="CCD, as the instrument names it.")
    zero_point = models.ForeignKey(
        "products.ZeroPoint",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="differences",
        help_text="Of the new image: with its parents it says what was subtracted from.",
    )
    reference = models.ForeignKey(
        "products.Reference",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="differences",
        help_text="What was subtracted.",
    )
    components = models.ManyToManyField(
        "products.ZeroPoint", related_name="coadds", blank=True, help_text="Calibrated images in this coadd."
    )
    alignment_target = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="aligned_coadds",
        help_text="Of coadds: the image in it that gave the pixels and the zero point.",
    )
    components_digest = models.CharField(
        max_length=20, blank=True, editable=False, help_text="Hash of the set of components."
    )
    sensor_section = models.ForeignKey(
        "products.SensorSection",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="images",
        help_text="What the archive knew of the CCD at its date, where it knew more than the instrument.",
    )
    calibrators = models.ManyToManyField(
        "products.CalibratorFile",
        related_name="images",
        blank=True,
        help_text="Bias, flat and the like that were applied.",
    )
    raw_exposures = models.ManyToManyField(
        "products.Exposure",
        related_name="master_frames",
        blank=True,
        help_text="Raw frames in this master frame.",
    )

    instrument = models.CharField(max_length=40, db_index=True, help_text="As in its exposures.")
    telescope = models.CharField(max_length=60, blank=True, help_text="As in its (first) exposure.")
    project = models.CharField(max_length=100, blank=True, help_text="As in its (first) exposure.")
    target = models.CharField(max_length=100, blank=True, help_text="As in its (first) exposure.")
    filter = models.CharField(max_length=20, blank=True, db_index=True, help_text="Short name; none of a bias.")
    mjd = models.FloatField("MJD", db_index=True, help_text="Start (of the first component), UTC, days.")
    mjd_end = models.FloatField("end MJD", help_text="End (of the last component), UTC, days.")
    exposure_time = models.FloatField(help_text="Seconds; the sum for coadds.")
    airmass = models.FloatField(null=True, blank=True, help_text="At the start of its exposure.")
    width = models.PositiveIntegerField(help_text="Pixels along x.")
    height = models.PositiveIntegerField(help_text="Pixels along y.")
    pixel_scale = models.FloatField(null=True, blank=True, help_text="Arcsec per pixel.")
    gain = models.FloatField(default=1.0, help_text="Electrons per unit of the pixels.")
    read_noise = models.FloatField(null=True, blank=True, help_text="Electrons, median of the amplifiers.")
    saturation = models.FloatField(null=True, blank=True, help_text="Electrons, smallest of the amplifiers.")
    preprocessing = models.JSONField(default=list, blank=True, help_text="Corrections that were applied.")
    wcs = models.TextField("rough WCS", blank=True, help_text="FITS cards of the header's WCS, before astrometry.")

    score_mean = models.FloatField(null=True, blank=True, help_text="Of the score on empty sky; 0 when all is well.")
    score_std = models.FloatField(null=True, blank=True, help_text="Of the score on empty sky; 1 when all is well.")

    data = Plane("SCI", unit="electron", compression="noise", help="Pixel values, (ny, nx) float32.")
    weight = Plane(
        "VAR",
        unit="electron2",
        compression="inverse",
        help="Inverse variance; 0 where unusable. The file has 1/weight.",
    )
    flags = Plane("FLG", help="uint16 bit plane, see products.pixel_flags.")

    objects = ImageManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["exposure", "section", "provenance"],
                condition=models.Q(kind="science"),
                name="one_science_image",
            ),
            models.UniqueConstraint(
                fields=["components_digest", "provenance"], condition=models.Q(kind="coadd"), name="one_coadd"
            ),
            models.UniqueConstraint(
                fields=["zero_point", "reference", "provenance"],
                condition=models.Q(kind="warped"),
                name="one_warped",
            ),
            models.UniqueConstraint(
                fields=["zero_point", "reference", "provenance"],
                condition=models.Q(kind="difference"),
                name="one_difference",
            ),
            models.UniqueConstraint(
                fields=["components_digest", "section", "filter", "provenance"],
                condition=models.Q(kind__in=["bias", "dark", "flat", "fringe", "illumination", "bad_pixels"]),
                name="one_master_frame",
            ),
        ]
        ordering = ["-mjd", "section"]

    def __str__(self) -> str:
        whole = self.exposure.name if self.exposure_id else f"{self.instrument} {self.filter}"
        return " ".join(filter(None, [whole, self.section, self.kind]))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return (self.height, self.width)

    @property
    def mjd_middle(self) -> float:
        """MJD (UTC) half-way between start and end."""
        return (self.mjd + self.mjd_end) / 2

    @property
    def wcs_header(self) -> astropy_fits.Header:
        """The rough WCS as a header."""
        return astropy_fits.Header.fromstring(self.wcs, sep="\n")

    @classmethod
    def upstream_paths(cls) -> list[str]:
        return [*super().upstream_paths(), "calibrators__image", "calibrators__data_file"]

    def file_stem(self) -> str:
        night = int(self.mjd)
        name = (
            f"{self.exposure.name}_{self.section}"
            if self.exposure_id
            else f"{self.instrument}_{self.section or 'field'}_{self.filter}"
        )
        return f"{self.kind}/{night}/{name}_{self.kind}"

    def file_header(self) -> astropy_fits.Header:
        header = fits.cards(
            {
                "TELESCOP": (self.telescope or None, "telescope"),
                "INSTRUME": (self.instrument, "instrument"),
                "FILTER": (self.filter, "filter, short name"),
                "OBJECT": (self.target, "target"),
                "DETSEC": (self.section, "CCD"),
                "MJD-OBS": (self.mjd, "start of the exposure, UTC [d]"),
                "MJD-AVG": (self.mjd_middle, "middle of the exposure, UTC [d]"),
                "TIMESYS": ("UTC", "time scale"),
                "EXPTIME": (self.exposure_time, "exposure time [s]"),
                "AIRMASS": (self.airmass, "airmass"),
                "GAIN": (self.gain, "electrons per unit of the pixels"),
                "RDNOISE": (self.read_noise, "read noise [electron]"),
                "SATURATE": (self.saturation, "saturation [electron]"),
                "BUNIT": ("electron", "unit of the pixels"),
                "PROVID": (self.provenance_id, "provenance id in SeeChange"),
            }
        )
        header.update(fits.cards(self.file_cards()))
        return header

    def plane_cards(self, shape: tuple[int, ...]) -> astropy_fits.Header | None:
        return self.wcs_header if shape == self.shape else None

    def file_cards(self) -> dict[str, tuple[Any, str]]:
        """Further cards of one kind of image."""
        return {}

    def as_kind(self) -> Image:
        """This row as the class of its kind, with the planes of that kind."""
        self.__class__ = next((cls for cls in _descendants(Image) if self.kind == cls.KIND), Image)
        return self

    def counts(self) -> dict[str, int | float]:
        flags = self.__dict__.get("_planes", {}).get("flags")
        return {} if flags is None else {"flagged_percent": round(100 * float(np.mean(flags != 0)), 2)}


class ScienceImage(Image):
    """One CCD of one exposure, calibrated, in electrons, with its sky."""

    KIND = Image.Kind.SCIENCE
    objects = KindManager()

    class Meta:
        proxy = True


class CoaddImage(Image):
    """A stack of science images, background subtracted, in electrons of its zero point."""

    KIND = Image.Kind.COADD
    objects = KindManager()

    coverage = Plane("NIMAGES", help="Images that entered each pixel, (ny, nx) uint16.")

    class Meta:
        proxy = True


class OnGridOfNew(Image):
    """An image made from a zero point and a reference."""

    class Meta:
        proxy = True

    def file_stem(self) -> str:
        new = self.zero_point.image
        return f"{self.kind}/{int(self.mjd)}/{new.exposure.name}_{self.section}_{self.kind}"

    def file_cards(self) -> dict[str, tuple[Any, str]]:
        return self.zero_point.cards()


class WarpedImage(OnGridOfNew):
    """The reference on the grid, and in the electrons, of the new image; background subtracted."""

    KIND = Image.Kind.WARPED
    objects = KindManager()

    psf_stamps = Plane("PSFS", compression="none", help="PSF on this grid of each tile, (tiles, k, k) float32.")
    tiles = Plane("TILES", table=True, help="One row a tile: its pixels x0 to x1 and y0 to y1, from 0, ends excluded.")

    class Meta:
        proxy = True


class DifferenceImage(OnGridOfNew):
    """New minus reference in electrons of the new image, with the planes that detection works on."""

    KIND = Image.Kind.DIFFERENCE
    objects = KindManager()

    score = Plane("SCORE", compression="noise", help="Detection statistic: S/N of a point source, all noise included.")
    alpha = Plane(
        "ALPHA", unit="electron", compression="noise", help="PSF flux of a source centred on each pixel, (ny, nx)."
    )
    tiles = Plane(
        "TILES", table=True, help="One row a tile: its pixels, and what turns the planes into noise and statistics."
    )
    psf_stamps = Plane("PSFS", compression="none", help="PSF of each tile, (tiles, k, k) float32.")
    hit_stamps = Plane("HITS", compression="none", help="Filter of each tile that finds hits of one pixel, as PSFS.")

    @property
    def alpha_error(self) -> np.ndarray:
        """Error of `alpha` from photon and read noise, electrons, (ny, nx) float32; 0 where the image is unusable."""
        found = fits.inverse(self.weight)
        for tile in self.tiles:
            found[tile["y0"] : tile["y1"], tile["x0"] : tile["x1"]] *= np.float32(tile["flux_noise"])
        return np.sqrt(found, out=found)

    @property
    def score_plain(self) -> np.ndarray:
        """The score without the noise of registration and flux ratio, (ny, nx) float32; 0 where unusable."""
        return self.alpha * fits.inverse(self.alpha_error)

    def limit_at(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """AB magnitude of a new point source at pixels (x, y) of which one in two is found at 5σ; NaN where none is."""
        return depth.limiting_magnitude(self, x, y)

    @property
    def limit(self) -> np.ndarray:
        """The same as a map, float32: of the middle of every 8×8 pixels."""
        return self.limit_at(*depth.grid(self)).astype(np.float32)

    class Meta:
        proxy = True


def _descendants(cls: type[Image]) -> list[type[Image]]:
    return [found for child in cls.__subclasses__() for found in (child, *_descendants(child))]
