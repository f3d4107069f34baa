"""The electrons that a camera collects of a simulated sky: projection, seeing, sky background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from astropy.io import fits

from processing.algorithms.simulation import Sky, magnitudes
from processing.algorithms.sky import apply_proper_motion, tangent_plane
from processing.algorithms.stamps import nearest_pixel

TRUTH = np.dtype(
    [
        ("kind", "U10"),  # star, variable, galaxy or transient
        ("ra", "f8"),  # degrees at the date
        ("dec", "f8"),
        ("x", "f8"),  # px from 0
        ("y", "f8"),
        ("mag", "f8"),  # AB at the date
        ("flux", "f8"),  # electrons of the whole PSF
    ]
)
_FIELD = 1000.0  # px: distortion and PSF change by their parameters over this distance
_NEGLIGIBLE = 0.01  # electrons per pixel where the wings of a source are cut off
_SMALLEST, _LARGEST = 4, 150  # px, half size of a stamp
_NODES = np.array([-0.5, 0.5]) / np.sqrt(3)  # Gauss–Legendre within a pixel
_AT_ONCE = 100_000  # pixels of stamps that are computed together: stays in the cache


@dataclass(frozen=True)
class Projection:
    """Sky → pixels: a gnomonic projection about (ra, dec), turned and scaled, with a smooth distortion."""

    ra: float  # degrees, of the point that falls on `centre`
    dec: float
    centre: tuple[float, float]  # px from 0, may lie outside the image
    scale: float  # arcsec per px
    rotation: float = 0.0  # degrees, of the y axis from north through east
    radial: float = 0.0  # px at 1000 px from the centre, growing with the cube of the distance
    tilt: float = 0.0  # px at 1000 px, growing with its square

    def pixels(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) px from 0 of positions (n,) in degrees."""
        xi, eta = tangent_plane(ra, dec, self.ra, self.dec)
        sine, cosine = np.sin(np.radians(self.rotation)), np.cos(np.radians(self.rotation))
        u, v = (eta * sine - xi * cosine) / self.scale, (xi * sine + eta * cosine) / self.scale
        p, q = u / _FIELD, v / _FIELD
        cubic = self.radial * (p**2 + q**2)
        return self.centre[0] + u + cubic * p + self.tilt * p * q, self.centre[1] + v + cubic * q + self.tilt * q**2

    def header(self) -> fits.Header:
        """The projection without its distortion: TAN cards with a CD matrix."""
        sine, cosine = np.sin(np.radians(self.rotation)), np.cos(np.radians(self.rotation))
        scale = self.scale / 3600
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CUNIT1"] = header["CUNIT2"] = "deg"
        header["CRVAL1"], header["CRVAL2"] = float(self.ra), float(self.dec)
        header["CRPIX1"], header["CRPIX2"] = float(self.centre[0] + 1), float(self.centre[1] + 1)
        header["CD1_1"], header["CD1_2"] = float(-scale * cosine), float(scale * sine)
        header["CD2_1"], header["CD2_2"] = float(scale * sine), float(scale * cosine)
        header["RADESYS"] = "ICRS"
        return header


class SkyToPixels(Protocol):
    """Any way from the sky to pixels: a Projection, or what the optics of a real camera do."""

    centre: tuple[float, float]  # px from 0, of the optical axis; may lie outside the image

    def pixels(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) px from 0 of positions (n,) in degrees."""


@dataclass(frozen=True)
class Seeing:
    """An elliptical Moffat profile that changes smoothly with the distance from the centre of the projection."""

    fwhm: float  # px at the centre, geometric mean of the axes
    beta: int = 3  # whole: products are many times faster than powers
    ellipticity: tuple[float, float] = (0.0, 0.0)  # (a − b) / (a + b) times cos 2φ and sin 2φ, at the centre
    gradient: float = 0.0  # ellipticity that is added 1000 px away, pointing away from the centre
    broadening: float = 0.0  # relative growth of the FWHM 1000 px away

    def ellipses(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Radius α (n,) px and the form (n, 3) with which (1 + a dx² + 2 b dx dy + c dy²)^−β is the profile.

        `u`, `v` (n,) px are the distances from the centre of the projection.
        """
        p, q = u / _FIELD, v / _FIELD
        far = p**2 + q**2
        alpha = self.fwhm * (1 + self.broadening * far) / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        plus = self.ellipticity[0] + self.gradient * (p**2 - q**2)
        cross = self.ellipticity[1] + self.gradient * 2 * p * q
        size = plus**2 + cross**2
        # The matrix has determinant 1, so that the area and with it the flux stay.
        form = np.stack([1 + size - 2 * plus, -2 * cross, 1 + size + 2 * plus], axis=-1) / (1 - size)[..., None]
        return alpha, form / alpha[..., None] ** 2


@dataclass(frozen=True)
class Frame:
    """One CCD of one exposure before its detector."""

    shape: tuple[int, int]  # (ny, nx)
    projection: SkyToPixels
    seeing: Seeing
    band: str
    zero_point: float  # AB magnitude of one electron in the exposure
    sky: float  # electrons per pixel at the centre of the image
    gradient: tuple[float, float] = (0.0, 0.0)  # relative change of the sky from side to side, along x and y


