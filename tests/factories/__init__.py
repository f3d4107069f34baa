"""One valid row in one call; `full_ccd` makes the whole tree of one CCD with real, tiny files."""

from tests.factories.beside import calibrator, fakes, forced, refset
from tests.factories.ccd import CCD, full_ccd, report, sky_object
from tests.factories.images import (
    SCALE,
    calibrated,
    cards,
    exposure,
    grid,
    provenance,
    reference,
    saved,
    science_image,
    tangent_plane,
)
from tests.factories.moving import known_object, night_of_a_body, orbit_catalog, tracklet

__all__ = [
    "CCD",
    "SCALE",
    "calibrated",
    "calibrator",
    "cards",
    "exposure",
    "fakes",
    "forced",
    "full_ccd",
    "grid",
    "known_object",
    "night_of_a_body",
    "orbit_catalog",
    "provenance",
    "reference",
    "refset",
    "report",
    "saved",
    "science_image",
    "sky_object",
    "tangent_plane",
    "tracklet",
]
