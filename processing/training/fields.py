"""Fields of the sky that are seen twice, with everything in them that a scorer must tell apart.

Each field has a seed of its own, from which all of it follows: sampling, seeing, depth, what changed and what was not
right with the camera. Depth is tied to the magnitudes: a star of 21.5 mag is a 5 σ source of the new image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from processing.algorithms.simulation import TRANSIENTS, Sky, SkyParameters, make_sky
from processing.algorithms.simulation_render import Frame, Projection, Seeing
from processing.algorithms.sky import from_tangent_plane, tangent_plane

BAND = "r"
EPOCH = 2026.0  # Julian year of the positions
NEW_MJD, REFERENCE_MJD = 61450.0, 61050.0
LIMIT = 21.5  # mag of a 5 σ source in the new image
FULL_WELL = 95_000.0  # electrons, about
REAL = ("transient", "transient in a galaxy", "nuclear transient", "faded", "variable star")

_CENTRE = 52.1, -27.8  # ra, dec, degrees
_SAMPLING = (1.9, 5.0)  # px of the FWHM
_CHANGES = {"transient": 60, "transient in a galaxy": 65, "nuclear transient": 45, "faded": 48, "variable star": 90}
_MOVERS = 70  # stars per Mpx that move visibly between the epochs
_SNR = (4.5, 150.0)  # of changes in the difference
_MARGIN = 1.25  # sides of the sky over those of the image


@dataclass(frozen=True)
class Camera:
    """One way of seeing a field."""

    fwhm: float  # px
    scale: float  # arcsec per px
    sky: float  # electrons per px
    zero_point: float  # AB magnitude of one electron


@dataclass(frozen=True)
class Field:
    """A field before anything is exposed."""

    seed: int
    side: int  # px
    sky: Sky
    new: Frame
    references: tuple[Frame, ...]  # one image, or several to be stacked
    changed: np.ndarray  # row of the sky's sources, stars, then galaxies, then transients: −1 for what does not change
    kinds: tuple[str, ...]  # of each source that `changed` numbers
    wrong_wcs: tuple[float, float]  # px by which the solution of the new image is off

    @property
    def name(self) -> str:
        """What a night of this field is called."""
        return f"simulated {self.seed}"


def draw_field(seed: int, side: int = 1024) -> Field:
    """The field of a `seed`, for images of `side` × `side` px."""
    rng = np.random.default_rng([seed, 1])
    camera = _camera(rng)
    per_field = (side * _MARGIN) ** 2 / 1e6
    static = make_sky(_sky_parameters(seed, side, camera.scale, rng))
    stars, movers = _moving(static.stars, camera, int(_MOVERS * per_field), rng)
    sigma = flux_error(camera, rng.uniform(0.25, 0.8))
    sky = replace(static, stars=stars)
    sky, changed, kinds = _changes(sky, sigma, camera, per_field, (rng, movers))
    frames = _frames(camera, side, rng)
    wrong = tuple(rng.normal(0, 0.02 * camera.fwhm, 2)) if rng.random() < 0.15 else (0.0, 0.0)
    return Field(seed, side, sky, *frames, changed, kinds, wrong)


def flux_error(camera: Camera, depth: float) -> float:
    """σ, electrons, of the PSF flux in a difference whose reference has `depth` of the noise of the new image."""
    area = 4 * np.pi * (camera.fwhm / 2.3548) ** 2
    return float(np.sqrt((1 + depth**2) * area * camera.sky))


def _camera(rng: np.random.Generator) -> Camera:
    fwhm = float(np.exp(rng.uniform(*np.log(_SAMPLING))))
    scale = float(rng.uniform(1.0, 2.4)) / fwhm
    sky = float(np.exp(rng.uniform(np.log(150), np.log(2500))))
    noise = 5 * flux_error(Camera(fwhm, scale, sky, 0.0), 0.0)
    return Camera(fwhm, scale, sky, LIMIT + 2.5 * float(np.log10(noise)))


def _sky_parameters(seed: int, side: int, scale: float, rng: np.random.Generator) -> SkyParameters:
    extent = side * scale / 3600 * _MARGIN
    per_square_degree = 1e-6 * (3600 / scale) ** 2
    stars = float(np.exp(rng.uniform(np.log(120), np.log(1200))))
    galaxies = float(np.exp(rng.uniform(np.log(40), np.log(250))))
    return SkyParameters(
        seed=seed, ra=_CENTRE[0], dec=_CENTRE[1], width=extent, height=extent, epoch=EPOCH,
        stars=stars * per_square_degree, faintest=23.0, brightest=11.0, variables=0.0, transients=0.0,
        galaxies=galaxies * per_square_degree, faintest_galaxy=22.3, brightest_galaxy=15.0,
    )  # fmt: skip


def _moving(stars: np.ndarray, camera: Camera, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The stars, and the rows of those that were given a motion that shows between the epochs."""
    stars = stars.copy()
    bright = np.flatnonzero((stars["mag_r"] > 13) & (stars["mag_r"] < LIMIT - 1))
    chosen = rng.choice(bright, min(number, len(bright)), replace=False)
    shift = camera.fwhm * camera.scale * 1000 * np.exp(rng.uniform(np.log(0.02), np.log(1.0), len(chosen)))
    turn, years = rng.uniform(0, 2 * np.pi, len(chosen)), (NEW_MJD - REFERENCE_MJD) / 365.25
    stars["pmra"][chosen], stars["pmdec"][chosen] = shift / years * np.cos(turn), shift / years * np.sin(turn)
    return stars, chosen


