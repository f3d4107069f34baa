"""Which calibrated images go into references, and why each of the others does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from django.db.models import Count, QuerySet

from processing.errors import BadInput
from products.models import PSF, Background, Badness, Image, ProvenanceTag, Report, ScienceImage, ZeroPoint
from products.selectors.tags import DEFAULT
from products.sky import distance_to, overlap_fraction, separation

_IMAGE = "world_coordinates__sources__image"


@dataclass(frozen=True)
class Area:
    """A piece of sky: a disc, or the footprints of CCDs."""

    name: str  # for people
    disc: tuple[float, float, float] | None = None  # ra, dec, radius, all degrees
    footprints: tuple[tuple[tuple[float, float], ...], ...] = ()  # four (ra, dec) of each

    @classmethod
    def of(cls, images: Iterable[Image], name: str) -> Area:
        """The footprints of images."""
        corners = tuple(tuple((float(a), float(d)) for a, d in row.corners) for row in images if row.corners)
        return cls(name, footprints=corners)

    def touches(self, image: Image) -> bool:
        """Whether the image shows any of it."""
        if not image.corners:
            return False
        corners = np.array(image.corners)
        if self.disc:
            ra, dec, radius = self.disc
            return distance_to(corners, ra, dec) <= radius
        shapes = [np.array(shape) for shape in self.footprints]
        return any(overlap_fraction(shape, corners) > 0 or overlap_fraction(corners, shape) > 0 for shape in shapes)


@dataclass(frozen=True)
class Judged:
    """A candidate: an image of the instruments in question."""

    image: ScienceImage
    zero_point: ZeroPoint | None = None
    seeing: float | None = None  # arcsec
    sky: float | None = None  # electrons per pixel
    group: str = ""  # of the reference that it goes into
    reason: str = ""  # why it is left out; empty where it is used

    @property
    def name(self) -> str:
        """Exposure and CCD."""
        return f"{self.image.exposure.name} {self.image.section}"


@dataclass(frozen=True)
class Chosen:
    """What came of a choice: the images of each reference, best seeing first, and every candidate."""

    groups: dict[str, list[ZeroPoint]] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)
    other_filters: dict[str, int] = field(default_factory=dict)  # images of the instruments that were not looked at

    def left_out(self, near: Image | None = None) -> list[Judged]:
        """Candidates that are not used; those that reach the place of an image, where one is given."""
        rows = [row for row in self.judged if row.reason]
        if near is None:
            return rows
        reach = [separation(near.ra, near.dec, row.image.ra, row.image.dec) for row in rows]
        return [row for row, far in zip(rows, reach) if far < near.radius + row.image.radius]

    def reasons(self) -> dict[str, int]:
        """Reason → number of candidates, the most frequent first."""
        return dict(Counter(row.reason for row in self.judged if row.reason).most_common())


@dataclass(frozen=True)
class Choice:
    """What images must be like to go into references."""

    instruments: tuple[str, ...]
    filter: str
    tag: str = DEFAULT
    more_tags: tuple[str, ...] = ()  # of other instruments, since a tag holds one
    area: Area | None = None
    sections: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    target: str = ""
    mjd_range: tuple[float, float] = (0.0, 1e9)
    max_seeing: float | None = None  # arcsec
    min_depth: float | None = None  # mag, 5σ limit
    max_airmass: float | None = None
    max_background: float | None = None  # electrons per pixel
    min_number: int = 1
    max_number: int = 30

    def groups(self) -> dict[str, list[ZeroPoint]]:
        """CCD (and position, where it saw several fields) → zero points of its images, best seeing first.

        BadInput, with all that was left out and why, where there are none.
        """
        return self.groups_of(self.choose())

    def groups_of(self, chosen: Chosen) -> dict[str, list[ZeroPoint]]:
        """Those of a choice that was made; BadInput as for `groups`."""
        if not chosen.groups:
            raise self._nothing(chosen)
        return chosen.groups

    def choose(self) -> Chosen:
        """Judge every image of the instruments in the filter; nothing is refused where none fits."""
        candidates = [Judged(image, reason=self._place_or_date(image)) for image in self._images()]
        candidates = self._with_figures(candidates)
        candidates = [row if row.reason else self._judged(row) for row in candidates]
        fitting = [row for row in candidates if not row.reason]
        fitting.sort(key=lambda row: (row.seeing, row.image.mjd))
        grouped = [row for name, rows in self._grouped(fitting) for row in self._enough(name, rows)]
        judged = [*grouped, *(row for row in candidates if row.reason)]
        groups: dict[str, list[ZeroPoint]] = {}
        for row in grouped:
            if not row.reason:
                groups.setdefault(row.group, []).append(row.zero_point)
        others = self._all().exclude(filter=self.filter).order_by().values_list("filter").annotate(n=Count("pk"))
        return Chosen(groups, sorted(judged, key=lambda row: (row.image.section, row.image.mjd)), dict(others))

    def _all(self) -> QuerySet[ScienceImage]:
        made = self._tagged("preprocessing")
        return ScienceImage.objects.filter(provenance__in=made, instrument__in=self.instruments)

    def _tagged(self, process: str) -> QuerySet[ProvenanceTag]:
        rows = ProvenanceTag.objects.filter(tag__in=(self.tag, *self.more_tags), provenance__process=process)
        return rows.values("provenance")

    def _images(self) -> QuerySet[ScienceImage]:
        rows = self._all().filter(filter=self.filter).select_related("exposure")
        return rows.defer("wcs", "quality", "preprocessing", "exposure__header")

    def _place_or_date(self, image: ScienceImage) -> str:
        """Why an image is left out, as far as its own row tells."""
        if self.sections and image.section not in self.sections:
            return f"of CCD {image.section}"
        if self.area and not self.area.touches(image):
            return f"it shows nothing of {self.area.name}"
        if self.projects and image.project not in self.projects:
            return f"of project {image.project or 'none'}"
        if self.target and image.target.lower() != self.target.lower():
            return f"of target {image.target or 'none'}"
        if not self.mjd_range[0] <= image.mjd <= self.mjd_range[1]:
            return "outside the dates"
        if self.max_airmass is not None and (image.airmass or 0) > self.max_airmass:
            return f"at an airmass above {self.max_airmass:g}"
        return ""

    def _with_figures(self, candidates: Sequence[Judged]) -> list[Judged]:
        """The candidates with their zero points and seeing; those without say where processing stopped."""
        open_ones = {row.image.pk: row for row in candidates if not row.reason}
        tagged = self._tagged("photocal")
        solved = ZeroPoint.objects.filter(provenance__in=tagged, **{f"{_IMAGE}__in": list(open_ones)})
        zero_points = {row.image.pk: row for row in solved.select_related(f"{_IMAGE}__exposure")}
        widths = PSF.objects.filter(sources__in=[row.world_coordinates.sources_id for row in zero_points.values()])
        pixels = dict(widths.values_list("sources", "fwhm_pixels"))
        skies = dict(Background.objects.filter(sources__in=list(pixels)).values_list("sources", "value"))
        stopped = self._stopped([row.image for key, row in open_ones.items() if key not in zero_points])
        found = []
        for row in candidates:
            zero_point = zero_points.get(row.image.pk)
            if row.reason:
                found.append(row)
            elif zero_point is None:
                where = stopped.get(
                    (row.image.exposure_id, row.image.section), "process it with --through-step photocal"
                )
                found.append(Judged(row.image, reason=f"not calibrated under the tag '{self.tag}': {where}"))
            else:
                sources = zero_point.world_coordinates.sources_id
                seeing = pixels[sources] * (row.image.pixel_scale or 0)
                found.append(Judged(row.image, zero_point, seeing, skies.get(sources)))
        return found

    def _stopped(self, images: Sequence[ScienceImage]) -> dict[tuple[object, str], str]:
        """(exposure, CCD) → where its last attempt stopped."""
        rows = Report.objects.filter(
            exposure__in=[row.exposure_id for row in images], tag__in=(self.tag, *self.more_tags)
        )
        rows = rows.exclude(error_type="").order_by("started_at")
        return {
            (exposure, section): f"it stopped in {step or 'the set-up'} ({message[:150]})"
            for exposure, section, step, message in rows.values_list(
                "exposure", "section", "error_step", "error_message"
            )
        }

    def _judged(self, row: Judged) -> Judged:
        """The same candidate with what its calibration says against it."""
        reason, zero_point = "", row.zero_point
        badness = Badness(zero_point.badness_own | zero_point.badness_upstream)
        depth = zero_point.limiting_magnitude
        if badness:
            reason = f"bad ({badness.label})"
        elif row.seeing > (self.max_seeing or np.inf):
            reason = f"less sharp than {self.max_seeing:g} arcsec"
        elif self.min_depth is not None and (depth is None or depth < self.min_depth):
            reason = f"shallower than {self.min_depth:g} mag"
        elif self.max_background is not None and (row.sky or 0.0) > self.max_background:
            reason = f"its sky is brighter than {self.max_background:g} electrons"
        return replace(row, reason=reason)

    def _grouped(self, rows: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
        """Name of each reference and the candidates for it, best seeing first."""
        by_ccd: dict[tuple[str, str], list[Judged]] = {}
        for row in rows:
            by_ccd.setdefault((row.image.instrument, row.image.section), []).append(row)
        found = []
        for (instrument, section), of_ccd in sorted(by_ccd.items()):
            fields = in_fields(of_ccd)
            name = f"{instrument} {section}" if len(self.instruments) > 1 else section
            for rows_of_field in fields:
                first = rows_of_field[0].image
                place = f" {first.ra:.3f}{first.dec:+.3f}" if len(fields) > 1 else ""
                found.append((name + place, rows_of_field))
        return found

    def _enough(self, name: str, rows: Sequence[Judged]) -> list[Judged]:
        """The candidates for one reference: the sharpest are used, if there are enough."""
        few = ""
        if len(rows) < self.min_number:
            few = f"only {len(rows)} of its CCD and field fit, {self.min_number} needed"
        many = f"the {self.max_number} sharpest of its CCD and field are used"
        return [
            replace(row, group=name, reason=few or (many if place >= self.max_number else ""))
            for place, row in enumerate(rows)
        ]

    def _nothing(self, chosen: Chosen) -> BadInput:
        most = max(Counter(row.group for row in chosen.judged if row.group).values(), default=0)
        reason = f"{most or 'no'} calibrated images fit, {self.min_number} needed (tag '{self.tag}'"
        if said := {why: number for why, number in chosen.reasons().items() if not why.startswith("only ")}:
            reason += f"; left out: {', '.join(f'{number} {why}' for why, number in list(said.items())[:12])}"
        elif not most:
            reason += f" has images of {', '.join(self._there_are()) or 'nothing'}"
        reason += "); process more with --through-step photocal, or choose otherwise"
        return BadInput(what=f"references of {', '.join(self.instruments)} in {self.filter}", reason=reason)

    def _there_are(self) -> list[str]:
        tagged = self._tagged("photocal")
        rows = ZeroPoint.objects.filter(provenance__in=tagged, **{f"{_IMAGE}__kind": Image.Kind.SCIENCE})
        pairs = rows.values_list(f"{_IMAGE}__instrument", f"{_IMAGE}__filter").distinct().order_by()
        return sorted(f"{name} in {band}" for name, band in pairs)


def in_fields(rows: Sequence[Judged]) -> list[list[Judged]]:
    """Images of one CCD by field: each joins the first one whose centre is within the radius of its own image."""
    fields: list[list[Judged]] = []
    for row in rows:
        for one in fields:
            first = one[0].image
            if separation(first.ra, first.dec, row.image.ra, row.image.dec) < min(first.radius, row.image.radius):
                one.append(row)
                break
        else:
            fields.append([row])
    return fields
