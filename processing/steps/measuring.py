"""Measuring: flux, position, shape and cuts of each detection."""

from __future__ import annotations

import numpy as np
import sep
from pydantic import field_validator

from processing.algorithms import cross_photometry
from processing.algorithms.apertures import annulus_medians
from processing.algorithms.cuts import NO_CUTS, CutParameters, apply_cuts, explain
from processing.algorithms.diagnostics import measure_diagnostics
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.stamps import cut_stamps
from processing.algorithms.subtraction.tiles import Tiles
from processing.parameters import Parameters, param
from processing.step import Step
from processing.steps.planes import score_planes
from products.models import (
    PSF,
    Background,
    Cutouts,
    Detections,
    DifferenceImage,
    Measurement,
    MeasurementSet,
    ScienceImage,
    WarpedImage,
    WorldCoordinates,
    ZeroPoint,
)

BRIGHT = 50.0  # sigma of the sky of a pixel that a bright star has


class MeasuringParameters(Parameters):
    bad_thresholds: CutParameters = param(CutParameters(), help="Failing one of these marks a measurement as bad.")
    deletion_thresholds: CutParameters = param(
        NO_CUTS, help="Failing one of these keeps a measurement from being saved."
    )
    aperture_radii: tuple[float, ...] = param((1.0, 2.0, 3.0), unit="FWHM", help="Apertures on the difference image.")
    background_annulus: tuple[float, float] = param(
        (4.0, 5.0), unit="FWHM", help="Inner and outer radius of the ring that shows what the difference left around."
    )
    association_radius: float = param(1.0, gt=0, unit="arcsec", help="Measurements this close are of one object.")

    @field_validator("background_annulus")
    @classmethod
    def _inner_is_smaller(cls, radii: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= radii[0] < radii[1]:
            raise ValueError("must be two radii, the smaller one first")
        return radii


class Measuring(Step):
    """Measure each detection on the difference image and hold it against the cuts."""

    name = "measuring"
    version = (1, 6, 0)
    parameters: MeasuringParameters

    def run(
        self,
        cutouts: Cutouts,
        sources: Detections,
        difference: DifferenceImage,
        warped: WarpedImage,
        image: ScienceImage,
        background: Background,
        psf: PSF,
        world_coordinates: WorldCoordinates,
        zero_point: ZeroPoint,
    ) -> MeasurementSet:
        peaks, p = sources.table, self.parameters
        planes, fwhm = score_planes(difference), psf.fwhm_pixels
        model = PSFModel.from_planes(psf.planes, psf.model_header)
        forced = _direct_flux(cutouts, image, background, warped, model)
        bright = np.maximum(cutouts.new, cutouts.reference) > BRIGHT * background.noise
        found = measure_diagnostics(planes, peaks, fwhm, forced=forced, bright=bright)
        bad, names = apply_cuts(found, p.bad_thresholds)
        deleted, _ = apply_cuts(found, p.deletion_thresholds)
        radii = [float(radius * fwhm) for radius in p.aperture_radii]
        apertures = _aperture_fluxes(difference, planes.mask, peaks, radii)
        inner, outer = (radius * fwhm for radius in p.background_annulus)
        ring = annulus_medians(difference.data, planes.mask, peaks["x"], peaks["y"], (inner, outer))
        kept, verdicts = ~deleted.any(axis=1), explain(found, p.bad_thresholds)
        result = MeasurementSet(
            cutouts=cutouts,
            n_measured=len(peaks),
            n_saved=int(kept.sum()),
            n_kept=int((kept & ~bad.any(axis=1)).sum()),
            association_radius=p.association_radius,
            cut_counts={name: int(count) for name, count in zip(names, bad.sum(axis=0))},
        )
        for index in np.flatnonzero(kept):
            peak = peaks[index]
            flux, error = float(peak["flux"]), float(peak["flux_err"])
            magnitude, magnitude_error = zero_point.magnitude(abs(flux), error, peak["x"], peak["y"])
            row = Measurement(
                measurement_set=result,
                index_in_sources=int(index),
                mjd=image.mjd_middle,
                filter=image.filter,
                x=float(peak["x"]),
                y=float(peak["y"]),
                flux=flux,
                flux_error=error,
                snr=float(peak["snr"]),
                magnitude=magnitude,
                magnitude_error=magnitude_error,
                flux_apertures=[float(value) for value in apertures[0][index]],
                flux_apertures_errors=[float(value) for value in apertures[1][index]],
                aperture_radii=radii,
                background_per_pixel=_plain(ring[index]),
                diagnostics={name: _plain(found[name][index]) for name in found.dtype.names},
                cuts=[[v.name, _plain(v.value), v.threshold, v.passed] for v in verdicts[index]],
                failed_cuts=[name for name, failed in zip(names, bad[index]) if failed],
                is_bad=bool(bad[index].any()),
            )
            result.rows.append(row)
        Measurement.set_positions(result.rows, peaks["ra"][kept], peaks["dec"][kept])
        return result


def _plain(value: np.generic | float) -> float | int | bool | None:
    """A value for JSON; None for what is not finite."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _direct_flux(
    cutouts: Cutouts, image: ScienceImage, background: Background, warped: WarpedImage, model: PSFModel
) -> tuple[np.ndarray, np.ndarray]:
    """Forced flux of new minus reference at each detection: a check that does not use the difference image."""
    peaks, (x, y) = cutouts.sources.table, cutouts.centres.T
    size, fwhm = cutouts.size, model.fwhm

    def cut(plane: np.ndarray) -> np.ndarray:
        return cut_stamps(plane, x, y, size=size)[0]

    weights = cut(image.weight), cut(warped.weight)
    usable = (weights[0] > 0) & (weights[1] > 0)
    own, of_reference = (1 / np.where(usable, weight, 1) for weight in weights)
    tiles = Tiles(warped.tiles, warped.psf_stamps, warped.psf_stamps)
    none = np.zeros(len(peaks))
    new = cross_photometry.Epoch(
        cutouts.new,
        np.maximum(own, cut(background.rms) ** 2),
        model.stamps(x.astype(float), y.astype(float), none, none),
    )
    reference = cross_photometry.Epoch(cutouts.reference, of_reference, tiles.psf[tiles.index(x, y)])
    offsets = np.stack([peaks["x"] - x, peaks["y"] - y], axis=1)
    return cross_photometry.cross_flux(new, reference, offsets, usable, 1.75 * fwhm)


def _aperture_fluxes(
    difference: DifferenceImage, mask: np.ndarray, peaks: np.ndarray, radii: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors, both (n, radii), in apertures on the difference image."""
    fluxes, errors = np.zeros((2, len(peaks), len(radii)))
    if len(peaks) == 0:
        return fluxes, errors
    weight = difference.weight
    sigma = np.sqrt(np.divide(1, weight, out=np.zeros_like(weight), where=weight > 0))
    for column, radius in enumerate(radii):
        flux, error, _ = sep.sum_circle(difference.data, peaks["x"], peaks["y"], radius, err=sigma, mask=mask)
        fluxes[:, column], errors[:, column] = np.nan_to_num(flux), np.nan_to_num(error)
    return fluxes, errors
