"""Known exposures: what there is to process, in which state, and who holds it."""

from __future__ import annotations

from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from products import sky
from products.dates import EARLIEST, LATEST
from products.models import Exposure
from products.models.base import Identified
from products.models.position import PositionQuerySet

MAX_ATTEMPTS = 3


class KnownExposure(Identified):
    """An exposure that somebody said exists, with all that is needed to fetch and process it.

    `state` changes through `conductor.services` only: each transition is one conditional update and one event.
    """

    class State(models.TextChoices):
        HELD = "held", "held: not to be handed out"
        READY = "ready", "ready to be claimed"
        CLAIMED = "claimed", "claimed: its raw file is being fetched"
        RUNNING = "running", "being processed"
        DONE = "done", "every CCD finished"
        PARTIAL = "partial", "some CCDs finished"
        FAILED = "failed", "no CCD finished"

    LEASED = (State.CLAIMED, State.RUNNING)

    instrument = models.CharField(max_length=40, help_text="Short name, e.g. demo.")
    identifier = models.CharField(max_length=200, help_text="What its archive or camera calls it; a raw file's name.")
    params = models.JSONField(
        default=dict, blank=True, help_text="What the instrument needs to fetch the raw file, e.g. path, url, sha256."
    )
    kind = models.CharField(
        "image type",
        max_length=10,
        choices=Exposure.Kind.choices,
        default=Exposure.Kind.SCIENCE,
        help_text="What it was taken for.",
    )
    mjd = models.FloatField(
        "MJD",
        db_index=True,
        validators=[MinValueValidator(EARLIEST), MaxValueValidator(LATEST)],
        help_text="Start of the exposure, UTC, days; older ones are handed out first.",
    )
    exposure_time = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="Seconds; empty when unknown."
    )
    filter = models.CharField(max_length=20, blank=True, help_text="Short name; empty when it varies or is unknown.")
    filters = models.JSONField(
        default=dict, blank=True, help_text="Short name of the filter of each section, if they differ."
    )
    target = models.CharField(max_length=100, blank=True, db_index=True, help_text="What was looked at.")
    project = models.CharField(max_length=100, blank=True, db_index=True, help_text="Proposal or survey.")
    ra = models.FloatField(
        "right ascension",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(360)],
        help_text="ICRS, degrees, 0 to 360; empty when unknown.",
    )
    dec = models.FloatField(
        "declination",
        null=True,
        blank=True,
        validators=[MinValueValidator(-90), MaxValueValidator(90)],
        help_text="ICRS, degrees; empty when unknown.",
    )
    hpx = models.BigIntegerField(
        "HEALPix", null=True, editable=False, db_index=True, help_text="Nested, order 29; empty without a position."
    )

    priority = models.IntegerField(default=0, help_text="Higher is handed out first.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="UTC; it is not handed out earlier.")
    through_step = models.CharField(
        max_length=40, blank=True, help_text="Last step to be done; empty: as far as policy and launcher go."
    )
    watch = models.ForeignKey(
        "conductor.Watch", models.SET_NULL, null=True, blank=True, related_name="known_exposures",
        help_text="The watch that found it; empty when somebody added it.",
    )  # fmt: skip

    state = models.CharField(
        max_length=10, choices=State.choices, default=State.READY, help_text="Where it stands on its way."
    )
    attempt = models.PositiveIntegerField(default=0, help_text="How often it was claimed, given-back claims left out.")
    lease_token = models.UUIDField(
        null=True, blank=True, unique=True, editable=False, help_text="Secret of its holder; without one nobody has it."
    )
    lease_expires = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="UTC; when nobody heard of the holder until then, it is lost."
    )
    worker = models.ForeignKey(
        "conductor.PipelineWorker", models.SET_NULL, null=True, blank=True, related_name="known_exposures",
        help_text="Who holds it, or held it last.",
    )  # fmt: skip
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="UTC, of the last claim.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="UTC, when processing began.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="UTC, when its last holder finished.")
    sections = models.JSONField(
        default=dict, blank=True, help_text="What was last said of each CCD: state, error, whether it may pass."
    )
    last_error = models.TextField(blank=True, help_text="Why the last attempt did not bring it to its end.")
    exposure = models.ForeignKey(
        "products.Exposure", models.SET_NULL, null=True, blank=True, related_name="known_exposures",
        help_text="The exposure in the archive, once its raw file was taken in.",
    )  # fmt: skip

    objects = PositionQuerySet.as_manager()

    class Meta:
        ordering = ["-mjd", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["instrument", "identifier"], name="one_known_exposure"),
            models.CheckConstraint(
                condition=Q(state__in=["held", "ready", "claimed", "running", "done", "partial", "failed"]),
                name="known_exposure_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["claimed", "running"], lease_token__isnull=False, lease_expires__isnull=False)
                | (~Q(state__in=["claimed", "running"]) & Q(lease_token__isnull=True, lease_expires__isnull=True)),
                name="known_exposure_lease",
            ),
            models.CheckConstraint(
                condition=Q(ra__isnull=True, dec__isnull=True, hpx__isnull=True)
                | Q(ra__isnull=False, dec__isnull=False, hpx__isnull=False, ra__range=(0, 360), dec__range=(-90, 90)),
                name="known_exposure_position",
            ),
        ]
        indexes = [
            # The order of claims: only what is ready, so that a claim reads one entry however long the history is.
            models.Index(fields=["-priority", "mjd", "id"], condition=Q(state="ready"), name="known_exposure_ready"),
            models.Index(fields=["lease_expires"], name="known_exposure_lease_expires"),
            models.Index(fields=["state", "-mjd"], name="known_exposure_by_state"),
        ]

    def __str__(self) -> str:
        return self.identifier

    def set_position(self, ra: float | None, dec: float | None) -> Self:
        """Set ra, dec (degrees) and the index, or none of them."""
        self.ra = self.dec = self.hpx = None
        if ra is not None and dec is not None:
            self.ra, self.dec, self.hpx = ra % 360, dec, int(sky.hpx(ra, dec)[0])
        return self

    @property
    def galactic_latitude(self) -> float | None:
        """Degrees; None without a position."""
        return None if self.ra is None else float(sky.rotated(self.ra, self.dec, sky.GALACTIC)[1][0])

    @property
    def is_leased(self) -> bool:
        """Whether somebody holds it."""
        return self.state in self.LEASED
