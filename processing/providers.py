"""What steps need that no step makes: raw pixels, calibration frames, catalogue stars, components of a coadd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Q

from processing.admission.pixels import check_pixels, check_place
from processing.algorithms.sky import apply_proper_motion
from processing.datastore import DataStore
from processing.errors import EmptyCatalog, MissingCalibrator
from processing.instruments.base import Instrument, RawSection
from processing.star_catalogs import keep_excerpt
from processing.step import Step
from products.models import (
    PSF,
    Background,
    CalibratorFile,
    CatalogExcerpt,
    CoaddImage,
    Exposure,
    Image,
    Reference,
    ScienceImage,
    SourceList,
    WorldCoordinates,
    ZeroPoint,
)


@dataclass(frozen=True)
class Calibrators:
    """Frames for one CCD at its date; None for those that its instrument does not need."""

    bias: np.ndarray | None = None  # (ny, nx) float32, ADU
    dark: np.ndarray | None = None  # (ny, nx) float32, ADU/s
    flat: np.ndarray | None = None  # (ny, nx) float32, median 1
    files: tuple[CalibratorFile, ...] = ()


@dataclass(frozen=True)
class StarCatalog:
    """Catalogue stars around an image, at the epoch of the image."""

    table: np.ndarray  # structured: ra, dec (ICRS degrees), mag_*, err_*, is_star
    origin: str


@dataclass(frozen=True)
class ReferenceProducts:
    """What a reference is made of."""

    image: Image
    psf: PSF
    background: Background
    sources: SourceList
    world_coordinates: WorldCoordinates
    zero_point: ZeroPoint

    @classmethod
    def of(cls, zero_point: ZeroPoint) -> ReferenceProducts:
        """The products behind a zero point."""
        sources = zero_point.world_coordinates.sources
        return cls(
            image=sources.image,
            psf=zero_point.psf,
            background=zero_point.background,
            sources=sources,
            world_coordinates=zero_point.world_coordinates,
            zero_point=zero_point,
        )


@dataclass(frozen=True)
class CoaddInputs:
    """The calibrated images that go into a coadd, best seeing first."""

    components: tuple[ReferenceProducts, ...]


_PROVIDERS: dict[type, Callable[[DataStore, Step], Any]] = {}


def provide(classes: tuple[type, ...], data: DataStore, step: Step) -> Any:
    """An input of one of `classes`: what the store holds, or what a provider finds."""
    for cls in classes:
        if cls in data:
            return data[cls]
    for cls in classes:
        if cls in _PROVIDERS:
            return _PROVIDERS[cls](data, step)
    raise TypeError(f"nothing provides {' or '.join(cls.__name__ for cls in classes)} to {step.name}")


def provides(cls: type) -> Callable[[Callable[[DataStore, Step], Any]], Callable[[DataStore, Step], Any]]:
    """Declare the provider of a class."""

    def remember(function: Callable[[DataStore, Step], Any]) -> Callable[[DataStore, Step], Any]:
        _PROVIDERS[cls] = function
        return function

    return remember


def provided() -> frozenset[type]:
    """The classes that have a provider."""
    return frozenset(_PROVIDERS)


@provides(Instrument)
def instrument(data: DataStore, step: Step) -> Instrument:
    """The instrument of the exposure or image at hand."""
    holder = data.get(Exposure) or data.get(ScienceImage) or data.get(CoaddImage)
    return Instrument.member(holder.instrument)()


@provides(RawSection)
def raw_section(data: DataStore, step: Step) -> RawSection:
    """The raw pixels of the CCD."""
    exposure = data[Exposure]
    camera = instrument(data, step)
    raw = camera.read_section(exposure.path(), exposure.companion_paths(), exposure.header, data.section)
    what = f"{exposure.name} {data.section}"
    check_pixels(raw, what)
    check_place(raw, exposure, what)
    return raw


@provides(Calibrators)
def calibrators(data: DataStore, step: Step) -> Calibrators:
    """The frames of the set that the step names, valid at the date of the exposure; the latest made wins."""
    exposure = data[Exposure]
    needed = [kind for kind in instrument(data, step).required if kind in ("bias", "dark", "flat")]
    calibrator_set = step.parameters.calibrator_set
    files = {kind: calibrator(kind, exposure, data.section, calibrator_set) for kind in needed}
    return Calibrators(**{kind: file.image.data for kind, file in files.items()}, files=tuple(files.values()))


def calibrator(kind: str, exposure: Exposure, section: str, calibrator_set: str) -> CalibratorFile:
    """The frame of one CCD that is valid at the date of an exposure; MissingCalibrator where there is none."""
    band = exposure.filters.get(section) or exposure.filter
    rows = CalibratorFile.objects.filter(
        Q(valid_from=None) | Q(valid_from__lte=exposure.mjd),
        Q(valid_to=None) | Q(valid_to__gte=exposure.mjd),
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter__in=["", band],
        calibrator_set=calibrator_set,
        image__badness_own=0,
        image__badness_upstream=0,
        image__provenance__is_bad=False,
    )
    if row := rows.select_related("image").order_by("-created_at").first():
        return row
    raise MissingCalibrator(
        kind=kind,
        instrument=exposure.instrument,
        section=section,
        filter=band,
        mjd=exposure.mjd,
        hint=f"make one: manage.py make_{kind} FILE… --instrument {exposure.instrument}",
    )


@provides(StarCatalog)
def star_catalog(data: DataStore, step: Step) -> StarCatalog:
    """Stars of an imported catalogue that covers the image, else fetched from the catalogue that the step names."""
    image, p = data.get(ScienceImage) or data[CoaddImage], step.parameters
    if held := _excerpts(image, p):
        tables, origin, epoch = [row.table for row in held], held[0].origin, held[0].epoch
    else:
        origin, epoch = p.catalog.name, p.catalog.epoch
        reach = image.radius * 1.2 + p.catalog_margin_arcsec / 3600
        tables = [p.catalog.fetch(image.ra, image.dec, reach, p.faintest)]
        keep_excerpt(tables[0], origin, epoch, faintest=p.faintest)
    table = _merge(tables)
    ra, dec = apply_proper_motion(table["ra"], table["dec"], table["pmra"], table["pmdec"], epoch, image.mjd_middle)
    table["ra"], table["dec"] = ra, dec
    if len(table) == 0:
        raise EmptyCatalog(
            catalog=origin, found=0, needed=1, hint="import one: manage.py import_catalog FILE --name NAME"
        )
    return StarCatalog(table=table, origin=origin)


def _excerpts(image: Image, parameters: Any) -> list[CatalogExcerpt]:
    """What is held of one catalogue at one epoch, the one that covers most of the image; empty if it is too little.

    Of a catalogue that can be fetched, what was fetched down to a brighter magnitude than is wanted now does not count.
    """
    found = CatalogExcerpt.objects.select_related("provenance").overlapping(np.array(image.corners))
    if parameters.catalog.name != "local":
        found = [row for row in found if row.origin == parameters.catalog.name]
        found = [row for row in found if row.provenance.parameters.get("faintest", np.inf) >= parameters.faintest]
    if not found or found[0].overlap <= parameters.catalog_min_cover:
        return []
    return [row for row in found if (row.origin, row.epoch) == (found[0].origin, found[0].epoch)]


def _merge(tables: list[np.ndarray]) -> np.ndarray:
    first = tables[0].copy()
    same = [table for table in tables[1:] if table.dtype == first.dtype]
    if not same:
        return first
    table = np.concatenate([first, *same])
    _, unique = np.unique(np.round(np.stack([table["ra"], table["dec"]]) * 3.6e6), axis=1, return_index=True)
    return table[np.sort(unique)]


@provides(ReferenceProducts)
def reference_products(data: DataStore, step: Step) -> ReferenceProducts:
    """The image, PSF and calibration of the chosen reference."""
    return ReferenceProducts.of(data[Reference].zero_point)
