"""Calibration frames and tables from outside: checked, kept as products, registered for their dates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing.algorithms.statistics import mad_std
from processing.calibrator_choice import supersede
from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.instruments.supplied import TABLES, Supplied
from processing.provenances import keep_one, refuse_bad
from products.dates import EARLIEST
from products.models import (
    BadPixelMask,
    CalibratorFile,
    DataFile,
    FringePattern,
    IlluminationCorrection,
    MasterBias,
    MasterDark,
    MasterFlat,
    Provenance,
)
from products.models.masters import MasterFrame
from products.pixel_flags import PixelFlag
from products.services.keeping import keep

IMPORT = ("import_calibrators", (1, 0, 0))
CLASSES: dict[str, type[MasterFrame]] = {
    "bias": MasterBias,
    "dark": MasterDark,
    "flat": MasterFlat,
    "fringe": FringePattern,
    "illumination": IlluminationCorrection,
    "bad_pixels": BadPixelMask,
}
# Medians over the focal plane that a frame of the kind may have; what lies outside is in another unit.
_SANE = {
    "bias": (-1000.0, 5000.0),  # ADU; of overscan-subtracted frames near 0
    "dark": (-10.0, 100.0),  # ADU/s
    "flat": (0.5, 2.0),
    "fringe": (-0.05, 0.05),
    "illumination": (0.8, 1.25),
}
_NORMALISED = ("flat", "illumination")
_MOST_BAD = 0.5  # part of a CCD that may be flagged or not finite


@dataclass(frozen=True)
class Terms:
    """What is said of all that is imported at once."""

    kind: str
    calibrator_set: str = CalibratorFile.Set.SUPPLIED
    valid: tuple[float | None, float | None] = (None, None)  # MJD, UTC; open where None
    filter: str = ""  # short name, where the files do not say it
    flat_type: str = ""
    normalise: bool = False  # divide flats and illumination corrections by their median over the focal plane
    supersedes: bool = False  # whether they take the place of older ones whose dates lie within theirs
    sections: tuple[str, ...] = ()  # only these


def import_calibrators(paths: Sequence[Path], instrument: Instrument, terms: Terms) -> list[CalibratorFile]:
    """The rows for what the files hold, one a CCD; the same files again give the same rows.

    Everything is read and checked before anything is kept, and then read again: one CCD at a time is in memory.
    BadInput names the file and what is wrong with it.
    """
    _refuse_senseless(instrument, terms)
    level = _check(paths, instrument, terms)
    process, version = IMPORT
    provenance = keep_one(process, version, {"instrument": instrument.name, "kind": terms.kind})
    refuse_bad(provenance)
    rows = []
    for path, one in _supplied(paths, instrument, terms):
        if terms.kind in TABLES:
            product = _table(one, instrument, terms)
        else:
            product = _frame(path, one, level, instrument, terms)
        rows.append(_registered(_kept(product, provenance), one.section, instrument, terms, path))
    return rows


def _supplied(paths: Sequence[Path], instrument: Instrument, terms: Terms) -> Iterator[tuple[Path, Supplied]]:
    """What each file holds of the wanted CCDs."""
    for path in map(Path, paths):
        for one in instrument.supplied(path, terms.kind):
            if not terms.sections or one.section in terms.sections:
                yield path, one


def _check(paths: Sequence[Path], instrument: Instrument, terms: Terms) -> float:
    """Read everything; what frames are divided by, the median over the CCDs of their medians where that is wanted.

    BadInput where a CCD comes twice or not at all, or frames are not finite, mostly flagged, or in another unit.
    """
    first: dict[str, Path] = {}
    shapes: dict[tuple[int, ...], str] = {}
    medians = []
    for path, one in _supplied(paths, instrument, terms):
        if one.section in first:
            reason = f"CCD {one.section} is in {first[one.section]} too; import one after the other"
            raise BadInput(what=str(path), reason=reason)
        first[one.section] = path
        if terms.kind in TABLES:
            continue
        _filter(path, one, instrument, terms)
        pixels = one.flags if terms.kind == "bad_pixels" else one.data
        shapes.setdefault(pixels.shape, one.section)
        if terms.kind == "bad_pixels":
            _refuse_all_bad(path, one.section, one.flags)
        else:
            medians.append(_median(path, one))
    if not first:
        raise BadInput(what=", ".join(map(str, paths)), reason="they hold nothing of the CCDs that were asked for")
    if len(shapes) > 1:
        said = ", ".join(f"{section}: {shape}" for shape, section in shapes.items())
        raise BadInput(what=f"the {terms.kind} frames", reason=f"they differ in shape ({said})")
    return _level(float(np.median(medians)), terms) if medians else 1.0


def _refuse_senseless(instrument: Instrument, terms: Terms) -> None:
    first, last = terms.valid
    if first is not None and last is not None and first > last:
        raise BadInput(what=f"dates {first:g} to {last:g}", reason="the last one is before the first one")
    if terms.filter:
        instrument.short_filter(terms.filter)
    if bool(terms.flat_type) != (terms.kind == "flat"):
        what = f"a {terms.kind}" if terms.kind != "flat" else "a flat"
        reason = "it has no light (--flat-type)" if terms.flat_type else "say of which light: --flat-type dome"
        raise BadInput(what=what, reason=reason)
    if terms.normalise and terms.kind not in _NORMALISED:
        raise BadInput(what=f"{terms.kind} frames", reason=f"only {' and '.join(_NORMALISED)} are normalised")


def _median(path: Path, one: Supplied) -> float:
    usable = np.isfinite(one.data)
    if one.flags is not None:
        usable &= (one.flags & int(PixelFlag.UNUSABLE)) == 0
    if np.mean(usable) < 1 - _MOST_BAD:
        reason = f"{1 - np.mean(usable):.0%} of its pixels are flagged or not a number"
        raise BadInput(what=f"{path} [{one.section}]", reason=reason)
    return float(np.median(one.data[usable]))


def _level(middle: float, terms: Terms) -> float:
    """What frames with this median over the focal plane are divided by."""
    if terms.normalise:
        if not middle > 0:
            raise BadInput(what=f"the {terms.kind} frames", reason=f"their median is {middle:g}; it must be above 0")
        return middle
    low, high = _SANE[terms.kind]
    if not low <= middle <= high:
        hint = "; give all CCDs at once with --normalise" if terms.kind in _NORMALISED else ""
        reason = f"their median is {middle:g}, that of {terms.kind} frames is {low:g} to {high:g}{hint}"
        raise BadInput(what=f"the {terms.kind} frames", reason=reason)
    return middle if terms.kind == "illumination" else 1.0


def _frame(path: Path, one: Supplied, level: float, instrument: Instrument, terms: Terms) -> MasterFrame:
    """The image of one CCD, not saved."""
    if terms.kind == "bad_pixels":
        flags = one.flags
        data = np.zeros(flags.shape, np.float32)
    else:
        flags = np.zeros(one.data.shape, np.uint16) if one.flags is None else one.flags
        finite = np.isfinite(one.data)
        flags = flags | np.where(finite, 0, int(PixelFlag.BAD)).astype(np.uint16)
        neutral = 1.0 if terms.kind in _NORMALISED else 0.0
        data = np.where(finite, one.data / np.float32(level), np.float32(neutral)).astype(np.float32)
    mjd = one.mjd if one.mjd is not None and one.mjd > EARLIEST else terms.valid[0] or EARLIEST
    ny, nx = data.shape
    image = CLASSES[terms.kind](
        data=data,
        weight=np.where((flags & int(PixelFlag.UNUSABLE)) == 0, 1, 0).astype(np.float32),
        flags=flags,
        width=nx,
        height=ny,
        instrument=instrument.name,
        section=one.section,
        filter=_filter(path, one, instrument, terms),
        mjd=mjd,
        mjd_end=mjd,
        exposure_time=0.0,
        components_digest=_digest(data, flags),
    )
    return image.set_position(0.0, 0.0)


def _refuse_all_bad(path: Path, section: str, flags: np.ndarray) -> None:
    bad = float(np.mean((flags & int(PixelFlag.BAD)) != 0))
    if bad > _MOST_BAD:
        raise BadInput(what=f"{path} [{section}]", reason=f"{bad:.0%} of the pixels would be bad; is it such a mask?")


def _filter(path: Path, one: Supplied, instrument: Instrument, terms: Terms) -> str:
    """The filter of a frame; none of what serves every filter. BadInput where a flat or the like says none."""
    if terms.kind in ("bias", "dark", "bad_pixels"):
        return terms.filter
    if terms.filter and one.filter and instrument.short_filter(one.filter) != terms.filter:
        reason = f"it says filter {one.filter}, --filter says {terms.filter}"
        raise BadInput(what=f"{path} [{one.section}]", reason=reason)
    if not (terms.filter or one.filter):
        raise BadInput(what=f"{path} [{one.section}]", reason="it does not say of which filter; give --filter NAME")
    return terms.filter or instrument.short_filter(one.filter)


def _table(one: Supplied, instrument: Instrument, terms: Terms) -> DataFile:
    name = f"{instrument.name} {one.section} {terms.kind} {_digest(one.table)[:12]}"
    return DataFile(name=name, table=one.table)


def _digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:20]


def _kept(product: MasterFrame | DataFile, provenance: Provenance) -> MasterFrame | DataFile:
    """The product; found where the same one was kept before."""
    identity = {name: getattr(product, name) for name in product.identity_fields()}
    held = type(product).objects.filter(provenance=provenance, **identity)
    if row := held.first():
        return row
    return product if keep([product], provenance) else held.get()


def _registered(
    product: MasterFrame | DataFile, section: str, instrument: Instrument, terms: Terms, path: Path
) -> CalibratorFile:
    """The row that says when the product holds. BadInput where it is registered with something else."""
    file = {"data_file_id" if isinstance(product, DataFile) else "image_id": product.pk}
    wanted = {
        "instrument": instrument.name,
        "section": section,
        "filter": terms.filter if isinstance(product, DataFile) else product.filter,
        "flat_type": terms.flat_type,
        "valid_from": terms.valid[0],
        "valid_to": terms.valid[1],
    }
    found, is_new = CalibratorFile.objects.get_or_create(
        kind=terms.kind,
        calibrator_set=terms.calibrator_set,
        **file,
        defaults={**wanted, "quality": _figures(product)},
    )
    if other := [name.replace("_", " ") for name, value in wanted.items() if getattr(found, name) != value]:
        reason = f"the same {terms.kind} of CCD {section} is registered with another {', '.join(other)}"
        raise BadInput(what=str(path), reason=f"{reason}; change that in the admin: calibrator {found.pk}")
    if is_new and terms.supersedes:
        supersede(found)
    return found


def _figures(product: MasterFrame | DataFile) -> dict[str, float]:
    """What the page of a calibrator says of it."""
    if isinstance(product, DataFile):
        return {"rows": len(product.table)}
    good = (product.flags & int(PixelFlag.UNUSABLE)) == 0
    return {
        "median": float(np.median(product.data[good])),
        "scatter": float(mad_std(product.data[good])),
        "flagged_percent": round(100 * float(np.mean(product.flags != 0)), 3),
    }
