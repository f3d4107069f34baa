"""Fluxes at places that were asked for, whether or not something was detected there, and who asked."""

from __future__ import annotations

import math

from django.db import models

from products.models.badness import MEASUREMENT
from products.models.base import Identified, Product
from products.models.calibrations import AB_MICROJANSKY
from products.models.position import SkyPosition
from products.pixel_flags import PixelFlag

LIMIT_SIGMA = 5.0  # of upper limits; a flux of less is one


class ForcedFlux(Product, SkyPosition):
    """The PSF flux at a position of a difference image: one for each position, image and provenance.

    Positions are the same where their numbers of HEALPix are, to 0.4 mas.
    """

    ALLOWED_BADNESS = MEASUREMENT

    image = models.ForeignKey(
        "products.Image", models.PROTECT, related_name="forced_fluxes", help_text="The difference image."
    )
    mjd = models.FloatField("MJD", db_index=True, help_text="Middle of the exposure, UTC.")
    filter = models.CharField(max_length=20, db_index=True, help_text="Short name.")
    x = models.FloatField(help_text="Pixels from 0, on the difference image.")
    y = models.FloatField(help_text="Pixels from 0, on the difference image.")
    flux = models.FloatField(help_text="PSF flux in the difference, electrons of the new image, of either sign.")
    flux_error = models.FloatField(
        help_text="Its error with the noise of registration and flux ratio, electrons; 0 where it is not known."
    )
    zp = models.FloatField("zero point", help_text="AB magnitude of one electron there.")
    magnitude = models.FloatField(null=True, blank=True, help_text="AB magnitude of |flux|.")
    magnitude_error = models.FloatField(null=True, blank=True, help_text="With the error of the zero point, mag.")
    flags = models.PositiveIntegerField(default=0, help_text="Pixel flags under the core of the PSF, bits.")
    is_bad = models.BooleanField(default=False, help_text="Pixels under the core cannot be used.")

    class Meta:
        verbose_name_plural = "forced fluxes"
        constraints = [models.UniqueConstraint(fields=["hpx", "image", "provenance"], name="one_forced_flux")]
        ordering = ["mjd", "pk"]

    def __str__(self) -> str:
        return f"{self.filter} {self.flux:.0f} ± {self.flux_error:.0f} electrons"

    @property
    def snr(self) -> float:
        """Flux over error, negative for fading."""
        return self.flux / self.flux_error if self.flux_error else 0.0

    @property
    def is_limit(self) -> bool:
        """Whether nothing is there, as far as its noise can tell."""
        return abs(self.snr) < LIMIT_SIGMA

    @property
    def limiting_magnitude(self) -> float | None:
        """AB magnitude of LIMIT_SIGMA times the error."""
        return self.zp - 2.5 * math.log10(LIMIT_SIGMA * self.flux_error) if self.flux_error > 0 else None

    @property
    def flux_ujy(self) -> float:
        """Flux of the difference, μJy."""
        return self.flux * 10 ** (0.4 * (AB_MICROJANSKY - self.zp))

    @property
    def flux_error_ujy(self) -> float:
        """Its error, μJy."""
        return self.flux_error * 10 ** (0.4 * (AB_MICROJANSKY - self.zp))

    @property
    def exposure_name(self) -> str:
        """Name of the exposure."""
        return self.image.exposure.name if self.image.exposure else ""

    @property
    def pixel_flags(self) -> PixelFlag:
        """The flags under the core."""
        return PixelFlag(self.flags)


class ForcedRequest(Identified, SkyPosition):
    """Forced photometry that somebody asked for: a position, or an object, over all images of a tag that cover it."""

    class State(models.TextChoices):
        WAITING = "waiting", "in the queue"
        RUNNING = "running", "being measured"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    object = models.ForeignKey(
        "products.Object", models.CASCADE, null=True, blank=True, related_name="forced_requests",
        help_text="Whose position it is; none for a position alone.",
    )  # fmt: skip
    person = models.ForeignKey(
        "auth.User", models.SET_NULL, null=True, blank=True, related_name="forced_requests", help_text="Who asked."
    )
    tag = models.CharField(max_length=100, help_text="Provenance tag of the difference images.")
    start = models.FloatField(null=True, blank=True, help_text="MJD (UTC) from which images count; none: all.")
    end = models.FloatField(null=True, blank=True, help_text="MJD (UTC) before which images count; none: all.")
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.WAITING, db_index=True, help_text="How far it is."
    )
    pending_as = models.CharField(
        max_length=250, null=True, blank=True, unique=True, editable=False,
        help_text="What is asked for, until it is finished: nobody can ask for the same beside it.",
    )  # fmt: skip
    n_images = models.PositiveIntegerField(default=0, help_text="Images that cover the position.")
    n_measured = models.PositiveIntegerField(default=0, help_text="Images in which it is measured now.")
    n_new = models.PositiveIntegerField(default=0, help_text="Those of them that were measured for this request.")
    failures = models.JSONField(
        default=list, blank=True, help_text="Images that could not be used: exposure, section, error, message."
    )
    error = models.TextField(blank=True, help_text="Why nothing was measured.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="UTC, when a worker took it up.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="UTC, when it was done or failed.")

    class Meta:
        indexes = [models.Index(fields=["object", "tag", "-created_at"], name="forced_requests_of_object")]
        ordering = ["-created_at"]

    @property
    def is_pending(self) -> bool:
        """Whether it is not finished."""
        return self.state in (self.State.WAITING, self.State.RUNNING)
