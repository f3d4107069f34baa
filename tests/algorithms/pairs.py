"""Small simulated pairs of images: the same stars at two epochs with known PSFs, noise, flux scales and new sources."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from processing.algorithms.subtraction.base import Difference, Epoch, MatchedStars


@dataclass(frozen=True)
class MoffatPSF:
    """A Moffat profile (beta 3) sampled at pixel centres, the same all over the image."""

    fwhm: float
    half: int = 16
    ellipticity: float = 0.0

    def profile(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Value at the offsets; the sum over a stamp is 1."""
        return self._raw(dx, dy) / self._raw(*self._grid()).sum()

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The centred stamp."""
        return self.profile(*self._grid())

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.mgrid[-self.half : self.half + 1, -self.half : self.half + 1][::-1])

    def _raw(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        width = self.fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
        q = 1 + self.ellipticity
        return (1 + (dx**2 * q + dy**2 / q) / width**2) ** -3.0


@dataclass(frozen=True)
class PairSky:
    """What to simulate. Fluxes are electrons of the new image; the reference is a stack of `frames` exposures."""

    size: int = 512
    new_fwhm: float = 4.2
    ref_fwhm: float = 3.4
    noise: float = 20.0  # electrons, one exposure
    frames: int = 10
    flux_ratio: float = 1.25
    stars: int = 150
    brightest: float = 2e5
    shift: float = 0.0  # px, of the new image along x, that the registration does not know
    transients: int = 0
    transient_flux: float = 8000.0
    hits: int = 0  # cosmic rays of one pixel in the new image
    seed: int = 1


@dataclass(frozen=True)
class Pair:
    """A simulated pair with the truth."""

    new: Epoch
    reference: Epoch
    stars: MatchedStars
    transients: np.ndarray  # (n, 2) x, y
    hits: np.ndarray  # (n, 2) x, y of pixels
    sky: PairSky = field(repr=False)

    def swapped(self) -> tuple[Epoch, Epoch]:
        """Reference and new exchanged."""
        return self.reference, self.new


def simulate_pair(sky: PairSky) -> Pair:
    """Draw a pair; the same `sky` gives the same pair."""
    rng = np.random.default_rng(sky.seed)
    psf_n, psf_r = MoffatPSF(sky.new_fwhm), MoffatPSF(sky.ref_fwhm)
    edge = 24
    stars = rng.uniform(edge, sky.size - edge, (sky.stars, 2))
    flux = 1000 * (sky.brightest / 1000) ** (rng.random(sky.stars) ** 1.5)
    transients = _apart(rng, sky, stars, sky.transients, 40)
    hits = np.round(_apart(rng, sky, np.vstack([stars, transients]), sky.hits, 25)).astype(int)
    moved = stars + np.array([sky.shift, 0])
    new = render(sky.size, psf_n, moved, flux)
    new += render(sky.size, psf_n, transients, np.full(len(transients), sky.transient_flux))
    ref = render(sky.size, psf_r, stars, flux) * sky.flux_ratio
    noise_r = sky.noise * sky.flux_ratio / np.sqrt(sky.frames)
    gain_r = sky.flux_ratio / sky.frames  # source variance per count of the stack
    seen_n = _noisy(rng, new, sky.noise, 1.0)
    seen_r = _noisy(rng, ref, noise_r, gain_r)
    seen_n[hits[:, 1], hits[:, 0]] += 60 * sky.noise
    zero_point = 2.5 * np.log10(sky.flux_ratio)
    blank = np.zeros(new.shape, bool)
    return Pair(
        new=Epoch(seen_n, _variance(seen_n, sky.noise, 1.0), blank, psf_n, sky.noise, 25.0, sky.new_fwhm),
        reference=Epoch(
            seen_r, _variance(seen_r, noise_r, gain_r), blank, psf_r, noise_r, 25.0 + zero_point, sky.ref_fwhm
        ),
        stars=_matched(rng, sky, stars, flux),
        transients=transients,
        hits=hits,
        sky=sky,
    )


def noise_pair(size: int, new_noise: float = 20.0, ref_noise: float = 12.0, seed: int = 1) -> Pair:
    """Two images of nothing but white noise on one flux scale."""
    pair = simulate_pair(PairSky(size=size, stars=0, flux_ratio=1.0, seed=seed))
    rng = np.random.default_rng(seed)
    epochs = [
        replace(
            epoch,
            data=rng.normal(0, noise, (size, size)).astype(np.float32),
            variance=np.full((size, size), noise**2, np.float32),
            noise=noise,
        )
        for epoch, noise in ((pair.new, new_noise), (pair.reference, ref_noise))
    ]
    return replace(pair, new=epochs[0], reference=epochs[1])


def value_at(plane: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Cubic interpolation of a plane at (n, 2) positions x, y."""
    return ndimage.map_coordinates(plane, positions[:, ::-1].T, order=3, mode="nearest")


