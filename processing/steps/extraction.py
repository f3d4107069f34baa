"""Extraction: the sources, the PSF and the sky of an image."""

from __future__ import annotations

import numpy as np

from processing.algorithms.background import BackgroundParameters, estimate_background
from processing.algorithms.extraction import DetectionParameters, Sources, extract_sources, select_stars
from processing.algorithms.injected_depth import injected_depth
from processing.algorithms.psf_fit import fit_psf
from processing.algorithms.psf_model import PSFModel, PSFParameters
from processing.algorithms.psf_photometry import fit_stars
from processing.algorithms.star_galaxy import spread_model, star_probability
from processing.algorithms.variance import total_variance
from processing.errors import BadInput
from processing.extraction_gates import ExtractionGates, judge_extraction
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import PSF, Background, CoaddImage, ScienceImage, SourceList
from products.pixel_flags import PixelFlag
from products.source_flags import OF_SEP, SourceFlag

_OF_PSF = [
    ("flux_psf", "f4"),
    ("flux_psf_err", "f4"),
    ("psf_chi2", "f4"),
    ("x_psf", "f8"),
    ("y_psf", "f8"),
    ("spread_model", "f4"),
    ("spread_model_err", "f4"),
    ("p_star", "f4"),
    ("flags", "i4"),
]


class ExtractionParameters(Parameters):
    background: BackgroundParameters = param(BackgroundParameters(), help="How the sky is measured.")
    detection: DetectionParameters = param(DetectionParameters(), help="How sources are found.")
    psf: PSFParameters = param(PSFParameters(), help="How the PSF is modelled.")
    gates: ExtractionGates = param(ExtractionGates(), help="What makes sources, PSF or sky bad.")
    psf_photometry_snr: float = param(5.0, ge=0, help="PSF photometry of sources from this S/N on.")
    injected: int = param(
        300, ge=0, help="Faint PSFs that are put at empty places to check the limiting magnitude; 0 for none."
    )


class Extraction(Step):
    """Find the sources of an image, measure its sky and its PSF."""

    name = "extraction"
    version = (1, 10, 0)
    parameters: ExtractionParameters

    def run(self, image: ScienceImage | CoaddImage) -> tuple[SourceList, PSF, Background]:
        p = self.parameters
        _refuse_weights(image.weight)
        mask = (image.weight <= 0) | ((image.flags & int(PixelFlag.UNUSABLE)) != 0)
        saturated = (image.flags & int(PixelFlag.SATURATED | PixelFlag.BLEED)) != 0
        data = _finite(image.data, mask)
        sky = estimate_background(data, mask, p.background)
        sources = extract_sources(data, sky, mask, saturated, p.detection)
        stars = select_stars(sources, image.shape, mask, p.detection, full_well=image.saturation)
        signal = data - sky.level
        variance = total_variance(image.weight, sky.rms)
        model = fit_psf(signal, variance, mask, sources, stars, p.psf, segmentation=sources.segmentation)
        table = self._with_psf(sources.table, signal, variance, mask, model)
        table["flags"][stars] |= int(SourceFlag.PSF_STAR)
        table["is_star"][stars] = True
        depth = self._depth(signal, sky, mask, sources, model)
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
            model_header=model.header() | depth,
            fwhm_pixels=float(model.fwhm),
            order=model.order,
            n_stars=model.n_stars,
            chi2=float(model.chi2),
        )
        background = Background(
            sources=source_list,
            level=sky.level,
            rms=sky.rms,
            value=float(sky.value),
            noise=float(sky.noise),
        )
        self._warnings = judge_extraction(image, (source_list, psf, background), sky, p.gates)
        return source_list, psf, background

    def warnings(self) -> list[str]:
        return self._warnings

    def _with_psf(self, table, signal, variance, mask, model) -> np.ndarray:
        """The table with PSF fluxes, the statistic of shape and the flags."""
        wide = np.zeros(len(table), table.dtype.descr + _OF_PSF)
        for name in table.dtype.names:
            wide[name] = table[name]
        wide["x_psf"], wide["y_psf"], wide["p_star"] = table["x"], table["y"], 0.5
        wide["flags"] = _flags(table) | int(SourceFlag.NOT_FITTED)
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
        fits = chosen[fitted["flag"] != 1]
        wide["flags"][fits] &= ~int(SourceFlag.NOT_FITTED)
        wide["flags"][chosen[fitted["flag"] == 2]] |= int(SourceFlag.PSF_MOVED)
        spread, error = spread_model(signal, variance, mask, model, wide["x_psf"][fits], wide["y_psf"][fits])
        stars = np.flatnonzero(table["is_star"][fits])
        wide["p_star"][fits] = star_probability(spread, error, table["snr"][fits], stars)
        seen = np.isfinite(error)
        wide["spread_model"][fits[seen]], wide["spread_model_err"][fits[seen]] = spread[seen], error[seen]
        return wide

    def _depth(self, signal, sky, mask, sources: Sources, model: PSFModel) -> dict[str, float | int]:
        """Cards about sources that were put in; none where no place was empty."""
        p = self.parameters
        found = injected_depth(signal, sky, mask, sources, model, p.detection, count=p.injected) if p.injected else None
        if found is None:
            return {}
        fluxes = {"LIMFOUND": found.flux_50, "LIMFORCE": found.flux_5sigma, "LIMNOISE": found.expected_5sigma}
        return fluxes | {"LIMCOUNT": found.count}


def _finite(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image; masked pixels that are no number are 0. Raises BadInput where a usable pixel is none."""
    if np.isfinite(data.sum(dtype=np.float64)):
        return data
    wrong = ~np.isfinite(data)
    count = int(np.count_nonzero(wrong & ~mask))
    if count:
        reason = f"{count} pixels are no numbers; give them the weight 0 or the flag BAD"
        raise BadInput(what="image", reason=reason, count=count)
    return np.where(wrong, np.float32(0), data)


def _refuse_weights(weight: np.ndarray) -> None:
    """Raise BadInput where weights are no numbers: nobody would know how well such pixels are measured."""
    if np.isfinite(weight.sum(dtype=np.float64)):
        return
    count = int(np.count_nonzero(~np.isfinite(weight)))
    reason = f"the weights of {count} pixels are no numbers; give these pixels the weight 0"
    raise BadInput(what="image", reason=reason, count=count)


def _flags(table: np.ndarray) -> np.ndarray:
    found = table["sep_flag"].astype(np.int32) & int(OF_SEP)
    for name, flag in (("is_masked", SourceFlag.MASKED), ("is_saturated", SourceFlag.SATURATED)):
        found |= np.where(table[name], int(flag), 0).astype(np.int32)
    return found | np.where(table["fwhm"] <= 0, int(SourceFlag.NO_SHAPE), 0).astype(np.int32)
