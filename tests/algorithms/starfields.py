"""Small simulated star fields with a known, varying PSF: Moffat stars, a few galaxies, sky, Poisson and read noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from processing.algorithms.psf_model import moffat_model


@dataclass(frozen=True)
class Sky:
    """What to simulate; the PSF is a Moffat whose width and ellipticity change over the field."""

    shape: tuple[int, int] = (1024, 1024)
    fwhm: float = 4.2  # px at the middle
    variation: float = 0.05  # relative change of the FWHM from the middle to the corners
    ellipticity: float = 0.03  # at the right edge, minus this at the left
    beta: float = 3.0
    sky: float = 140.0  # electrons
    gradient: float = 0.02  # relative change of the sky over the image
    stars: int = 600
    faintest: float = 150.0  # electrons
    brightest: float = 3e5
    slope: float = 0.6  # of the cumulative counts per decade of flux
    galaxies: int = 20
    wings: float = 4.0  # FWHM, half of the square of light of a star of 3,000 electrons or less
    over_pixels: bool = False  # the PSF is averaged over the pixels, as on a detector
    isolated: bool = False  # stars on a jittered lattice, no two of them close to each other
    seed: int = 1


@dataclass(frozen=True)
class Field:
    """A simulated image with the truth."""

    data: np.ndarray  # (ny, nx) float32, electrons with sky
    background: np.ndarray  # (ny, nx) float32
    expected: np.ndarray  # (ny, nx) float64, electrons without noise
    variance: np.ndarray  # (ny, nx) float32, from the data as a pipeline would have it
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray  # total electrons of the stars
    galaxies: np.ndarray = field(repr=False)  # (n, 2) positions
    sky: Sky

    @property
    def noise(self) -> float:
        """Standard deviation of an empty pixel at the middle."""
        return float(np.sqrt(self.sky.sky))

    def psf(self, x: float, y: float, half: int = 16, *, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
        """The true PSF at (x, y), displaced by (dx, dy) px; the sum over the stamp of the centred one is 1."""
        offset = np.arange(-half, half + 1)
        centred = _moffat(self.sky, x, y, offset[None], offset[:, None])
        return _moffat(self.sky, x, y, offset[None] - dx, offset[:, None] - dy) / centred.sum()

    def fwhm(self, x: float, y: float) -> float:
        """The true FWHM at (x, y), px: of the circle as large as the half-maximum ellipse."""
        before = _shape(self.sky, x, y)[0]
        if not self.sky.over_pixels:
            return before
        return moffat_model(before, self.data.shape, self.sky.beta, over_pixels=True).fwhm_at(0, 0)


def simulate(sky: Sky) -> Field:
    """Draw a field; the same `sky` gives the same field."""
    rng = np.random.default_rng(sky.seed)
    ny, nx = sky.shape
    x, y = (
        _lattice(sky, rng) if sky.isolated else (rng.uniform(0, nx - 1, sky.stars), rng.uniform(0, ny - 1, sky.stars))
    )
    span = (sky.brightest / sky.faintest) ** -sky.slope
    flux = sky.faintest * rng.uniform(span, 1, len(x)) ** (-1 / sky.slope)
    yy, xx = np.mgrid[:ny, :nx]
    background = sky.sky * (1 + sky.gradient * (xx / nx + yy / ny - 1)).astype(np.float32)
    signal = np.zeros(sky.shape)
    for a, b, f in zip(x, y, flux):
        half = int(sky.fwhm * np.clip(sky.wings * (f / 3000) ** 0.15, sky.wings, 12))
        _add(signal, a, b, half, lambda u, v, a=a, b=b, f=f: f * _moffat(sky, a, b, u, v))
    galaxies = np.stack([rng.uniform(50, nx - 50, sky.galaxies), rng.uniform(50, ny - 50, sky.galaxies)], axis=1)
    for a, b in galaxies:
        size, f = sky.fwhm * rng.uniform(0.8, 2), 10 ** rng.uniform(3.3, 4.7)
        profile = lambda u, v, s=size, f=f: f * np.exp(-np.hypot(u, v) / s) / (2 * np.pi * s**2)  # noqa: E731
        _add(signal, a, b, int(6 * size), profile)
    data = rng.poisson(background + signal).astype(np.float32)
    variance = np.maximum(data, 0.25 * background)
    return Field(data, background, background + signal, variance, x, y, flux, galaxies, sky)


def _lattice(sky: Sky, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the cells of a square lattice, away from the borders of the cells."""
    ny, nx = sky.shape
    across = int(np.ceil(np.sqrt(sky.stars * nx / ny)))
    step = nx / across
    cells = rng.permutation(across * int(ny / step))[: sky.stars]
    jitter = rng.uniform(0.3, 0.7, (2, len(cells)))
    return step * (cells % across + jitter[0]), step * (cells // across + jitter[1])


def _shape(sky: Sky, x: float, y: float) -> tuple[float, float]:
    u, v = 2 * x / (sky.shape[1] - 1) - 1, 2 * y / (sky.shape[0] - 1) - 1
    return sky.fwhm * (1 + sky.variation * (u * u + v * v) / 2), sky.ellipticity * u


def _moffat(sky: Sky, x: float, y: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Moffat of total flux 1 over the plane; `u`, `v` are offsets in px."""
    fwhm, e = _shape(sky, x, y)
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / sky.beta) - 1)
    nodes = np.array([-0.5, 0.5]) / np.sqrt(3) if sky.over_pixels else np.zeros(1)  # of a quadrature over the pixel
    along_x, along_y = ((a + nodes.reshape(-1, *[1] * np.ndim(a))) ** 2 for a in (u, v))
    r2 = along_x[None] * (1 - e) / (1 + e) + along_y[:, None] * (1 + e) / (1 - e)
    return (sky.beta - 1) / (np.pi * alpha2) * np.mean((1 + r2 / alpha2) ** -sky.beta, axis=(0, 1))


def _add(image: np.ndarray, x: float, y: float, half: int, profile) -> None:
    i, j = round(x), round(y)
    rows = slice(max(0, j - half), min(image.shape[0], j + half + 1))
    columns = slice(max(0, i - half), min(image.shape[1], i + half + 1))
    if rows.start < rows.stop and columns.start < columns.stop:
        u = np.arange(columns.start, columns.stop)[None] - x
        v = np.arange(rows.start, rows.stop)[:, None] - y
        image[rows, columns] += profile(u, v)


def light_of_stars(shape: tuple[int, int], stars: int, *, seed: int, fwhm: float) -> np.ndarray:
    """Expected electrons (ny, nx) of stars and a few galaxies without sky."""
    found = simulate(Sky(shape=shape, stars=stars, fwhm=fwhm, sky=400.0, seed=seed, galaxies=stars // 20))
    return found.expected - found.background
