"""Rough figures of an image, known as soon as its pixels are: also where no star could be compared with a catalogue."""

from __future__ import annotations

from django.db import models


class FirstLook(models.Model):
    """Seeing, sky, zero point and limit before sources are measured; PSF, Background and ZeroPoint have the final ones.

    The zero point and the limit are those of clear air, so that they may be held against the final ones: what is
    missing there was lost to clouds, or to a wrong setting.
    """

    fwhm = models.FloatField(
        "FWHM",
        null=True,
        blank=True,
        db_index=True,
        help_text="Seeing, arcsec: of science images and coadds a first look (of the Gaussian that matches stars, 10 % "
        "wider than the PSF at half its height), of differences that of the new image.",
    )
    background_level = models.FloatField(
        null=True, blank=True, help_text="Sky of science images and coadds, electrons per pixel: a first look."
    )
    background_noise = models.FloatField(
        null=True,
        blank=True,
        help_text="Of the sky, electrons rms: a first look; of differences that of the new image.",
    )
    zero_point_estimate = models.FloatField(
        null=True,
        blank=True,
        db_index=True,
        help_text="AB magnitude of one electron before stars are compared: in clear air, as the raw file or the "
        "instrument says; of coadds that of their alignment target.",
    )
    limiting_magnitude_estimate = models.FloatField(
        null=True,
        blank=True,
        db_index=True,
        help_text="5σ, point source, AB mag: a first look, from this zero point, the noise and the seeing.",
    )

    class Meta:
        abstract = True
