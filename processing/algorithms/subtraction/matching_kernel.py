"""The kernel that turns one image into another: Gaussians times polynomials, varying over the image.

Alard & Lupton 1998 (ApJ 503, 325) with the spatial variation of Alard 2000 (A&AS 144, 363).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from processing.algorithms.subtraction.tiling import Core, Tiling, Transforms
from processing.errors import NotEnoughStars

FEWEST_STARS = 5
_DEGREES = (4, 2, 2)
_WIDTHS = (0.7, 1.4, 3.5)  # in units of the width that turns the sharper PSF into the broader; the last is for wings
_FAR_WINGS = 7.0  # the same, for what only bright stars show
_BRIGHT, _ENOUGH = 300.0, 20  # S/N of such stars, and how many of them must be there
_STAMP = 15  # px, half size of what a star contributes
_MODEL_ERROR = 0.005  # relative: bright stars do not decide alone
_CLIP = 3.0
_FAINT, _NARROWEST, _WIDENING = 30.0, 1.2, 0.6  # S/N below which stars reach so many FWHM; more for twice the S/N
_ROUNDS = 4


@dataclass(frozen=True)
class Basis:
    """Kernel functions; all but the first sum to 0, so that the first alone carries the flux."""

    half: int  # px
    factors: np.ndarray  # (f, 2 half + 1), one-dimensional Gaussian-polynomials
    pairs: np.ndarray  # (n, 2), which factor along y and which along x make function n
    mixing: np.ndarray  # (n, n), from raw products to normalised functions
    constant: np.ndarray  # (n,) bool, of those whose part is the same all over the image: the flux and the far wings

    @classmethod
    def of(cls, fwhms: tuple[float, float], half: int, *, far_wings: bool = False) -> Basis:
        """For turning an image of the smaller FWHM (px) into one of the larger."""
        match = max(np.sqrt(abs(fwhms[0] ** 2 - fwhms[1] ** 2)) / 2.3548, 0.7)
        u = np.arange(-half, half + 1)
        factors, pairs, even = [], [], []
        for width, degree in [*zip(_WIDTHS, _DEGREES), *([(_FAR_WINGS, 0)] if far_wings else [])]:
            scaled = u / max(width * match, 0.5)
            first = len(factors)
            factors += [np.exp(-(scaled**2) / 2) * scaled**power for power in range(degree + 1)]
            powers = [(q, p) for q in range(degree + 1) for p in range(degree + 1 - q)]
            pairs += [(first + q, first + p) for q, p in powers]
            even += [q % 2 == 0 and p % 2 == 0 for q, p in powers]
        constant = np.isin(np.arange(len(pairs)), (0, len(pairs) - 1) if far_wings else 0)
        found = cls(half, np.array(factors), np.array(pairs), np.eye(len(pairs)), constant)
        return replace(found, mixing=_mixing(found.functions(), np.array(even)))

    def functions(self) -> np.ndarray:
        """(n, 2 half + 1, 2 half + 1)."""
        raw = self.factors[self.pairs[:, 0], :, None] * self.factors[self.pairs[:, 1], None, :]
        return np.tensordot(self.mixing, raw, axes=1)

    def convolve(self, stamps: np.ndarray) -> np.ndarray:
        """Every function on every stamp, (stars, n, k, k) for stamps (stars, k + 2 half, k + 2 half)."""
        size = stamps.shape[-1] - 2 * self.half
        # Row x of a band matrix holds the reversed factor from column x on: a convolution without its ends.
        bands = np.zeros((len(self.factors), size, stamps.shape[-1]))
        for x in range(size):
            bands[:, x, x : x + 2 * self.half + 1] = self.factors[:, ::-1]
        along_x = np.einsum("sij,fxj->sfix", stamps, bands, optimize=True)
        raw = np.empty((len(stamps), len(self.pairs), size, size))
        for n, (fy, fx) in enumerate(self.pairs):
            raw[:, n] = bands[fy] @ along_x[:, fx]
        return np.tensordot(raw, self.mixing, axes=(1, 1)).transpose(0, 3, 1, 2)


def _mixing(raw: np.ndarray, even: np.ndarray) -> np.ndarray:
    mixing = np.eye(len(raw))
    sums = raw.sum(axis=(1, 2))
    mixing[even] /= sums[even, None]
    others = even.copy()
    others[0] = False
    mixing[others, 0] -= mixing[0, 0]
    functions = np.tensordot(mixing, raw, axes=1)
    return mixing / np.sqrt((functions**2).sum(axis=(1, 2)))[:, None]


@dataclass(frozen=True)
class Stamps:
    """Star by star what the fit compares: the image to be convolved, with a margin, and the target."""

    x: np.ndarray  # (n,) -1 to 1 over the image
    y: np.ndarray  # (n,)
    sharp: np.ndarray  # (n, k + 2 half, k + 2 half)
    target: np.ndarray  # (n, k, k)
    weight: np.ndarray  # (n, k, k), inverse variance, 0 where unusable

    @classmethod
    def cut(
        cls,
        images: tuple[np.ndarray, np.ndarray],
        variance: np.ndarray,
        mask: np.ndarray,
        positions: np.ndarray,
        half: int,
    ) -> Stamps:
        """Cut (image to convolve, target) at (n, 2) positions x, y, but not near the edge or unusable pixels."""
        ny, nx = mask.shape
        wide = _STAMP + half
        x, y = np.round(positions.T).astype(int)
        inside = (x >= wide) & (y >= wide) & (x < nx - wide) & (y < ny - wide)
        columns, rows = x[inside], y[inside]
        offsets = np.arange(-wide, wide + 1)
        at = (rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets[None, :])
        core = np.s_[:, half:-half, half:-half]
        bad = mask[at]
        # A hole in a star biases the sum of the kernel: such stars go as a whole.
        whole = ~bad[core][:, 8:-8, 8:-8].any(axis=(1, 2)) & (bad.mean(axis=(1, 2)) < 0.1)
        target = images[1][at][core][whole].astype(float)
        # Weights from single noisy pixels would favour those that fluctuated down.
        spread = _smooth(variance[at][whole].astype(float))[core] + (_MODEL_ERROR * np.maximum(target, 0)) ** 2
        return cls(
            x=2 * columns[whole] / (nx - 1) - 1,
            y=2 * rows[whole] / (ny - 1) - 1,
            sharp=images[0][at][whole].astype(float),
            target=target,
            weight=~bad[core][whole] / spread,
        )

    def significance(self, fwhm: float) -> np.ndarray:
        """S/N (n,) of the light of each star within `fwhm` px, model error included."""
        core = (self._distance() <= fwhm) & (self.weight > 0)
        noise = np.sqrt(np.where(core, 1 / np.where(core, self.weight, 1), 0).sum(axis=(1, 2)))
        return np.where(core, self.target, 0).sum(axis=(1, 2)) / np.maximum(noise, 1e-30)

    def narrowed(self, fwhm: float) -> Stamps:
        """Faint stars with the pixels near their middle only; `fwhm` (px) is that of the broader image.

        The noise of what is convolved agrees with itself in the products, and smears the kernel: by the number of
        pixels that count over the square of the S/N.
        """
        snr = self.significance(fwhm)[:, None, None]
        reach = fwhm * (_NARROWEST + _WIDENING * np.log2(np.maximum(snr / _FAINT, 1)))
        return replace(self, weight=np.where(self._distance() <= reach, self.weight, 0))

    def show_wings(self, fwhm: float) -> bool:
        """Whether enough of the stars are bright enough to tell what the far wings do, and not the sky around them."""
        return int((self.significance(fwhm) > _BRIGHT).sum()) >= _ENOUGH

    def _distance(self) -> np.ndarray:
        offset = np.arange(self.target.shape[-1]) - self.target.shape[-1] // 2
        return np.hypot(offset[:, None], offset)


def _smooth(stamps: np.ndarray) -> np.ndarray:
    padded = np.pad(stamps, ((0, 0), (2, 2), (2, 2)), mode="edge")
    for axis in (1, 2):
        padded = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=axis).mean(axis=-1)
    return padded


@dataclass(frozen=True)
class MatchingKernel:
    """A kernel K(x, y) = sum of x^i y^j K_ij with a constant sum."""

    planes: np.ndarray  # (terms, 2 half + 1, 2 half + 1)
    powers: tuple[tuple[int, int], ...]  # (i, j) of each term; x and y run from -1 to 1 over the image
    shape: tuple[int, int]  # (ny, nx) of the image
    stars: int
    chi2: float  # median over the stars, per pixel
    background: dict[tuple[int, int], float] = field(default_factory=dict)  # coefficients of x^i y^j, by (i, j)

    @property
    def total(self) -> float:
        """Its sum: counts out per count in."""
        return float(self.planes[0].sum())

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The kernel at pixel (x, y), centred."""
        u, v = 2 * x / (self.shape[1] - 1) - 1, 2 * y / (self.shape[0] - 1) - 1
        return sum(u**i * v**j * plane for (i, j), plane in zip(self.powers, self.planes))

    def apply(self, image: np.ndarray, workers: int = 1) -> np.ndarray:
        """`image` (ny, nx) convolved with the kernel of each pixel, with the background added, float32."""
        tiling = Tiling.of(self.shape, 256, -(-self.planes.shape[-1] // 3))  # whose border holds half of the kernel
        transforms = Transforms(tiling, workers)
        spectra = [transforms.spectrum(plane.astype(np.float32)) for plane in self.planes]
        u, v = (np.linspace(-1, 1, size, dtype=np.float32) for size in self.shape[::-1])
        out = np.empty(self.shape, np.float32)
        for _, _, rows, columns in tiling.cores():
            core = Core(transforms, (rows.stop - rows.start, columns.stop - columns.start))
            spectrum = transforms.forward(tiling.window(image, (rows, columns), 0))
            out[rows, columns] = sum(
                v[rows, None] ** j * u[None, columns] ** i * core.pixels(spectrum * kernel)
                for (i, j), kernel in zip(self.powers, spectra)
            )
            for (i, j), level in self.background.items():
                out[rows, columns] += np.float32(level) * v[rows, None] ** j * u[None, columns] ** i
        return out


def fit_kernel(stamps: Stamps, basis: Basis, order: int, shape: tuple[int, int]) -> MatchingKernel:
    """Least squares over all stars at once, without those that fit far worse than the others.

    `order` of the spatial variation is lowered to 1 below 100 stars and to 0 below 25. There is no background term:
    fitted at stars it would take up their wings and shift every flux. Raises NotEnoughStars below 5.
    """
    count = len(stamps.x)
    if count < FEWEST_STARS:
        raise NotEnoughStars(found=count, needed=FEWEST_STARS, purpose="matching kernel")
    order = min(order, 2 if count >= 100 else 1 if count >= 25 else 0)
    powers = tuple((i, j) for i in range(order + 1) for j in range(order + 1 - i))
    terms = np.stack([stamps.x**i * stamps.y**j for i, j in powers], axis=1)
    convolved = basis.convolve(stamps.sharp).reshape(count, len(basis.pairs), -1)
    target, weight = stamps.target.reshape(count, -1), stamps.weight.reshape(count, -1)
    weighted = convolved * weight[:, None]
    products = weighted @ convolved.transpose(0, 2, 1)
    right = np.einsum("snk,sk->sn", weighted, target)
    keep = np.ones(count, bool)
    for _ in range(_ROUNDS):
        solution = _solve(products[keep], right[keep], terms[keep], basis.constant)
        local = terms @ solution.T
        residual = target - np.einsum("sn,snk->sk", local, convolved)
        chi2 = (residual**2 * weight).sum(axis=1) / np.maximum((weight > 0).sum(axis=1), 1)
        middle = np.median(chi2[keep])
        spread = 1.4826 * np.median(np.abs(chi2[keep] - middle))
        better = chi2 < middle + _CLIP * max(spread, 0.05)
        if better.sum() < FEWEST_STARS or np.array_equal(better, keep):
            break
        keep = better
    planes = np.tensordot(solution.T, basis.functions(), axes=1)
    return MatchingKernel(planes, powers, shape, int(keep.sum()), float(np.median(chi2[keep])))


def _solve(products: np.ndarray, right: np.ndarray, terms: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Coefficients (n, terms) of all functions; of the `constant` ones only the constant term is fitted."""
    n, t = products.shape[1], terms.shape[1]
    same, free = np.flatnonzero(constant), np.flatnonzero(~constant)
    c, varying = len(same), len(free) * t
    matrix, vector = np.empty((c + varying, c + varying)), np.empty(c + varying)
    matrix[:c, :c], vector[:c] = products[:, same[:, None], same].sum(axis=0), right[:, same].sum(axis=0)
    matrix[:c, c:] = np.einsum("scn,st->cnt", products[:, same[:, None], free], terms).reshape(c, varying)
    matrix[c:, :c] = matrix[:c, c:].T
    outer = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), -1)
    blocks = products[:, free[:, None], free].reshape(len(terms), -1).T @ outer
    matrix[c:, c:] = blocks.reshape(len(free), len(free), t, t).transpose(0, 2, 1, 3).reshape(varying, varying)
    vector[c:] = np.einsum("sn,st->nt", right[:, free], terms).ravel()
    scale = 1 / np.sqrt(np.diag(matrix))
    found = scale * np.linalg.lstsq(matrix * np.outer(scale, scale), vector * scale, rcond=1e-10)[0]
    solution = np.zeros((n, t))
    solution[same, 0], solution[free] = found[:c], found[c:].reshape(len(free), t)
    return solution
