"""Candidates: local maxima of |score|, placed between pixels, and how many of them noise alone would make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from processing.algorithms.blends import separate
from processing.algorithms.footprints import find_footprints
from processing.algorithms.stamps import cut_stamps, sample_stamps
from processing.algorithms.subtraction.tiles import Tiles
from processing.parameters import Parameters, param

PEAKS = np.dtype(
    [
        ("x", "f8"),  # px from 0, sub-pixel maximum of |score|; of a blend that of the common fit
        ("y", "f8"),
        ("x_peak", "i4"),  # the pixel of the maximum
        ("y_peak", "i4"),
        ("snr", "f4"),  # |score| at the sub-pixel maximum, positive; of a blend without the light of the others
        ("flux", "f8"),  # PSF flux there, electrons of the new image, negative for fading; of a blend fitted together
        ("flux_err", "f8"),  # its photometric error, electrons
        ("is_negative", "?"),
        ("footprint", "i4"),  # number, from 1, of its connected pixels above `PeakParameters.footprint`
        ("footprint_area", "i4"),  # px
        ("footprint_x0", "i4"),  # px from 0 that it spans, ends excluded
        ("footprint_x1", "i4"),
        ("footprint_y0", "i4"),
        ("footprint_y1", "i4"),
        ("n_blended", "i4"),  # detections that share it, 1 for one that is alone
        ("is_blended", "?"),
    ]
)
FLOOR = 0.75  # of the threshold: the least that the pixel of a peak has which reaches it between the pixels
FLUX_STAMP = 21  # px; the mirrored border of a quintic spline has faded to 2e-4 of itself 10 px further in


@dataclass(frozen=True)
class ScorePlanes:
    """What a subtraction leaves for detection and measuring; planes (ny, nx), fluxes in electrons of the new."""

    score: np.ndarray  # matched-filter S/N with every noise term, unit variance on sky
    alpha: np.ndarray  # PSF flux of a source at each pixel
    data: np.ndarray  # the difference
    variance: np.ndarray  # its variance per pixel, electrons²
    mask: np.ndarray  # bool, where nothing may be detected
    halo: np.ndarray  # bool, haloes and spikes of saturated stars
    tiles: Tiles  # PSF of the difference, and what turns the planes into noise and statistics
    unsupported: np.ndarray | None = None  # bool, where a second method does not see what the score shows

    def flux_error(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Error (n,) of the PSF flux at the pixels (n,) int, electrons: from photon and read noise."""
        ny, nx = self.variance.shape
        x, y = np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1)
        return np.sqrt(self.variance[y, x] * self.tiles.at("flux_noise", x, y))


class PeakParameters(Parameters):
    """What counts as a candidate."""

    threshold: float = param(5.0, gt=0, unit="sigma", help="Smallest |score| of a candidate at its sub-pixel peak.")
    merge_fwhm: float = param(
        1.0, ge=0, unit="FWHM", help="Weaker peaks of one sign this close to a stronger one are dropped."
    )
    footprint: float = param(
        3.0,
        gt=0,
        unit="sigma",
        help="|score| down to which pixels belong to the footprint of a peak; of one sign, without masked ones.",
    )
    edge: int = param(1, ge=1, unit="px", help="Peaks within this many pixels of the edge of the image are not taken.")
    negative: bool = param(True, help="Whether sources that faded are candidates too.")


def find_peaks(planes: ScorePlanes, fwhm: float, parameters: PeakParameters) -> np.ndarray:
    """Find the maxima of |score| over 3×3 pixels that reach the threshold; strongest first, dtype PEAKS.

    They are looked for in the unmasked score and kept where the peak pixel is valid: in a masked score the
    shoulder of a masked star would be a maximum of its own. The same holds for pixels that are unsupported. Peaks of
    one footprint are measured together, and those that are only the light of others are none. `fwhm` in pixels.
    """
    height = np.abs(planes.score)
    y, x = maxima(height, FLOOR * parameters.threshold, parameters.edge)
    negative = planes.score[y, x] < 0
    keep = ~planes.mask[y, x] & (parameters.negative | ~negative)
    if planes.unsupported is not None:
        keep &= ~planes.unsupported[y, x]
    y, x, negative = y[keep], x[keep], negative[keep]
    dx, gain_x = _parabola(height[y, x - 1], height[y, x], height[y, x + 1])
    dy, gain_y = _parabola(height[y - 1, x], height[y, x], height[y + 1, x])

    peaks = np.zeros(len(x), PEAKS)
    peaks["x"], peaks["y"], peaks["x_peak"], peaks["y_peak"] = x + dx, y + dy, x, y
    peaks["snr"] = height[y, x] + gain_x + gain_y
    peaks["is_negative"] = negative
    peaks = peaks[peaks["snr"] >= parameters.threshold]
    peaks = peaks[np.lexsort((peaks["x"], peaks["y"], -peaks["snr"]))]
    peaks = _merge(peaks, parameters.merge_fwhm * fwhm)
    peaks["flux"], peaks["flux_err"] = flux_at(planes, peaks["x"], peaks["y"])
    above = height > min(parameters.footprint, FLOOR * parameters.threshold)
    above &= ~planes.mask
    _add_footprints(peaks, planes.score, above)
    peaks = separate(planes, peaks, fwhm, parameters.threshold)
    peaks["n_blended"] = np.bincount(peaks["footprint"])[peaks["footprint"]]
    peaks["is_blended"] = peaks["n_blended"] > 1
    return peaks[np.lexsort((peaks["x"], peaks["y"], -peaks["snr"]))]


