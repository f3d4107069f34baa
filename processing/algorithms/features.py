"""Numbers from the three stamps and the diagnostics of a candidate, for classifiers that work on tables.

Every feature is dimensionless or in FWHM or σ, the same for both signs of the flux, finite, and does not depend on
the size of the stamps as long as they hold 3 FWHM around the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.scoring.base import Candidates
from processing.algorithms.statistics import masked_median

FEATURES: dict[str, str] = {
    "log_snr": "log10 of the S/N of the detection",
    "is_negative": "1 for a source that faded",
    "fwhm": "FWHM, px: the sampling",
    "unsystematic_ratio": "S without systematic noise over the S/N of the detection: large on bright stars",
    "log_psf_chi2": "log10 of the reduced χ² of the PSF fit",
    "psf_chi2_over_snr": "√(χ² − 1) over S/N: the relative error of the shape",
    "centroid_distance": "from the peak to the centroid, FWHM",
    "elongation": "ratio of the axes",
    "width_ratio": "width in units of the PSF's",
    "negative_flux_fraction": "flux of the wrong sign over that of the right one",
    "opposite_score": "S of the strongest opposite peak within 2 FWHM",
    "dipole_ratio": "that over S of the peak",
    "translient_ratio": "largest Z² over S²",
    "translient_significance": "(Z² − S²)/S: excess of motion in units of its noise",
    "cosmic_ratio": "C/S over that of a point source",
    "cosmic_absolute": "C/S itself",
    "psf_cosmic_ratio": "C/S of a point source",
    "bad_pixel_count": "masked pixels among the central 3×3",
    "in_halo": "1 in the halo or a spike of a saturated star",
    "streak": "median score along the brightest line through it, σ",
    "bright_distance": "to the nearest bright pixel of either image, FWHM, at most 6",
    "consistency": "distance from the forced flux of new minus reference, σ, at most 20",
    "masked_fraction": "masked part of the circle of 3 FWHM",
    "mask_distance": "to the nearest masked pixel, FWHM, at most 3",
    "ring_0": "mean difference within 0.3 FWHM over that of a PSF-wide core (0.5 FWHM)",
    "ring_1": "the same for 0.3–0.6 FWHM",
    "ring_2": "the same for 0.6–0.9 FWHM",
    "ring_3": "the same for 0.9–1.3 FWHM",
    "ring_4": "the same for 1.3–2 FWHM",
    "ring_5": "the same for 2–3 FWHM",
    "brightest_pixel": "brightest pixel over the flux within 1 FWHM",
    "asymmetry": "RMS difference from the stamp turned by 180° within 1 FWHM, in units of its signal and noise",
    "outer_chi2": "mean square difference between 1.2 and 3 FWHM, in its own noise",
    "pixels_above": "part of the pixels within 3 FWHM that are above +3σ",
    "pixels_below": "the same below −3σ",
    "row_excess": "largest |sum| of a row through the core, without the core, σ",
    "column_excess": "the same for columns",
    "difference_to_new": "flux of the difference over that of the new image within 1 FWHM, limited to ±3",
    "new_significance": "arcsinh of the aperture S/N in the new image, 1 FWHM",
    "reference_significance": "the same in the reference",
    "reference_peak_distance": "from the candidate to the brightest pixel of the reference within 2 FWHM, FWHM",
    "reference_concentration": "flux of the reference within 0.6 FWHM over that within 1.5 FWHM, 0 for a faint one",
    "new_concentration": "the same in the new image",
    "reference_correlation": "correlation of the difference with the reference within 1.5 FWHM",
    "gradient_correlation": "largest correlation of the difference with a gradient of the reference within 1.5 FWHM",
    "difference_pixel": "brightest pixel of the difference within 1 FWHM, in its noise, over S/N: large for hits",
    "difference_square": "the same for the best square of 2×2 pixels",
    "difference_line": "the same for the best three pixels in a line",
    "difference_second": "the second brightest of these pixels over the brightest",
    "bright_pixel": "as difference_pixel in the brighter image: for a source that faded it is the reference",
    "bright_square": "as difference_square there",
    "bright_line": "as difference_line there",
    "bright_second": "as difference_second there",
}
TOGETHER = 64  # candidates at a time: their stamps stay in the cache of the processor
_RINGS = ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.3), (1.3, 2.0), (2.0, 3.0))


@dataclass(frozen=True)
class FlatStamps:
    """Stamps of candidates without their local level, 0 where unusable; noise is that of their outer pixels."""

    difference: np.ndarray  # (n, size, size) float32, of the right sign: up
    new: np.ndarray
    reference: np.ndarray
    difference_noise: np.ndarray  # (n, 1, 1) float32
    new_noise: np.ndarray
    reference_noise: np.ndarray


def flat_stamps(candidates: Candidates) -> FlatStamps:
    """The stamps as features and networks look at them."""
    sign = np.where(candidates.table["is_negative"], -1, 1).astype(np.float32)[:, None, None]
    usable, radius = ~candidates.mask, radii(candidates)
    stamps = (sign * candidates.difference, candidates.new, candidates.reference)
    found = [flatten(values, usable, radius) for values in stamps]
    return FlatStamps(*(flat for flat, _ in found), *(noise for _, noise in found))


def features(candidates: Candidates) -> np.ndarray:
    """The features of each candidate, (n, len(FEATURES)) float32, in the order of FEATURES; never NaN."""
    parts = [features_of(part, flat_stamps(part)) for part in candidates.batches(TOGETHER)]
    return np.concatenate([np.zeros((0, len(FEATURES)), np.float32), *parts])


def features_of(candidates: Candidates, flat: FlatStamps) -> np.ndarray:
    """The same of a few candidates whose flat stamps are known."""
    result = np.zeros((len(candidates), len(FEATURES)), np.float32)
    columns = _columns(candidates, flat)
    for position, name in enumerate(FEATURES):
        result[:, position] = np.nan_to_num(columns[name], nan=0, posinf=1e4, neginf=-1e4)
    return np.clip(result, -1e4, 1e4)


def _columns(candidates: Candidates, flat: FlatStamps) -> dict[str, np.ndarray]:
    table, usable = candidates.table, ~candidates.mask
    size, radius = candidates.mask.shape[1], radii(candidates)
    difference, new, reference = flat.difference, flat.new, flat.reference
    noise, new_noise, reference_noise = flat.difference_noise, flat.new_noise, flat.reference_noise
    faded = table["is_negative"][:, None, None]
    columns = _of_diagnostics(table) | _of_lines(difference / noise, usable, radius)
    # Nothing else looks farther than 3 FWHM.
    reach = min(int(np.ceil(3 * table["fwhm"].max())) + 1, size // 2)
    inner = (slice(None), *[slice(size // 2 - reach, size // 2 + reach + 1)] * 2)
    mask, usable, radius = candidates.mask[inner], usable[inner], radius[inner]
    difference, new, reference = difference[inner], new[inner], reference[inner]
    return (
        columns
        | _of_mask(mask, radius)
        | _of_difference(difference, noise, usable, radius)
        | _of_images(new, reference, new_noise, reference_noise, radius)
        | _of_both(difference, new, reference, usable, radius)
        | sharpness("difference", difference / noise, radius, table)
        | sharpness("bright", np.where(faded, reference / reference_noise, new / new_noise), radius, table)
    )


def sharpness(name: str, stamps: np.ndarray, radius: np.ndarray, table: np.ndarray) -> dict[str, np.ndarray]:
    """How much of the light within 1 FWHM is in one pixel, or a few: `stamps` (n, size, size) are in noise."""
    size = stamps.shape[1]
    reach = min(int(np.ceil(table["fwhm"].max())) + 1, size // 2)  # with a ring of zeros around
    inner = (slice(None), *[slice(size // 2 - reach, size // 2 + reach + 1)] * 2)
    near = np.where(radius[inner] <= 1, stamps[inner], 0).astype(np.float32)
    left, right, low, high = near[:, :, :-2], near[:, :, 2:], near[:, :-2], near[:, 2:]
    middle = near[:, 1:-1, 1:-1]
    square = near[:, 1:, 1:] + near[:, :-1, 1:] + near[:, 1:, :-1] + near[:, :-1, :-1]
    lines = (
        left + near[:, :, 1:-1] + right,
        low + near[:, 1:-1] + high,
        near[:, :-2, :-2] + middle + near[:, 2:, 2:],
        near[:, :-2, 2:] + middle + near[:, 2:, :-2],
    )
    brightest = np.partition(near.reshape(len(near), -1), -2, axis=1)[:, -2:].astype(float)
    snr = np.maximum(table["snr"].astype(float), 1)
    return {
        f"{name}_pixel": brightest[:, 1] / snr,
        f"{name}_square": square.max(axis=(1, 2)) / 2 / snr,
        f"{name}_line": np.max([line.max(axis=(1, 2)) for line in lines], axis=0) / np.sqrt(3) / snr,
        f"{name}_second": brightest[:, 0] / np.maximum(brightest[:, 1], 1e-3),
    }


def radii(candidates: Candidates) -> np.ndarray:
    """Distance (n, size, size) of the pixels of the stamps from their middle, FWHM."""
    size = candidates.mask.shape[1]
    offset = np.arange(size) - size // 2
    return np.hypot(offset[:, None], offset[None, :])[None] / candidates.table["fwhm"].astype(float)[:, None, None]


def flatten(stamps: np.ndarray, usable: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stamps without their local median, 0 where unusable, and the noise (n, 1, 1) of their outer pixels.

    `stamps` and `usable` are (n, size, size), `radius` the same or (1, size, size), in FWHM from the middle.
    """
    outer = usable & (radius > 2)
    few = outer.sum(axis=(1, 2)) < 20
    outer[few] = usable[few]
    flat = stamps - _medians(stamps, outer)
    noise = np.float32(1.482602) * _medians(np.abs(flat), outer)
    return np.where(usable, flat, np.float32(0)), np.maximum(noise, np.float32(1e-6))


