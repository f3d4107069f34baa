"""Detection: what changed, as peaks of the detection statistic."""

from __future__ import annotations

import numpy as np

from processing.algorithms.peaks import PeakParameters, find_peaks, noise_peaks
from processing.errors import BadPixels, TooManyDetections
from processing.parameters import Parameters, param
from processing.step import Step
from processing.steps.planes import score_planes
from products import depth
from products.models import Detections, DifferenceImage, WorldCoordinates, ZeroPoint

PSF_FLUX = -1  # instead of an aperture


class DetectionParameters(Parameters):
    peaks: PeakParameters = param(PeakParameters(), help="Threshold and merging.")
    max_score_std: float = param(8.0, gt=1, help="A difference whose score scatters more on empty sky is refused.")
    warn_score_std: float = param(1.1, gt=1, help="A difference whose score scatters more gets a warning.")
    max_detections: int = param(5000, ge=1, help="A difference with more is broken, and refused.")


class Detection(Step):
    """Find the peaks of the detection statistic, of either sign, and tell how faint they may be."""

    name = "detection"
    version = (1, 3, 0)
    parameters: DetectionParameters

    def run(self, image: DifferenceImage, world_coordinates: WorldCoordinates, zero_point: ZeroPoint) -> Detections:
        p, std = self.parameters, image.score_std or 1.0
        if std > p.max_score_std:
            raise BadPixels(fraction=1.0, what=f"the difference image: its score scatters by {std:.1f} on empty sky")
        self._warnings = [f"the score scatters by {std:.2f} on empty sky"] if std > p.warn_score_std else []
        fwhm = image.fwhm / image.pixel_scale
        planes = score_planes(image)
        peaks, noise = find_peaks(planes, fwhm, p.peaks), noise_peaks(planes, p.peaks)
        if len(peaks) > p.max_detections:
            raise TooManyDetections(found=len(peaks), most=p.max_detections, noise=noise)
        limits = depth.summary(image, zero_point, p.peaks.threshold)
        table = np.zeros(len(peaks), [*peaks.dtype.descr, ("ra", "f8"), ("dec", "f8")])
        for name in peaks.dtype.names:
            table[name] = peaks[name]
        if len(table):
            table["ra"], table["dec"] = world_coordinates.wcs.all_pix2world(table["x"], table["y"], 0)
        return Detections(
            image=image,
            table=table,
            n_sources=len(table),
            best_aperture=PSF_FLUX,
            threshold=p.peaks.threshold,
            quality={"expected_of_noise": round(noise, 2), "blended": int(table["is_blended"].sum()), **limits},
        )

    def warnings(self) -> list[str]:
        return self._warnings
