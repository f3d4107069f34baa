"""What a candidate looks like: the numbers that the deterministic cuts and the scorers judge it by.

Every radius is in FWHM, so that the numbers mean the same at FWHM 2 px and at 5 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.candidate_tests import hits, motion, significance_around
from processing.algorithms.peaks import ScorePlanes, psf_flux
from processing.algorithms.stamps import (
    cut_stamps,
    odd_size,
    psf_stamps,
    spline_coefficients,
    spline_weights,
)
from processing.algorithms.surroundings import REACH, edge_distance, nearest, streak
from processing.algorithms.trail_fit import fit_trails

TRAIL_ELONGATION, TRAIL_SNR, TRAIL_WIDTHS = 1.5, 8.0, (0.7, 1.5)  # from where on; of the minor width over the FWHM
NOT_ALWAYS = (
    "bright_distance", "trail_length", "trail_angle", "trail_flux", "trail_flux_err", "trail_chi2", "consistency",
)  # fmt: skip
COPIED = ("snr", "is_negative", "footprint_area", "n_blended")  # as in the peaks
LARGEST = 99.0  # what a ratio is cut at, and the elongation of a profile without positive moments

DIAGNOSTICS = np.dtype(
    [
        ("snr", "f4"),  # of the detection, as in the peaks
        ("fwhm", "f4"),  # px, of the difference image
        ("is_negative", "?"),
        ("score_unsystematic", "f4"),  # |S/√V_S| at the peak: without registration and flux-ratio terms
        ("psf_flux", "f4"),  # electrons, PSF fit on the difference
        ("psf_x", "f4"),  # px from 0, the fitted position
        ("psf_y", "f4"),
        ("psf_chi2", "f4"),  # reduced χ² of this fit
        (
            "centroid_distance",
            "f4",
        ),  # FWHM, from the peak to the Gaussian-weighted centroid of the difference
        ("major_width", "f4"),  # px, FWHM along the axes of the profile; 0 where there is no light
        ("minor_width", "f4"),
        ("position_angle", "f4"),  # degrees, of the major axis from x towards y, −90 to 90
        ("elongation", "f4"),  # major over minor
        ("width_ratio", "f4"),  # mean width over that of the PSF, measured alike
        ("negative_flux_fraction", "f4"),  # Σ|d| of pixels below −2σ over Σd above 2σ within 1.5 FWHM
        ("opposite_score", "f4"),  # |S/√V_S| of the strongest opposite peak within 2 FWHM
        ("dipole_ratio", "f4"),  # that over score_unsystematic
        ("translient", "f4"),  # largest Z² near the peak
        ("translient_excess", "f4"),  # (Z² − 4) − (S² − 2): above 0 motion explains more than a new source
        ("cosmic_ratio", "f4"),  # C/S over its value for a point source: 1 for one
        ("psf_cosmic_ratio", "f4"),  # C/S of a point source here
        ("bad_pixel_count", "i2"),  # masked pixels among the central 3×3
        ("in_halo", "?"),  # in the halo or a spike of a saturated star
        ("streak", "f4"),  # sigma, median score along the brightest line through it, from 1.75 to 6 FWHM on both sides
        ("streak_angle", "f4"),  # degrees, of that line from x towards y, 0 to 180
        ("edge_distance", "f4"),  # px to the edge of the image
        ("mask_distance", "f4"),  # px to the nearest masked pixel; NaN beyond 6 FWHM
        ("bright_distance", "f4"),  # px to the nearest bright pixel of either image in the stamp; NaN where none is
        ("trail_length", "f4"),  # px that it moved, where it is elongated; NaN elsewhere, as for the next four
        ("trail_angle", "f4"),  # degrees of the motion, from x towards y, -90 to 90
        ("trail_flux", "f4"),  # electrons, of all of the trail
        ("trail_flux_err", "f4"),
        ("trail_chi2", "f4"),  # reduced, of the fit of a trail
        ("consistency", "f4"),  # |flux − forced N−R flux| in σ; NaN where not measured
        ("footprint_area", "i4"),  # px above the threshold of footprints that are connected with it
        ("n_blended", "i4"),  # detections in that footprint, 1 for one that is alone
    ]
)


def measure_diagnostics(
    planes: ScorePlanes,
    peaks: np.ndarray,
    fwhm: float,
    *,
    forced: tuple[np.ndarray, np.ndarray] | None = None,
    bright: np.ndarray | None = None,
) -> np.ndarray:
    """Measure the `peaks` (dtype PEAKS): a structured array (n,) of dtype DIAGNOSTICS.

    `fwhm` is the width of the PSF of the difference in pixels; `forced` is the flux of new minus
    reference by forced PSF photometry on both and its error, electrons, (n,) each; `bright` (n, s, s) bool is where
    stamps of the two images show bright stars.
    """
    found = np.zeros(len(peaks), DIAGNOSTICS)
    for name in NOT_ALWAYS:
        found[name] = np.nan
    if not len(peaks):
        return found
    for name in COPIED:
        found[name] = peaks[name]
    found["fwhm"] = fwhm
    sign = np.where(peaks["is_negative"], -1.0, 1.0)
    fit = fit_psf(planes, peaks, fwhm)
    found["psf_flux"], found["psf_x"], found["psf_y"], found["psf_chi2"] = fit.flux, fit.x, fit.y, fit.chi2
    _measure_shape(found, planes, peaks, fit, fwhm)
    _measure_negative_flux(found, planes, peaks, sign, fwhm)
    _measure_score(found, planes, peaks, sign, fwhm)
    _measure_cosmic(found, planes, peaks, sign, fwhm)
    _measure_surroundings(found, planes, peaks, sign, fwhm)
    _measure_trails(found, planes, peaks, fit, fwhm)
    if bright is not None:
        found["bright_distance"] = nearest(bright)
    middle = _around(np.asarray(planes.mask), peaks, 1, fill=True)
    found["bad_pixel_count"] = middle.sum(axis=(1, 2))
    found["in_halo"] = planes.halo[peaks["y_peak"], peaks["x_peak"]]
    if forced is not None:
        flux, _ = psf_flux(planes.alpha, peaks["x"], peaks["y"])  # with the light of neighbours, as the forced flux
        # A tenth of the flux covers what a wrong PSF does to forced photometry of bright sources.
        found["consistency"] = np.abs(flux - forced[0]) / np.hypot(forced[1], 0.1 * np.abs(flux))
    return found


def _measure_surroundings(
    found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, sign: np.ndarray, fwhm: float
) -> None:
    half = odd_size(REACH * fwhm) // 2 + 1
    masked = _around(np.asarray(planes.mask), peaks, half, fill=True)
    score = np.where(masked, 0, _around(planes.score, peaks, half)) * sign[:, None, None]
    found["streak"], found["streak_angle"] = streak(score, fwhm)
    found["edge_distance"] = edge_distance(planes.mask.shape, peaks["x"], peaks["y"])
    found["mask_distance"] = nearest(masked)


def _measure_trails(found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, fit: PsfFit, fwhm: float) -> None:
    """Trails of what is elongated and as wide as the PSF across."""
    width = found["minor_width"] / fwhm
    is_long = (found["elongation"] > TRAIL_ELONGATION) & (found["snr"] > TRAIL_SNR)
    rows = np.flatnonzero(is_long & (width > TRAIL_WIDTHS[0]) & (width < TRAIL_WIDTHS[1]))
    if not len(rows):
        return
    data, weight = _data_and_weight(planes, peaks[rows], odd_size(REACH * fwhm) // 2)
    length = np.minimum(1.5 * found["major_width"][rows], REACH * fwhm)
    trails = fit_trails(data, weight, fit.psf[rows], fwhm, found["position_angle"][rows], length)
    for name in ("length", "angle", "flux", "flux_err", "chi2"):
        found[f"trail_{name}"][rows] = getattr(trails, name)


def _around(plane: np.ndarray, peaks: np.ndarray, half: int, fill: float = 0.0) -> np.ndarray:
    return cut_stamps(plane, peaks["x_peak"], peaks["y_peak"], size=2 * half + 1, fill=fill)[0]


def _radius(half: int) -> np.ndarray:
    offset = np.arange(-half, half + 1)
    return np.hypot(offset[:, None], offset[None, :])


@dataclass(frozen=True)
class PsfFit:
    """The PSF fitted to the difference at each candidate, (n,) each."""

    flux: np.ndarray  # electrons
    x: np.ndarray  # px from 0
    y: np.ndarray
    chi2: np.ndarray  # reduced
    psf: np.ndarray  # (n, m, m), the PSF stamps
    residual: np.ndarray  # (n, s, s) electrons, 0 where masked
    model: np.ndarray  # (n, s, s) electrons


def fit_psf(planes: ScorePlanes, peaks: np.ndarray, fwhm: float) -> PsfFit:
    """Fit flux and position of the PSF to the difference within a box of ±2 FWHM, all candidates at once.

    Gauss–Newton with inverse-variance weights. χ² is of the pixels within 1.6 FWHM of the peak.
    """
    half = odd_size(2 * fwhm) // 2
    data, weight = _data_and_weight(planes, peaks, half)
    near = weight * (np.maximum(*np.abs(np.mgrid[-half : half + 1, -half : half + 1])) <= np.ceil(1.6 * fwhm))
    psf = psf_stamps(planes.tiles.stamp, peaks["x"], peaks["y"])
    coefficients = spline_coefficients(np.pad(psf, ((0, 0), (3, 3), (3, 3))))
    size = coefficients.shape[-1]
    grid = np.arange(-half, half + 1) + size // 2
    limit = max(fwhm, 1.0)
    shift = np.stack([peaks["x"] - peaks["x_peak"], peaks["y"] - peaks["y_peak"]], axis=1)
    for step in range(6):
        weights_x = spline_weights(grid - shift[:, :1], size)
        weights_y = spline_weights(grid - shift[:, 1:], size)
        columns = coefficients @ weights_x.transpose(0, 2, 1)
        profile = weights_y @ columns
        norm = np.maximum((near * profile**2).sum(axis=(1, 2)), 1e-30)
        flux = (near * profile * data).sum(axis=(1, 2)) / norm
        residual = data - flux[:, None, None] * profile
        if step == 5:
            break
        slope_x = weights_y @ coefficients @ spline_weights(grid - shift[:, :1], size, derivative=1).transpose(0, 2, 1)
        slope_y = spline_weights(grid - shift[:, 1:], size, derivative=1) @ columns
        parts = np.stack([profile, -flux[:, None, None] * slope_x, -flux[:, None, None] * slope_y], axis=1)
        normal = np.einsum("niyx,njyx,nyx->nij", parts, parts, near, optimize=True)
        side = np.einsum("niyx,nyx,nyx->ni", parts, residual, near, optimize=True)
        diagonal = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-30))
        scaled = normal / diagonal[:, :, None] / diagonal[:, None, :] + 1e-6 * np.eye(3)
        change = np.linalg.solve(scaled, (side / diagonal)[..., None])[..., 0] / diagonal
        shift = np.clip(shift + np.clip(change[:, 1:], -0.5, 0.5), -limit, limit)
    freedom = np.maximum((near > 0).sum(axis=(1, 2)) - 3, 1)
    return PsfFit(
        flux=flux,
        x=peaks["x_peak"] + shift[:, 0],
        y=peaks["y_peak"] + shift[:, 1],
        chi2=(near * residual**2).sum(axis=(1, 2)) / freedom,
        psf=psf,
        residual=np.where(weight > 0, residual, 0),
        model=flux[:, None, None] * profile,
    )


def _data_and_weight(planes: ScorePlanes, peaks: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    data = _around(planes.data, peaks, half).astype(float)
    variance = _around(planes.variance, peaks, half).astype(float)
    masked = _around(np.asarray(planes.mask), peaks, half, fill=True)
    usable = ~masked & (variance > 0) & np.isfinite(variance)
    return np.where(usable, data, 0), np.where(usable, 1 / np.where(usable, variance, 1), 0)


def _measure_shape(found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, fit: PsfFit, fwhm: float) -> None:
    """Gaussian-weighted moments of the difference, masked pixels replaced by the fitted PSF."""
    half = fit.model.shape[-1] // 2
    sign = np.sign(np.where(fit.flux == 0, 1, fit.flux))[:, None, None]
    shift_x, shift_y = fit.x - peaks["x_peak"], fit.y - peaks["y_peak"]
    mean, widths, angle = weighted_moments(sign * (fit.model + fit.residual), shift_x, shift_y, fwhm)
    middle = fit.psf.shape[-1] // 2
    crop = slice(max(middle - half, 0), middle + half + 1)
    nothing = np.zeros(len(peaks))
    _, of_psf, _ = weighted_moments(fit.psf[:, crop, crop], nothing, nothing, fwhm)
    offset = mean + np.stack([fit.x - peaks["x"], fit.y - peaks["y"]], axis=1)
    found["centroid_distance"] = np.minimum(np.hypot(offset[:, 0], offset[:, 1]) / fwhm, LARGEST)
    found["major_width"], found["minor_width"] = widths.T
    found["position_angle"] = angle
    found["elongation"] = np.minimum(widths[:, 0] / np.maximum(widths[:, 1], 1e-3), LARGEST)
    found["elongation"][widths[:, 0] == 0] = LARGEST
    found["width_ratio"] = np.sqrt(widths.prod(axis=1) / np.maximum(of_psf.prod(axis=1), 1e-6))


def weighted_moments(
    stamps: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroid (n, 2), px from (x, y), FWHM along both axes (n, 2), px, larger one first, and the angle of that one.

    The angle (n,) is in degrees from x towards y, −90 to 90.

    The weight is a round Gaussian of the width of the PSF at (x, y), px from the middle of the stamps
    (n, s, s); it is divided out again as if the profile were Gaussian: C⁻¹ = M⁻¹ − W⁻¹ (Bernstein & Jarvis 2002).
    Moments outside 2–98 % of those of the weight, where that has no solution, count as 0.14 and 7 FWHM; widths are
    0 where the weighted light is not positive.
    """
    offset = np.arange(stamps.shape[-1]) - stamps.shape[-1] // 2
    across, up = offset[None, None, :] - x[:, None, None], offset[None, :, None] - y[:, None, None]
    sigma2 = (fwhm / np.sqrt(8 * np.log(2))) ** 2
    light = stamps * np.exp(-0.5 * (across**2 + up**2) / sigma2)
    total = light.sum(axis=(1, 2))
    positive = total > 0
    light = light / np.where(positive, total, 1)[:, None, None]
    mean = np.stack([(light * across).sum(axis=(1, 2)), (light * up).sum(axis=(1, 2))], axis=1)
    moments = np.empty((len(stamps), 2, 2))
    moments[:, 0, 0] = (light * across**2).sum(axis=(1, 2)) - mean[:, 0] ** 2
    moments[:, 1, 1] = (light * up**2).sum(axis=(1, 2)) - mean[:, 1] ** 2
    moments[:, 0, 1] = moments[:, 1, 0] = (light * across * up).sum(axis=(1, 2)) - mean[:, 0] * mean[:, 1]
    # In the frame of the axes: 1/c = 1/m − 1/σ², defined for 0 < m < σ².
    along = np.clip(np.linalg.eigvalsh(moments)[:, ::-1], 0.02 * sigma2, 0.98 * sigma2)
    widths = np.sqrt(8 * np.log(2) / (1 / along - 1 / sigma2))
    angle = np.degrees(0.5 * np.arctan2(2 * moments[:, 0, 1], moments[:, 0, 0] - moments[:, 1, 1]))
    # The weight acts around (x, y), so that the centroid moves half as far as the profile.
    return np.where(positive[:, None], 2 * mean, LARGEST), np.where(positive[:, None], widths, 0), angle


