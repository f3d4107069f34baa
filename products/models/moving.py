"""What moves: orbits that were imported, known bodies among the measurements, tracklets."""

from __future__ import annotations

from django.db import models

from products.models.base import FileProduct, Identified, Product
from products.models.files import Plane
from products.models.position import SkyPosition


class OrbitCatalog(FileProduct):
    """Orbits of bodies of the Solar System, as they were on the day of an import."""

    name = models.CharField(max_length=40, db_index=True, help_text="What it was called when it was imported.")
    n_orbits = models.PositiveIntegerField(help_text="Orbits in it.")
    n_bad = models.PositiveIntegerField(default=0, help_text="Lines of its file that were no orbit.")
    epoch = models.FloatField(db_index=True, help_text="Median epoch of the orbits, MJD (TT).")
    contents_sha256 = models.CharField(max_length=64, help_text="Of the orbits; the same ones are not kept twice.")

    elements = Plane(
        "ORBITS",
        compression="none",
        help="(n, 11) float64: epoch (MJD, TT), mean anomaly, argument of perihelion, node, inclination (deg, J2000), "
        "eccentricity, semi-major axis (au), H, G, run-off (arcsec a decade), MJD of the last observation.",
    )
    names = Plane("NAMES", compression="none", help="(n, 28) uint8, the designation of each orbit in ASCII.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contents_sha256", "provenance"], name="one_orbit_catalog")]

    def __str__(self) -> str:
        return f"{self.n_orbits} orbits of {self.name}, epoch {self.epoch:.0f}"

    def counts(self) -> dict[str, int | float]:
        return {"orbits": self.n_orbits, "epoch": self.epoch}

    def file_stem(self) -> str:
        return f"orbits/{self.name}/{self.epoch:.0f}"


class KnownObjectSet(Product):
    """Which measurements of one difference image are of known bodies of the Solar System."""

    measurement_set = models.ForeignKey("products.MeasurementSet", models.PROTECT, related_name="known_object_sets")
    orbit_catalog = models.ForeignKey(
        OrbitCatalog,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="known_object_sets",
        help_text="What the bodies were predicted from; empty where none were looked for.",
    )
    source = models.CharField(max_length=60, help_text="How bodies were looked up; none: they were not looked for.")
    n_predicted = models.PositiveIntegerField(help_text="Known bodies that were predicted to be in the image.")
    n_matched = models.PositiveIntegerField(help_text="Measurements that are of one of them.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["measurement_set", "provenance"], name="one_known_object_set")]

    def __init__(self, *args, **kwargs) -> None:
        rows = kwargs.pop("rows", [])
        super().__init__(*args, **kwargs)
        self.rows: list[KnownObject] = rows

    def all_rows(self) -> list[KnownObject]:
        """The matches; loaded where they are not at hand."""
        if not self.rows and not self._state.adding and self.n_matched:
            self.rows = list(self.known_objects.order_by("separation"))
        return self.rows

    def counts(self) -> dict[str, int | float]:
        return {"bodies": self.n_predicted, "known": self.n_matched} if self.is_searched else {}

    @property
    def is_searched(self) -> bool:
        """Whether anybody looked for known bodies."""
        return self.source != "none"


class KnownObject(Identified):
    """A known body of the Solar System where something was measured."""

    known_object_set = models.ForeignKey(KnownObjectSet, models.CASCADE, related_name="known_objects")
    measurement = models.ForeignKey("products.Measurement", models.CASCADE, related_name="known_objects")
    name = models.CharField(max_length=40, db_index=True, help_text="Designation, e.g. (1) Ceres or 2007 TA418.")
    separation = models.FloatField(help_text="Of the measurement from the predicted place, arcsec.")
    uncertainty = models.FloatField(help_text="Error of the predicted place along one axis, arcsec.")
    ra = models.FloatField("RA", help_text="Predicted, ICRS degrees.")
    dec = models.FloatField("Dec", help_text="Predicted, ICRS degrees.")
    magnitude = models.FloatField(null=True, blank=True, help_text="Predicted, V.")
    rate = models.FloatField(help_text="Predicted motion, arcsec an hour.")
    position_angle = models.FloatField(help_text="Of the motion, degrees from north through east.")
    distance = models.FloatField(help_text="From the observer, au.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["known_object_set", "measurement"], name="one_known_object"),
        ]
        ordering = ["separation"]

    def __str__(self) -> str:
        return self.name


class TrackletSet(Product):
    """The tracklets of one night."""

    night = models.PositiveIntegerField(db_index=True, help_text="MJD on which the night begins, at noon UT.")
    measuring = models.ForeignKey(
        "products.Provenance", models.PROTECT, related_name="+", help_text="Of the measurements that were linked."
    )
    inputs_digest = models.CharField(max_length=20, editable=False, help_text="Hash of the linked detections.")
    n_detections = models.PositiveIntegerField(help_text="Detections that could be linked.")
    n_tracklets = models.PositiveIntegerField(help_text="Tracklets that were found.")
    chance = models.JSONField(default=dict, help_text="Number of detections → links of at least as many by chance.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["night", "provenance"], name="one_tracklet_set")]
        ordering = ["-night"]

    def __init__(self, *args, **kwargs) -> None:
        rows = kwargs.pop("rows", [])
        super().__init__(*args, **kwargs)
        self.rows: list[Tracklet] = rows

    def counts(self) -> dict[str, int | float]:
        return {"detections": self.n_detections, "tracklets": self.n_tracklets}


class Tracklet(Identified, SkyPosition):
    """Detections of one night along a straight line at an even pace. Its position is that in the middle of its time."""

    tracklet_set = models.ForeignKey(TrackletSet, models.CASCADE, related_name="tracklets")
    measurements = models.ManyToManyField("products.Measurement", related_name="tracklets", help_text="What it links.")
    n_detections = models.PositiveIntegerField(help_text="Detections that it links.")
    mjd = models.FloatField("MJD", db_index=True, help_text="Middle of its time, UTC.")
    mjd_first = models.FloatField("first MJD", help_text="Of its first detection, UTC.")
    mjd_last = models.FloatField("last MJD", help_text="Of its last detection, UTC.")
    rate = models.FloatField(db_index=True, help_text="Motion, arcsec an hour.")
    position_angle = models.FloatField(help_text="Of the motion, degrees from north through east.")
    residual = models.FloatField(help_text="Rms distance of its detections from the line, arcsec.")
    magnitude = models.FloatField(null=True, blank=True, help_text="Median of its detections, AB.")
    known_as = models.CharField(
        max_length=40, blank=True, db_index=True, help_text="Known body that most of its detections are of."
    )

    class Meta:
        ordering = ["-n_detections", "mjd"]

    def __str__(self) -> str:
        return f"tracklet of {self.n_detections}, {self.rate:.1f} arcsec/h"
