"""Quality gates of an extraction: seeing, shape and number of the stars, crowding, masked pixels, noise of the sky."""

from __future__ import annotations

import numpy as np

from processing.algorithms.background import BackgroundMap
from processing.gates import Gate, judge
from processing.parameters import Parameters, param
from products.models import PSF, Background, Badness, CoaddImage, ScienceImage, SourceList


class ExtractionGates(Parameters):
    """Limits of sources, PSF and sky; beyond them they are kept, with badness."""

    max_seeing: float | None = param(5.0, gt=0, unit="arcsec", help="FWHM of the PSF.")
    max_ellipticity: float | None = param(0.3, gt=0, le=1, help="Median 1 − b/a of the stars of the PSF.")
    min_stars: int | None = param(5, ge=1, help="Stars that the PSF was measured on.")
    max_chi2: float | None = param(5.0, gt=1, help="Median reduced χ² of these stars.")
    min_sources: int | None = param(10, ge=1, help="Sources in the image.")
    max_crowding: float | None = param(
        0.5, gt=0, help="Sources in a circle with a radius of one FWHM, on average over what is not masked."
    )
    max_masked: float | None = param(0.5, gt=0, le=1, help="Part of the pixels that cannot be used.")
    max_sky_noise: float | None = param(
        None,
        gt=0,
        unit="electron",
        help="Noise of the sky; what is much depends on the instrument: no limit by default.",
    )
    max_noise_excess: float | None = param(
        3.0, gt=1, help="Noise of the sky over that of its photons and the read-out, of images that have their sky."
    )
    min_empty: float | None = param(0.08, ge=0, le=1, help="Part of the image that is free of objects.")
    max_sky_residual: float | None = param(
        0.2, gt=0, unit="sigma", help="Mean of the empty pixels after subtraction of the sky."
    )


def judge_extraction(
    image: ScienceImage | CoaddImage,
    products: tuple[SourceList, PSF, Background],
    sky: BackgroundMap,
    limits: ExtractionGates,
) -> list[str]:
    """Note the figures of unsaved products, set their badness; the reasons, for the report."""
    p, (sources, psf, background) = limits, products
    table = sources.table
    stars = table[table["is_star"]]
    masked = float(np.mean(image.weight <= 0))
    usable = max((1 - masked) * image.width * image.height, 1.0)
    crowding = len(table) * np.pi * psf.fwhm_pixels**2 / usable
    ellipticity = float(np.median(stars["ellipticity"])) if len(stars) else None
    seeing = None if image.pixel_scale is None else psf.fwhm_pixels * image.pixel_scale
    excess = noise_excess(image, background)
    sources.quality = {"masked_percent": round(100 * masked, 2), "crowding": round(crowding, 4)}
    known = {"ellipticity": ellipticity, "seeing_arcsec": seeing, "psf_chi2": psf.chi2}
    psf.quality = {name: round(value, 4) for name, value in known.items() if value is not None}
    known = {"noise_excess": excess, "empty": 1 - sky.covered, "residual_sigma": sky.residual}
    background.quality = {name: round(value, 4) for name, value in known.items() if value is not None}
    failed, failed_sky = Badness.PSF_FIT_FAILED, Badness.BACKGROUND_FIT_FAILED
    return [
        *judge(sources, [
            Gate("sources", len(table), Badness.FEW_SOURCES, least=p.min_sources),
            Gate("sources in a circle of one FWHM", crowding, Badness.MANY_SOURCES, most=p.max_crowding),
            Gate("part of the pixels that is masked", masked, Badness.MASKED, most=p.max_masked),
        ]),
        *judge(psf, [
            Gate("seeing", seeing, Badness.BAD_SEEING, most=p.max_seeing, unit="arcsec"),
            Gate("ellipticity of the stars", ellipticity, Badness.ELONGATED, most=p.max_ellipticity),
            Gate("stars of the PSF", psf.n_stars, failed, least=p.min_stars),
            Gate("χ² of the stars of the PSF", psf.chi2, failed, most=p.max_chi2),
        ]),
        *judge(background, [
            Gate("noise of the sky", background.noise, Badness.BRIGHT_SKY, most=p.max_sky_noise, unit="electron"),
            Gate("noise of the sky over that of its photons", excess, failed_sky, most=p.max_noise_excess),
            Gate("part of the image without objects", 1 - sky.covered, Badness.CROWDED_BACKGROUND, least=p.min_empty),
            Gate("mean of the empty pixels", abs(sky.residual), failed_sky, most=p.max_sky_residual, unit="sigma"),
        ]),
    ]  # fmt: skip


def noise_excess(image: ScienceImage | CoaddImage, background: Background) -> float | None:
    """Noise of the sky over that of photons and read-out; None where the image has lost its sky, and of coadds."""
    if isinstance(image, CoaddImage) or background.value < background.noise:
        return None
    return float(background.noise / np.sqrt(background.value + (image.read_noise or 0.0) ** 2))
