"""A simulated sky: stars that move and some that vary, galaxies, and transients that mostly sit in them.

The sky has no pixels; `simulation_render` turns it into the electrons that a camera collects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from processing.algorithms.sky import from_tangent_plane, tangent_plane
from processing.parameters import Parameters, param

BANDS = ("g", "r", "i")
_MAGS = [(f"mag_{band}", "f8") for band in BANDS]  # AB
STARS = np.dtype(
    [
        ("ra", "f8"),  # degrees at the epoch of the sky
        ("dec", "f8"),
        ("pmra", "f8"),  # mas/yr with cos δ
        ("pmdec", "f8"),
        *_MAGS,
        ("amplitude", "f8"),  # mag, peak to peak; 0 for a star that does not vary
        ("period", "f8"),  # days
        ("phase", "f8"),  # rad at MJD 0
    ]
)
GALAXIES = np.dtype(
    [
        ("ra", "f8"),
        ("dec", "f8"),
        *_MAGS,
        ("r50", "f8"),  # arcsec, half-light radius along the major axis
        ("axis_ratio", "f8"),
        ("angle", "f8"),  # rad, of the major axis from north through east
        ("sersic", "f8"),
    ]
)
KNOTS = np.dtype([("ra", "f8"), ("dec", "f8"), ("galaxy", "i4"), ("share", "f8")])
TRANSIENTS = np.dtype(
    [
        ("ra", "f8"),
        ("dec", "f8"),
        *_MAGS,  # at the peak
        ("host", "i4"),  # row of the galaxies, −1 without
        ("start", "f8"),  # MJD; no light before
        ("rise", "f8"),  # days from the start to the peak
        ("decline", "f8"),  # days in which the light then falls by e
    ]
)
_COUNTED_TO = 20.0  # mag: densities are given for sources brighter than this in r
_REDDER = 0.45  # r − i over g − r
_EXTRAPOLATED = {"z": 0.5, "Y": 0.65}  # i − band over r − i, for bands of which no magnitudes are drawn
_VARIES = (15.0, 19.0)  # r mag of stars that may vary
_KNOTS_PER_AREA = 12  # of a galaxy, per square of its half-light radius in arcsec: spaced by about 0.7 arcsec
_FEWEST_KNOTS, _MOST_KNOTS = 8, 600
_GOLDEN = np.pi * (3 - np.sqrt(5))  # rad


class SkyParameters(Parameters):
    """Where the simulated sky is and how much is on it."""

    seed: int = param(1, ge=0, help="Seed of the random numbers; the same parameters give the same sky.")
    ra: float = param(52.1, ge=0, lt=360, unit="deg", help="Centre of the field.")
    dec: float = param(-27.8, ge=-80, le=80, unit="deg", help="Centre of the field.")
    width: float = param(0.25, gt=0, le=5, unit="deg", help="Extent of the field along ra.")
    height: float = param(0.25, gt=0, le=5, unit="deg", help="Extent of the field along dec.")
    epoch: float = param(2026.0, unit="yr", help="Julian year of the stars' positions.")
    stars: float = param(9500.0, ge=0, unit="1/deg²", help="Stars brighter than r = 20.")
    star_slope: float = param(0.3, gt=0, unit="dex/mag", help="Slope of the star counts.")
    brightest: float = param(11.5, unit="mag", help="The brightest star, r.")
    faintest: float = param(23.0, unit="mag", help="The faintest star, r.")
    proper_motion: float = param(10.0, ge=0, unit="mas/yr", help="Scatter per axis of the proper motions.")
    variables: float = param(180.0, ge=0, unit="1/deg²", help="Stars that vary.")
    galaxies: float = param(1500.0, ge=0, unit="1/deg²", help="Galaxies brighter than r = 20.")
    galaxy_slope: float = param(0.42, gt=0, unit="dex/mag", help="Slope of the galaxy counts.")
    brightest_galaxy: float = param(15.0, unit="mag", help="The brightest galaxy, r.")
    faintest_galaxy: float = param(21.8, unit="mag", help="The faintest galaxy, r.")
    transients: float = param(380.0, ge=0, unit="1/deg²", help="Transients.")
    hosted: float = param(0.75, ge=0, le=1, help="Part of the transients that is in a galaxy.")
    brightest_transient: float = param(17.0, unit="mag", help="Brightest peak of a transient, r.")
    faintest_transient: float = param(20.6, unit="mag", help="Faintest peak of a transient, r.")
    first_start: float = param(61340.0, unit="MJD", help="No transient has light before this.")
    last_start: float = param(61354.0, unit="MJD", help="All transients have begun by then.")
    separation: float = param(15.0, ge=0, unit="arcsec", help="Smallest distance between two transients.")


@dataclass(frozen=True)
class Sky:
    """Everything on the simulated sky."""

    parameters: SkyParameters
    stars: np.ndarray  # dtype STARS
    galaxies: np.ndarray  # dtype GALAXIES
    knots: np.ndarray  # dtype KNOTS: the light of the galaxies as points, which any PSF blurs exactly
    transients: np.ndarray  # dtype TRANSIENTS

    def star_magnitudes(self, band: str, mjd: float) -> np.ndarray:
        """AB magnitudes (n,) of the stars at a date; variables follow a sine."""
        stars = self.stars
        turn = 2 * np.pi * mjd / stars["period"] + stars["phase"]
        return magnitudes(stars, band) + 0.5 * stars["amplitude"] * np.sin(turn)

    def transient_magnitudes(self, band: str, mjd: float) -> np.ndarray:
        """AB magnitudes (n,) of the transients at a date, infinite before their start.

        The light grows with the square of the time (a fireball, Riess et al. 1999) and falls exponentially.
        """
        found = self.transients
        since = mjd - found["start"]
        rising = np.clip(since / found["rise"], 0, 1) ** 2
        falling = np.exp(-np.maximum(since - found["rise"], 0) / found["decline"])
        with np.errstate(divide="ignore"):
            return magnitudes(found, band) - 2.5 * np.log10(rising * falling)


def magnitudes(table: np.ndarray, band: str) -> np.ndarray:
    """AB magnitudes (n,) of sources without their variation; those in z and Y follow from r − i."""
    if band in _EXTRAPOLATED:
        return table["mag_i"] - _EXTRAPOLATED[band] * (table["mag_r"] - table["mag_i"])
    return table[f"mag_{band}"]


def make_sky(parameters: SkyParameters | None = None) -> Sky:
    """Draw a sky; each kind of source has random numbers of its own, so that none moves when another changes."""
    p = parameters or SkyParameters()
    for_stars, for_galaxies, for_transients = map(np.random.default_rng, np.random.SeedSequence(p.seed).spawn(3))
    stars = draw_stars(p, for_stars)
    galaxies = draw_galaxies(p, for_galaxies)
    return Sky(p, stars, galaxies, knots_of(galaxies, p), draw_transients(p, galaxies, for_transients))


def draw_stars(p: SkyParameters, rng: np.random.Generator) -> np.ndarray:
    """Stars of the field, dtype STARS."""
    r = _magnitudes(_counts(p, p.stars, p.star_slope, p.faintest), p.star_slope, (p.brightest, p.faintest), rng)
    stars = np.zeros(len(r), STARS)
    stars["ra"], stars["dec"] = _anywhere(p, len(r), rng)
    stars["pmra"], stars["pmdec"] = rng.normal(0, p.proper_motion, (2, len(r)))
    is_red = rng.random(len(r)) < np.interp(r, [14, 20], [0.15, 0.55])  # M dwarfs take over at the faint end
    color = np.where(is_red, rng.normal(1.35, 0.1, len(r)), rng.normal(0.5, 0.15, len(r)))
    _set_colors(stars, r, color)
    stars["period"] = 1.0
    candidates = np.flatnonzero((r > _VARIES[0]) & (r < _VARIES[1]))
    number = min(round(p.variables * p.width * p.height), len(candidates))
    chosen = rng.choice(candidates, number, replace=False) if number else candidates[:0]
    stars["amplitude"][chosen] = rng.uniform(0.15, 0.9, number)
    stars["period"][chosen] = np.exp(rng.uniform(np.log(0.3), np.log(60), number))
    stars["phase"][chosen] = rng.uniform(0, 2 * np.pi, number)
    return stars


def draw_galaxies(p: SkyParameters, rng: np.random.Generator) -> np.ndarray:
    """Galaxies of the field, dtype GALAXIES."""
    number = _counts(p, p.galaxies, p.galaxy_slope, p.faintest_galaxy)
    r = _magnitudes(number, p.galaxy_slope, (p.brightest_galaxy, p.faintest_galaxy), rng)
    galaxies = np.zeros(number, GALAXIES)
    galaxies["ra"], galaxies["dec"] = _anywhere(p, number, rng)
    is_early = rng.random(number) < 0.25
    _set_colors(galaxies, r, np.where(is_early, rng.normal(1.0, 0.15, number), rng.normal(0.6, 0.2, number)))
    galaxies["r50"] = 2.2 * 10 ** (-0.14 * (r - 18)) * np.exp(rng.normal(0, 0.3, number))
    galaxies["axis_ratio"] = rng.uniform(np.where(is_early, 0.6, 0.25), 1.0)
    galaxies["angle"] = rng.uniform(0, np.pi, number)
    galaxies["sersic"] = np.where(is_early, rng.uniform(2, 4, number), 1.0)
    return galaxies


def knots_of(galaxies: np.ndarray, p: SkyParameters) -> np.ndarray:
    """Points of equal light along a golden spiral, whose radii are the quantiles of the Sérsic profile."""
    count = np.clip(_KNOTS_PER_AREA * galaxies["r50"] ** 2, _FEWEST_KNOTS, _MOST_KNOTS).astype(int)
    owner = np.repeat(np.arange(len(galaxies)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    knots = np.zeros(len(owner), KNOTS)
    knots["galaxy"], knots["share"] = owner, 1 / count[owner]
    enclosed = (number + 0.5) * knots["share"]
    n = galaxies["sersic"][owner]
    radius = galaxies["r50"][owner] * (gammaincinv(2 * n, enclosed) / gammaincinv(2 * n, 0.5)) ** n
    knots["ra"], knots["dec"] = _around(galaxies[owner], radius, number * _GOLDEN, p)
    return knots


def draw_transients(p: SkyParameters, galaxies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Transients of the field, dtype TRANSIENTS; some are in the `galaxies`."""
    number = round(p.transients * p.width * p.height)
    drawn = np.zeros(3 * number, TRANSIENTS)  # some will be too close to another one
    drawn["host"] = -1
    drawn["ra"], drawn["dec"] = _anywhere(p, len(drawn), rng)
    hosted = rng.random(len(drawn)) < (p.hosted if len(galaxies) else 0)
    host = rng.integers(0, max(len(galaxies), 1), len(drawn))[hosted]
    drawn["host"][hosted] = host
    distance = galaxies["r50"][host] * rng.gamma(2, 1 / 1.678, len(host))  # like the light of an exponential disc
    place = _around(galaxies[host], distance, rng.uniform(0, 2 * np.pi, len(host)), p)
    drawn["ra"][hosted], drawn["dec"][hosted] = place
    peak = rng.uniform(p.brightest_transient, p.faintest_transient, len(drawn))
    _set_colors(drawn, peak, rng.normal(0.0, 0.2, len(drawn)))
    drawn["start"] = rng.uniform(p.first_start, p.last_start, len(drawn))
    drawn["rise"] = rng.uniform(6, 14, len(drawn))
    drawn["decline"] = rng.uniform(12, 40, len(drawn))
    return drawn[_apart(drawn, number, p)]


