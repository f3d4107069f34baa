"""Two epochs of one piece of sky as they come out of preprocessing and coaddition, with every change known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from processing.algorithms.masks import grow
from processing.algorithms.simulation import Sky
from processing.algorithms.simulation_detector import cosmic_rays
from processing.algorithms.simulation_render import Frame, Projection, points, render
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import (
    CAMERAS,
    MJD,
    CalibrationField,
    Camera,
    catalog_of,
    exposed,
    frame_of,
    header_of,
    sky_of,
)

CHANGE = np.dtype(
    [
        ("kind", "U8"),  # hostless, hosted or variable
        ("x", "f8"),  # px of the new image
        ("y", "f8"),
        ("mag", "f8"),  # AB of the change
        ("flux", "f8"),  # electrons of the new image; negative for a star that fades
        ("star_mag", "f8"),  # of a variable star in the reference, else infinite
    ]
)
_UNFLAGGED = 0.15  # of the cosmic rays
_STAR_MAG = 15.5  # the brightest variable


@dataclass(frozen=True)
class Setup:
    """What kind of pair."""

    camera: str = "decam"
    changed: dict[str, object] = field(default_factory=dict)  # of the camera
    reference_fwhm: float = 3.3  # px
    frames: int = 9  # exposures in the reference
    gap: bool = False  # whether a part of the reference is less deep, with a chip gap before it
    transients: int = 1200
    cosmic_rays: int = 400
    gradient: tuple[float, float] = (0.02, -0.03)  # of the sky of the new image, along x and y


SETUPS = {
    "main": Setup(),
    "equal": Setup(reference_fwhm=4.2),
    "sharper": Setup(changed={"fwhm": 3.3}, reference_fwhm=4.2),
    "crowded": Setup(changed={"stars": 141_000.0}),
    "ls4": Setup(camera="ls4", reference_fwhm=1.8),
    "gap": Setup(gap=True),
    "uneven": Setup(
        changed={"shape": (1024, 1024)}, gap=True, transients=0, cosmic_rays=0, frames=4, gradient=(0.5, -0.2)
    ),
}


@dataclass(frozen=True)
class PairField:
    """Both images, what changed between them, and where unflagged cosmic rays are."""

    new: CalibrationField
    reference: CalibrationField
    changes: np.ndarray  # dtype CHANGE
    hidden: np.ndarray  # (ny, nx) bool, pixels that unflagged cosmic rays reached
    frames: int

    def limit(self) -> float:
        """Magnitude of a new point source of 5σ on empty sky: 1/√F_S of the true PSFs and noise (ZOGY eq. 15)."""
        noise = self.new.noise, self.reference.noise / np.sqrt(self.frames)
        stamps = [true_stamp(image) for image in (self.new, self.reference)]
        powers = [np.abs(np.fft.fft2(stamp, (256, 256))) ** 2 for stamp in stamps]
        density = noise[0] ** 2 * powers[1] + noise[1] ** 2 * powers[0]
        information = np.mean(powers[0] * powers[1] / np.maximum(density, 1e-14 * density.max()))
        return float(self.new.camera.zero_point - 2.5 * np.log10(5 / np.sqrt(information)))


def true_stamp(image: CalibrationField, half: int = 25) -> np.ndarray:
    """The true PSF in the middle of an image, (2 half + 1, 2 half + 1)."""
    size = 2 * half + 1
    frame = replace(image.frame, shape=(size, size), projection=replace(image.frame.projection, centre=(half, half)))
    return points(frame, np.array([float(half)]), np.array([float(half)]), np.array([1e8])).astype(float) / 1e8


def pair_field(name: str, seed: int) -> PairField:
    """A pair of one of SETUPS; the same seed gives the same pair."""
    setup = SETUPS[name]
    rng = np.random.default_rng([seed, 41])
    camera = replace(CAMERAS[setup.camera], **setup.changed)
    sky = sky_of(camera, seed)
    frame = replace(frame_of(camera, rng), gradient=setup.gradient)
    expected, truth = render(sky, frame, MJD)
    changes = _changes(truth, camera, setup.transients, rng)
    gone = changes["flux"] < 0
    expected += points(frame, *(changes[name][~gone] for name in ("x", "y", "flux")))
    expected -= points(frame, changes["x"][gone], changes["y"][gone], -changes["flux"][gone])
    data, full = exposed(np.maximum(expected, 0), camera, rng)
    shown = cosmic_rays(data.shape, round((1 - _UNFLAGGED) * setup.cosmic_rays), rng)
    hidden = cosmic_rays(data.shape, round(_UNFLAGGED * setup.cosmic_rays), rng)
    data += shown + hidden
    flags = _flags(full, rng)
    flags[shown > 0] |= np.uint16(PixelFlag.COSMIC_RAY)
    new = _field(camera, data, flags, expected, truth, frame, sky, rng)
    return PairField(new, _reference(setup, camera, frame, sky, rng), changes, hidden > 0, setup.frames)


def _changes(truth: np.ndarray, camera: Camera, number: int, rng: np.random.Generator) -> np.ndarray:
    """40 % on hosts, 20 % stars that vary, the rest anywhere."""
    ny, nx = camera.shape
    found = np.zeros(number, CHANGE)
    hosted, variable = slice(0, int(0.4 * number)), slice(int(0.4 * number), int(0.6 * number))
    rest = slice(variable.stop, number)
    found["kind"][hosted], found["kind"][variable], found["kind"][rest] = "hosted", "variable", "hostless"
    deep = camera.zero_point - 2.5 * np.log10(5 * np.hypot(np.sqrt(camera.sky), camera.read_noise) * 1.7 * camera.fwhm)
    found["mag"] = rng.uniform(deep - 3.5, deep + 0.8, number)
    found["x"], found["y"] = rng.uniform(0, nx, number), rng.uniform(0, ny, number)
    galaxies = truth[(truth["kind"] == "galaxy") & (truth["mag"] < camera.faintest_galaxy - 0.5)]
    hosts = rng.choice(galaxies, hosted.stop, replace=False)
    for axis in "xy":
        found[axis][hosted] = hosts[axis] + rng.normal(0, 0.5 * camera.fwhm, hosted.stop)
    found["flux"] = 10 ** (0.4 * (camera.zero_point - found["mag"]))
    found["star_mag"] = np.inf
    stars = truth[(truth["kind"] == "star") & (truth["mag"] > _STAR_MAG) & (truth["mag"] < deep - 0.5)]
    stars = rng.choice(stars, variable.stop - variable.start, replace=False)
    share = 10 ** rng.uniform(np.log10(0.02), np.log10(0.8), len(stars)) * rng.choice([-1, 1], len(stars))
    for name in ("x", "y"):
        found[name][variable] = stars[name]
    found["flux"][variable], found["star_mag"][variable] = share * stars["flux"], stars["mag"]
    found["mag"] = camera.zero_point - 2.5 * np.log10(np.abs(found["flux"]))
    return found


def _flags(full: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flags = np.zeros(full.shape, np.uint16)
    flags[grow(full, 2)] |= np.uint16(PixelFlag.SATURATED)
    for column in rng.integers(20, full.shape[1] - 20, 2):
        flags[int(rng.uniform(0, 0.8) * full.shape[0]) :, column] |= np.uint16(PixelFlag.BAD)
    return flags


def _reference(setup: Setup, camera: Camera, frame: Frame, sky: Sky, rng: np.random.Generator) -> CalibrationField:
    """The mean of `frames` exposures on its own grid: shifted by 30 px, turned by 0.1°, scaled, with its distortion."""
    before: Projection = frame.projection
    projection = replace(
        before, centre=(before.centre[0] + 30, before.centre[1] - 27), rotation=before.rotation + 0.1,
        scale=before.scale * 1.0004, radial=before.radial + 0.12, tilt=before.tilt - 0.3,
    )  # fmt: skip
    seeing = replace(frame_of(camera, rng).seeing, fwhm=setup.reference_fwhm)
    frame = replace(frame, projection=projection, seeing=seeing)
    expected, truth = render(sky, frame, MJD)
    depth = np.full(camera.shape, setup.frames, np.float32)
    nx = camera.shape[1]
    if setup.gap:
        depth[:, nx // 2 :] = max(1, setup.frames // 2)
    data = (rng.poisson(expected * depth) / depth).astype(np.float32)
    full = data > camera.full_well
    data = np.minimum(data, np.float32(camera.full_well))
    data += rng.normal(0, camera.read_noise, data.shape).astype(np.float32) / np.sqrt(depth)
    flags = _flags(full, rng)
    if setup.gap:
        flags[:, nx // 2 - 40 : nx // 2 + 40] |= np.uint16(PixelFlag.ZERO_WEIGHT)
    return _field(camera, data, flags, expected, truth, frame, sky, rng, depth)


def _field(
    camera: Camera,
    data: np.ndarray,
    flags: np.ndarray,
    expected: np.ndarray,
    truth: np.ndarray,
    frame: Frame,
    sky: Sky,
    rng: np.random.Generator,
    depth: np.ndarray | float = 1.0,
) -> CalibrationField:
    usable = (flags & int(PixelFlag.UNUSABLE)) == 0
    variance = (np.maximum(data, 0.25 * camera.sky) + camera.read_noise**2) / depth
    weight = np.where(usable, 1 / variance, 0).astype(np.float32)
    header = header_of(frame.projection, (8.0, -5.0), 0.05)
    return CalibrationField(camera, data, weight, flags, expected, truth, frame, catalog_of(sky, camera, rng), header)
