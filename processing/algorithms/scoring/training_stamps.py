"""Labelled candidates for training a scorer: simulated fields, properly subtracted, searched and measured.

The subtraction is ZOGY (Zackay, Ofek & Gal-Yam 2016) on one tile with known PSFs; detection, diagnostics and features
are those that run on real images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from processing.algorithms.diagnostics import measure_diagnostics
from processing.algorithms.features import features
from processing.algorithms.peaks import PeakParameters, ScorePlanes, find_peaks
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.training_sky import REAL, Field, draw_field, fwhm_reach
from processing.algorithms.stamps import cut_stamps

STAMP = 41  # px
_FLUX_RATIO_ERROR = 0.004  # relative, enters the score of bright stars


@dataclass(frozen=True)
class TrainingSet:
    """Labelled candidates as numbers, one row each."""

    features: np.ndarray  # (n, len(FEATURES)) float32
    is_real: np.ndarray  # (n,) bool
    kind: np.ndarray  # (n,) str: of REAL, of BOGUS, "noise" or "residual"
    snr: np.ndarray  # (n,) float32
    table: np.ndarray  # (n,) DIAGNOSTICS


@dataclass(frozen=True)
class Subtracted:
    """A field after subtraction."""

    planes: ScorePlanes
    psf: np.ndarray  # (m, m), of the difference
    fwhm: float  # px, of the difference


def _centred(psf: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Transform of a PSF stamp, its middle pixel at [0, 0]."""
    half = psf.shape[0] // 2
    image = np.zeros(shape)
    image[: psf.shape[0], : psf.shape[1]] = psf
    return fft.fft2(np.roll(image, (-half, -half), axis=(0, 1)))


def subtract(field: Field) -> Subtracted:
    """Every plane that detection and measuring need, by ZOGY eqs. 12–29 with flux ratio 1, and Translient."""
    shape = field.new.shape
    new, reference = fft.fft2(field.new), fft.fft2(field.reference)
    psf_new, psf_reference = (_centred(psf.stamp(), shape) for psf in (field.psf_new, field.psf_reference))
    density = field.sky_new**2 * abs(psf_reference) ** 2 + field.sky_reference**2 * abs(psf_new) ** 2
    keep = density > 1e-9 * density.max()
    density = np.where(keep, density, 1)
    kernel_new = np.where(keep, psf_new.conj() * abs(psf_reference) ** 2 / density, 0)
    kernel_reference = np.where(keep, psf_reference.conj() * abs(psf_new) ** 2 / density, 0)
    sharpness = np.where(keep, abs(psf_new) ** 2 * abs(psf_reference) ** 2 / density, 0)
    flux_norm = sharpness.mean()

    score_new, score_reference = kernel_new * new, kernel_reference * reference
    wave_x, wave_y = 2 * np.pi * fft.fftfreq(shape[1])[None, :], 2 * np.pi * fft.fftfreq(shape[0])[:, None]
    score_hat = score_new - score_reference
    middle_hat = 0.5 * (score_new + score_reference)
    score = fft.ifft2(score_hat).real
    variance = _convolved(field.variance_new, kernel_new) + _convolved(field.variance_reference, kernel_reference)
    systematic = sum((field.shift * fft.ifft2(1j * wave * middle_hat).real) ** 2 for wave in (wave_x, wave_y))
    systematic += (_FLUX_RATIO_ERROR * fft.ifft2(middle_hat).real) ** 2
    motion = sum(fft.ifft2(1j * wave * score_hat).real ** 2 / (wave**2 * sharpness).mean() for wave in (wave_x, wave_y))

    root = np.sqrt(density)
    scale = np.hypot(field.sky_new, field.sky_reference)  # 1/F_D
    match_new, match_reference = np.where(keep, psf_reference / root, 0), np.where(keep, psf_new / root, 0)
    difference = np.where(keep, (psf_reference * new - psf_new * reference) / root, (new - reference) / scale)
    hit_norm = np.sqrt((abs(match_new) ** 2).mean())
    psf_hat = np.where(keep, psf_new * psf_reference / root, 0) * scale
    hit_ratio = (psf_hat / scale * match_new.conj()).real.mean() / hit_norm / np.sqrt(flux_norm)
    pixel_variance = _convolved(field.variance_new, match_new) + _convolved(field.variance_reference, match_reference)
    psf = _stamp(fft.ifft2(psf_hat).real, field.psf_new.half)
    planes = ScorePlanes(
        score=score / np.sqrt(variance + systematic),
        alpha=score / flux_norm,
        alpha_err=np.sqrt(variance) / flux_norm,
        mask=field.mask,
        halo=field.halo,
        translient=motion * flux_norm / variance,
        cosmic_ray=fft.ifft2(difference * match_new.conj()).real / hit_norm * np.sqrt(flux_norm / variance),
        psf_cosmic_ratio=hit_ratio,
        score_unsystematic=score / np.sqrt(variance),
        data=fft.ifft2(difference).real * scale,
        variance=pixel_variance * scale**2,
    )
    return Subtracted(planes, psf, _width(psf))


