"""The list of sources of an image: found with a matched filter, measured on the unfiltered image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep

from processing.algorithms.apertures import aperture_fluxes
from processing.algorithms.background import BackgroundMap
from processing.algorithms.detection import DetectionParameters, estimate_seeing, find_sources
from processing.algorithms.masks import grow
from processing.algorithms.shapes import FWHM_PER_SIGMA, adaptive_moments
from processing.algorithms.star_selection import select_stars

__all__ = ["DetectionParameters", "Sources", "extract_sources", "select_stars", "source_dtype"]

_WINDOW_STEPS = 30
_SUBPIXELS = 3  # per side, for half-light radii: good to 0.4 % at FWHM 4 px and to 1 % at 2 px


@dataclass(frozen=True)
class Sources:
    """What is on an image."""

    table: np.ndarray  # (n,) of source_dtype(n_aper); row k is segment k + 1
    fwhm: float  # px, seeing: FWHM of the Gaussian matched to the stars
    aperture_radii: tuple[float, ...]  # px
    best_aperture: int  # place in the radii of the one that gives `flux`
    segmentation: np.ndarray  # (ny, nx) int32, 0 where no source is

    def __len__(self) -> int:
        return len(self.table)


def source_dtype(n_aper: int) -> np.dtype:
    """Columns of a source list with `n_aper` apertures. Positions, widths px; fluxes electrons; angles degrees."""
    return np.dtype(
        [
            ("x", "f8"),  # windowed position
            ("y", "f8"),
            ("x_err", "f4"),
            ("y_err", "f4"),
            ("flux", "f4"),  # in the best aperture
            ("flux_err", "f4"),
            ("flux_aper", "f4", (n_aper,)),
            ("flux_aper_err", "f4", (n_aper,)),
            ("snr", "f4"),  # flux over flux_err
            ("peak", "f4"),  # brightest pixel of the centre, without background
            ("background", "f4"),  # level at the position
            ("r50", "f4"),  # half-light radius within 2 FWHM
            ("fwhm", "f4"),  # of the matched Gaussian; 0 where there is none
            ("ellipticity", "f4"),  # 1 − b/a under the matched Gaussian
            ("theta", "f4"),  # of the long axis from x towards y, −90 to 90
            ("a", "f4"),  # isophotal, of the filtered image: not for the choice of stars
            ("b", "f4"),
            ("sep_flag", "i2"),
            ("is_masked", "?"),  # a masked pixel within 1 FWHM
            ("is_saturated", "?"),  # a saturated pixel within 1 FWHM or in the segment
            ("is_star", "?"),  # chosen as a PSF star
        ]
    )


def extract_sources(
    data: np.ndarray,
    background: BackgroundMap,
    mask: np.ndarray,
    saturated: np.ndarray,
    parameters: DetectionParameters,
) -> Sources:
    """Find and measure the sources of `data` (ny, nx) float32, electrons, background included.

    `mask` and `saturated` are (ny, nx) bool. Saturated pixels, masked or not, take part in the detection, so that a
    saturated star is one source and not a ring of them. An image without sources gives an empty list.
    """
    signal = np.subtract(data, background.level, dtype=np.float32)
    defects = mask & ~saturated
    if defects.any():
        signal[defects] = 0
    fwhm = estimate_seeing(signal, background.rms, mask | saturated, parameters.first_fwhm)
    found, segmentation = find_sources(signal, background, defects, fwhm, parameters)
    radii = tuple(float(radius * fwhm) for radius in parameters.apertures)
    table = np.zeros(len(found), source_dtype(len(radii)))
    best = min(parameters.best_aperture, len(radii) - 1)
    sources = Sources(table, float(fwhm), radii, best, np.ascontiguousarray(segmentation, np.int32))
    if len(found):
        _measure(sources, found, signal, background, mask | saturated)
        table["flux"], table["flux_err"] = table["flux_aper"][:, best], table["flux_aper_err"][:, best]
        table["snr"] = table["flux"] / table["flux_err"]
        _flag(sources, found, mask, saturated)
    return sources


def _measure(sources, found, signal, background, unusable):
    table, fwhm = sources.table, sources.fwhm
    x, y = _windowed_positions(signal, found, fwhm, unusable)
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    table["x"], table["y"] = x, y
    rms = background.rms
    table["flux_aper"], table["flux_aper_err"] = aperture_fluxes(
        signal, x, y, sources.aperture_radii, rms=rms, mask=unusable
    )
    radius, _ = sep.flux_radius(signal, x, y, np.full(x.shape, 2 * fwhm), 0.5, subpix=_SUBPIXELS)
    table["r50"] = np.nan_to_num(radius)
    shapes = adaptive_moments(
        signal,
        x,
        y,
        fwhm=fwhm,
        noise=rms[row, column],
        mask=unusable,
        segmentation=sources.segmentation,
    )
    table["x_err"] = table["y_err"] = np.nan_to_num(shapes["x_err"], posinf=0)
    table["fwhm"] = shapes["fwhm"]
    e = np.hypot(shapes["e1"], shapes["e2"])
    isophotal = 1 - found["b"] / np.maximum(found["a"], 1e-6)
    table["ellipticity"] = np.where(shapes["converged"], 1 - np.sqrt((1 - e) / (1 + e)), isophotal)
    angle = np.where(shapes["converged"], 0.5 * np.arctan2(shapes["e2"], shapes["e1"]), found["theta"])
    table["theta"] = np.degrees(angle)
    table["a"], table["b"] = found["a"], found["b"]
    table["background"] = background.level[row, column]
    table["peak"] = _peaks(signal, found["xpeak"], found["ypeak"])


def _windowed_positions(signal, found, fwhm, unusable):
    """Centroids under a Gaussian; the barycentre stays where the window wandered off by more than one FWHM."""
    from processing.algorithms.source_kernels import windowed_positions

    first = [np.ascontiguousarray(found[name], float) for name in ("x", "y")]
    x, y, settled = windowed_positions(signal, ~unusable, *first, fwhm / FWHM_PER_SIGMA, _WINDOW_STEPS).T
    ny, nx = signal.shape
    good = (settled > 0) & (np.hypot(x - first[0], y - first[1]) < fwhm)
    good &= (x >= 0) & (y >= 0) & (x <= nx - 1) & (y <= ny - 1)
    x, y = np.where(good, x, first[0]), np.where(good, y, first[1])
    return np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1)


def _peaks(signal, x, y):
    ny, nx = signal.shape
    around = [signal[np.clip(y + j, 0, ny - 1), np.clip(x + i, 0, nx - 1)] for j in (-1, 0, 1) for i in (-1, 0, 1)]
    return np.max(around, axis=0)


def _flag(sources, found, mask, saturated):
    table = sources.table
    row, column = np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)
    table["sep_flag"] = found["flag"]
    table["is_masked"] = grow(mask, sources.fwhm)[row, column]
    table["is_saturated"] = grow(saturated, sources.fwhm)[row, column]
    touched = np.unique(sources.segmentation[saturated])
    table["is_saturated"][touched[touched > 0] - 1] = True
