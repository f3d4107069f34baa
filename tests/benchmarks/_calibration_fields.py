"""Simulated CCDs with everything true known, as they come out of preprocessing: like DECam's and like LS4's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits

from processing.algorithms.masks import grow
from processing.algorithms.simulation import Sky, SkyParameters, make_sky
from processing.algorithms.simulation_render import Frame, Projection, Seeing, render
from processing.algorithms.sky import stars_at
from products.pixel_flags import PixelFlag

MJD = 61360.0
GAIA_EPOCH = 2016.0
_BAND = "r"
_BRIGHT_LIMIT = 13.0  # mag: brighter stars are saturated, in Gaia too


@dataclass(frozen=True)
class Camera:
    """A kind of image."""

    scale: float  # arcsec per px
    fwhm: float  # px
    zero_point: float  # AB magnitude of one electron
    sky: float  # electrons per px
    read_noise: float  # electrons
    full_well: float  # electrons
    stars: float  # per deg² brighter than r = 20
    faintest: float  # mag, of the stars
    galaxies: float  # per deg² brighter than r = 20
    faintest_galaxy: float
    shape: tuple[int, int] = (4096, 2048)
    radial: float = 0.15  # px at 1000 px from the middle
    tilt: float = 0.2


CAMERAS = {
    # 8,000 stars of which the catalogue has 1,400, and 3,000 galaxies
    "decam": Camera(0.263, 4.2, 28.8, 119.0, 5.0, 150_000.0, 22_500.0, 23.0, 3680.0, 23.0),
    # 30,000 stars
    "ls4": Camera(1.0, 2.0, 27.4, 400.0, 6.0, 110_000.0, 16_440.0, 21.5, 1500.0, 20.5),
}


@dataclass(frozen=True)
class CalibrationField:
    """One CCD after preprocessing, and the truth."""

    camera: Camera
    data: np.ndarray  # (ny, nx) float32, electrons with sky
    weight: np.ndarray  # (ny, nx) float32, inverse variance; 0 where unusable
    flags: np.ndarray  # (ny, nx) uint16
    expected: np.ndarray  # (ny, nx) float32, electrons without noise
    truth: np.ndarray  # (n,) dtype TRUTH: every source in the image
    frame: Frame  # projection and seeing: the true WCS and the true PSF
    catalog: np.ndarray  # (m,) as catalogue sources give them: positions of epoch 2016 with their errors
    header: fits.Header  # what a header says of the WCS: without distortion, and off

    @property
    def noise(self) -> float:
        """Standard deviation of an empty pixel, electrons."""
        return float(np.hypot(np.sqrt(self.camera.sky), self.camera.read_noise))


def calibration_field(
    name: str, seed: int, *, pointing: tuple[float, float] = (8.0, -5.0), rotation: float = 0.05, **changes: object
) -> CalibrationField:
    """The CCD of a camera (`decam`, `ls4`, changed by `changes`); its header is off by `pointing` arcsec, `rotation`°."""
    camera = replace(CAMERAS[name], **changes)
    rng = np.random.default_rng([seed, 99])
    sky = sky_of(camera, seed)
    frame = frame_of(camera, rng)
    expected, truth = render(sky, frame, MJD)
    data, full = exposed(expected, camera, rng)
    flags = np.zeros(data.shape, np.uint16)
    flags[grow(full, 2)] |= np.uint16(PixelFlag.SATURATED)
    for column in rng.integers(20, data.shape[1] - 20, 2):
        flags[int(rng.uniform(0, 0.8) * data.shape[0]) :, column] |= np.uint16(PixelFlag.BAD)
    usable = (flags & int(PixelFlag.UNUSABLE)) == 0
    # As preprocessing: the variance of the pixel itself, never less than a quarter of that of read noise and sky.
    variance = np.maximum(data, 0.25 * camera.sky) + camera.read_noise**2
    weight = np.where(usable, 1 / variance, 0).astype(np.float32)
    header = header_of(frame.projection, pointing, rotation)
    return CalibrationField(camera, data, weight, flags, expected, truth, frame, catalog_of(sky, camera, rng), header)


def sky_of(camera: Camera, seed: int) -> Sky:
    ny, nx = camera.shape
    margin = 400.0 / 3600
    return make_sky(
        SkyParameters(
            seed=seed, ra=150.1, dec=-27.3, width=nx * camera.scale / 3600 + margin,
            height=ny * camera.scale / 3600 + margin, epoch=GAIA_EPOCH, stars=camera.stars, faintest=camera.faintest,
            galaxies=camera.galaxies, faintest_galaxy=camera.faintest_galaxy, transients=0.0, variables=0.0,
        )
    )  # fmt: skip


def frame_of(camera: Camera, rng: np.random.Generator) -> Frame:
    ny, nx = camera.shape
    projection = Projection(
        150.1, -27.3, ((nx - 1) / 2, (ny - 1) / 2), camera.scale, rotation=float(rng.normal(0, 0.2)),
        radial=camera.radial, tilt=camera.tilt,
    )  # fmt: skip
    seeing = Seeing(camera.fwhm, ellipticity=tuple(rng.normal(0, 0.02, 2)), gradient=0.005, broadening=0.01)
    return Frame(camera.shape, projection, seeing, _BAND, camera.zero_point, camera.sky, (0.02, -0.03))


def exposed(expected: np.ndarray, camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    data = rng.poisson(expected).astype(np.float32)
    full = data > camera.full_well
    data = np.minimum(data, np.float32(camera.full_well))
    return data + rng.normal(0, camera.read_noise, data.shape).astype(np.float32), full


def catalog_of(sky: Sky, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Stars as Gaia knows them: errors of position and motion grow from 0.03 mas (mas/yr) at 15 to 0.4 at 20.5 mag."""
    stars = sky.stars[(sky.stars["mag_r"] < 20.5) & (sky.stars["mag_r"] > _BRIGHT_LIMIT)]
    error = 0.03 * 10 ** (0.2 * np.maximum(stars["mag_r"] - 15, 0))
    errors = ("ra_error", "dec_error", "pmra_error", "pmdec_error")
    columns = [(name, "f8") for name in ("ra", "dec", "pmra", "pmdec", *errors)]
    columns += [(f"{kind}_{band}", "f4") for band in ("g", "r", "i") for kind in ("mag", "err")] + [("is_star", "?")]
    table = np.zeros(len(stars), columns)
    n, mas = len(stars), 1 / 3.6e6
    table["ra"] = stars["ra"] + rng.normal(0, 1, n) * error * mas / np.cos(np.radians(stars["dec"]))
    table["dec"] = stars["dec"] + rng.normal(0, 1, n) * error * mas
    for name in ("pmra", "pmdec"):
        table[name] = stars[name] + rng.normal(0, 1, n) * error
    for name in errors:
        table[name] = error
    for band in ("g", "r", "i"):
        table[f"err_{band}"] = 0.003 + 0.002 * 10 ** (0.2 * np.maximum(stars["mag_r"] - 17, 0))
        table[f"mag_{band}"] = stars[f"mag_{band}"] + rng.normal(0, 1, n) * table[f"err_{band}"]
    table["is_star"] = True
    return table


def at_epoch(catalog: np.ndarray) -> np.ndarray:
    """The catalogue with its stars moved to the date of the image, as the steps get it."""
    return stars_at(catalog, GAIA_EPOCH, MJD)


def header_of(projection: Projection, pointing: tuple[float, float], rotation: float) -> fits.Header:
    off = replace(
        projection,
        ra=projection.ra + pointing[0] / 3600 / np.cos(np.radians(projection.dec)),
        dec=projection.dec + pointing[1] / 3600,
        rotation=projection.rotation + rotation,
    )
    return off.header()