def _medians(stamps: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Median (n, 1, 1) float32 of the chosen pixels of each stamp."""
    found = masked_median(stamps.reshape(len(stamps), -1), where.reshape(len(stamps), -1), axis=1)
    return found.astype(np.float32)[:, None, None]


def _sum(stamps: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, stamps, 0).sum(axis=(1, 2))


def _mean(stamps: np.ndarray, where: np.ndarray) -> np.ndarray:
    return _sum(stamps, where) / np.maximum(np.count_nonzero(where, axis=(1, 2)), 1)


def _of_diagnostics(table: np.ndarray) -> dict[str, np.ndarray]:
    snr = np.maximum(table["snr"].astype(float), 0.1)
    strength = np.maximum(table["score_unsystematic"].astype(float), 1.0)
    chi2 = np.maximum(table["psf_chi2"].astype(float), 1e-3)
    plain = (
        "is_negative fwhm centroid_distance elongation width_ratio negative_flux_fraction opposite_score dipole_ratio "
        "cosmic_ratio psf_cosmic_ratio bad_pixel_count in_halo streak"
    )
    return {name: table[name].astype(float) for name in plain.split()} | {
        "log_snr": np.log10(snr),
        "unsystematic_ratio": strength / snr,
        "log_psf_chi2": np.log10(chi2),
        "psf_chi2_over_snr": np.sqrt(np.maximum(chi2 - 1, 0)) / snr,
        "translient_ratio": table["translient"] / strength**2,
        "translient_significance": (table["translient"] - strength**2) / strength,
        "cosmic_absolute": table["cosmic_ratio"] * table["psf_cosmic_ratio"],
        "bright_distance": np.fmin(table["bright_distance"] / table["fwhm"], 6),
        "consistency": np.minimum(table["consistency"], 20),
    }


def _of_mask(mask: np.ndarray, radius: np.ndarray) -> dict[str, np.ndarray]:
    distance = np.where(mask, radius, np.inf).min(axis=(1, 2))
    return {"masked_fraction": _mean(mask, radius <= 3), "mask_distance": np.minimum(distance, 3)}


def _of_difference(
    difference: np.ndarray, noise: np.ndarray, usable: np.ndarray, radius: np.ndarray
) -> dict[str, np.ndarray]:
    core = np.maximum(_mean(difference, usable & (radius <= 0.5)), noise[:, 0, 0])
    found = {
        f"ring_{k}": np.clip(_mean(difference, usable & (radius >= inner) & (radius < outer)) / core, -10, 10)
        for k, (inner, outer) in enumerate(_RINGS)
    }
    near = usable & (radius <= 1)
    count = np.maximum(near.sum(axis=(1, 2)), 1)
    total = np.maximum(_sum(difference, near), noise[:, 0, 0] * np.sqrt(count))
    turned = np.where(near & near[:, ::-1, ::-1], difference - difference[:, ::-1, ::-1], 0)
    power = np.sqrt(_sum(difference**2, near) + noise[:, 0, 0] ** 2 * count)
    outer = usable & (radius > 1.2) & (radius <= 3)
    in_sigma = difference / noise
    within = usable & (radius <= 3)
    return found | {
        "brightest_pixel": np.where(near, difference, 0).max(axis=(1, 2)) / total,
        "asymmetry": np.sqrt((turned**2).sum(axis=(1, 2))) / power,
        "outer_chi2": np.minimum(_mean(in_sigma**2, outer), 1e3),
        "pixels_above": _mean(in_sigma > 3, within),
        "pixels_below": _mean(in_sigma < -3, within),
    }


def _of_lines(in_sigma: np.ndarray, usable: np.ndarray, radius: np.ndarray) -> dict[str, np.ndarray]:
    """Sums along the rows and columns that cross the core: bad columns, trails and bleeding."""
    outside = usable & (radius > 1.3)
    middle = radius.shape[1] // 2
    through = radius[:, middle, :] <= 0.6
    clipped = np.where(outside, np.clip(in_sigma, -5, 5), 0)
    found = {}
    for name, axis in (("row_excess", 2), ("column_excess", 1)):
        excess = clipped.sum(axis=axis) / np.sqrt(np.maximum(outside.sum(axis=axis), 1))
        found[name] = np.where(through, np.abs(excess), 0).max(axis=1)
    return found


def _of_images(
    new: np.ndarray,
    reference: np.ndarray,
    new_noise: np.ndarray,
    reference_noise: np.ndarray,
    radius: np.ndarray,
) -> dict[str, np.ndarray]:
    found = {}
    for name, stamps, noise in (("new", new, new_noise), ("reference", reference, reference_noise)):
        near, core, wide = radius <= 1, radius <= 0.6, radius <= 1.5
        spread = noise[:, 0, 0] * np.sqrt(near.sum(axis=(1, 2)))
        significance = _sum(stamps, near) / spread
        whole = np.maximum(_sum(stamps, wide), noise[:, 0, 0])
        found[f"{name}_significance"] = np.arcsinh(significance)
        found[f"{name}_concentration"] = np.where(significance > 3, np.clip(_sum(stamps, core) / whole, -2, 2), 0)
    return found


def _of_both(
    difference: np.ndarray, new: np.ndarray, reference: np.ndarray, usable: np.ndarray, radius: np.ndarray
) -> dict[str, np.ndarray]:
    near, wide = usable & (radius <= 1), usable & (radius <= 1.5)
    flux = _sum(difference, near)
    of_new = _sum(new, near)
    brightest = np.where(radius <= 2, reference, -np.inf).reshape(len(radius), -1).argmax(axis=1)
    slope_y, slope_x = np.gradient(reference, axis=(1, 2))
    along = [np.abs(_correlation(difference, slope, wide)) for slope in (slope_x, slope_y)]
    return {
        "difference_to_new": np.clip(flux / np.where(np.abs(of_new) < 1e-6, 1e-6, of_new), -3, 3),
        "reference_peak_distance": np.take_along_axis(radius.reshape(len(radius), -1), brightest[:, None], axis=1)[
            :, 0
        ],
        "reference_correlation": _correlation(difference, reference, wide),
        "gradient_correlation": np.maximum(*along),
    }


def _correlation(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Correlation coefficient (n,) of two stacks of stamps over the pixels `where`; 0 where one is constant."""
    first = np.where(where, first - _mean(first, where)[:, None, None], 0)
    second = np.where(where, second - _mean(second, where)[:, None, None], 0)
    norm = np.sqrt((first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2)))
    return np.where(norm > 0, (first * second).sum(axis=(1, 2)) / np.where(norm > 0, norm, 1), 0)
