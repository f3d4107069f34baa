"""Forced photometry over all images that cover a position: what was measured before is found, the rest is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import numpy as np

from processing import provenances
from processing.datastore import DataStore
from processing.errors import NotCovered, StepError
from processing.pipeline import Pipeline
from processing.progress import Tell
from processing.reporting import Reporter
from processing.steps.forced import ForcedPhotometry, Places
from products import sky
from products.errors import ArchiveError
from products.models import DifferenceImage, ForcedFlux, Object, Provenance, WorldCoordinates, ZeroPoint
from products.selectors import forced as selector
from products.selectors.tags import ChosenTag, of_name
from products.services import forced as service
from products.services.tagging import refuse_unknown, tag_provenances

RELATED = ("exposure", "zero_point__world_coordinates")
CLASSES = (DifferenceImage, ZeroPoint, WorldCoordinates)  # what the step takes, and where their provenances stand
MADE_WITH = ("provenance", "zero_point__provenance", "zero_point__world_coordinates__provenance")


@dataclass(frozen=True)
class Wanted:
    """What is to be measured: a position in ICRS degrees, under which tag, between which dates (MJD, UTC)."""

    ra: float
    dec: float
    tag: ChosenTag
    start: float | None = None
    end: float | None = None

    @classmethod
    def of(cls, place: Object | tuple[float, float], tag: str, step: ForcedPhotometry, **dates: float | None) -> Self:
        """At a position, or where an object is; UnknownTag for a tag that holds nothing."""
        refuse_unknown(tag)
        chosen = of_name(tag)
        if isinstance(place, Object):
            place = selector.place_of(place, chosen, step.parameters.position_tolerance)
        return cls(place[0] % 360, place[1], chosen, **dates)


@dataclass
class Found:
    """What came out; `failures` has exposure, section, error and message of each image that could not be used."""

    keys: list[UUID]  # of the images that cover the position
    new: int = 0
    rows: list[ForcedFlux] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, Any]:
        """The same as a request keeps it."""
        return {
            "n_images": len(self.keys), "n_measured": len(self.rows), "n_new": self.new, "failures": self.failures,
        }  # fmt: skip


def step_of(configuration: Mapping[str, Any]) -> ForcedPhotometry:
    """The step with the parameters of a configuration."""
    return ForcedPhotometry(**configuration.get(ForcedPhotometry.name, {}))


def measure(wanted: Wanted, step: ForcedPhotometry, tell: Tell | None = None) -> Found:
    """Measure a position in every image that covers it and has no flux there yet; one that cannot be used is noted.

    NotCovered where there is none.
    """
    found = Found(covering_images(wanted))
    places = Places(np.array([wanted.ra]), np.array([wanted.dec]))
    made_with = provenances_of(found.keys, step, wanted.tag.name)
    rows = ForcedFlux.objects.filter(hpx=sky.hpx(wanted.ra, wanted.dec)[0], image__in=found.keys)
    rows = rows.filter(provenance__in=made_with.values())
    known = set(rows.order_by().values_list("image", flat=True))
    missing = [key for key in found.keys if key not in known]
    tick = tell("forced photometry", len(missing)) if tell else lambda text: None
    for key in missing:
        image = DifferenceImage.objects.select_related(*RELATED).get(pk=key)
        try:
            found.new += measure_image(image, places, step, made_with[image.provenance_id])
        except (ArchiveError, StepError, OSError) as error:
            found.failures.append(_failure(image, error))
        tick(str(image))
    found.rows = selector.one_an_image(rows, of_name(wanted.tag.name))
    return found


def covering_images(wanted: Wanted) -> list[UUID]:
    """Ids of the images that cover the position, oldest first; NotCovered where there is none."""
    images = selector.usable_images(wanted.tag, wanted.start, wanted.end)
    if keys := selector.covering(images, wanted.ra, wanted.dec):
        return keys
    hint = "images that are marked as bad do not count; is the tag the right one?"
    raise NotCovered(tag=wanted.tag.name, ra=wanted.ra, dec=wanted.dec, between=_between(wanted), hint=hint)


def _failure(image: DifferenceImage, error: Exception) -> dict[str, str]:
    whose = {"exposure": image.exposure.name if image.exposure else "", "section": image.section}
    return whose | {"error": type(error).__name__, "message": " ".join(str(error).split())}


def provenances_of(images: Iterable[UUID], step: ForcedPhotometry, tag: str) -> dict[str, Provenance]:
    """Provenance of difference images → that of forced photometry on them, kept and put into the tag.

    Each comes from what its images come from and not from all of a tag: what was measured stays what it is when the tag
    gets other images. TagConflict where the tag holds fluxes that were measured otherwise.
    """
    made_of = DifferenceImage.objects.filter(pk__in=list(images)).order_by().values_list(*MADE_WITH).distinct()
    found = {}
    for own, *calibration in made_of:
        roots = {cls: [key] for cls, key in zip(CLASSES, (own, *calibration))}
        found[own] = provenances.keep([step], roots)[step.name]
    for row in found.values():
        provenances.refuse_bad(row)
    if tag:
        tag_provenances(tag, found.values())
    return found


def measure_image(image: DifferenceImage, places: Places, step: ForcedPhotometry, provenance: Provenance) -> int:
    """Measure those places of one image at which it has no flux of the provenance; how many rows are new."""
    numbers = sky.hpx(np.asarray(places.ra) % 360, places.dec)
    known = ForcedFlux.objects.filter(hpx__in=numbers.tolist(), image=image, provenance=provenance)
    missing = ~np.isin(numbers, list(known.order_by().values_list("hpx", flat=True)))
    if not missing.any():
        return 0
    rest = Places(places.ra[missing], places.dec[missing])
    point = image.zero_point
    made = step.run(image=image, world_coordinates=point.world_coordinates, zero_point=point, places=rest)
    return service.keep(made, provenance)


def measure_known(pipeline: Pipeline, data: DataStore, report: Reporter) -> None:
    """Measure the objects that are known in the field of a CCD that was processed, where that is asked for."""
    step = step_of(pipeline.settings)
    image = data[DifferenceImage]
    if not step.parameters.known_objects or image.badness:
        return
    with report.step(step.name) as entry:
        found = selector.places_of(
            selector.known_objects(image), of_name(pipeline.tag), step.parameters.position_tolerance
        )
        places = Places(*np.array(found, float).reshape(-1, 2).T)
        provenance = provenances_of([image.pk], step, pipeline.tag)[image.provenance_id]
        entry["counts"] = {"forced": measure_image(image, places, step, provenance) if found else 0}


def _between(wanted: Wanted) -> str:
    words = [f"{word} MJD {mjd:g}" for word, mjd in (("from", wanted.start), ("to", wanted.end)) if mjd is not None]
    return " " + " ".join(words) if words else ""
