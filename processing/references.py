"""References: coadds of calibrated images, gathered in named sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.algorithms.wcs_fit import footprint
from processing.datastore import DataStore, identity
from processing.errors import BadInput
from processing.pipeline import Pipeline
from processing.pipelines import COADD
from processing.provenances import keep_one
from processing.providers import CoaddInputs, ReferenceProducts
from processing.reporting import Reporter
from processing.steps.coaddition import digest
from processing.steps.referencing import Referencing
from products.models import PSF, CoaddImage, Exposure, Image, Provenance, ProvenanceTag, Reference, RefSet, ZeroPoint
from products.selectors.tags import DEFAULT
from products.services.keeping import keep
from products.sky import separation


@dataclass(frozen=True)
class Choice:
    """Which calibrated images go into references."""

    instrument: str
    filter: str
    tag: str = DEFAULT
    sections: tuple[str, ...] = ()
    mjd_range: tuple[float, float] = (0.0, 1e9)
    max_seeing: float | None = None  # arcsec
    min_number: int = 1
    max_number: int = 30

    def groups(self) -> dict[str, list[ZeroPoint]]:
        """CCD (and position, where it saw several fields) → zero points of its images, best seeing first.

        BadInput where there are none.
        """
        tagged = ProvenanceTag.objects.filter(tag=self.tag, provenance__process="photocal").values("provenance")
        image = "world_coordinates__sources__image"
        calibrated_rows = ZeroPoint.objects.filter(
            provenance__in=tagged, badness_own=0, badness_upstream=0, **{f"{image}__kind": Image.Kind.SCIENCE}
        )
        ours = {f"{image}__instrument": self.instrument, f"{image}__filter": self.filter}
        fitting: dict[str, list[ZeroPoint]] = {}
        left_out: Counter[str] = Counter()
        rows = calibrated_rows.filter(**ours).select_related(f"{image}__exposure")
        widths = PSF.objects.filter(sources__in=[row.world_coordinates.sources_id for row in rows])
        pixels = dict(widths.values_list("sources", "fwhm_pixels"))
        seeing = {row: pixels[row.world_coordinates.sources_id] * row.image.pixel_scale for row in rows}
        for row in sorted(rows, key=lambda row: (seeing[row], row.image.mjd)):
            if why := self._why_not(row, seeing[row]):
                left_out[why] += 1
            else:
                fitting.setdefault(row.image.section, []).append(row)
        groups = {}
        for section, found in sorted(fitting.items()):
            fields = _fields(found)
            for field in fields:
                place = f" {field[0].image.ra:.3f}{field[0].image.dec:+.3f}" if len(fields) > 1 else ""
                groups[section + place] = field[: self.max_number]
        enough = {name: rows for name, rows in groups.items() if len(rows) >= self.min_number}
        if not enough:
            pairs = calibrated_rows.values_list(f"{image}__instrument", f"{image}__filter").distinct().order_by()
            most = max(map(len, groups.values()), default=0)
            raise self._nothing(most, left_out, [f"{name} in {band}" for name, band in pairs])
        return enough

    def _why_not(self, row: ZeroPoint, seeing: float) -> str:
        """Why an image is not chosen; empty where it is."""
        if self.sections and row.image.section not in self.sections:
            return f"of CCD {row.image.section}"
        if not self.mjd_range[0] <= row.image.mjd <= self.mjd_range[1]:
            return "outside the dates"
        if seeing > (self.max_seeing or np.inf):
            return f"less sharp than {self.max_seeing:g} arcsec"
        return ""

    def _nothing(self, most: int, left_out: Mapping[str, int], there_are: Sequence[str]) -> BadInput:
        reason = f"{most or 'no'} calibrated images fit, {self.min_number} needed (tag '{self.tag}'"
        if left_out:
            reason += f"; left out: {', '.join(f'{number} {why}' for why, number in left_out.items())}"
        elif not most:
            reason += f" has images of {', '.join(sorted(there_are)) or 'nothing'}"
        reason += "); process more with --through-step photocal, or choose otherwise"
        return BadInput(what=f"references of {self.instrument} in {self.filter}", reason=reason)


def _fields(rows: Sequence[ZeroPoint]) -> list[list[ZeroPoint]]:
    """Images of one CCD by field: each joins the first one whose centre is within the radius of its own image."""
    fields: list[list[ZeroPoint]] = []
    for row in rows:
        for field in fields:
            first = field[0].image
            if separation(first.ra, first.dec, row.image.ra, row.image.dec) < min(first.radius, row.image.radius):
                field.append(row)
                break
        else:
            fields.append([row])
    return fields


def make_reference(
    zero_points: Sequence[ZeroPoint], refset: str, configuration: Mapping[str, Any], *, description: str = ""
) -> Reference:
    """Coadd calibrated images and put the result into the set `refset`; found where the same images made one before."""
    parts = tuple(ReferenceProducts.of(row) for row in zero_points)
    section = parts[0].image.section if len({part.image.section for part in parts}) == 1 else ""
    data = DataStore(CoaddInputs(parts), identity(components_digest=digest(zero_points)), section=section)
    report = Reporter(None, section)
    try:
        Pipeline(COADD, configuration=configuration).run(data, report=report)
    except BaseException as error:  # a signal to stop: noted, and obeyed
        report.row.image = data.get(CoaddImage)
        report.finish(error)
        raise
    report.row.image = data[CoaddImage]
    report.finish()
    return register(data[ZeroPoint], refset, description=description)


def register(zero_point: ZeroPoint, refset: str, *, description: str = "") -> Reference:
    """Make a calibrated image a reference of the set `refset`; the set is made where it is missing."""
    provenance = _provenance(zero_point, refset)
    known, _ = RefSet.objects.get_or_create(
        name=refset, defaults={"provenance": provenance, "description": description}
    )
    if known.provenance_id != provenance.pk:
        reason = "its references were made in another way (other parameters or code); choose another name"
        raise BadInput(what=f"the set of references '{refset}'", reason=reason)
    image = zero_point.image
    row = Reference(
        zero_point=zero_point, **{name: getattr(image, name) for name in ("instrument", "filter", "section", "target")}
    ).set_footprint(_corners(zero_point))
    if keep([row], provenance):
        return row
    return Reference.objects.get(zero_point=zero_point, provenance=provenance)


def _provenance(zero_point: ZeroPoint, refset: str) -> Provenance:
    """Of the references in a set; sets with other names are apart, also where they are made in the same way."""
    return keep_one(Referencing.name, Referencing.version, {"refset": refset}, [zero_point.provenance_id])


def _corners(zero_point: ZeroPoint) -> Any:
    return footprint(zero_point.world_coordinates.wcs, zero_point.image.shape)


def calibrated(exposure: Exposure, section: str, tag: str) -> ZeroPoint:
    """The zero point of one CCD with the provenances of a tag."""
    data = DataStore.from_tag(exposure, section, tag)
    if ZeroPoint not in data:
        raise BadInput(what=f"{exposure.name} {section}", reason=f"it has no zero point with the tag '{tag}'")
    return data[ZeroPoint]
