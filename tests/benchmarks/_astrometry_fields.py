"""Source lists and catalogues of simulated CCDs with everything true known: no pixels, so that hundreds are cheap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS

from processing.algorithms.simulation_render import Projection
from processing.algorithms.sky import from_tangent_plane
from processing.algorithms.wcs_fit import AstrometricSolution, PixelStars, SkyStars, wcs_from_header

SHAPE = (4096, 2048)
_SCALES = {"decam": 0.263, "ls4": 1.0}  # arcsec per px
_WIDTHS = {"decam": 4.2, "ls4": 2.0}  # px, FWHM
_FLIPS = ("", "x", "y", "xy")
_BRIGHT, _FAINT = 13.0, 21.0  # mag: brighter stars are saturated, fainter ones not in the catalogue
_SLOPE = 0.3  # of the logarithm of the counts per magnitude
_DEEPEST_SNR = 10.0


@dataclass(frozen=True)
class ListField:
    """One CCD: what was detected, what the catalogue has, what the header says, and the truth."""

    camera: str
    stars: PixelStars
    catalog: SkyStars
    guess: WCS
    flips: tuple[str, ...]  # that the instrument declares
    projection: Projection
    in_image: int  # catalogue stars in the image
    spurious: float  # part of the detections

    def worst(self, solution: AstrometricSolution) -> float:
        """The largest error of a solution on the image, px."""
        ny, nx = SHAPE
        x, y = (part.ravel() for part in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 17)))
        true_x, true_y = self.projection.pixels(*solution.wcs.all_pix2world(x, y, 0))
        off = np.hypot(true_x - x, true_y - y)
        return float(np.inf if not np.isfinite(off).all() else off.max())

    def rms(self, solution: AstrometricSolution) -> float:
        """Its root mean square error per axis on the image, mas."""
        ny, nx = SHAPE
        x, y = (part.ravel() for part in np.meshgrid(np.linspace(20, nx - 21, 9), np.linspace(20, ny - 21, 17)))
        true_x, true_y = self.projection.pixels(*solution.wcs.all_pix2world(x, y, 0))
        return float(1000 * self.projection.scale * np.sqrt(np.mean((true_x - x) ** 2 + (true_y - y) ** 2) / 2))


def list_field(
    camera: str, seed: int, *, in_image: int | None = None, spurious: float | None = None, pointing: float = 60.0
) -> ListField:
    """A field with `in_image` catalogue stars (40 to 1400 at random) and a header that is off.

    By up to `pointing` arcsec, half a degree, two per cent of scale and any flip, of which the instrument declares all.
    Up to nine of ten detections are `spurious`. Errors are those of windowed positions: FWHM / (2.35 S/N) and 0.003 px.
    """
    rng = np.random.default_rng([seed, sorted(_SCALES).index(camera)])
    in_image = round(40 * 35 ** rng.uniform()) if in_image is None else in_image
    spurious = rng.uniform(0, 0.9) if spurious is None else spurious
    ny, nx = SHAPE
    scale = _SCALES[camera]
    projection = Projection(
        rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-0.999, 0.999))), ((nx - 1) / 2, (ny - 1) / 2), scale,
        rotation=rng.uniform(0, 360), radial=rng.normal(0, 0.15), tilt=rng.normal(0, 0.2),
    )  # fmt: skip
    catalog = _catalog(projection, in_image, rng)
    stars = _detections(camera, projection, catalog, spurious, rng)
    x, y = projection.pixels(catalog.ra, catalog.dec)
    count = int(np.sum((x > 0) & (y > 0) & (x < nx - 1) & (y < ny - 1)))
    return ListField(camera, stars, catalog, _guess(projection, pointing, rng), _FLIPS[1:], projection, count, spurious)


def _catalog(projection: Projection, in_image: int, rng: np.random.Generator) -> SkyStars:
    """Exactly so many stars in the image, and as dense a sky around it."""
    ny, nx = SHAPE
    side = 1.2 * np.hypot(nx, ny) + 2 * 90 / projection.scale
    outside = rng.poisson(in_image * (side**2 / (nx * ny) - 1))
    around = rng.uniform(-side / 2, side / 2, (4 * outside + 100, 2)) * projection.scale
    sky = np.c_[from_tangent_plane(*around.T, projection.ra, projection.dec)]
    x, y = projection.pixels(*sky.T)
    is_in = (x > 0) & (y > 0) & (x < nx - 1) & (y < ny - 1)
    sky = np.r_[sky[is_in][:in_image], sky[~is_in][:outside]]
    if (missing := in_image - is_in.sum()) > 0:
        raise ValueError(f"{missing} stars are missing in the image")
    mag = _FAINT + np.log10(rng.uniform(10 ** (_SLOPE * (12.0 - _FAINT)), 1, len(sky))) / _SLOPE
    error = 0.3 * 10 ** (0.2 * np.maximum(mag - 15, 0)) / 1000  # arcsec, of Gaia after ten years
    seen = rng.normal(0, 1, sky.shape) * error[:, None] / 3600
    sky = sky + np.c_[seen[:, 0] / np.cos(np.radians(sky[:, 1])), seen[:, 1]]
    return SkyStars(sky[:, 0] % 360, sky[:, 1], mag, error)


def _detections(
    camera: str, projection: Projection, catalog: SkyStars, spurious: float, rng: np.random.Generator
) -> PixelStars:
    """Nine of ten catalogue stars in the image that are not saturated, and what no catalogue has."""
    ny, nx = SHAPE
    x, y = projection.pixels(catalog.ra, catalog.dec)
    seen = (x > 0) & (y > 0) & (x < nx - 1) & (y < ny - 1) & (catalog.mag > _BRIGHT) & (rng.uniform(size=len(x)) < 0.95)
    extra = rng.poisson(spurious / (1 - spurious) * seen.sum())
    xy = np.r_[np.c_[x, y][seen], rng.uniform(0, 1, (extra, 2)) * [nx - 1, ny - 1]]
    mag = np.r_[catalog.mag[seen], rng.choice(catalog.mag, extra)]
    snr = _DEEPEST_SNR * 10 ** (0.4 * (_FAINT - mag))
    error = np.hypot(_WIDTHS[camera] / 2.35 / snr, 0.003)
    here = xy + rng.normal(0, 1, xy.shape) * error[:, None]
    order = rng.permutation(len(xy))
    return PixelStars(here[order, 0], here[order, 1], 10 ** (-0.4 * (mag - 25))[order], error[order])


def _guess(projection: Projection, pointing: float, rng: np.random.Generator) -> WCS:
    angle, distance = rng.uniform(0, 2 * np.pi), pointing * np.sqrt(rng.uniform())
    ra, dec = from_tangent_plane(distance * np.sin(angle), distance * np.cos(angle), projection.ra, projection.dec)
    off = replace(
        projection, ra=float(ra), dec=float(dec), scale=projection.scale * (1 + rng.uniform(-0.02, 0.02)),
        rotation=projection.rotation + rng.uniform(-0.5, 0.5),
    )  # fmt: skip
    header = off.header()
    flip = _FLIPS[rng.integers(4)]
    for axis, name in ((1, "x"), (2, "y")):
        if name in flip:
            for row in (1, 2):
                header[f"CD{row}_{axis}"] = -header[f"CD{row}_{axis}"]
    return wcs_from_header(header)
