"""Where the sources are: the seeing, a matched filter of that width, and segments or, in crowded fields, maxima."""

from __future__ import annotations

import numpy as np
import sep
from scipy.spatial import cKDTree

from processing.algorithms.background import BackgroundMap
from processing.algorithms.masks import grow
from processing.algorithms.shapes import adaptive_moments
from processing.algorithms.statistics import half_sample_mode
from processing.algorithms.subtraction.tiling import Core, Tiling, Transforms
from processing.parameters import Parameters, param

_PIXEL_STACK = 10_000_000
_SEEING_STARS = 800
_TILE = 256  # px: Fourier transforms of this size stay in the cache
_SMALLEST_FWHM = 1.2  # px; what is narrower is a cosmic ray
_ROUND = 0.3
_ZERO_SUM_RADIUS = 1.2  # FWHM
_RINGS, _RING_POINTS = (1.75, 2.25), 16  # FWHM; on each of them
_LEAST_CONTRAST = 3.0  # σ of a peak above the light around it
_MOST = 1e5  # σ: the rounding of a transform with a larger pixel in it would be taken for sources all around


class DetectionParameters(Parameters):
    """How sources are found and which of them are taken for stars."""

    threshold: float = param(4.4, gt=0, unit="sigma", help="Least significance of a pixel in the matched filter.")
    min_area: float = param(
        0.28, ge=0, unit="FWHM^2", help="Least area above the threshold; never less than two pixels."
    )
    deblend_levels: int = param(32, ge=1, help="Levels between threshold and peak at which segments may split.")
    deblend_contrast: float = param(
        0.005, ge=0, le=1, help="Least part of the flux of a segment that makes a branch a source of its own."
    )
    first_fwhm: float = param(3.0, gt=0, unit="px", help="Seeing to start from, and if no star shows it.")
    crowded: float = param(
        0.3, gt=0, le=1, help="Part of the image above the threshold from which maxima replace segments."
    )
    crowded_threshold: float = param(8.0, gt=0, unit="sigma", help="Least significance of a maximum there.")
    apertures: tuple[float, ...] = param(
        (0.5, 1.0, 1.5, 2.0, 3.0), unit="FWHM", help="Radii of the apertures.", min_length=1
    )
    best_aperture: int = param(1, ge=0, help="Which aperture, from 0, gives the flux of the source.")
    star_snr: float = param(20.0, gt=0, help="Least signal to noise of a PSF star.")
    star_tolerance: float = param(
        0.07, gt=0, help="Largest relative difference of the width of a PSF star from that of stars around it."
    )
    star_ellipticity: float = param(0.3, gt=0, le=1, help="Largest ellipticity, 1 − b/a, of a PSF star.")
    star_edge: float = param(
        60.0, ge=0, unit="px", help="Least distance of a PSF star from the edge; at most 6 % of the image side."
    )
    star_peak: float = param(0.5, gt=0, le=1, help="Largest part of the full well that a PSF star may fill.")
    max_stars: int = param(400, ge=1, help="The brightest so many are PSF stars.")


def moffat_kernel(fwhm: float, beta: float = 3.0, radius: float = 2.0) -> np.ndarray:
    """Moffat profile sampled at pixel centres out to `radius` FWHM: odd square float32, sum 1."""
    half = max(1, int(np.ceil(radius * fwhm)))
    offset = np.arange(-half, half + 1)
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
    kernel = (1 + (offset**2 + offset[:, None] ** 2) / alpha2) ** -beta
    return (kernel / kernel.sum()).astype(np.float32)


