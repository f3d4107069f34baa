"""Forced photometry of new minus reference without a difference image: each convolved with the PSF of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

_TOGETHER = 100  # places at a time


@dataclass(frozen=True)
class Epoch:
    """One image around each place: (n, s, s) stamps, s odd, and the PSF there, (n, k, k), k odd."""

    data: np.ndarray  # electrons of the new image, sky subtracted
    variance: np.ndarray  # electrons²
    psf: np.ndarray

    def part(self, rows: slice) -> Epoch:
        """Some of the places."""
        return Epoch(self.data[rows], self.variance[rows], self.psf[rows])


def cross_flux(
    new: Epoch, reference: Epoch, offsets: np.ndarray, usable: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """PSF flux (n,) of what is in the new image and not in the reference, and its error, electrons.

    `offsets` (n, 2): x and y from the middle of the stamps, px. Both images then have one PSF, the two PSFs
    convolved, whatever the shape of what they show (Gal-Yam et al. 2008, ApJ 680, 550), and that is fitted within
    `radius` px. NaN where `usable` (n, s, s) is False within half of it; farther out such pixels count as 0 in both.
    """
    found = np.full((2, len(offsets)), np.nan)
    for first in range(0, len(offsets), _TOGETHER):
        rows = slice(first, first + _TOGETHER)
        found[:, rows] = _fluxes(new.part(rows), reference.part(rows), offsets[rows], usable[rows], radius)
    return found[0], found[1]


def _fluxes(new: Epoch, reference: Epoch, offsets: np.ndarray, usable: np.ndarray, radius: float) -> np.ndarray:
    size = usable.shape[-1]
    reach = max(epoch.psf.shape[-1] for epoch in (new, reference)) // 2
    length = fft.next_fast_len(size + 2 * reach, real=True)
    offsets = offsets.astype(np.float32)  # single precision: an electron in a million, in half the time
    middle = np.arange(length, dtype=np.float32) - size // 2
    distance = np.hypot(middle[None, None, :] - offsets[:, :1, None], middle[None, :, None] - offsets[:, 1:, None])

    def spectrum(stamps: np.ndarray) -> np.ndarray:
        return fft.rfft2(stamps, (length, length))

    def image(spectra: np.ndarray) -> np.ndarray:
        return fft.irfft2(spectra, (length, length))

    psfs = [spectrum(_centred(epoch.psf, length)) for epoch in (new, reference)]
    across, up = (of(length).astype(np.float32) for of in (fft.rfftfreq, fft.fftfreq))
    at = offsets[:, :, None, None] + size // 2
    phase = np.exp(np.complex64(-2j * np.pi) * (across * at[:, 0] + up[:, None] * at[:, 1]))
    template = np.where(distance <= radius, image(psfs[0] * psfs[1] * phase), np.float32(0))
    template /= (template**2).sum(axis=(1, 2), keepdims=True)
    wanted = spectrum(template)
    flux, variance = np.zeros(len(offsets)), np.zeros(len(offsets))
    for epoch, psf, sign in ((new, psfs[1], 1), (reference, psfs[0], -1)):
        kernel = image(wanted * np.conj(psf))[:, :size, :size]
        flux += sign * (kernel * np.where(usable, epoch.data, 0)).sum(axis=(1, 2))
        variance += (kernel**2 * np.where(usable, epoch.variance, 0)).sum(axis=(1, 2))
    spoiled = (~usable & (distance[:, :size, :size] <= 0.5 * radius)).any(axis=(1, 2))
    return np.where(spoiled, np.nan, np.stack([flux, np.sqrt(variance)]))


def _centred(stamps: np.ndarray, length: int) -> np.ndarray:
    """Stamps (n, k, k) on (n, length, length) with their middle pixels at [0, 0]."""
    half = stamps.shape[-1] // 2
    wide = np.zeros((len(stamps), length, length), np.float32)
    wide[:, : stamps.shape[-1], : stamps.shape[-1]] = stamps
    return np.roll(wide, (-half, -half), axis=(1, 2))
