"""What each HDU says of its data: kind, shape, size, and whether all of it is in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from processing.admission.codes import Code
from processing.admission.headers import BLOCK, Header, NoValue
from processing.admission.reading import Contents
from processing.admission.rules import AdmissionRules, Limits
from processing.errors import BadExposureFile

PRIMARY, IMAGE, TABLE, BINTABLE = "primary", "IMAGE", "TABLE", "BINTABLE"
_BITPIX = (8, 16, 32, 64, -32, -64)
_HUGE = 1 << 62


@dataclass
class Hdu:
    """One HDU: where its data are, and the image that is in it."""

    header: Header
    kind: str  # primary, IMAGE, TABLE or BINTABLE
    bitpix: int
    axes: tuple[int, ...]  # NAXIS1 first
    size: int  # bytes of data without padding
    gap: int = 0  # PCOUNT: bytes behind the rows of a table
    shape: tuple[int, ...] = field(default=())  # of the image, ZNAXIS1 first where it is compressed; () for none
    is_compressed: bool = False

    @property
    def offset(self) -> int:
        """Of its data in the file, bytes."""
        return self.header.offset + self.header.length

    @property
    def padded(self) -> int:
        """Bytes of data with their padding."""
        return -(-self.size // BLOCK) * BLOCK

    @property
    def end(self) -> int:
        """Where the next HDU begins."""
        return self.offset + self.padded

    @property
    def name(self) -> str:
        """EXTNAME, or an empty text."""
        return self.header.text("EXTNAME")

    @property
    def is_picture(self) -> bool:
        """Whether it is an image of two dimensions that are longer than one pixel."""
        return sum(length > 1 for length in self.shape) == 2

    def __str__(self) -> str:
        return str(self.header)


def describe(header: Header, contents: Contents, rules: AdmissionRules) -> Hdu:
    """The HDU of a header. BadExposureFile for what no HDU can be, and where the file ends before its data do."""
    kind, limits = _kind(header), rules.limits
    header.text("EXTNAME")
    header.integer("EXTVER", -_HUGE, _HUGE, 1)
    header.integer("EXTLEVEL", -_HUGE, _HUGE, 1)
    header.flag("EXTEND")
    bitpix = header.integer("BITPIX", -64, 64)
    if bitpix not in _BITPIX:
        raise BadExposureFile(Code.BAD_STRUCTURE, f"{header} has BITPIX = {bitpix}")
    axes = _axes(header, kind, limits)
    needed = None if kind in (TABLE, BINTABLE) else 0
    gap, groups = header.integer("PCOUNT", 0, _HUGE, needed), header.integer("GCOUNT", 1, 1, 1)
    if gap and kind != BINTABLE:
        raise BadExposureFile(Code.BAD_STRUCTURE, f"{header} has PCOUNT = {gap}, and no table of variable length")
    size = groups * (gap + math.prod(axes)) * abs(bitpix) // 8 if axes else 0
    _check_order(header, kind, len(axes))
    hdu = Hdu(header, kind, bitpix, axes, size, gap)
    if hdu.end > contents.size:
        missing = hdu.end - contents.size
        said = f"{header} announces {hdu.padded} bytes of data in whole blocks, {missing} of them are not there"
        raise BadExposureFile(Code.TRUNCATED, said)
    if kind in (PRIMARY, IMAGE):
        hdu.shape = axes
        check_scaling(header, "BSCALE", "BZERO")
        header.integer("BLANK", -_HUGE, _HUGE, 0)
    return hdu


def _kind(header: Header) -> str:
    if header.index == 0:
        if header.get("SIMPLE") is not True:
            raise BadExposureFile(Code.NOT_FITS, f"it says SIMPLE = {header.get('SIMPLE')!r}")
        if header.flag("GROUPS"):
            raise BadExposureFile(Code.BAD_STRUCTURE, "it holds random groups and no images")
        return PRIMARY
    kind = header.text("XTENSION")
    if kind not in (IMAGE, TABLE, BINTABLE):
        raise BadExposureFile(Code.BAD_STRUCTURE, f"{header} has XTENSION = {kind!r}; there are IMAGE, TABLE, BINTABLE")
    return kind


def _axes(header: Header, kind: str, limits: Limits) -> tuple[int, ...]:
    is_table = kind in (TABLE, BINTABLE)
    dimensions = header.integer("NAXIS", 2 if is_table else 0, 2 if is_table else 4)
    axes = tuple(header.integer(f"NAXIS{i + 1}", 0, _HUGE) for i in range(dimensions))
    if is_table:
        if header.integer("BITPIX", -64, 64) != 8:
            raise BadExposureFile(Code.BAD_STRUCTURE, f"{header} is a table with BITPIX = {header.get('BITPIX')}")
        if axes[1] > limits.max_rows:
            raise BadExposureFile(Code.TOO_MANY_PIXELS, f"{header} has {axes[1]} rows; {limits.max_rows} are possible")
    else:
        check_shape(header, axes, limits)
    return axes


def check_shape(header: Header, axes: tuple[int, ...], limits: Limits) -> None:
    """BadExposureFile for an image that is larger than any."""
    if max(axes, default=0) > limits.max_axis or math.prod(axes) > limits.max_pixels:
        said = " × ".join(str(length)[:20] for length in axes)
        most = f"{limits.max_axis} along an axis and {limits.max_pixels:.0g} in all"
        raise BadExposureFile(Code.TOO_MANY_PIXELS, f"{header} has {said} pixels; {most} are possible")


def check_scaling(header: Header, *keywords: str) -> None:
    """BadExposureFile where one of the keywords is there and is no finite number, or a scale is 0."""
    for keyword in keywords:
        value = header.get(keyword)
        if value is None:
            continue
        if isinstance(value, bool | str | NoValue) or not math.isfinite(value):
            raise BadExposureFile(Code.BAD_SCALING, f"{header} has {keyword} = {value!r}, which is no number")
        if value == 0 and keyword.endswith(("SCALE", "SCAL")):
            raise BadExposureFile(Code.BAD_SCALING, f"{header} has {keyword} = 0: all its pixels would be the same")


def _check_order(header: Header, kind: str, dimensions: int) -> None:
    first = ["SIMPLE" if kind == PRIMARY else "XTENSION", "BITPIX", "NAXIS"]
    first += [f"NAXIS{i + 1}" for i in range(dimensions)]
    if header.order[: len(first)] != first:
        header.note(Code.ODD_ORDER, f"it begins with {', '.join(header.order[: len(first)])}")
