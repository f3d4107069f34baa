"""What can be wrong with a product: one 64-bit space, named bits, each with the kinds of product that may set it."""

from __future__ import annotations

import enum

from django.db import models


class Badness(enum.IntFlag):
    """Bits of badness. A product shows its own bits and those that it inherits from what it was made of."""

    BANDING = 1 << 1
    SHAKING = 1 << 2
    SATURATION = 1 << 3
    BAD_SUBTRACTION = 1 << 4
    BRIGHT_SKY = 1 << 5
    PSF_FIT_FAILED = 1 << 11
    BAD_SEEING = 1 << 12
    ELONGATED = 1 << 13
    FEW_SOURCES = 1 << 16
    MANY_SOURCES = 1 << 17
    MASKED = 1 << 18
    NO_CATALOG = 1 << 21
    MATCH_FAILED = 1 << 22
    BIG_RESIDUALS = 1 << 23
    CLOUDS = 1 << 24
    UNEVEN_ZERO_POINT = 1 << 25
    CROWDED_BACKGROUND = 1 << 31
    BACKGROUND_FIT_FAILED = 1 << 32
    BAD_REFERENCE = 1 << 35
    SUPERSEDED_REFERENCE = 1 << 36
    COSMIC_RAY = 1 << 41
    GHOST = 1 << 42
    SATELLITE = 1 << 43
    OFFSET = 1 << 44
    BAD_PIXEL = 1 << 45
    BLEED_TRAIL = 1 << 46

    @classmethod
    def named(cls, names: str) -> Badness:
        """The bits of a comma-separated list of names (case, blanks and underscores do not matter)."""
        bits = cls(0)
        for name in filter(None, (part.strip() for part in names.split(","))):
            key = name.upper().replace(" ", "_")
            if key not in cls.__members__:
                raise ValueError(f"unknown badness '{name}'; there are: {', '.join(b.label for b in cls)}")
            bits |= cls[key]
        return bits

    @property
    def names(self) -> list[str]:
        """The names of the set bits in the order of the bits."""
        return [bit.name.lower().replace("_", " ") for bit in self]

    @property
    def label(self) -> str:
        """The same with commas between them."""
        return ", ".join(self.names)


DESCRIPTIONS = {
    Badness.BANDING: "Stripes from the read-out.",
    Badness.SHAKING: "The telescope moved during the exposure.",
    Badness.SATURATION: "Too much of it is saturated.",
    Badness.BAD_SUBTRACTION: "The difference is of no use.",
    Badness.BRIGHT_SKY: "Moon, twilight or other light on the sky.",
    Badness.PSF_FIT_FAILED: "The model of the PSF is not that of the stars.",
    Badness.BAD_SEEING: "The stars are wider than is of use.",
    Badness.ELONGATED: "The stars are not round.",
    Badness.FEW_SOURCES: "Fewer sources than such an image has.",
    Badness.MANY_SOURCES: "More sources than such an image has.",
    Badness.MASKED: "Too many of its pixels cannot be used.",
    Badness.NO_CATALOG: "No catalogue stars to compare with.",
    Badness.MATCH_FAILED: "The stars that match are not the right ones.",
    Badness.BIG_RESIDUALS: "The stars match badly.",
    Badness.CLOUDS: "Much less light came than through clear air.",
    Badness.UNEVEN_ZERO_POINT: "The zero point is not the same everywhere in the image.",
    Badness.CROWDED_BACKGROUND: "No empty sky to measure.",
    Badness.BACKGROUND_FIT_FAILED: "The sky is not what the model says.",
    Badness.BAD_REFERENCE: "It must not be subtracted from anything.",
    Badness.SUPERSEDED_REFERENCE: "A better reference exists.",
    Badness.COSMIC_RAY: "A particle hit the detector.",
    Badness.GHOST: "Light reflected inside the telescope.",
    Badness.SATELLITE: "A satellite or an aeroplane passed.",
    Badness.OFFSET: "The images are not aligned there.",
    Badness.BAD_PIXEL: "A defect of the detector.",
    Badness.BLEED_TRAIL: "Charge that spilt from a saturated star.",
}
IMAGE = Badness.BANDING | Badness.SHAKING | Badness.SATURATION | Badness.BAD_SUBTRACTION | Badness.BRIGHT_SKY
PSF_BITS = Badness.PSF_FIT_FAILED | Badness.BAD_SEEING | Badness.ELONGATED
SOURCES = Badness.FEW_SOURCES | Badness.MANY_SOURCES | Badness.MASKED
CALIBRATION = (
    Badness.NO_CATALOG | Badness.MATCH_FAILED | Badness.BIG_RESIDUALS | Badness.CLOUDS | Badness.UNEVEN_ZERO_POINT
)
BACKGROUND = Badness.CROWDED_BACKGROUND | Badness.BACKGROUND_FIT_FAILED | Badness.BRIGHT_SKY
REFERENCE = Badness.BAD_REFERENCE | Badness.SUPERSEDED_REFERENCE
NOT_INHERITED = Badness.SUPERSEDED_REFERENCE  # no fault: what was made with it stays as good as it was
MEASUREMENT = (
    Badness.COSMIC_RAY | Badness.GHOST | Badness.SATELLITE | Badness.OFFSET | Badness.BAD_PIXEL | Badness.BLEED_TRAIL
)
ANY = IMAGE | PSF_BITS | SOURCES | CALIBRATION | BACKGROUND | REFERENCE | MEASUREMENT


class HasBadness(models.Model):
    """Own and inherited badness; change it through `products.services.badness`, which tells everything downstream."""

    ALLOWED_BADNESS = ANY

    badness_own = models.BigIntegerField(
        "own badness", default=0, db_index=True, help_text="Bits that were set on this product itself."
    )
    badness_upstream = models.BigIntegerField(
        "inherited badness",
        default=0,
        db_index=True,
        help_text="Bits of everything that this product was made of.",
    )
    description = models.TextField(blank=True, help_text="Remarks of people, e.g. why it was marked as bad.")

    class Meta:
        abstract = True

    @property
    def badness(self) -> Badness:
        """Own and inherited bits together."""
        return Badness(self.badness_own | self.badness_upstream)

    @classmethod
    def upstream_paths(cls) -> list[str]:
        """Lookups from a row to what it was made of: its foreign keys, and its lists, of what can be bad."""
        fields = [*cls._meta.concrete_fields, *cls._meta.many_to_many]
        return [field.name for field in fields if field.is_relation and issubclass(field.related_model, HasBadness)]

    def upstream_products(self) -> list[HasBadness]:
        """What this was made of, as far as its foreign keys say: the rows at hand."""
        keys = [field for field in self._meta.concrete_fields if field.name in self.upstream_paths()]
        return [parent for parent in (getattr(self, field.name) for field in keys) if parent is not None]

    def inherit_badness(self) -> None:
        """Take over the bits of the parents at hand; `products.services.badness.inherit` asks the database."""
        bits = 0
        for parent in self.upstream_products():
            bits |= int(parent.badness)
        self.badness_upstream = bits & ~int(NOT_INHERITED)