def estimate_seeing(
    data: np.ndarray, rms: np.ndarray, unusable: np.ndarray, first_fwhm: float, threshold: float = 10.0
) -> float:
    """FWHM, px, of the stars in background-subtracted `data` (ny, nx): the mode of adaptive widths of bright maxima.

    Maxima with a pixel of `unusable` (ny, nx) bool within 2 `first_fwhm` are left out. `first_fwhm` is returned when
    fewer than three round sources are above `threshold` times the noise.
    """
    from processing.algorithms.star_kernels import local_maxima

    maxima = local_maxima(np.where(unusable, np.float32(0), data), threshold * float(np.median(rms[::4, ::4])))
    near = grow(unusable, 2 * first_fwhm)
    maxima = maxima[~near[maxima[:, 1].astype(int), maxima[:, 0].astype(int)]]
    maxima = _highest_around(maxima, 2 * first_fwhm)[:_SEEING_STARS]
    fwhm = first_fwhm
    for _ in range(2):
        shapes = adaptive_moments(data, maxima[:, 0], maxima[:, 1], fwhm=fwhm, mask=unusable, radius=4.0)
        ellipticity = np.hypot(shapes["e1"], shapes["e2"])
        good = shapes["converged"] & (ellipticity < _ROUND) & (shapes["fwhm"] > _SMALLEST_FWHM)
        # The many maxima of a wide galaxy lead to one centre, which counts once.
        places = np.rint(np.c_[shapes["x"], shapes["y"]][good])
        widths = shapes["fwhm"][good][np.unique(places, axis=0, return_index=True)[1]]
        if len(widths) < 3:
            return fwhm
        fwhm = half_sample_mode(widths)
    return fwhm


def _highest_around(maxima: np.ndarray, radius: float) -> np.ndarray:
    """Rows (n, 3) of x, y, value without those that have a brighter one within `radius` px; the brightest first."""
    maxima = maxima[np.argsort(-maxima[:, 2], kind="stable")]
    pairs = cKDTree(maxima[:, :2]).query_pairs(radius, output_type="ndarray")
    return np.delete(maxima, pairs[:, 1], axis=0)  # of a pair the second is the fainter one


