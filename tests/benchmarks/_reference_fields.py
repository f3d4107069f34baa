"""Images of one piece of simulated sky that are to be stacked, with everything true known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.io import fits

from processing.algorithms.masks import grow
from processing.algorithms.psf_model import moffat_model
from processing.algorithms.resampling import MappedPSF, pixel_map, warp
from processing.algorithms.simulation import Sky, SkyParameters, make_sky
from processing.algorithms.simulation_detector import cosmic_rays
from processing.algorithms.simulation_render import Frame, Projection, Seeing, render
from processing.providers import CoaddInputs, ReferenceProducts
from products.models import PSF, Background, ScienceImage, SourceList, WorldCoordinates, ZeroPoint
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import CAMERAS, MJD, Camera

_HITS = 300  # cosmic rays in an image


@dataclass(frozen=True)
class Shot:
    """One image to be stacked, and the truth."""

    products: ReferenceProducts
    expected: np.ndarray  # (ny, nx) float32, electrons of the sources
    hits: np.ndarray  # (ny, nx) bool, pixels that cosmic rays reached
    sigma: float  # electrons, of a pixel of sky
    fwhm: float  # px


def sky_around(camera: Camera, seed: int) -> Sky:
    """The sky that all images of a camera show."""
    ny, nx = camera.shape
    margin = 400.0 / 3600
    return make_sky(
        SkyParameters(
            seed=seed, ra=150.1, dec=-27.3, width=nx * camera.scale / 3600 + margin,
            height=ny * camera.scale / 3600 + margin, epoch=2026.0, stars=camera.stars, faintest=camera.faintest,
            galaxies=camera.galaxies, faintest_galaxy=camera.faintest_galaxy, transients=0.0, variables=0.0,
        )
    )  # fmt: skip


def projection_of(camera: Camera, offset: tuple[float, float] = (0.0, 0.0), rotation: float = 0.0) -> Projection:
    """That of the camera, shifted by px and turned by degrees; without distortion, so that its header is all of it."""
    ny, nx = camera.shape
    return Projection(
        150.1, -27.3, ((nx - 1) / 2 + offset[0], (ny - 1) / 2 + offset[1]), camera.scale, rotation=rotation
    )


def shots(name: str, seed: int, number: int, **changes: Any) -> list[Shot]:
    """Images dithered by about 15 px, turned by hundredths of a degree, of different seeing, sky and transparency."""
    camera = replace(CAMERAS[name], **changes)
    rng = np.random.default_rng([seed, 7])
    sky = sky_around(camera, seed)
    return [_shot(sky, camera, rng, place) for place in range(number)]


def _shot(sky: Sky, camera: Camera, rng: np.random.Generator, place: int) -> Shot:
    projection = projection_of(camera, tuple(rng.normal(0, 15, 2)), float(rng.normal(0, 0.03)))
    fwhm = camera.fwhm * float(rng.uniform(0.9, 1.15))
    level, zero_point = camera.sky * float(rng.uniform(0.8, 1.3)), camera.zero_point + float(rng.normal(0, 0.05))
    frame = Frame(camera.shape, projection, Seeing(fwhm), "r", zero_point, level, (0.0, 0.0))
    whole, _ = render(sky, frame, MJD)
    electrons = rng.poisson(whole).astype(np.float32)
    hits = cosmic_rays(camera.shape, max(1, int(_HITS * whole.size / 2**23)), rng)
    electrons += hits
    full = electrons > camera.full_well
    data = np.minimum(electrons, np.float32(camera.full_well))
    data += rng.normal(0, camera.read_noise, data.shape).astype(np.float32)
    flags = np.zeros(data.shape, np.uint16)
    flags[grow(full, 2)] |= np.uint16(PixelFlag.SATURATED)
    for column in rng.integers(20, data.shape[1] - 20, 2):
        flags[:, column] |= np.uint16(PixelFlag.BAD)
    sigma = float(np.hypot(np.sqrt(level), camera.read_noise))
    variance = np.maximum(data, 0.25 * level) + camera.read_noise**2
    weight = np.where((flags & int(PixelFlag.UNUSABLE)) == 0, 1 / variance, 0).astype(np.float32)
    made = products(place, projection.header(), (data, weight, flags), (fwhm, zero_point, level, sigma))
    return Shot(made, whole - np.float32(level), hits > 0, sigma, fwhm)


def products(
    place: int,
    header: fits.Header,
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    figures: tuple[float, float, float, float],
) -> ReferenceProducts:
    """What calibration makes of an image of `planes` (data, weight, flags), as it truly is: unsaved rows.

    `figures` are FWHM (px), zero point, level and noise of the sky (electrons).
    """
    data, weight, flags = planes
    fwhm, zp, level, sigma = figures
    ny, nx = data.shape
    text, start = header.tostring(sep="\n"), MJD + 0.01 * place
    image = ScienceImage(
        section=f"shot {place}", data=data, weight=weight, flags=flags, width=nx, height=ny, wcs=text, filter="r",
        instrument="demo", mjd=start, mjd_end=start + 60 / 86400, exposure_time=60.0, saturation=1e5,
    )  # fmt: skip
    sources = SourceList(image=image, n_sources=0)
    model = moffat_model(fwhm, (ny, nx))
    psf = PSF(sources=sources, fwhm_pixels=fwhm, order=0, n_stars=0, planes=model.planes, model_header=model.header())
    rms, flat = np.full((ny, nx), sigma, np.float32), np.full((ny, nx), level, np.float32)
    background = Background(sources=sources, value=level, noise=sigma, level=flat, rms=rms)
    solution = WorldCoordinates(sources=sources, header=text, n_matches=0, rms_ra=0, rms_dec=0, order=1)
    zero_point = ZeroPoint(world_coordinates=solution, zp=zp, zp_error=0.001, scatter=0.01, n_stars=100)
    return ReferenceProducts(image, psf, background, sources, solution, zero_point)


def inputs_of(made: list[Shot]) -> CoaddInputs:
    """Best seeing first, as references are made."""
    made.sort(key=lambda shot: shot.fwhm)
    return CoaddInputs(tuple(shot.products for shot in made))


@dataclass(frozen=True)
class Truth:
    """What the weighted mean would be without noise, artefacts and masks, and where something hit."""

    data: np.ndarray  # (ny, nx) float32
    hits: np.ndarray  # (ny, nx) bool
    psf: np.ndarray  # (k, k) in the middle of the coadd
    theory: float  # S/N per electron of a faint star in all images together: the root of the sum of squares


def truth_of(made: list[Shot], wcs: Any, shape: tuple[int, int]) -> Truth:
    """Of the images that `inputs_of` put into order, on the grid of their coadd."""
    data, hits = np.zeros(shape, np.float32), np.zeros(shape, bool)
    psf, total, squares, half = 0.0, 0.0, 0.0, 24
    for shot in made:
        part = shot.products
        scale = 10 ** (0.4 * (made[0].products.zero_point.zp - part.zero_point.zp))
        mapping = pixel_map(wcs, shape, part.world_coordinates.wcs, part.image.shape)
        weight = 1 / (shot.sigma * scale) ** 2
        data += np.float32(weight * scale) * warp(shot.expected, mapping, shape)
        hits |= warp(shot.hits.astype(np.float32), mapping, shape, order=1) > 0.1
        model = moffat_model(shot.fwhm, part.image.shape, half_size=half)
        stamp = MappedPSF(model, mapping).stamp(shape[1] / 2, shape[0] / 2)[:, :]
        middle = stamp.shape[0] // 2
        stamp = stamp[middle - half + 1 : middle + half, middle - half + 1 : middle + half]
        psf, total = psf + weight * stamp, total + weight
        squares += weight * np.sum(stamp**2)
    return Truth(data / np.float32(total), hits, psf / total, float(np.sqrt(squares)))