def sources(sky: Sky, frame: Frame, mjd: float) -> np.ndarray:
    """Every source of the sky at a date: dtype TRUTH, stars, then galaxies, then transients, in the sky's order.

    Positions may lie outside the image; a transient that has not begun has infinite magnitude and no flux.
    """
    stars, galaxies, transients = sky.stars, sky.galaxies, sky.transients
    first, second = len(stars), len(stars) + len(galaxies)
    found = np.zeros(second + len(transients), TRUTH)
    found["kind"][:first] = np.where(stars["amplitude"] > 0, "variable", "star")
    found["kind"][first:second], found["kind"][second:] = "galaxy", "transient"
    now = apply_proper_motion(
        stars["ra"], stars["dec"], stars["pmra"], stars["pmdec"], sky.parameters.epoch, to_mjd=mjd
    )
    found["ra"] = np.concatenate([now[0], galaxies["ra"], transients["ra"]])
    found["dec"] = np.concatenate([now[1], galaxies["dec"], transients["dec"]])
    found["mag"] = np.concatenate(
        [
            sky.star_magnitudes(frame.band, mjd),
            magnitudes(galaxies, frame.band),
            sky.transient_magnitudes(frame.band, mjd),
        ]
    )
    found["x"], found["y"] = frame.projection.pixels(found["ra"], found["dec"])
    found["flux"] = 10 ** (0.4 * (frame.zero_point - found["mag"]))
    return found


def inside(found: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The sources that lie in an image (ny, nx)."""
    ny, nx = shape
    here = (found["x"] >= -0.5) & (found["x"] < nx - 0.5) & (found["y"] >= -0.5) & (found["y"] < ny - 0.5)
    return found[here]


def render(sky: Sky, frame: Frame, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected electrons (ny, nx) float32 with the sky background, and the sources in the image (dtype TRUTH)."""
    found = sources(sky, frame, mjd)
    is_point = found["kind"] != "galaxy"
    light = found["flux"][~is_point][sky.knots["galaxy"]] * sky.knots["share"]
    x, y = frame.projection.pixels(sky.knots["ra"], sky.knots["dec"])
    image = background(frame)
    image += points(
        frame,
        np.concatenate([found["x"][is_point], x]),
        np.concatenate([found["y"][is_point], y]),
        np.concatenate([found["flux"][is_point], light]),
    )
    return image, inside(found, frame.shape)


def background(frame: Frame) -> np.ndarray:
    """The sky background, (ny, nx) float32 electrons."""
    ny, nx = frame.shape
    along_x = frame.gradient[0] * (np.arange(nx) / nx - 0.5)
    along_y = frame.gradient[1] * (np.arange(ny) / ny - 0.5)
    return (frame.sky * (1 + along_x[None, :] + along_y[:, None])).astype(np.float32)


def points(frame: Frame, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Expected electrons (ny, nx) float32 of point sources at x, y (n,) px from 0 with `flux` (n,) electrons.

    Pixels are integrated with two nodes along each axis: a symmetric quadrature, so centroids are exact. Stamps end
    where the wings fall below 0.01 electrons per pixel.
    """
    centre = frame.projection.centre
    alpha, form = frame.seeing.ellipses(x - centre[0], y - centre[1])
    beta = frame.seeing.beta
    peak = flux * (beta - 1) / (np.pi * alpha**2)
    radius = alpha * np.sqrt(np.maximum((np.maximum(peak, 0) / _NEGLIGIBLE) ** (1 / beta) - 1, 0))
    half = np.clip(np.ceil(radius / 2).astype(int) * 2, _SMALLEST, _LARGEST)
    column, row = nearest_pixel(x), nearest_pixel(y)
    ny, nx = frame.shape
    touches = (column + half >= 0) & (column - half < nx) & (row + half >= 0) & (row - half < ny) & (flux > 0)
    pad = _LARGEST * 2
    padded = np.zeros((ny + 2 * pad, nx + 2 * pad), np.float32)
    for size in np.unique(half[touches]):
        rows = np.flatnonzero(touches & (half == size))
        step = max(1, _AT_ONCE // (2 * size + 1) ** 2)
        for chosen in np.split(rows, range(step, len(rows), step)):
            offsets = np.stack([x[chosen] - column[chosen], y[chosen] - row[chosen]])
            stamps = _profiles(offsets, form[chosen], beta, size) * peak[chosen, None, None].astype(np.float32)
            low, left = row[chosen] + pad - size, column[chosen] + pad - size
            for stamp, i, j in zip(stamps, low, left):
                padded[i : i + 2 * size + 1, j : j + 2 * size + 1] += stamp
    return padded[pad : pad + ny, pad : pad + nx]


def _profiles(offsets: np.ndarray, form: np.ndarray, beta: int, half: int) -> np.ndarray:
    """Moffat profiles of unit peak, (n, m, m) float32, displaced by `offsets` (2, n) px from the middle pixel."""
    grid = np.arange(-half, half + 1)
    a, b, c = form.T.astype(np.float32)[..., None, None]
    total = np.zeros((len(form), len(grid), len(grid)), np.float32)
    for node_y in _NODES:
        dy = (grid + node_y - offsets[1][:, None]).astype(np.float32)[:, :, None]
        for node_x in _NODES:
            dx = (grid + node_x - offsets[0][:, None]).astype(np.float32)[:, None, :]
            base = dy * (2 * b * dx + c * dy)
            base += 1 + a * dx**2
            power = base.copy()
            for _ in range(beta - 1):
                power *= base
            total += np.reciprocal(power, out=power)
    return total / len(_NODES) ** 2