def significance(data: np.ndarray, rms: np.ndarray, mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Signal to noise (ny, nx) float32 of a source of the shape of `kernel` at every pixel.

    Masked pixels count as empty sky, and pixels beyond 100,000 times the noise as of that.
    """
    normalised = np.divide(data, rms, dtype=np.float32)
    np.clip(normalised, -_MOST, _MOST, out=normalised)
    normalised[mask] = 0
    return _convolved(normalised, kernel / np.sqrt(np.sum(kernel**2)))


def _convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`image` (ny, nx) float32, 0 outside, convolved with an odd square float32 `kernel`."""
    tiling = Tiling.of(image.shape, _TILE, kernel.shape[0] // 2)
    transforms, found = Transforms(tiling), np.empty(image.shape, np.float32)
    spectrum = transforms.spectrum(kernel)
    for _, _, *core in tiling.cores():
        tile = Core(transforms, found[*core].shape)
        found[*core] = tile.pixels(spectrum * transforms.forward(tiling.window(image, tuple(core), 0.0)))
    return found


def find_sources(
    data: np.ndarray, background: BackgroundMap, mask: np.ndarray, fwhm: float, parameters: DetectionParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Sources of background-subtracted `data` (ny, nx) and their segments.

    Returns a structured array with x, y, a, b, theta, xpeak, ypeak, flag as sep has them (of the filtered image) and
    the segmentation (ny, nx) int32, which holds index + 1. Where more than a fraction `crowded` of the pixels is
    significant, one segment would span the field: there sources are the maxima of a zero-sum filter, and segments are
    discs of one FWHM around them.
    """
    filtered = significance(data, background.rms, mask, moffat_kernel(fwhm))
    if np.mean(filtered > parameters.threshold) > parameters.crowded:
        return _crowded_sources(data, background, mask, fwhm, parameters)
    sep.set_extract_pixstack(_PIXEL_STACK)
    options = {
        "minarea": least_area(parameters, fwhm),
        "filter_kernel": None,
        "deblend_nthresh": parameters.deblend_levels,
        "segmentation_map": True,
        "clean": False,  # it takes four real neighbours of bright stars for every one that is noise
    }
    try:
        found = sep.extract(filtered, parameters.threshold, deblend_cont=parameters.deblend_contrast, **options)
    except Exception as error:  # sep raises nothing narrower
        if "deblend" not in str(error):
            raise
        found = sep.extract(filtered, parameters.threshold, deblend_cont=1.0, **options)
    return _without_ripples(*found, filtered, fwhm, background.noise)


def _without_ripples(sources, segmentation, filtered, fwhm, noise):
    """Leave out peaks that stand out of the light around them by no more than its noise: those of a galaxy's disc.

    Their segments go to the nearest source that stays.
    """
    from processing.algorithms.source_kernels import ring_medians

    around = ring_medians(filtered, sources["xpeak"], sources["ypeak"], fwhm * np.array(_RINGS), _RING_POINTS)
    # From S/N of the filter to electrons per pixel of even light, which has noise of its own.
    light = np.maximum(around, 0) * noise * np.sqrt(np.sum(moffat_kernel(fwhm) ** 2))
    contrast = (filtered[sources["ypeak"], sources["xpeak"]] - around) / np.sqrt(1 + light / noise**2)
    kept = contrast >= _LEAST_CONTRAST
    if kept.all() or not kept.any():
        return sources, segmentation
    places = np.stack([sources["x"], sources["y"]], axis=1)
    _, nearest = cKDTree(places[kept]).query(places)
    number = np.where(kept, np.cumsum(kept), nearest + 1).astype(np.int32)
    segments = segmentation.ravel()
    within = np.flatnonzero(segments)
    segments[within] = number[segments[within] - 1]
    return sources[kept], segments.reshape(segmentation.shape)


def least_area(parameters: DetectionParameters, fwhm: float) -> int:
    """Connected pixels above the threshold that make a source."""
    return max(2, round(parameters.min_area * fwhm**2))


def _crowded_sources(data, background, mask, fwhm, parameters):
    from processing.algorithms.star_kernels import local_maxima

    half = int(np.ceil(_ZERO_SUM_RADIUS * fwhm))
    offset = np.arange(-half, half + 1)
    radius2 = offset**2 + offset[:, None] ** 2
    inside = radius2 <= (_ZERO_SUM_RADIUS * fwhm) ** 2
    kernel = np.where(inside, np.exp(-4 * np.log(2) * radius2 / fwhm**2), 0)
    kernel = np.where(inside, kernel - kernel[inside].mean(), 0).astype(np.float32)
    clean = np.where(mask, np.float32(0), data)
    variance = background.rms**2 + np.maximum(clean, 0)
    noise2 = _convolved(variance, kernel**2)
    found = _convolved(clean, kernel) / np.sqrt(np.maximum(noise2, 1e-6 * noise2.max()))
    maxima = local_maxima(found, parameters.crowded_threshold)
    maxima = maxima[np.argsort(maxima[:, 2], kind="stable")]
    names = ("x", "y", "a", "b", "theta", "xpeak", "ypeak", "flag")
    sources = np.zeros(len(maxima), [(name, "i8" if name in names[5:] else "f8") for name in names])
    sources["x"] = sources["xpeak"] = maxima[:, 0]
    sources["y"] = sources["ypeak"] = maxima[:, 1]
    sources["a"] = sources["b"] = fwhm / 2.3548
    return sources, _discs(sources, data.shape, fwhm)


def _discs(sources, shape, radius):
    """Segments of discs in the order of the sources: the later one, which is the brighter, has the shared pixels."""
    reach = int(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = dx**2 + dy**2 <= radius**2
    rows = sources["ypeak"][:, None] + dy[inside]
    columns = sources["xpeak"][:, None] + dx[inside]
    numbers = np.broadcast_to(np.arange(1, len(sources) + 1)[:, None], rows.shape)
    within = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    segmentation = np.zeros(shape, np.int32)
    segmentation[rows[within], columns[within]] = numbers[within]
    return segmentation
