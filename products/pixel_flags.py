"""The bits of the flags plane of an image: one registry, with what each bit means."""

from __future__ import annotations

import enum


class PixelFlag(enum.IntFlag):
    """Why a pixel is special; bits of the uint16 flags plane."""

    BAD = 1 << 0
    ZERO_WEIGHT = 1 << 1
    SATURATED = 1 << 2
    OUT_OF_BOUNDS = 1 << 3
    BLEED = 1 << 4
    COSMIC_RAY = 1 << 5
    BRIGHT_HALO = 1 << 6
    EDGE = 1 << 7
    CROSSTALK = 1 << 8
    TRAIL = 1 << 9
    INTERPOLATED = 1 << 10
    UNSUPPORTED = 1 << 11
    UNUSABLE = BAD | ZERO_WEIGHT | SATURATED | OUT_OF_BOUNDS | BLEED | COSMIC_RAY | TRAIL

    @property
    def label(self) -> str:
        """The names of the set bits, separated by commas."""
        return ", ".join(bit.name.lower().replace("_", " ") for bit in PixelFlag if bit & self)


DESCRIPTIONS = {
    PixelFlag.BAD: "Defect of the detector: dead, hot, or in a bad column.",
    PixelFlag.ZERO_WEIGHT: "Nothing may be measured or detected here, for whatever reason.",
    PixelFlag.SATURATED: "At or close to full well, or to the end of the converter.",
    PixelFlag.OUT_OF_BOUNDS: "Beyond the edge of an image that was warped to this grid.",
    PixelFlag.BLEED: "In the trail of charge that spilt from a saturated pixel.",
    PixelFlag.COSMIC_RAY: "Hit by a particle.",
    PixelFlag.BRIGHT_HALO: "In the halo or a diffraction spike of a saturated star.",
    PixelFlag.EDGE: "At the edge of the detector, where its response is not trustworthy.",
    PixelFlag.CROSSTALK: "May hold a ghost of a bright source in another amplifier.",
    PixelFlag.TRAIL: "In the trail of a satellite or an aeroplane.",
    PixelFlag.INTERPOLATED: "Filled from its neighbours before the image came here.",
    PixelFlag.UNSUPPORTED: "A second subtraction method does not see what the score of a difference shows here.",
}
