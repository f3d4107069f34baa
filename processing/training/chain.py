"""The steps of the pipeline on a simulated field, from raw pixels to measurements, with nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from processing import config
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.simulation_detector import Detector
from processing.algorithms.sky import stars_at
from processing.datastore import DataStore
from processing.pipeline import Pipeline
from processing.pipelines import COADD, SCIENCE
from processing.providers import CoaddInputs, ReferenceProducts, StarCatalog
from processing.step import Lookup, Step
from processing.steps.scoring import candidates_of
from processing.training.exposing import EXPOSURE_TIME, SECTION, Artefacts, detector_of, expose
from processing.training.fields import BAND, EPOCH, NEW_MJD, REFERENCE_MJD, Field, catalog_of
from products.models import (
    PSF,
    Background,
    CoaddImage,
    Cutouts,
    Detections,
    Exposure,
    Image,
    MeasurementSet,
    Reference,
    ScienceImage,
    SourceList,
    WorldCoordinates,
    ZeroPoint,
)

_LAST = "measuring"
_CHEAPER = {"extraction": {"injected": 0}}  # a check of the limit, which changes nothing that follows


@dataclass(frozen=True)
class Found:
    """What the pipeline found in a field."""

    candidates: Candidates
    x: np.ndarray  # (n,) px from 0
    y: np.ndarray
    flux_error: np.ndarray  # (n,) electrons
    artefacts: Artefacts
    zero_point: float  # of the new image, as it was measured
    reference_zero_point: float
    fwhm: float  # px


class Chain:
    """The steps with the parameters of a configuration, that of this site if none is given."""

    def __init__(self, configuration: Mapping[str, Any] | None = None) -> None:
        settings = config.merge(config.load() if configuration is None else configuration, _CHEAPER)
        self.science = Pipeline(SCIENCE, configuration=settings)
        self.coadd = Pipeline(COADD, configuration=settings)

    def run(self, field: Field) -> Found:
        """Expose a field, make its reference, and search the new image. Raises the errors of the steps."""
        detector = detector_of(field.seed, field.side)
        reference = self._reference(field, detector)
        data, artefacts = self._begun(field, detector, 0)
        self._through(data, "photocal")
        if any(field.wrong_wcs):
            _shift(data[WorldCoordinates], field.wrong_wcs)
        data.put(Reference(zero_point=reference.zero_point), reference)
        self._through(data, _LAST, after="photocal")
        rows = data[MeasurementSet].all_rows()
        return Found(
            candidates=candidates_of(data[MeasurementSet], data[Cutouts]),
            x=np.array([row.x for row in rows]),
            y=np.array([row.y for row in rows]),
            flux_error=np.array(data[Detections].table["flux_err"], float)[[row.index_in_sources for row in rows]],
            artefacts=artefacts,
            zero_point=data[ZeroPoint].zp,
            reference_zero_point=reference.zero_point.zp,
            fwhm=data[PSF].fwhm_pixels,
        )

    def _reference(self, field: Field, detector: Detector) -> ReferenceProducts:
        parts = []
        for number in range(1, len(field.references) + 1):
            data, _ = self._begun(field, detector, number)
            self._through(data, "photocal")
            parts.append(_products(data, ScienceImage))
        if len(parts) == 1:
            return parts[0]
        parts.sort(key=lambda part: part.psf.fwhm_pixels)
        data = DataStore(CoaddInputs(tuple(parts)), _stars(field, REFERENCE_MJD), section=SECTION)
        for step in self.coadd.steps:
            data.put(*self.coadd.make(step, data))
        return _products(data, CoaddImage)

    def _begun(self, field: Field, detector: Detector, number: int) -> tuple[DataStore, Artefacts]:
        """The raw exposure `number`, 0 for the new one, with what its steps need."""
        frame, mjd = (field.new, NEW_MJD) if number == 0 else (field.references[number - 1], REFERENCE_MJD)
        exposed = expose(field.sky, frame, mjd, detector, [field.seed, 4, number])
        exposure = Exposure(
            name=f"{field.name} {number}", instrument="demo", telescope="simulated", mjd=mjd + 0.001 * number,
            exposure_time=EXPOSURE_TIME, filter=BAND, filters={SECTION: BAND}, header={}, airmass=1.2,
        )  # fmt: skip
        data = DataStore(exposure, exposed.raw, exposed.calibrators, _stars(field, mjd), section=SECTION)
        return data, exposed.artefacts

    def _through(self, data: DataStore, last: str, after: str = "") -> None:
        """Run the steps that follow `after` up to the one called `last`."""
        names = [step.name for step in self.science.steps]
        chosen: list[Step] = list(self.science.steps[names.index(after) + 1 if after else 0 : names.index(last) + 1])
        for step in chosen:
            if not isinstance(step, Lookup):
                data.put(*self.science.make(step, data))


def _stars(field: Field, mjd: float) -> StarCatalog:
    return StarCatalog(stars_at(catalog_of(field), EPOCH, mjd), "simulated")


def _products(data: DataStore, kind: type[Image]) -> ReferenceProducts:
    return ReferenceProducts(
        data[kind], data[PSF], data[Background], data[SourceList], data[WorldCoordinates], data[ZeroPoint]
    )


def _shift(solution: WorldCoordinates, shift: tuple[float, float]) -> None:
    """Make a solution wrong by px: what an astrometry of few stars does."""
    from astropy.io import fits

    header = fits.Header.fromstring(solution.header, sep="\n")
    header["CRPIX1"] += shift[0]
    header["CRPIX2"] += shift[1]
    solution.header = header.tostring(sep="\n")
