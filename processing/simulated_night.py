"""The demo's night: which raw files there are, how they are made, and what is truly in them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from processing.algorithms.simulation import BANDS, Sky, SkyParameters, make_sky
from processing.algorithms.simulation_detector import Detector, bias_frame, flat_frame, make_detector, read_out
from processing.algorithms.simulation_render import Frame, Projection, Seeing, inside, render, sources
from processing.algorithms.sky import from_tangent_plane
from processing.errors import BadInput
from processing.instruments.demo import RawCcd, RawFacts, write_raw
from products.models import Exposure

EPOCH = 2026.0  # of the catalogue's positions, Julian year
FIRST_MJD = 61360.0  # exposures before this make the references, those after it are searched

_CENTRE = 52.1, -27.8  # ra, dec, degrees
_SCALE = 1.0  # arcsec per px
_GAP, _MARGIN = 40, 150  # px between CCDs, and of sky around them
_ROTATION = 0.35  # degrees, of the camera
_EXPOSURE_TIME, _FLAT_TIME = 45.0, 5.0  # s
_ZERO_POINTS = {"g": 28.6, "r": 28.6, "i": 28.2}  # AB magnitude of one electron in 45 s, outside the atmosphere
_EXTINCTION = {"g": 0.18, "r": 0.10, "i": 0.07}  # mag per airmass
_SKY_MAGNITUDES = {"g": 21.9, "r": 20.9, "i": 20.0}  # per square arcsec on a dark night
_FLAT_LEVEL = 30_000.0  # electrons
_CATALOG_LIMIT = 21.0  # r magnitude
_MAG_ERROR, _POSITION_ERROR = 0.01, 10.0  # of the catalogue; mag, mas

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Night:
    """The size of the demo."""

    ccds: int = 2
    side: int = 768  # pixels of a CCD along x
    height: int = 0  # and along y; 0: as many
    bands: tuple[str, ...] = ("g", "r")
    early: int = 4  # epochs a band for the references
    late: int = 3  # epochs a band that are searched
    biases: int = 5
    flats: int = 5
    seed: int = 20261123

    @property
    def n_exposures(self) -> int:
        """Raw files of all kinds."""
        return self.biases + len(self.bands) * (self.flats + self.early + self.late)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of a trimmed CCD."""
        return self.height or self.side, self.side

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the CCDs."""
        return tuple(f"N{number}" for number in range(1, self.ccds + 1))


@dataclass(frozen=True)
class Files:
    """What was written."""

    exposures: tuple[Path, ...]
    catalog: np.ndarray


@dataclass(frozen=True)
class Shot:
    """One exposure that the night has; its name is that of the raw file without ending."""

    name: str
    kind: str  # bias, flat or science
    band: str
    mjd: float
    exposure_time: float  # s


@dataclass(frozen=True)
class Conditions:
    """What the sky and the telescope were like during one exposure."""

    pointing: tuple[float, float]  # ra, dec of the camera's middle, degrees
    believed: tuple[float, float]  # what the telescope writes instead
    rotation: float  # degrees
    believed_rotation: float
    seeing: Seeing
    airmass: float
    zero_point: float
    sky: float  # electrons per px
    gradient: tuple[float, float]


def write_night(night: Night, folder: Path, tick: Tick) -> Files:
    """Write the raw files that are not there yet and make the star catalogue; the same night is the same to the bit.

    `tick` is called with the name of each exposure. Raises BadInput for a band that is not simulated.
    """
    unknown = set(night.bands) - set(BANDS)
    if unknown:
        raise BadInput(what=f"band {', '.join(sorted(unknown))}", reason=f"the simulated sky has {', '.join(BANDS)}")
    paths = []
    for shot in shots(night):
        path = folder / f"{shot.name}.fits.fz"
        if not path.exists():
            _write(night, shot, path)
        paths.append(path)
        tick(shot.name)
    return Files(tuple(paths), star_catalog(night))


def truth_of(night: Night, exposure: Exposure, section: str) -> np.ndarray:
    """What is in one CCD of a science exposure: dtype `simulation_render.TRUTH`, positions in the trimmed image.

    `flux` is by how much a source is brighter than the mean of the early epochs, in electrons of this exposure;
    `mag` is its whole light. Transients that have not begun are left out. Raises BadInput for an exposure that is not
    of this night.
    """
    shot = next((shot for shot in shots(night) if shot.name == exposure.name and shot.kind == "science"), None)
    if shot is None or section not in night.sections:
        raise BadInput(what=f"{exposure.name} {section}", reason="the simulated night has no such science image")
    frame, sky = frame_of(night, shot, section), sky_of(night)
    now = sources(sky, frame, shot.mjd)
    before = [other.mjd for other in shots(night) if other.band == shot.band and _is_early(other)]
    now["flux"] -= np.mean([sources(sky, frame, mjd)["flux"] for mjd in before], axis=0)
    return inside(now[np.isfinite(now["mag"])], frame.shape)


@lru_cache
def shots(night: Night) -> tuple[Shot, ...]:
    """All exposures of the night, in the order of time of each kind."""
    # Nights of another size are other files, so that what a folder holds never belongs to two of them.
    prefix = f"demo-{zlib.crc32(repr(night).encode()):08x}"
    evening = FIRST_MJD - 61.1
    found = [Shot(f"{prefix}-bias-{n + 1}", "bias", "", round(evening + n / 1440, 5), 0.0) for n in range(night.biases)]
    for index, band in enumerate(night.bands):
        start = evening + 0.02 + 0.01 * index
        found += [
            Shot(f"{prefix}-{band}-flat-{n + 1}", "flat", band, round(start + n / 1440, 5), _FLAT_TIME)
            for n in range(night.flats)
        ]
    early = np.linspace(FIRST_MJD - 60, FIRST_MJD - 30, max(night.early, 1))[: night.early]
    late = FIRST_MJD + 3.0 * np.arange(night.late)
    for word, dates in (("early", early), ("late", late)):
        for n, date in enumerate(dates):
            for index, band in enumerate(night.bands):
                mjd = round(float(date) + 0.1 + 0.002 * index, 5)
                found.append(Shot(f"{prefix}-{band}-{word}-{n + 1}", "science", band, mjd, _EXPOSURE_TIME))
    return tuple(found)


@lru_cache(maxsize=2)
def sky_of(night: Night) -> Sky:
    """The sky above the night; no transient has begun in the early epochs."""
    height, width = (
        (number * size + (number - 1) * _GAP + 2 * _MARGIN) * _SCALE / 3600
        for number, size in zip(reversed(_layout(night)), night.shape)
    )
    ra, dec = _CENTRE
    return make_sky(
        SkyParameters(
            seed=night.seed,
            ra=ra,
            dec=dec,
            width=width,
            height=height,
            epoch=EPOCH,
            first_start=FIRST_MJD - 20,
            last_start=FIRST_MJD - 6,
        )
    )


@lru_cache(maxsize=8)
def detector_of(night: Night, section: str, band: str = "") -> Detector:
    """One CCD behind one filter."""
    color = BANDS.index(band) if band else 0
    return make_detector(night.shape, seed=_seed(night, section), color=color)


def clear_zero_point(band: str, airmass: float) -> float:
    """AB magnitude of one electron without clouds: what an observatory would know, and write into its files."""
    return _ZERO_POINTS[band] - _EXTINCTION[band] * airmass


@lru_cache(maxsize=256)
def conditions_of(night: Night, shot: Shot) -> Conditions:
    """What the sky and the telescope were like."""
    rng = np.random.default_rng(_seed(night, shot.name))
    dither = rng.uniform(-12, 12, 2)
    error, turn = rng.uniform(3, 10), rng.uniform(0, 2 * np.pi)
    wrong = dither + error * np.array([np.cos(turn), np.sin(turn)])
    airmass, clouds = rng.uniform(1.05, 1.6), rng.exponential(0.06)
    zero_point = clear_zero_point(shot.band, airmass) - clouds
    sky_magnitude = _SKY_MAGNITUDES[shot.band] - abs(rng.normal(0, 0.25))
    rotation = _ROTATION + rng.normal(0, 0.01)
    # The stack needs the better seeing, as observers choose it.
    fwhm = rng.uniform(2.2, 3.0) if _is_early(shot) else rng.uniform(2.2, 3.6)
    shape, angle = rng.uniform(0.0, 0.05), rng.uniform(0, 2 * np.pi)
    seeing = Seeing(
        fwhm=fwhm,
        ellipticity=(shape * np.cos(angle), shape * np.sin(angle)),
        gradient=rng.uniform(-0.03, 0.03),
        broadening=rng.uniform(0.0, 0.06),
    )
    return Conditions(
        pointing=_pointing(*dither),
        believed=_pointing(*wrong),
        rotation=rotation,
        believed_rotation=rotation + rng.normal(0, 0.03),
        seeing=seeing,
        airmass=airmass,
        zero_point=zero_point,
        sky=_SCALE**2 * 10 ** (0.4 * (_ZERO_POINTS[shot.band] - sky_magnitude)),
        gradient=tuple(rng.uniform(-0.04, 0.04, 2)),
    )


def frame_of(night: Night, shot: Shot, section: str) -> Frame:
    """One CCD of a science exposure."""
    found = conditions_of(night, shot)
    ra, dec = found.pointing
    projection = Projection(ra, dec, _centre(night, section), _SCALE, found.rotation, radial=1.0, tilt=0.3)
    return Frame(
        shape=night.shape,
        projection=projection,
        seeing=found.seeing,
        band=shot.band,
        zero_point=found.zero_point,
        sky=found.sky,
        gradient=found.gradient,
    )


def star_catalog(night: Night) -> np.ndarray:
    """The stars and galaxies that a survey had measured before, with its errors, for `star_catalogs.keep_excerpt`."""
    sky, rng = sky_of(night), np.random.default_rng(_seed(night, "catalog"))
    number = len(sky.stars) + len(sky.galaxies)
    columns = [(name, "f8") for name in ("ra", "dec", "pmra", "pmdec")]
    columns += [(f"{word}_{band}", "f4") for band in BANDS for word in ("mag", "err")]
    table = np.zeros(number, [*columns, ("is_star", "?")])
    error = rng.normal(0, _POSITION_ERROR / 3.6e6, (2, number))
    for name in ("dec", "ra"):
        table[name] = np.concatenate([sky.stars[name], sky.galaxies[name]])
    table["ra"] += error[0] / np.cos(np.radians(table["dec"]))
    table["dec"] += error[1]
    for name in ("pmra", "pmdec"):
        table[name][: len(sky.stars)] = sky.stars[name] + rng.normal(0, 0.3, len(sky.stars))
    for band in BANDS:
        mag = np.concatenate([sky.stars[f"mag_{band}"], sky.galaxies[f"mag_{band}"]])
        table[f"err_{band}"] = np.hypot(_MAG_ERROR, 0.04 * 10 ** (0.4 * (mag - 22)))
        table[f"mag_{band}"] = mag + rng.normal(0, 1, number) * table[f"err_{band}"]
    table["is_star"][: len(sky.stars)] = True
    return table[table["mag_r"] < _CATALOG_LIMIT]


def _write(night: Night, shot: Shot, path: Path) -> None:
    facts = RawFacts(shot.name, shot.kind, shot.band, shot.mjd, shot.exposure_time, *_CENTRE)
    if shot.kind == "science":
        found = conditions_of(night, shot)
        ra, dec = found.believed
        clear = round(clear_zero_point(shot.band, found.airmass), 3)
        facts = replace(facts, ra=ra, dec=dec, airmass=round(found.airmass, 3), zero_point=clear)
    write_raw(path, facts, [_ccd(night, shot, section) for section in night.sections])


def _ccd(night: Night, shot: Shot, section: str) -> RawCcd:
    detector = detector_of(night, section, shot.band)
    rng = np.random.default_rng(_seed(night, f"{shot.name}/{section}"))
    projection = Projection(*_CENTRE, _centre(night, section), _SCALE, _ROTATION)
    if shot.kind == "bias":
        data = bias_frame(detector, rng)
    elif shot.kind == "flat":
        data = flat_frame(detector, _FLAT_LEVEL * rng.uniform(0.9, 1.1), rng, shot.exposure_time)
    else:
        expected, _ = render(sky_of(night), frame_of(night, shot, section), shot.mjd)
        data = read_out(expected, detector, exposure_time=shot.exposure_time, rng=rng)
        found = conditions_of(night, shot)
        ra, dec = found.believed
        projection = replace(projection, ra=ra, dec=dec, rotation=found.believed_rotation)
    return RawCcd(section, data, detector.amplifiers, projection.header())


def _layout(night: Night) -> tuple[int, int]:
    columns = int(np.ceil(np.sqrt(night.ccds)))
    return columns, int(np.ceil(night.ccds / columns))


def _centre(night: Night, section: str) -> tuple[float, float]:
    """Where the middle of the camera is in the pixels of one CCD."""
    columns, rows = _layout(night)
    row, column = divmod(night.sections.index(section), columns)
    ny, nx = night.shape
    x = ((columns - 1) / 2 - column) * (nx + _GAP) + (nx - 1) / 2
    y = ((rows - 1) / 2 - row) * (ny + _GAP) + (ny - 1) / 2
    return x, y


def _pointing(xi: float, eta: float) -> tuple[float, float]:
    ra, dec = from_tangent_plane(xi, eta, *_CENTRE)
    return float(ra), float(dec)


def _seed(night: Night, what: str) -> int:
    """A seed for one thing of the night that does not depend on what was drawn before."""
    return int(np.random.SeedSequence([night.seed, zlib.crc32(what.encode())]).generate_state(1)[0])


def _is_early(shot: Shot) -> bool:
    return shot.kind == "science" and shot.mjd < FIRST_MJD