def peaks(difference: Difference, threshold: float) -> np.ndarray:
    """(n, 2) x, y of the local maxima of |score| above `threshold` outside the mask."""
    height = np.abs(difference.score)
    top = (height == ndimage.maximum_filter(height, 3)) & (height > threshold) & ~difference.mask
    return np.argwhere(top)[:, ::-1]


def refined_peak(plane: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Sub-pixel position of the maximum within 2 px of (x, y), by parabolas."""
    ix, iy = round(x), round(y)
    box = plane[iy - 2 : iy + 3, ix - 2 : ix + 3]
    dy, dx = np.unravel_index(np.argmax(box), box.shape)
    cx, cy = ix - 2 + dx, iy - 2 + dy
    across, up = plane[cy, cx - 1 : cx + 2], plane[cy - 1 : cy + 2, cx]
    return cx + _vertex(across), cy + _vertex(up)


def near(positions: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """Which of `positions` lie within `radius` of any of `others`."""
    if len(others) == 0 or len(positions) == 0:
        return np.zeros(len(positions), bool)
    return np.hypot(*(positions[:, None] - others[None]).transpose(2, 0, 1)).min(axis=1) <= radius


def star_distance(pair: Pair) -> np.ndarray:
    """(ny, nx) distance from the nearest star, px."""
    empty = np.ones(pair.new.data.shape, bool)
    x, y = np.round(pair.stars.x).astype(int), np.round(pair.stars.y).astype(int)
    empty[y, x] = False
    return ndimage.distance_transform_edt(empty)


def _vertex(values: np.ndarray) -> float:
    a, b, c = (float(v) for v in values)
    return 0.5 * (a - c) / (a - 2 * b + c)


def _apart(rng: np.random.Generator, sky: PairSky, taken: np.ndarray, count: int, edge: int) -> np.ndarray:
    found: list[np.ndarray] = []
    while len(found) < count:
        position = rng.uniform(edge, sky.size - edge, 2)
        others = np.vstack([taken, *found]) if len(taken) or found else np.full((1, 2), -99.0)
        if np.hypot(*(others - position).T).min() > 14:
            found.append(position[None])
    return np.vstack(found) if found else np.zeros((0, 2))


def render(size: int, psf: MoffatPSF, positions: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Point sources at (n, 2) positions x, y on an empty square image."""
    image = np.zeros((size, size))
    for (x, y), f in zip(positions, flux):
        ix, iy = round(x), round(y)
        rows = np.arange(max(iy - psf.half, 0), min(iy + psf.half + 1, size))
        columns = np.arange(max(ix - psf.half, 0), min(ix + psf.half + 1, size))
        image[np.ix_(rows, columns)] += f * psf.profile(columns[None] - x, rows[:, None] - y)
    return image


def _noisy(rng: np.random.Generator, image: np.ndarray, noise: float, gain: float) -> np.ndarray:
    return rng.normal(image, np.sqrt(noise**2 + gain * image)).astype(np.float32)


def _variance(seen: np.ndarray, noise: float, gain: float) -> np.ndarray:
    # Flooring the sum rather than the counts keeps the noise of the sky unbiased.
    return np.maximum(gain * seen + noise**2, 0.25 * noise**2).astype(np.float32)


def _matched(rng: np.random.Generator, sky: PairSky, stars: np.ndarray, flux: np.ndarray) -> MatchedStars:
    ref_noise = sky.noise / np.sqrt(sky.frames)
    err_n = np.sqrt(flux + 4 * np.pi * (sky.new_fwhm / 2.35) ** 2 * sky.noise**2)
    err_r = np.sqrt(flux / sky.frames + 4 * np.pi * (sky.ref_fwhm / 2.35) ** 2 * ref_noise**2)
    spread = 0.6 * np.hypot(sky.new_fwhm * err_n / flux, sky.ref_fwhm * err_r / flux)
    return MatchedStars(
        x=stars[:, 0],
        y=stars[:, 1],
        new_flux=rng.normal(flux, err_n),
        new_flux_err=err_n,
        ref_flux=rng.normal(flux, err_r) * sky.flux_ratio,
        ref_flux_err=err_r * sky.flux_ratio,
        dx=sky.shift + rng.normal(0, spread),
        dy=rng.normal(0, spread),
    )