def _measure_negative_flux(
    found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, sign: np.ndarray, fwhm: float
) -> None:
    half = odd_size(1.5 * fwhm) // 2
    data, weight = _data_and_weight(planes, peaks, half)
    data = data * sign[:, None, None] * (_radius(half) <= 1.5 * fwhm)
    in_sigma = data * np.sqrt(weight)
    below = -np.where(in_sigma < -2, data, 0).sum(axis=(1, 2))
    above = np.where(in_sigma > 2, data, 0).sum(axis=(1, 2))
    found["negative_flux_fraction"] = np.minimum(below / np.maximum(above, 1e-6), LARGEST)


def _measure_score(found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, sign: np.ndarray, fwhm: float) -> None:
    """The opposite half of a dipole, and the statistic of motion."""
    at = peaks["x_peak"], peaks["y_peak"]
    half = odd_size(2 * fwhm) // 2
    valid = ~_around(np.asarray(planes.mask), peaks, half, fill=True) & (_radius(half) <= 2 * fwhm)
    signed = significance_around(planes, *at, half) * sign[:, None, None]
    found["score_unsystematic"] = np.maximum(_middle(signed, 1).max(axis=(1, 2)), 0)
    found["opposite_score"] = np.where(valid, -signed, 0).max(axis=(1, 2))
    found["dipole_ratio"] = found["opposite_score"] / np.maximum(found["score_unsystematic"], 1e-3)
    near = max(round(0.75 * fwhm), 1)
    found["translient"] = motion(planes, *at, near).max(axis=(1, 2))
    strongest = np.abs(_middle(signed, near)).max(axis=(1, 2))
    found["translient_excess"] = (found["translient"] - 4) - (strongest**2 - 2)


def _middle(stamps: np.ndarray, half: int) -> np.ndarray:
    centre = stamps.shape[-1] // 2
    return stamps[:, centre - half : centre + half + 1, centre - half : centre + half + 1]


def _measure_cosmic(found: np.ndarray, planes: ScorePlanes, peaks: np.ndarray, sign: np.ndarray, fwhm: float) -> None:
    """The matched filter of a hit of one pixel against that of a point source."""
    near = max(round(0.5 * fwhm), 1)
    at = peaks["x_peak"], peaks["y_peak"]
    hit = (hits(planes, *at, near) * sign[:, None, None]).max(axis=(1, 2))
    source = (significance_around(planes, *at, near) * sign[:, None, None]).max(axis=(1, 2))
    of_psf = planes.tiles.at("hit_ratio", *at)
    found["psf_cosmic_ratio"] = of_psf
    found["cosmic_ratio"] = np.clip(hit / np.maximum(source, 1e-3) / of_psf, -LARGEST, LARGEST)
