"""What steps need that no step makes: raw pixels, calibration frames, catalogue stars, components of a coadd."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from processing.admission.pixels import check_pixels, check_place
from processing.algorithms.ephemerides import Cap
from processing.algorithms.master_stacking import FrameStore, MemoryStore
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.readout import Frames, RawCcd
from processing.algorithms.resampling import StampModel
from processing.algorithms.sky import stars_at
from processing.calibrator_choice import calibrator, contents
from processing.catalog_choice import Field, stars_of
from processing.datastore import DataStore
from processing.ephemerides.base import KnownBodies
from processing.instruments.base import Instrument, RawSection
from processing.sensor_sections import read_raw
from processing.step import Step
from products import sky
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
    WarpedImage,
    WorldCoordinates,
    ZeroPoint,
)


@dataclass(frozen=True)
class Calibrators:
    """What corrects one CCD at its date, and which corrections are to be made, in physical order."""

    frames: Frames = field(default_factory=Frames)
    corrections: tuple[str, ...] = ()
    files: tuple[CalibratorFile, ...] = ()
    neighbours: Mapping[str, RawCcd] = field(default_factory=dict)  # CCDs whose crosstalk reaches this one


@dataclass(frozen=True)
class StarCatalog:
    """Catalogue stars around an image, at the epoch of the image."""

    table: np.ndarray  # structured, as `catalogs.base.star_table` gives it, by declination; and position_error, mas
    origin: str
    excerpts: tuple[CatalogExcerpt, ...] = ()  # those that the stars are of


@dataclass(frozen=True)
class ReferenceProducts:
    """What a reference is made of."""

    image: Image
    psf: PSF
    background: Background
    sources: SourceList
    world_coordinates: WorldCoordinates
    zero_point: ZeroPoint
    others: tuple[ReferenceProducts, ...] = ()  # further references, for what this one does not cover

    def psf_model(self) -> StampModel:
        """The PSF of the image."""
        return PSFModel.from_planes(self.psf.planes, self.psf.model_header)

    @property
    def noise(self) -> float | np.ndarray:
        """Of the sky, electrons: one number, or (ny, nx)."""
        return float(self.background.noise)

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
class Untouched:
    """What a subtraction of an image with fakes takes over from that of the image without them; empty otherwise."""

    image: ScienceImage | None = None  # what kernels and sky are fitted to
    warped: WarpedImage | None = None


@dataclass(frozen=True)
class FurtherReferences:
    """What covers parts of the image that the chosen reference does not; by the ids of their zero points."""

    references: tuple[Reference, ...]


@dataclass(frozen=True)
class CoaddInputs:
    """The calibrated images that go into a coadd, best seeing first."""

    components: tuple[ReferenceProducts, ...]
    store: Callable[[], FrameStore] = MemoryStore  # where warped images wait


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
    raw = read_raw(exposure, data.section)
    what = f"{exposure.name} {data.section}"
    check_pixels(raw, what)
    check_place(raw, exposure, what)
    return raw


@provides(Calibrators)
def calibrators(data: DataStore, step: Step) -> Calibrators:
    """What each correction needs, from the set that the step names, valid at the date of the exposure."""
    exposure, camera, p = data[Exposure], instrument(data, step), step.parameters
    band = exposure.filters.get(data.section) or exposure.filter
    done = exposure.header.get("done", ())  # of exposures that come reduced
    corrections = tuple(name for name in camera.corrections_in(band, p.corrections) if name not in done)
    files = {
        kind: calibrator(kind, exposure, data.section, p.calibrator_set, p.flat_type)
        for kind in corrections
        if kind in CalibratorFile.Kind.values
    }
    frames = Frames(**{kind: contents(file) for kind, file in files.items()})
    frames = replace(frames, bad_pixels=_unknown_pixels(frames.bad_pixels, files.values()))
    neighbours = {}
    if frames.crosstalk is not None:
        for name in sorted(set(map(str, frames.crosstalk["source_section"])) - {"", data.section}):
            raw = read_raw(exposure, name)
            neighbours[name] = RawCcd(raw.data, raw.amplifiers)
    return Calibrators(frames, corrections, tuple(files.values()), neighbours)


def _unknown_pixels(bad_pixels: np.ndarray | None, files: Iterable[CalibratorFile]) -> np.ndarray | None:
    """Flags of a mask of bad pixels, and of those that the other frames know nothing of, e.g. at the edge of a flat."""
    for file in files:
        if file.image_id and file.kind != CalibratorFile.Kind.BAD_PIXELS and file.image.flags.any():
            bad_pixels = file.image.flags if bad_pixels is None else bad_pixels | file.image.flags
    return bad_pixels


@provides(StarCatalog)
def star_catalog(data: DataStore, step: Step) -> StarCatalog:
    """Stars of an imported catalogue that covers the image, else of cells of the catalogue that the step names."""
    image, p = data.get(ScienceImage) or data[CoaddImage], step.parameters
    margin = max(p.catalog_margin_arcsec, getattr(getattr(p, "solution", None), "pointing_error", 0.0))
    field_of_image = Field(np.array(image.corners), margin / 3600)
    found = stars_of(field_of_image, p.catalog, faintest=p.faintest, min_cover=p.catalog_min_cover)
    table = stars_at(found.table, found.epoch, image.mjd_middle)
    return StarCatalog(table=table, origin=found.origin, excerpts=found.excerpts)


@provides(KnownBodies)
def known_bodies(data: DataStore, step: Step) -> KnownBodies:
    """Bodies of the Solar System that are predicted to be in and just around the image, in the middle of its time."""
    image = data[ScienceImage]
    ra, dec, radius = sky.centre_and_radius(np.array(image.corners))
    cap = Cap(ra, dec, radius + step.parameters.max_uncertainty / 3600)
    return step.parameters.source.predict(cap, image.mjd_middle, instrument(data, step).site)


@provides(ReferenceProducts)
def reference_products(data: DataStore, step: Step) -> ReferenceProducts:
    """The image, PSF and calibration of the chosen reference, and of those that stand by it."""
    first = ReferenceProducts.of(data[Reference].zero_point)
    return replace(first, others=tuple(map(ReferenceProducts.of, _standing_by(data))))


@provides(Untouched)
def untouched(data: DataStore, step: Step) -> Untouched:
    """Nothing: this is the image itself."""
    return Untouched()


def _standing_by(data: DataStore) -> list[ZeroPoint]:
    """Zero points of further references: as they were chosen, or as an earlier run noted them in the warped image."""
    if held := data.get(FurtherReferences):
        return [row.zero_point for row in held.references]
    if warped := data.get(WarpedImage):
        return list(warped.components.exclude(pk=data[Reference].zero_point_id).order_by("pk"))
    return []
