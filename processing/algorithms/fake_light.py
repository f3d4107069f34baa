"""The light of fakes: added with its photon noise, or taken out of a star photon by photon."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from processing.algorithms.fakes import FAKES
from processing.algorithms.resampling import StampModel
from processing.algorithms.stamps import nearest_pixel, psf_stamps, shift_stamps
from processing.errors import BadInput

_STEP = 0.5  # px between the points that make a streak
_BOX = 3  # px, over which light that is neither the star's nor the sky's is averaged
_SIGNIFICANT = 3.0  # σ of that average: noise taken for light would make noise of its own

Slices = tuple[slice, slice]


def inject(
    data: np.ndarray,
    variance: np.ndarray,
    sky: np.ndarray,
    psf: StampModel,
    fakes: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Copies of `data` and `variance` (ny, nx; electrons, electrons²) with the `fakes` (dtype FAKES) in them.

    Light that comes is the PSF of its place, moved to its sub-pixel position, with photon noise; a streak is a line of
    such points. Light that goes is taken from the photons that are in the pixels, see
    `thinned`; `sky` (ny, nx, electrons) is the level in `data`. The expected counts are added to the variance, or
    taken from it, except where that is 0: such pixels are unusable and stay so. Raises BadInput where more light is
    to go than the star has.
    """
    if (fakes["flux"] < -fakes["star_flux"] * (1 + 1e-6)).any():
        raise BadInput(what="fakes", reason="more light is to be taken away than the star has")
    data, variance = data.copy(), variance.copy()
    goes = fakes["flux"] < 0
    for light, there in _stamps(psf, _points(fakes[~goes]), data.shape):
        # The wings of a measured PSF may be slightly negative; those have no photons to draw.
        mean = np.maximum(light, 0)
        data[there] += (rng.poisson(mean) + np.minimum(light, 0)).astype(data.dtype)
        _add(variance, there, mean)
    stars = fakes[goes].copy()
    part = np.divide(-stars["flux"], stars["star_flux"], out=np.zeros(len(stars)), where=stars["star_flux"] > 0)
    stars["flux"] = stars["star_flux"]
    for share, (light, there) in zip(part, _stamps(psf, stars, data.shape)):
        star = np.maximum(light, 0)
        data[there] = thinned(data[there], variance[there], sky[there], star, share, rng)
        _add(variance, there, -share * star)
    return data, variance


def thinned(
    data: np.ndarray, variance: np.ndarray, sky: np.ndarray, star: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """`data` (k, k) electrons without the `share` of the light of a star in it, with the noise of what stays.

    Of n photons in a pixel, n × share × star / (star + everything else) leave, binomially: what is left of a Poisson
    process thinned like this is the Poisson process of the smaller mean. What is noise but no photons (read-out, from
    `variance`) shrinks with them and is made up for. `sky` and `star` are the expected electrons; other light in the
    stamp is read from the data, averaged over 3 × 3 pixels, where it is significant.
    """
    known = star + np.maximum(sky, 0)
    others = ndimage.uniform_filter(data - known, _BOX, mode="nearest")
    noise = np.sqrt(ndimage.uniform_filter(np.maximum(variance, known), _BOX, mode="nearest")) / _BOX
    mean = np.maximum(known + np.where(others > _SIGNIFICANT * noise, others, 0), 1e-6)
    chance = np.clip(share * star / mean, 0, 1)
    photons = np.rint(np.maximum(data, 0)).astype(np.int64)
    leaving = rng.binomial(photons, chance) + chance * (data - photons)
    other_noise = np.maximum(variance - mean, 0) * chance * (2 - chance)
    left = data - leaving + rng.normal(0, 1, data.shape) * np.sqrt(other_noise)
    return left.astype(data.dtype)


def line_response(psf: np.ndarray, length: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Part of the light of streaks (n,) that PSF photometry at their middle measures; 1 for length 0.

    `psf` (n, m, m) are the PSFs of the image that is measured; `length` in px, `angle` in degrees from x towards y.
    """
    found = np.ones(len(length))
    for index in np.flatnonzero(length > 0):
        along = _offsets(float(length[index]))
        turn, stamp = np.radians(float(angle[index])), psf[index].astype(float)
        near = np.abs(along) < stamp.shape[-1] / 2
        moved = shift_stamps(
            np.repeat(stamp[None], near.sum(), axis=0), along[near] * np.cos(turn), along[near] * np.sin(turn)
        )
        found[index] = (moved * stamp).sum() / (stamp**2).sum() / len(along)
    return found


def _offsets(length: float) -> np.ndarray:
    """Places of the points of a streak from its middle, px."""
    number = max(int(np.ceil(length / _STEP)), 1)
    return (np.arange(number) + 0.5) * (length / number) - length / 2


def _points(fakes: np.ndarray) -> np.ndarray:
    """The fakes with streaks taken apart into points, which together have their flux."""
    found = [fakes[fakes["length"] <= 0]]
    for fake in fakes[fakes["length"] > 0]:
        along, turn = _offsets(float(fake["length"])), np.radians(float(fake["angle"]))
        points = np.repeat(fake, len(along))
        points["x"] += along * np.cos(turn)
        points["y"] += along * np.sin(turn)
        points["flux"] /= len(along)
        found.append(points)
    return np.concatenate(found) if found else np.zeros(0, FAKES)


def _stamps(psf: StampModel, points: np.ndarray, shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, Slices]]:
    """The expected electrons of each point as far as they lie in the image, and where."""
    if not len(points):
        return
    column, row = nearest_pixel(points["x"]), nearest_pixel(points["y"])
    centred = psf_stamps(psf.stamp, points["x"], points["y"])
    light = shift_stamps(centred, points["x"] - column, points["y"] - row) * points["flux"][:, None, None]
    half, (ny, nx) = light.shape[-1] // 2, shape
    for stamp, i, j in zip(light, row, column):
        top, left = max(i - half, 0), max(j - half, 0)
        rows, columns = slice(top, max(min(i + half + 1, ny), top)), slice(left, max(min(j + half + 1, nx), left))
        down, along = top - i + half, left - j + half  # what of the stamp lies before the image
        yield (
            stamp[down : down + rows.stop - top, along : along + columns.stop - left],
            (rows, columns),
        )


def _add(variance: np.ndarray, there: Slices, counts: np.ndarray) -> None:
    """Add expected counts where pixels are usable; of what is taken away at least a hundredth of the variance stays."""
    held = variance[there]
    variance[there] = np.where(held > 0, np.maximum(held + counts, 0.01 * held), 0)
