"""A kernel of free pixels that varies over the image, by least squares whose sums are correlations in Fourier space.

Saccadic FFT subtraction (Hu, Wang, Chen & Yang 2022, ApJ 936, 157), with a window of its own for every star instead of
one mask: stars can be weighted and left out, and all that is transformed is as large as a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

from processing.algorithms.subtraction.base import Epoch
from processing.algorithms.subtraction.matching_kernel import MatchingKernel

_FADING = 2.0  # FWHM over which the window of a star fades, beyond the reach of the kernel
_CORE = 2.0  # FWHM: a star with an unusable pixel there, or too many further out, goes as a whole
_MOST_BAD = 0.1
_MODEL_ERROR = 0.005  # relative: bright stars do not decide alone
_RIDGE = 1e-6  # of the mean diagonal, where the normal matrix is not positive definite


def monomials(order: int) -> tuple[tuple[int, int], ...]:
    """Powers (i, j) of x and y up to a total of `order`."""
    return tuple((i, j) for i in range(order + 1) for j in range(order + 1 - i))


@dataclass(frozen=True)
class Functions:
    """What a kernel is made of: its pixels one by one, and about them rings with waves of one and two periods."""

    half: int  # px, of the kernel
    dy: np.ndarray  # (pixels,) int, from the middle; sorted, so that the middle is the middle one
    dx: np.ndarray  # (pixels,) int
    rings: np.ndarray  # (rings, 2 half + 1, 2 half + 1)
    sums: np.ndarray  # (functions,) 1, or 0 for waves

    @classmethod
    def of(cls, free: int, half: int) -> Functions:
        """Pixels up to a radius of `free` px are free, beyond it rings of 1 px reach to `half` px."""
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        radius, angle = np.hypot(y, x), np.arctan2(y, x)
        inner = radius < free + 0.5
        waves = [np.ones_like(angle), *(wave(m * angle) for m in (1, 2) for wave in (np.cos, np.sin))]
        rings = [(np.abs(radius - r) <= 0.5) & ~inner for r in range(free + 1, half + 1)]
        made = np.array([wave * ring / ring.sum() for ring in rings for wave in waves]).reshape(-1, *y.shape)
        sums = np.r_[np.ones(inner.sum()), np.tile([1.0] + [0.0] * 4, len(rings))]
        return cls(half, y[inner], x[inner], made, sums)

    def __len__(self) -> int:
        return len(self.sums)

    def planes(self, coefficients: np.ndarray) -> np.ndarray:
        """Kernels (n, 2 half + 1, 2 half + 1) from coefficients (n, functions)."""
        pixels, rings = np.split(coefficients, [self.dy.size], axis=1)
        planes = np.tensordot(rings, self.rings, axes=1)
        planes[:, self.half + self.dy, self.half + self.dx] += pixels
        return planes


def _spectra(stamps: np.ndarray, size: int) -> np.ndarray:
    """rfft2 over `size` px of stamps (n, k, k), k odd, with their middle at [0, 0]."""
    half = stamps.shape[-1] // 2
    padded = np.pad(stamps, ((0, 0), (0, size - stamps.shape[1]), (0, size - stamps.shape[2])))
    return fft.rfft2(np.roll(padded, (-half, -half), axis=(1, 2)))


@dataclass(frozen=True)
class Windows:
    """Stars under a window that fades to 0, each weighted as a whole, and their spectra (rfft2 of `size` px)."""

    x: np.ndarray  # (n,) -1 to 1 over the image
    y: np.ndarray  # (n,)
    weight: np.ndarray  # (n,) 1 / electrons, what window and images are multiplied with
    variance: np.ndarray  # (n, k, k) electrons^2, of target minus matched image, with the error of the model
    taper: np.ndarray  # (k, k), the window
    taper_spectrum: np.ndarray  # (size, size // 2 + 1)
    sharp: np.ndarray  # (n, size, size // 2 + 1) complex128, spectra of the image to be convolved
    target: np.ndarray  # (n, size, size // 2 + 1) complex128
    size: int  # px: correlations up to twice the half size of the kernel do not wrap around

    @classmethod
    def cut(cls, sharp: Epoch, target: Epoch, positions: np.ndarray, half: int, expected: float) -> Windows:
        """Windows at (n, 2) positions x, y for a kernel of half size `half` px and about the sum `expected`.

        They are flat as far as the kernel spreads the light of their star. Stars near the edge or with unusable pixels
        are left out as a whole: holes in them would lower the sum.
        """
        fwhm = max(sharp.fwhm, target.fwhm)
        taper = _taper(half, half + int(np.ceil(_FADING * fwhm)))
        reach = len(taper) // 2
        ny, nx = target.mask.shape
        x, y = np.round(positions.T).astype(int)
        inside = (x >= reach) & (y >= reach) & (x < nx - reach) & (y < ny - reach)
        at = _places(x[inside], y[inside], reach)
        bad = target.mask[at]
        core = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= _CORE * fwhm
        whole = ~bad[:, core].any(axis=1) & (bad.mean(axis=(1, 2)) < _MOST_BAD)
        columns, rows = x[inside][whole], y[inside][whole]
        at = _places(columns, rows, reach)
        seen = target.data[at].astype(float)
        light = np.maximum(seen, 0) * taper
        variance = target.variance[at] + expected**2 * sharp.variance[at].astype(float) + (_MODEL_ERROR * light) ** 2
        # The variance where the star has its light: one number a star keeps the sums correlations.
        weight = np.sqrt((light**2).sum(axis=(1, 2)) / (variance * light**2).sum(axis=(1, 2)))
        size = fft.next_fast_len(2 * reach + 1 + 2 * half, real=True)
        window = taper * weight[:, None, None]
        spectra = (fft.rfft2(window * image, (size, size)) for image in (sharp.data[at], seen))
        return cls(
            2 * columns / (nx - 1) - 1, 2 * rows / (ny - 1) - 1, weight, variance, taper,
            fft.rfft2(taper, (size, size)), *spectra, size,
        )  # fmt: skip

    def terms(self, powers: tuple[tuple[int, int], ...]) -> np.ndarray:
        """Monomials at the stars, (n, powers)."""
        return np.stack([self.x**i * self.y**j for i, j in powers], axis=1)

    def chi2(self, kernel: MatchingKernel) -> np.ndarray:
        """Per pixel of the window, (n,)."""
        local = np.tensordot(self.terms(kernel.powers), _spectra(kernel.planes, self.size), axes=1)
        left = self.target - self.sharp * local
        if kernel.background:
            level = self.terms(tuple(kernel.background)) @ np.array(list(kernel.background.values()))
            left -= (level * self.weight)[:, None, None] * self.taper_spectrum
        k = len(self.taper)
        residual = fft.irfft2(left, (self.size, self.size))[:, :k, :k] / self.weight[:, None, None]
        return (residual**2 / self.variance).sum(axis=(1, 2)) / (self.taper**2).sum()


def _taper(flat: int, reach: int) -> np.ndarray:
    # A window with an edge would cut neighbours differently before and after the convolution.
    radius = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    return 0.5 * (1 + np.cos(np.pi * np.clip((radius - flat) / (reach - flat), 0, 1)))


def _places(columns: np.ndarray, rows: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.arange(-reach, reach + 1)
    return rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets[None, :]


@dataclass(frozen=True)
class Model:
    """What is fitted: pixels of the kernel times monomials of the position, its rings, and a background if wanted."""

    functions: Functions
    order: int  # of the variation of the pixels over the image
    constant_sum: bool  # whether the sum of the kernel is the same everywhere
    background_order: int | None  # None: there is no background

    def fit(self, windows: Windows, keep: np.ndarray, shape: tuple[int, int]) -> MatchingKernel:
        """Least squares over the stars of `keep` (n,) bool; `chi2` of the kernel is not known yet."""
        powers = monomials(self.order)
        background = () if self.background_order is None else monomials(self.background_order)
        equations = NormalEquations(windows, keep, self.functions, powers, background)
        matrix, right = equations.assemble()
        count, terms = len(self.functions), len(powers)
        pixels = np.arange(count) < self.functions.dy.size
        # Rings are the same everywhere: stars tell little of wings, and bright ones show every error of them.
        asked = np.r_[*(pixels | (power == (0, 0)) for power in powers), np.ones(len(background), bool)]
        # Functions that take from the middle pixel what they add: of the terms only the first keeps a sum.
        sums = self.functions.sums if self.constant_sum else np.zeros(count)
        found = _solve(matrix, right, asked, sums, self.functions.dy.size // 2)
        planes = self.functions.planes(found[: terms * count].reshape(terms, count))
        levels = dict(zip(background, map(float, found[terms * count :])))
        return MatchingKernel(planes, powers, shape, int(keep.sum()), 0.0, levels)


@dataclass(frozen=True)
class NormalEquations:
    """Sums over stars and pixels for the model J = sum of a_pf u^i v^j (f * I) + sum of b_q u^i v^j."""

    windows: Windows
    keep: np.ndarray  # (n,) bool, the stars
    functions: Functions
    powers: tuple[tuple[int, int], ...]
    background: tuple[tuple[int, int], ...]

    def assemble(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (m, m) and right side (m,), float64; unknowns are functions, term by term, then the background."""
        w, count = self.windows, len(self.functions)
        kernel = count * len(self.powers)
        matrix = np.empty((kernel + len(self.background),) * 2)
        right = np.empty(len(matrix))
        rings = _spectra(self.functions.rings, w.size)
        energy, cross = np.abs(w.sharp) ** 2, w.target * w.sharp.conj()
        blocks: dict[tuple[int, int], np.ndarray] = {}
        for p, (i, j) in enumerate(self.powers):
            rows = slice(p * count, (p + 1) * count)
            for q, (k, m) in enumerate(self.powers):
                power = i + k, j + m
                if power not in blocks:
                    blocks[power] = self._among(self._sum(energy, power), rings)
                matrix[rows, q * count : (q + 1) * count] = blocks[power]
            right[rows] = self._with(self._sum(cross, (i, j)), rings)
            for r, (k, m) in enumerate(self.background, start=kernel):
                light = self._sum(w.sharp, (i + k, j + m), w.weight).conj() * w.taper_spectrum
                matrix[rows, r] = matrix[r, rows] = self._with(light, rings)
        for r, (i, j) in enumerate(self.background, start=kernel):
            for s, (k, m) in enumerate(self.background, start=kernel):
                matrix[r, s] = self._sum(w.weight**2, (i + k, j + m)) * (w.taper**2).sum()
            right[r] = self._pixels(self._sum(w.target, (i, j), w.weight) * w.taper_spectrum.conj())[0, 0]
        return matrix, right

    def _sum(self, values: np.ndarray, power: tuple[int, int], weight: np.ndarray | float = 1.0) -> np.ndarray:
        """Over the stars kept, each with its monomial."""
        factors = self.windows.terms((power,))[:, 0] * weight
        return np.tensordot(factors[self.keep], values[self.keep], axes=1)

    def _pixels(self, spectra: np.ndarray) -> np.ndarray:
        return fft.irfft2(spectra, (self.windows.size, self.windows.size))

    def _products(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Sums over the pixels of one image times another, for all pairs of their spectra."""
        counts = np.full(ones.shape[-1], 2.0)
        counts[0] = 1
        if self.windows.size % 2 == 0:
            counts[-1] = 1
        flat = [spectra.reshape(len(spectra), -1) for spectra in (ones * counts, others)]
        return (flat[0] @ flat[1].conj().T).real / self.windows.size**2

    def _among(self, energy: np.ndarray, rings: np.ndarray) -> np.ndarray:
        """Products of all functions with each other on one image of that energy spectrum, (functions, functions)."""
        dy, dx = self.functions.dy, self.functions.dx
        # Two shifts of one image overlap as their difference says: Toeplitz in both axes.
        pixels = self._pixels(energy)[dy[:, None] - dy, dx[:, None] - dx]
        mixed = self._pixels(energy * rings)[:, dy, dx]
        ringed = self._products(energy * rings, rings)
        return np.block([[pixels, mixed.T], [mixed, ringed]])

    def _with(self, spectrum: np.ndarray, rings: np.ndarray) -> np.ndarray:
        """Products of all functions on one image with another one, from their cross spectrum, (functions,)."""
        pixels = self._pixels(spectrum)[self.functions.dy, self.functions.dx]
        return np.r_[pixels, self._products(spectrum[None], rings)[0]]


def _solve(matrix: np.ndarray, right: np.ndarray, asked: np.ndarray, sums: np.ndarray, middle: int) -> np.ndarray:
    """Unknowns of `asked` (m,) bool, the others 0; with `sums` (functions,) the sum of all terms but the first is 0."""
    count = len(sums)
    middles = np.arange(middle, len(right) // count * count, count)
    taken = np.where(np.arange(count) == middle, 0, sums)
    if sums.any():
        asked[middles[1:]] = False
        for place in middles:
            group = slice(place - middle, place - middle + count)
            matrix[group] -= taken[:, None] * matrix[place]
            right[group] -= taken * right[place]
            matrix[:, group] -= matrix[:, place, None] * taken
    found = np.zeros(len(right))
    found[asked] = _cholesky(matrix[np.ix_(asked, asked)], right[asked])
    for place in middles:
        found[place] -= taken @ found[place - middle : place - middle + count]
    return found


def _cholesky(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    try:
        return linalg.cho_solve(linalg.cho_factor(matrix), right)
    except linalg.LinAlgError:
        # Without noise nothing tells the finest structure of the kernel.
        ridge = _RIDGE * np.trace(matrix) / len(matrix)
        return linalg.cho_solve(linalg.cho_factor(matrix + ridge * np.eye(len(matrix))), right)
