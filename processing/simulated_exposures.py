"""Write simulated raw exposures: each CCD in a process of its own, put together into one file, the truth beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from processing.algorithms.simulation_ccd import Ccd
from processing.algorithms.simulation_optics import Optics
from processing.algorithms.simulation_readout import (
    Light,
    Trail,
    crosstalk_sources,
    expose,
    measured,
    read_out,
    twilight_stars,
)
from processing.algorithms.simulation_render import Frame, render
from processing.algorithms.simulation_tiles import Tiles, sky_around, tiles_within
from processing.algorithms.simulation_weather import Weather
from processing.algorithms.sky import tangent_plane
from processing.side_by_side import work_off
from processing.simulated_truth import effects_of, sources_in, write_planes, write_truth
from processing.simulators.base import Shot, Simulator
from products.storage import whole_file

_TRAIL_NOISE = (5.0, 60.0)  # brightness of trails, in sigma of the sky
_TWILIGHT_STARS = 25.0  # per Mpx, of a twilight flat
_COPIED = 1 << 22  # bytes at once

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """What is simulated besides the camera."""

    seed: int
    tiles: Tiles
    trails: int = 1  # satellites in an exposure of the sky
    planes: bool = False  # whether the noiseless image and the masks are written too


@dataclass(frozen=True)
class Part:
    """One CCD of an exposure."""

    section: str
    path: Path  # of a FITS file with its HDUs
    start: int  # of the first byte of its first extension
    sources: np.ndarray
    effects: dict[str, np.ndarray]


def write_exposure(
    simulator: Simulator,
    shot: Shot,
    scene: Scene,
    folder: Path,
    *,
    sections: Sequence[str] = (),
    numprocs: int = 1,
    tick: Tick = lambda text: None,
) -> Path:
    """Simulate CCDs (all where none is named) of an exposure and write NAME and NAME.truth.fits into `folder`.

    The same arguments give the same bytes, with any number of processes. `tick` is called with the name of each CCD.
    Raises BadInput for what cannot be simulated.
    """
    path = folder / simulator.file_name(shot)
    names = simulator.chosen(sections)
    # In the context of the whole file every failure of the disk, also in a child, becomes a clear error.
    with whole_file(path) as partial, tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=folder) as scratch:
        jobs = [(simulator, shot, scene, name, Path(scratch)) for name in names]
        parts = {}
        for _, part in work_off(simulate_section, jobs, numprocs):
            if isinstance(part, Exception):
                raise part
            parts[part.section] = part
            tick(part.section)
        ordered = [parts[name] for name in names]
        weather = simulator.weather(shot, scene.seed)
        last = _last(simulator, shot, scene, Path(scratch)) if names == simulator.sections() else None
        files = [(part.path, part.start) for part in ordered] + ([last] if last else [])
        simulator.primary(shot, weather, _count(files)).writeto(partial, overwrite=True)
        with partial.open("ab") as file:
            for source, start in files:
                for piece in _bytes_of(source, start):
                    file.write(piece)
        write_truth(truth_path(path), simulator, shot, weather, ordered)
        for planes in sorted(Path(scratch).glob("*.planes.fits")):
            planes.replace(folder / f"{truth_path(path).name.removesuffix('.fits')}.{planes.name.split('.')[0]}.fits")
    return path


def truth_path(path: Path) -> Path:
    """The file of truth of a raw file."""
    return path.with_name(f"{path.name.split('.')[0]}.truth.fits")


def simulate_section(simulator: Simulator, shot: Shot, scene: Scene, section: str, scratch: Path) -> Part:
    """Simulate one CCD and write its HDUs into the folder `scratch`."""
    ccd = simulator.make_ccd(section, shot, scene.seed)
    weather = simulator.weather(shot, scene.seed)
    frame = simulator.frame(section, shot, weather) if shot.kind == "science" else None
    light, sources = _light(simulator, shot, scene, section, ccd)
    seed = shot.seed(scene.seed, section)
    charge = expose(ccd, light, exposure_time=shot.exposure_time, seed=seed, rays=shot.kind != "bias")
    others = []
    for other in sorted({ghost.section for ghost in ccd.ghosts if ghost.section}):
        amplifiers = simulator.layout(other, shot.mjd).amplifiers
        others += crosstalk_sources(ccd, _signal_of(simulator, shot, scene, other), other, amplifiers)
    read = read_out(charge, ccd, seed=seed, others=others)
    path = scratch / f"{section}.fits"
    start = _write_hdus(path, simulator.extensions(shot, section, read.raw), simulator.has_checksums)
    if scene.planes:
        write_planes(scratch / f"{section}.planes.fits", ccd, read)
    return Part(section, path, start, sources, effects_of(section, ccd, read, frame))


def _light(simulator: Simulator, shot: Shot, scene: Scene, section: str, ccd: Ccd) -> tuple[Light, np.ndarray]:
    """What falls on a CCD, and the sources in it (dtype SOURCES)."""
    nothing = sources_in(None, None, shot, section, 1.0)
    if shot.kind == "dome":
        return Light(sky=shot.level / ccd.throughput * ccd.screen), nothing
    if shot.kind == "twilight":
        rng = np.random.default_rng(shot.seed(scene.seed, "twilight"))
        sky = shot.level * _slope(simulator, section, ccd, rng.normal(0, 0.01, 2))
        stars = twilight_stars(ccd.shape, _TWILIGHT_STARS, shot.seed(scene.seed, section))
        return Light(sky=sky, sources=stars), nothing
    if shot.kind != "science":
        return Light(), nothing
    weather = simulator.weather(shot, scene.seed)
    frame = simulator.frame(section, shot, weather)
    photometry = simulator.photometry[frame.band]
    sky = weather.sky(photometry, shot.exposure_time, simulator.scale)
    around = sky_around(scene.tiles, *_middle(frame), _reach(simulator, frame), shot.mjd)
    image, _ = render(around, frame, shot.mjd)
    light = Light(
        sky=sky * _slope(simulator, section, ccd, weather.gradient),
        sources=image,
        trails=_trails(simulator, shot, scene, section, (sky, weather)),
        is_night=True,
    )
    return light, sources_in(around, frame, shot, section, ccd.throughput)


def _signal_of(simulator: Simulator, shot: Shot, scene: Scene, section: str) -> np.ndarray:
    """What the amplifiers of another CCD measure in the same exposure: ADU (ny, nx)."""
    ccd = simulator.make_ccd(section, shot, scene.seed)
    light, _ = _light(simulator, shot, scene, section, ccd)
    seed = shot.seed(scene.seed, section)
    charge = expose(ccd, light, exposure_time=shot.exposure_time, seed=seed, rays=shot.kind != "bias")
    return measured(charge.electrons, ccd)


def _slope(simulator: Simulator, section: str, ccd: Ccd, gradient: Sequence[float]) -> np.ndarray:
    """(ny, nx) light that changes by `gradient` per degree along the axes of the focal plane."""
    origin, (ny, nx) = simulator.place(section).origin, ccd.shape
    per_px = np.asarray(gradient) * simulator.scale / 3600
    y, x = np.ogrid[:ny, :nx]
    return (1 + per_px[0] * (x + origin[0]) + per_px[1] * (y + origin[1])).astype(np.float32)


def _trails(
    simulator: Simulator, shot: Shot, scene: Scene, section: str, known: tuple[float, Weather]
) -> tuple[Trail, ...]:
    """Satellites cross the whole field: a CCD has the part that falls on it. `known` = sky electrons, weather."""
    sky, weather = known
    rng, place = np.random.default_rng(shot.seed(scene.seed, "trails")), simulator.place(section)
    trails = []
    for _ in range(scene.trails):
        x, y = rng.uniform(-0.6, 0.6, 2) * place.radius
        angle, (faint, bright) = rng.uniform(0, 180), np.log(_TRAIL_NOISE)
        brightness = np.sqrt(sky) * np.exp(rng.uniform(faint, bright))
        width = rng.uniform(1, 4)
        trails.append(
            Trail(x - place.origin[0], y - place.origin[1], angle, float(brightness), float(width), weather.seeing)
        )
    return tuple(trails)


def _middle(frame: Frame) -> tuple[float, float]:
    ny, nx = frame.shape
    ra, dec = frame.projection.sky(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))
    return float(ra[0]), float(dec[0])


def _reach(simulator: Simulator, frame: Frame) -> float:
    """Degrees from the middle of a CCD to sources that can send light to its corners."""
    return (np.hypot(*frame.shape) / 2 + 150) * simulator.scale / 3600


def is_within(
    simulator: Simulator, sections: Sequence[str], ra: np.ndarray, dec: np.ndarray, centre: tuple[float, float]
) -> np.ndarray:
    """Which positions (n,) CCDs see when the camera looks at `centre`, with a margin of 0.1 degrees; (n,) bool."""
    found = np.zeros(len(ra), bool)
    for section in sections:
        shape = simulator.layout(section, 0.0).trimmed
        optics = Optics(simulator.wcs(section, *centre), (0.0, 0.0))
        middle = optics.sky(np.array([shape[1] / 2]), np.array([shape[0] / 2]))
        reach, margin = np.hypot(*shape) / 2 * simulator.scale, 360 / simulator.scale
        near = np.flatnonzero(np.hypot(*tangent_plane(ra, dec, *middle)) < reach + 360)
        x, y = optics.pixels(ra[near], dec[near])
        here = (x > -margin) & (x < shape[1] + margin) & (y > -margin) & (y < shape[0] + margin)
        found[near[here]] = True
    return found


def tiles_of(simulator: Simulator, sections: Sequence[str], centre: tuple[float, float]) -> list[int]:
    """Tiles of the sky that CCDs see when the camera looks at `centre`, and some around them."""
    found: set[int] = set()
    for section in sections:
        shape = simulator.layout(section, 0.0).trimmed
        optics = Optics(simulator.wcs(section, *centre), (0.0, 0.0))
        ra, dec = optics.sky(np.array([shape[1] / 2]), np.array([shape[0] / 2]))
        reach = np.hypot(*shape) / 2 * simulator.scale / 3600
        found |= set(tiles_within(float(ra[0]), float(dec[0]), reach + 0.1))
    return sorted(found)


def _last(simulator: Simulator, shot: Shot, scene: Scene, scratch: Path) -> tuple[Path, int] | None:
    """The file of what comes after the CCDs, and where its first extension begins."""
    hdus = simulator.last(shot, np.random.default_rng(shot.seed(scene.seed, "last")))
    path = scratch / "last.fits"
    return (path, _write_hdus(path, hdus, simulator.has_checksums)) if hdus else None


def _write_hdus(path: Path, hdus: Sequence[Any], has_checksums: bool) -> int:
    """Write extensions into a file; the byte at which the first of them begins."""
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    if has_checksums:
        with fits.open(path, mode="update", disable_image_compression=True) as found:
            for hdu in found[1:]:
                hdu.header["CHECKVER"] = "COMPLEMENT"
                hdu.add_checksum(when="")  # no date: the same exposure is the same bytes
    with fits.open(path) as found:
        return found[1].fileinfo()["hdrLoc"]


def _count(files: Sequence[tuple[Path, int]]) -> int:
    """How many extensions are in files."""
    number = 0
    for path, _ in files:
        with fits.open(path) as hdus:
            number += len(hdus) - 1
    return number


def _bytes_of(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(_COPIED):
            yield piece
