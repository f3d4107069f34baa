"""Small simulated CCDs of real cameras with all their effects, and frames of them with the truth: for any test."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from processing.algorithms.simulation import SkyParameters, make_sky
from processing.algorithms.simulation_ccd import Ccd, CcdParameters, make_ccd, side_by_side
from processing.algorithms.simulation_readout import Light, RawFrame, Trail, sky_frame
from processing.algorithms.simulation_render import Frame, Projection, Seeing, points, render

SHAPE = 512, 512  # of the trimmed image: two amplifiers of 512 rows and 256 columns
JUMP = 300  # row at which the bias level jumps
_EFFECTS = (
    *("column_structure", "bias_gradient", "drift", "jump", "gain_error", "nonlinearity", "crosstalk", "dark"),
    *("glow", "hot_pixels", "dead_pixels", "bad_columns", "pixel_scatter", "dust", "vignetting", "screen_error"),
    *("fringes", "cosmic_rays", "bias_scatter"),
)
EVEN = dict.fromkeys(_EFFECTS, 0.0)  # a CCD without effects: small_ccd(1, **EVEN)


def small_ccd(
    seed: int = 1, *, shape: tuple[int, int] = SHAPE, band: str = "z", number: int = 1, **changes: Any
) -> Ccd:
    """A CCD with every effect, of two amplifiers A and B that read outwards; `changes` are of its CcdParameters.

    Raw columns: 8 prescan, data and 32 overscan of A, then overscan, data and prescan of B. Only the shape makes it
    slow: 0.1 s for 512 x 512.
    """
    values = {"fringes": 0.02, "fringe_period": 50.0, "bad_columns": 4.0, "hot_pixels": 60.0, "cosmic_rays": 1.0}
    jumps = (JUMP,) if shape[0] > JUMP else ()
    parameters = CcdParameters(**(values | changes))
    return make_ccd(side_by_side(shape, jumps=jumps), parameters, seed=seed, number=number, band=band)


@lru_cache
def small_sky(shape: tuple[int, int] = SHAPE, seed: int = 1) -> np.ndarray:
    """Electrons (ny, nx) of stars, one of which saturates in each half, and galaxies, without the sky between them."""
    ny, nx = shape
    p = SkyParameters(
        seed=seed, width=nx / 3600, height=ny / 3600, brightest=11.0, brightest_galaxy=16.0, transients=0.0
    )
    projection = Projection(p.ra, p.dec, (nx / 2, ny / 2), 1.0)
    frame = Frame(shape, projection, Seeing(fwhm=3.0), "i", zero_point=28.2, sky=0.0)
    image = render(make_sky(p), frame, 61000.0)[0]
    place = np.random.default_rng([seed, 7]).uniform(0.15, 0.85, (2, 2))
    x, y = (place[0] + [0, 1]) * nx / 2, place[1] * ny
    return image + points(frame, x, y, np.full(2, 4e6))


def small_exposure(
    ccd: Ccd, seed: int = 1, *, sky: float = 2000.0, trail: float = 300.0, gradient: float = 0.03, time: float = 60.0
) -> RawFrame:
    """A night-sky exposure of a CCD: stars, galaxies, an uneven sky, one satellite trail of `trail` electrons."""
    ny, nx = ccd.shape
    y, x = np.ogrid[-0.5 : 0.5 : ny * 1j, -0.5 : 0.5 : nx * 1j]
    rng = np.random.default_rng([seed, 9])
    trails = (Trail(nx * rng.uniform(0.3, 0.7), ny * rng.uniform(0.3, 0.7), rng.uniform(20, 70), trail),)
    light = Light(
        sky=sky * (1 + gradient * x - 0.5 * gradient * y),
        sources=small_sky(ccd.shape, seed),
        trails=trails if trail else (),
        is_night=True,
    )
    return sky_frame(ccd, light, seed=seed, exposure_time=time)


def small_night_flat(ccd: Ccd, seed: int, *, sky: float = 3000.0, dither: int = 61) -> RawFrame:
    """One of many exposures of the night sky whose stars lie elsewhere each time: for sky flats and fringes."""
    rng = np.random.default_rng([seed, 8])
    sources = np.roll(small_sky(ccd.shape), tuple(rng.integers(-4, 5, 2) * dither), axis=(0, 1))
    light = Light(sky=sky * rng.uniform(0.7, 1.4), sources=sources, is_night=True)
    return sky_frame(ccd, light, seed=[seed, 8], exposure_time=60.0)