def _add_footprints(peaks: np.ndarray, score: np.ndarray, above: np.ndarray) -> None:
    """Number, area and extent of the connected pixels `above` (ny, nx) bool that each peak lies in."""
    found = find_footprints(score, above, peaks["x_peak"], peaks["y_peak"])
    peaks["footprint"] = found.number
    peaks["footprint_area"] = found.area[found.number - 1]
    for place, name in enumerate(("footprint_x0", "footprint_x1", "footprint_y0", "footprint_y1")):
        peaks[name] = found.box[found.number - 1, place]


def noise_peaks(planes: ScorePlanes, parameters: PeakParameters) -> float:
    """How many maxima above the threshold noise alone makes where peaks are looked for.

    Maxima of a smooth Gaussian field high above its scatter: Bond & Efstathiou 1987 (MNRAS 226, 655), section 3.
    """
    u, total = parameters.threshold, 0.0
    rate = u * np.exp(-(u**2) / 2) / (2 * np.pi) ** 1.5
    for tile in planes.tiles.table:
        searched = np.count_nonzero(~planes.mask[tile["y0"] : tile["y1"], tile["x0"] : tile["x1"]])
        total += searched * rate / np.sqrt(tile["motion_x"] * tile["motion_y"])
    return float(total * (2 if parameters.negative else 1))


def flux_at(planes: ScorePlanes, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PSF flux and photometric error (n,) at sub-pixel positions, electrons."""
    flux, centres = psf_flux(planes.alpha, x, y)
    return flux, planes.flux_error(*centres.T)


def psf_flux(alpha: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux (n,) at sub-pixel positions, by quintic spline on the flux plane, and the nearest pixels (n, 2), x then y.

    A cubic one loses 1.3 % half-way between pixels at FWHM 2.2 px, the quintic 0.8 %. Scaling the peak pixel by the
    parabola of the score would make bright sources 0.3–0.6 % too faint, because the score of a bright source is not
    proportional to its flux.
    """
    stamps, centres = cut_stamps(alpha, x, y, size=FLUX_STAMP)
    return sample_stamps(stamps, x - centres[:, 0], y - centres[:, 1]), centres


def maxima(height: np.ndarray, floor: float, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (y, x) above `floor`, `edge` px from the edge, that no neighbour exceeds; of two equal ones the first."""
    ny, nx = height.shape
    y, x = np.nonzero(height[edge : ny - edge, edge : nx - edge] > floor)
    y, x = y + edge, x + edge
    is_peak = np.ones(len(x), bool)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            neighbour = height[y + row, x + column]
            if (row, column) < (0, 0):
                is_peak &= height[y, x] > neighbour
            elif (row, column) > (0, 0):
                is_peak &= height[y, x] >= neighbour
    return y[is_peak], x[is_peak]


def _parabola(left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset of the maximum of the parabola through three pixels, and how far it rises above the middle one."""
    bend = left - 2 * middle + right
    offset = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1), 0)
    return offset, -0.25 * (left - right) * offset


def _merge(peaks: np.ndarray, radius: float) -> np.ndarray:
    """Drop the peaks that have a stronger one of their sign within `radius`; `peaks` are sorted, strongest first."""
    keep = np.ones(len(peaks), bool)
    for negative in (False, True):
        rows = np.flatnonzero(peaks["is_negative"] == negative)
        tree = cKDTree(np.stack([peaks["x"][rows], peaks["y"][rows]], axis=1))
        pairs = tree.query_pairs(radius, output_type="ndarray") if radius > 0 and len(rows) else []
        for first, second in sorted(map(tuple, pairs)):
            if keep[rows[first]]:
                keep[rows[second]] = False
    return peaks[keep]