def _convolved(variance: np.ndarray, kernel_hat: np.ndarray) -> np.ndarray:
    return fft.ifft2(fft.fft2(variance) * fft.fft2(fft.ifft2(kernel_hat).real ** 2)).real


def _stamp(image: np.ndarray, half: int) -> np.ndarray:
    psf = np.roll(image, (half, half), axis=(0, 1))[: 2 * half + 1, : 2 * half + 1]
    return psf / psf.sum()


def _width(psf: np.ndarray) -> float:
    """FWHM, px, of the Gaussian through the brightest pixel and its four neighbours."""
    middle = psf.shape[0] // 2
    ratio = (
        psf[middle, middle]
        * 4
        / (psf[middle, [middle - 1, middle + 1]].sum() + psf[[middle - 1, middle + 1], middle].sum())
    )
    return float(np.sqrt(8 * np.log(2)) / np.sqrt(2 * np.log(ratio)))


def label(field: Field, peaks: np.ndarray) -> np.ndarray:
    """Kind of each peak (n,) str; "" where two causes compete or the sign is wrong, so that it is unsure."""
    kinds = np.full(len(peaks), "noise", "U24")
    near = fwhm_reach(field.psf_new.fwhm)
    strength = np.maximum(np.abs(field.new), np.abs(field.reference))
    for row, peak in enumerate(peaks):
        distances = np.array([np.hypot(event.x - peak["x"], event.y - peak["y"]) for event in field.events])
        inside = [event for event, far in zip(field.events, distances) if far < event.reach]
        close = [event for event, far in zip(field.events, distances) if far < max(event.reach, 3 * near)]
        if len(inside) == 1 and (inside[0].kind not in REAL or len(close) == 1):
            right_sign = inside[0].kind not in REAL or inside[0].is_negative == peak["is_negative"]
            kinds[row] = inside[0].kind if right_sign else ""
        elif close:
            kinds[row] = ""
        elif strength[peak["y_peak"], peak["x_peak"]] > 5 * max(field.sky_new, field.sky_reference):
            kinds[row] = "residual"
    return kinds


def candidates_of(field: Field, parameters: PeakParameters | None = None) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Subtract a field and find what is in it: the candidates, their peaks (dtype PEAKS) and kinds."""
    subtracted = subtract(field)
    peaks = find_peaks(subtracted.planes, subtracted.fwhm, parameters or PeakParameters(threshold=4.5, edge=8))
    table = measure_diagnostics(subtracted.planes, peaks, lambda x, y: subtracted.psf, subtracted.fwhm)

    def cut(plane: np.ndarray) -> np.ndarray:
        return cut_stamps(plane.astype(np.float32), peaks["x_peak"], peaks["y_peak"], size=STAMP)[0]

    mask = cut_stamps(field.mask, peaks["x_peak"], peaks["y_peak"], size=STAMP, fill=True)[0]
    stamps = Candidates(cut(field.new), cut(field.reference), cut(subtracted.planes.data), mask, table)
    return stamps, peaks, label(field, peaks)


def training_set(seed: int, fields: int, *, cells: int = 8) -> TrainingSet:
    """Draw labelled candidates from `fields` fields; field k has the seed (seed, k), so that sets never share one."""
    found: dict[str, list[np.ndarray]] = {"features": [], "kind": [], "snr": [], "table": []}
    for number in np.random.SeedSequence(seed).generate_state(fields):
        candidates, peaks, kinds = candidates_of(draw_field(int(number), cells=cells))
        sure = kinds != ""
        found["features"].append(features(candidates)[sure])
        found["kind"].append(kinds[sure])
        found["snr"].append(peaks["snr"][sure])
        found["table"].append(candidates.table[sure])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return TrainingSet(is_real=np.isin(joined["kind"], REAL), **joined)
