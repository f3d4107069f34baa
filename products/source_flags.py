"""The bits of the column `flags` of a source list: one registry, with what each bit means."""

from __future__ import annotations

import enum


class SourceFlag(enum.IntFlag):
    """What to know about a source; bits of the int32 column."""

    BLENDED = 1 << 0
    TRUNCATED = 1 << 1
    DEBLEND_OVERFLOW = 1 << 2
    SINGULAR = 1 << 3
    MASKED = 1 << 4
    SATURATED = 1 << 5
    NO_SHAPE = 1 << 6
    NOT_FITTED = 1 << 7
    PSF_MOVED = 1 << 8
    PSF_STAR = 1 << 9

    @property
    def label(self) -> str:
        """The names of the set bits, separated by commas."""
        return ", ".join(bit.name.lower().replace("_", " ") for bit in self)


OF_SEP = SourceFlag.BLENDED | SourceFlag.TRUNCATED | SourceFlag.DEBLEND_OVERFLOW | SourceFlag.SINGULAR
DESCRIPTIONS = {
    SourceFlag.BLENDED: "Cut out of a segment that it shared with another source.",
    SourceFlag.TRUNCATED: "Its segment reaches the edge of the image.",
    SourceFlag.DEBLEND_OVERFLOW: "There was no room to separate what overlaps in its segment.",
    SourceFlag.SINGULAR: "Its segment is a line of single pixels, too thin for a shape.",
    SourceFlag.MASKED: "An unusable pixel lies within one FWHM.",
    SourceFlag.SATURATED: "A saturated pixel lies within one FWHM or in its segment.",
    SourceFlag.NO_SHAPE: "Adaptive moments did not settle: width 0, ellipticity of the isophote.",
    SourceFlag.NOT_FITTED: "No PSF flux: too faint, or too few usable pixels.",
    SourceFlag.PSF_MOVED: "The PSF fit ran to the limit of its freedom in position.",
    SourceFlag.PSF_STAR: "The PSF was built from it.",
}