def _changes(
    sky: Sky, sigma: float, camera: Camera, per_field: float, known: tuple[np.random.Generator, np.ndarray]
) -> tuple[Sky, np.ndarray, tuple[str, ...]]:
    """The sky with stars that vary and with transients, and what each source is: −1 or a row of the kinds."""
    rng, movers = known
    kinds = [kind for kind, density in _CHANGES.items() for _ in range(rng.poisson(density * per_field))]
    flux = sigma * np.exp(rng.uniform(*np.log(_SNR), len(kinds)))
    variable = np.array([kind == "variable star" for kind in kinds], bool)
    stars, rows = _varying(sky.stars, flux[variable], camera, rng, movers)
    transients = _transients(sky, [kind for kind in kinds if kind != "variable star"], flux[~variable], camera, rng)
    changed = np.full(len(stars) + len(sky.galaxies) + len(transients), -1)
    numbers = np.arange(len(kinds))
    changed[rows[rows >= 0]] = numbers[variable][rows >= 0]
    changed[len(stars) + len(sky.galaxies) :] = numbers[~variable]
    return replace(sky, stars=stars, transients=transients), changed, tuple(kinds)


def _varying(
    stars: np.ndarray, flux: np.ndarray, camera: Camera, rng: np.random.Generator, movers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stars of which some are brighter or fainter by `flux` (n,) in the new image; their rows, −1 where none is apt.

    They follow the sine of the simulated sky, from its lowest to its highest point or the other way.
    """
    stars = stars.copy()
    light = 10 ** (0.4 * (camera.zero_point - stars["mag_r"]))
    free = (stars["amplitude"] == 0) & (stars["mag_r"] > 13.5)
    free[movers] = False
    rows = np.full(len(flux), -1)
    for place, change in enumerate(flux):
        apt = np.flatnonzero(free & (light > 1.5 * change) & (light < 300 * change))
        if not len(apt):
            continue
        row = rows[place] = rng.choice(apt)
        free[row] = False
        stars["amplitude"][row] = 2.5 * np.log10(1 + change / light[row])
        stars["period"][row] = 2 * (NEW_MJD - REFERENCE_MJD)
        brighter = rng.random() < 0.5
        # In magnitudes: the light is greatest where the sine is −1.
        at_new = -np.pi / 2 if brighter else np.pi / 2
        stars["phase"][row] = at_new - 2 * np.pi * NEW_MJD / stars["period"][row]
    return stars, rows


def _transients(sky: Sky, kinds: list[str], flux: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Transients (dtype TRANSIENTS) at full light in the new image; those that faded were so in the reference."""
    found = np.zeros(len(kinds), TRANSIENTS)
    p = sky.parameters
    xi, eta = rng.uniform(-1800, 1800, (2, len(kinds))) * p.width
    hosts = np.flatnonzero(sky.galaxies["mag_r"] < LIMIT + 0.5)
    found["host"] = -1
    for row, kind in enumerate(kinds):
        inside = kind in ("transient in a galaxy", "nuclear transient") or (kind == "faded" and rng.random() < 0.5)
        if inside and len(hosts):
            host = rng.choice(hosts)
            found["host"][row] = host
            xi[row], eta[row] = _in_galaxy(sky.galaxies[host], kind, p, rng)
    found["ra"], found["dec"] = from_tangent_plane(xi, eta, p.ra, p.dec)
    magnitude = camera.zero_point - 2.5 * np.log10(flux)
    for band in ("g", "r", "i"):
        found[f"mag_{band}"] = magnitude
    faded = np.array([kind == "faded" for kind in kinds], bool)
    found["start"] = np.where(faded, REFERENCE_MJD - 10, NEW_MJD - 10)
    found["rise"] = 10.0
    found["decline"] = np.where(faded, 8.0, 1e6)
    return found


def _in_galaxy(galaxy: np.void, kind: str, p: SkyParameters, rng: np.random.Generator) -> tuple[float, float]:
    """Tangent-plane position, arcsec, in the nucleus or where the light of a disc is."""
    xi, eta = (float(value) for value in tangent_plane(galaxy["ra"], galaxy["dec"], p.ra, p.dec))
    if kind == "nuclear transient":
        return xi, eta
    radius, turn = galaxy["r50"] * rng.gamma(2, 1 / 1.678), rng.uniform(0, 2 * np.pi)
    along, aside = radius * np.cos(turn), galaxy["axis_ratio"] * radius * np.sin(turn)
    sine, cosine = np.sin(galaxy["angle"]), np.cos(galaxy["angle"])
    return xi + along * sine + aside * cosine, eta + along * cosine - aside * sine


def _frames(camera: Camera, side: int, rng: np.random.Generator) -> tuple[Frame, tuple[Frame, ...]]:
    """How the new image and those of the reference see the sky."""
    new = _frame(camera, side, camera.fwhm, 1.0, rng)
    stacked = rng.random() < 0.15
    number = 3 if stacked else 1
    # A stack of three is as deep as its images; a single reference is one of a longer exposure.
    depth = float(rng.uniform(1.0, 2.0)) if stacked else float(np.exp(rng.uniform(np.log(1.3), np.log(8))))
    widths = camera.fwhm * rng.uniform(0.82, 1.12) * rng.uniform(0.97, 1.06, number)
    references = tuple(_frame(camera, side, max(float(fwhm), 1.75), depth, rng) for fwhm in widths)
    return new, references


def _frame(camera: Camera, side: int, fwhm: float, depth: float, rng: np.random.Generator) -> Frame:
    """One exposure, `depth` times as long as the new one."""
    middle = (side - 1) / 2 + rng.normal(0, 0.008 * side, 2)
    projection = Projection(
        *_CENTRE, (float(middle[0]), float(middle[1])), camera.scale, rotation=float(rng.normal(0, 0.1)),
        radial=float(rng.uniform(0, 0.6)), tilt=float(rng.uniform(-0.3, 0.3)),
    )  # fmt: skip
    size, turn = rng.uniform(0, 0.06), rng.uniform(0, 2 * np.pi)
    rough = rng.random() < 0.2  # a PSF that varies more than its model can follow
    seeing = Seeing(
        fwhm=fwhm,
        beta=int(rng.choice([3, 3, 4])),
        ellipticity=(float(size * np.cos(turn)), float(size * np.sin(turn))),
        gradient=float(rng.normal(0, 0.15 if rough else 0.03)),
        broadening=float(rng.uniform(0, 0.3 if rough else 0.06)),
    )
    clouds = float(rng.exponential(0.05))
    return Frame(
        shape=(side, side),
        projection=projection,
        seeing=seeing,
        band=BAND,
        zero_point=camera.zero_point + 2.5 * float(np.log10(depth)) - clouds,
        sky=camera.sky * depth * float(rng.uniform(0.8, 1.25)),
        gradient=(float(rng.normal(0, 0.02)), float(rng.normal(0, 0.02))),
    )


def catalog_of(field: Field) -> np.ndarray:
    """The stars that a survey knew before, with its errors; of the fast ones also the motion."""
    rng = np.random.default_rng([field.seed, 2])
    stars = field.sky.stars[(field.sky.stars["mag_r"] < 21) & (field.sky.stars["mag_r"] > 12.5)]
    columns = [(name, "f8") for name in ("ra", "dec", "pmra", "pmdec", "ra_error", "dec_error")]
    columns += [(f"{kind}_{band}", "f4") for band in ("g", "r", "i") for kind in ("mag", "err")]
    table = np.zeros(len(stars), [*columns, ("is_star", "?")])
    error = 0.5 * 10 ** (0.2 * np.maximum(stars["mag_r"] - 17, 0))  # mas
    for name in ("ra", "dec"):
        table[name] = stars[name] + rng.normal(0, 1, len(stars)) * error / 3.6e6
        table[f"{name}_error"] = error
        table[f"pm{name}"] = stars[f"pm{name}"] + rng.normal(0, 0.3, len(stars))
    for band in ("g", "r", "i"):
        table[f"err_{band}"] = 0.005 + 0.003 * 10 ** (0.2 * np.maximum(stars["mag_r"] - 17, 0))
        table[f"mag_{band}"] = stars[f"mag_{band}"] + rng.normal(0, 1, len(stars)) * table[f"err_{band}"]
    table["is_star"] = True
    return table
