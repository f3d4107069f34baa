"""Extraction: the sources, the PSF and the sky of an image."""

from __future__ import annotations

import numpy as np

from processing.algorithms.background import BackgroundParameters, estimate_background
from processing.algorithms.extraction import DetectionParameters, extract_sources, select_stars
from processing.algorithms.psf_fit import fit_psf
from processing.algorithms.psf_model import PSFParameters
from processing.algorithms.psf_photometry import fit_stars
from processing.extraction_gates import ExtractionGates, judge_extraction
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import PSF, Background, CoaddImage, ScienceImage, SourceList
from products.pixel_flags import PixelFlag


class ExtractionParameters(Parameters):
    background: BackgroundParameters = param(BackgroundParameters(), help="How the sky is measured.")
    detection: DetectionParameters = param(DetectionParameters(), help="How sources are found.")
    psf: PSFParameters = param(PSFParameters(), help="How the PSF is modelled.")
    gates: ExtractionGates = param(ExtractionGates(), help="What makes sources, PSF or sky bad.")
    psf_photometry_snr: float = param(5.0, ge=0, help="PSF photometry of sources from this S/N on.")


class Extraction(Step):
    """Find the sources of an image, measure its sky and its PSF."""

    name = "extraction"
    version = (1, 5, 0)
    parameters: ExtractionParameters

    def run(self, image: ScienceImage | CoaddImage) -> tuple[SourceList, PSF, Background]:
        p = self.parameters
        mask = (image.weight <= 0) | ((image.flags & int(PixelFlag.UNUSABLE)) != 0)
        saturated = (image.flags & int(PixelFlag.SATURATED | PixelFlag.BLEED)) != 0
        sky = estimate_background(image.data, mask, p.background)
        sources = extract_sources(image.data, sky, mask, saturated, p.detection)
        stars = select_stars(sources, image.shape, mask, p.detection, full_well=image.saturation)
        signal = image.data - sky.level
        variance = total_variance(image.weight, sky.rms)
        model = fit_psf(signal, variance, mask, sources, stars, p.psf, segmentation=sources.segmentation)
        table = self._with_psf_fluxes(sources.table, signal, variance, mask, model)
        table["is_star"][stars] = True
        source_list = SourceList(
            image=image,
            table=table,
            n_sources=len(table),
            n_stars=model.n_stars,
            aperture_radii=[float(radius) for radius in sources.aperture_radii],
            best_aperture=sources.best_aperture,
            threshold=p.detection.threshold,
        )
        psf = PSF(
            sources=source_list,
            planes=model.planes,
            model_header=model.header(),
            fwhm_pixels=float(model.fwhm),
            order=model.order,
            n_stars=model.n_stars,
            chi2=float(model.chi2),
        )
        background = Background(
            sources=source_list, level=sky.level, rms=sky.rms, value=float(sky.value), noise=float(sky.noise)
        )
        self._warnings = judge_extraction(image, source_list, psf, background, p.gates)
        return source_list, psf, background

    def warnings(self) -> list[str]:
        return self._warnings

    def _with_psf_fluxes(self, table, signal, variance, mask, model) -> np.ndarray:
        extra = [("flux_psf", "f4"), ("flux_psf_err", "f4"), ("psf_chi2", "f4"), ("x_psf", "f8"), ("y_psf", "f8")]
        wide = np.zeros(len(table), table.dtype.descr + extra)
        for name in table.dtype.names:
            wide[name] = table[name]
        wide["x_psf"], wide["y_psf"] = table["x"], table["y"]
        chosen = np.flatnonzero(table["snr"] >= self.parameters.psf_photometry_snr)
        fitted = fit_stars(signal, variance, mask, model, table["x"][chosen], table["y"][chosen])
        for name, source in (
            ("flux_psf", "flux"),
            ("flux_psf_err", "flux_err"),
            ("psf_chi2", "chi2"),
            ("x_psf", "x"),
            ("y_psf", "y"),
        ):
            wide[name][chosen] = fitted[source]
        return wide


def total_variance(weight: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Variance (electron²) per pixel: at least that of the measured sky, and the image's own where it is larger."""
    from processing.algorithms.pixel_loops import total_variance as larger

    return larger(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(rms, np.float32))