def _apart(drawn: np.ndarray, number: int, p: SkyParameters) -> list[int]:
    xi, eta = tangent_plane(drawn["ra"], drawn["dec"], p.ra, p.dec)
    chosen: list[int] = []
    for row in range(len(drawn)):
        if len(chosen) == number:
            break
        if not (np.hypot(xi[chosen] - xi[row], eta[chosen] - eta[row]) < p.separation).any():
            chosen.append(row)
    return chosen


def _counts(p: SkyParameters, density: float, slope: float, faintest: float) -> int:
    return round(density * p.width * p.height * 10 ** (slope * (faintest - _COUNTED_TO)))


def _magnitudes(number: int, slope: float, limits: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Magnitudes whose cumulative counts grow by `slope` dex a magnitude between the limits."""
    brightest, faintest = limits
    return faintest + np.log10(rng.uniform(10 ** (slope * (brightest - faintest)), 1, number)) / slope


def _anywhere(p: SkyParameters, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    xi = rng.uniform(-1800, 1800, number) * p.width
    eta = rng.uniform(-1800, 1800, number) * p.height
    return from_tangent_plane(xi, eta, p.ra, p.dec)


def _around(
    galaxies: np.ndarray, radius: np.ndarray, turn: np.ndarray, p: SkyParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the ellipse of semi-major axis `radius` (arcsec) of each galaxy, `turn` rad along it."""
    xi, eta = tangent_plane(galaxies["ra"], galaxies["dec"], p.ra, p.dec)
    along, aside = radius * np.cos(turn), galaxies["axis_ratio"] * radius * np.sin(turn)
    sine, cosine = np.sin(galaxies["angle"]), np.cos(galaxies["angle"])
    return from_tangent_plane(xi + along * sine + aside * cosine, eta + along * cosine - aside * sine, p.ra, p.dec)


def _set_colors(table: np.ndarray, r: np.ndarray, color: np.ndarray) -> None:
    table["mag_g"], table["mag_r"], table["mag_i"] = r + color, r, r - _REDDER * color
