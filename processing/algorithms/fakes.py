"""Sources of known place and flux to put into an image: new ones, in galaxies or not, stars that vary, streaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationInfo, field_validator

from processing.algorithms.stamps import cut_stamps
from processing.errors import BadInput
from processing.parameters import Parameters, param

HOSTLESS, HOSTED, VARIABLE, STREAK = KINDS = ("hostless", "hosted", "variable", "streak")
FAKES = np.dtype(
    [
        ("x", "f8"),  # px from 0; the middle of a streak
        ("y", "f8"),
        ("mag", "f8"),  # AB, of |flux|
        ("flux", "f8"),  # electrons, all of its light; negative where a star fades
        ("host", "i4"),  # row of the source list: the galaxy, or the star that varies; −1 without
        ("kind", "U8"),  # one of KINDS
        ("star_flux", "f8"),  # electrons, of the star before it varies; 0 of other kinds
        ("length", "f4"),  # px, of a streak; 0 of other kinds
        ("angle", "f4"),  # degrees, of a streak from x towards y
    ]
)
_SCALE_OF_R50 = 1 / 1.67835  # scale length of an exponential disc over its half-light radius
_TRIES = 30  # positions drawn for each fake that is wanted
_FLATTEST = 0.2  # smallest axis ratio of a host
_POINT = 0.5  # probability of being a point from which a source may be a star that varies


class FakeParameters(Parameters):
    """How many fakes, how bright and where."""

    count: int = param(100, ge=1, le=100_000, help="Fakes wanted; fewer where the image has no room for them.")
    brighter: float = param(4.0, unit="mag", help="The brightest fakes are this much brighter than the limit.")
    fainter: float = param(0.5, unit="mag", help="The faintest ones are this much fainter than the limit.")
    faint_to_bright: float = param(
        1.0, gt=0, help="How many of the faintest magnitude for one of the brightest, linear between; 1: uniform."
    )
    hostless: float = param(
        0.25,
        ge=0,
        le=1,
        help="Fraction of the fakes that is put anywhere; what the other fractions leave lies in hosts.",
    )
    variable: float = param(0.25, ge=0, le=1, help="Fraction of the fakes that are stars of the image which vary.")
    streaks: float = param(0.05, ge=0, le=1, help="Fraction of the fakes that are streaks.")
    fading: float = param(0.5, ge=0, le=1, help="Part of the stars that fade; the others brighten.")
    least_change: float = param(0.05, gt=0, le=1, help="Stars change by at least this part of their flux.")
    largest_change: float = param(0.8, gt=0, le=1, help="Stars change by at most this part of their flux.")
    shortest_streak: float = param(2.0, gt=0, unit="FWHM", help="Length of the shortest streaks.")
    longest_streak: float = param(20.0, gt=0, unit="FWHM", help="Length of the longest ones; logarithms are uniform.")
    host_extent: float = param(
        1.4, gt=1, help="Galaxies have half-light radii larger than those of stars by this factor."
    )
    min_separation: float = param(30.0, ge=0, unit="px", help="Smallest distance between two fakes.")
    clearance: int = param(3, ge=0, unit="px", help="No masked pixel within a box of this half size around a fake.")
    edge: int = param(40, ge=0, unit="px", help="Smallest distance from the edge of the image.")
    seed: int = param(
        0,
        ge=0,
        lt=2**63,
        help="Seed of the random numbers; 0: one that follows from camera, CCD and time of the image.",
    )

    @field_validator("streaks")
    @classmethod
    def _parts_of_a_whole(cls, value: float, info: ValidationInfo) -> float:
        if value + info.data.get("hostless", 0) + info.data.get("variable", 0) > 1 + 1e-9:
            raise ValueError("hostless, variable and streaks are fractions of all fakes: together at most 1")
        return value

    @field_validator("largest_change", "longest_streak")
    @classmethod
    def _not_below_the_smallest(cls, value: float, info: ValidationInfo) -> float:
        smallest = {"largest_change": "least_change", "longest_streak": "shortest_streak"}[info.field_name]
        if value < info.data.get(smallest, value):
            raise ValueError(f"must not be below {smallest}")
        return value


@dataclass(frozen=True)
class Scene:
    """The image that fakes are drawn for."""

    mask: np.ndarray  # (ny, nx) bool, True where a pixel is unusable
    zero_point: Callable[[np.ndarray, np.ndarray], np.ndarray]  # AB magnitude of one electron at pixels x, y
    limiting_magnitude: float | None  # AB, 5 σ
    fwhm: float  # px


def draw_fakes(scene: Scene, sources: np.ndarray, parameters: FakeParameters, seed: int) -> np.ndarray:
    """Draw places and magnitudes: a structured array of dtype FAKES.

    Of `sources`, a source list, the extended ones are hosts of one fake each, those that are bright before the others,
    and the unsaturated points are stars that may vary. Fakes lie in their hosts like the light of an exponential disc
    of the measured half-light radius, axis ratio and angle. Magnitudes count from the limit; those of streaks so that
    the light within one FWHM of their length has them. Where there are no hosts or stars, or no room around them, more
    fakes have no host.
    Raises BadInput for an image without a limit.
    """
    if scene.limiting_magnitude is None or not np.isfinite(scene.limiting_magnitude):
        raise BadInput(what="fakes", reason="the image has no limiting magnitude")
    p, rng = parameters, np.random.default_rng(seed)
    places = _Places(scene, p)
    hosted = max(1 - p.hostless - p.variable - p.streaks, 0)
    found = [
        _varying(places, sources, round(p.count * p.variable), rng),
        _streaks(places, round(p.count * p.streaks), rng),
        _in_hosts(places, sources, round(p.count * hosted), rng),
    ]
    found.append(_anywhere(places, p.count - sum(map(len, found)), rng))
    return np.concatenate(found)


class _Places:
    """What may still be taken of an image: away from its edge, from its mask and from the fakes that it has."""

    def __init__(self, scene: Scene, parameters: FakeParameters) -> None:
        self.scene, self.p = scene, parameters
        ny, nx = scene.mask.shape
        margin = parameters.edge - 0.5
        self.low, self.high = np.array([margin, margin]), np.array([nx - 1 - margin, ny - 1 - margin])
        self.taken, self.reaches = np.zeros((0, 2)), np.zeros(0)

    def anywhere(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """x and y, (number,) each, over the image without its edge."""
        return tuple(rng.uniform(low, max(high, low), number) for low, high in zip(self.low, self.high))

    def free(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where, (n,) bool, neither edge nor mask is near."""
        at = np.stack([x, y], axis=1)
        found = ((at >= self.low) & (at < self.high)).all(axis=1)
        box = 2 * self.p.clearance + 1
        found[found] = ~cut_stamps(self.scene.mask, x[found], y[found], size=box)[0].any(axis=(1, 2))
        return found

    def take(self, x: np.ndarray, y: np.ndarray, wanted: int, reach: np.ndarray | None = None) -> np.ndarray:
        """The first rows of x, y (n,) that are free and keep their distance, at most `wanted`; they are taken then.

        `reach` (n,) px is how far a source extends from its middle.
        """
        chosen: list[int] = []
        reach = np.zeros(len(x)) if reach is None else reach
        for row in np.flatnonzero(self.free(x, y)):
            if len(chosen) == wanted:
                break
            place = np.array([[x[row], y[row]]])
            gap = np.hypot(*(self.taken - place).T) - self.reaches - reach[row]
            if not len(gap) or (gap.min() >= self.p.min_separation and (gap > 0).all()):
                chosen.append(int(row))
                self.taken = np.concatenate([self.taken, place])
                self.reaches = np.append(self.reaches, reach[row])
        return np.array(chosen, int)

    def fakes(self, kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fakes at these places with magnitudes of their own."""
        found = np.zeros(len(x), FAKES)
        found["x"], found["y"], found["kind"], found["host"] = x, y, kind, -1
        found["mag"] = self.magnitudes(len(x), rng)
        found["flux"] = self.flux(found["mag"], x, y)
        return found

    def magnitudes(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Magnitudes (number,) around the limit, by the inverse of their linear distribution."""
        part, ratio = rng.random(number), self.p.faint_to_bright
        if ratio != 1:
            part = (np.sqrt(1 + (ratio**2 - 1) * part) - 1) / (ratio - 1)
        return self.scene.limiting_magnitude - self.p.brighter + part * (self.p.brighter + self.p.fainter)

    def flux(self, magnitudes: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Electrons (n,) of a magnitude at a place."""
        return 10 ** (0.4 * (self.scene.zero_point(x, y) - magnitudes))


def _anywhere(places: _Places, wanted: int, rng: np.random.Generator) -> np.ndarray:
    x, y = places.anywhere(max(wanted, 0) * _TRIES, rng)
    rows = places.take(x, y, wanted)
    return places.fakes(HOSTLESS, x[rows], y[rows], rng)


def _streaks(places: _Places, wanted: int, rng: np.random.Generator) -> np.ndarray:
    p, fwhm = places.p, places.scene.fwhm
    x, y = places.anywhere(wanted * _TRIES, rng)
    length = fwhm * np.exp(rng.uniform(np.log(p.shortest_streak), np.log(p.longest_streak), len(x)))
    rows = places.take(x, y, wanted, length / 2)
    found = places.fakes(STREAK, x[rows], y[rows], rng)
    found["length"], found["angle"] = length[rows], rng.uniform(-90, 90, len(rows))
    stretch = np.hypot(1, found["length"].astype(float) / fwhm)
    found["flux"] *= stretch
    found["mag"] -= 2.5 * np.log10(stretch)
    return found


def _in_hosts(places: _Places, sources: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    hosts = galaxies(sources, places.p.host_extent)
    if not len(hosts) or not wanted:
        return np.zeros(0, FAKES)
    # Each host once: a second fake, which must keep its distance from the first, would not lie like the light.
    light = np.maximum(sources["flux"][hosts].astype(float), 1e-3)
    host = hosts[np.argsort(rng.exponential(size=len(hosts)) / light)]
    x, y = like_the_light(sources[host], rng)
    rows = places.take(x, y, wanted)
    found = places.fakes(HOSTED, x[rows], y[rows], rng)
    found["host"] = host[rows]
    return found


def _varying(places: _Places, sources: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Changes of stars: the magnitude of the change is drawn first, and then a star that may change so much."""
    p, stars = places.p, constant_stars(sources)
    if not len(stars) or not wanted:
        return np.zeros(0, FAKES)
    found, magnitudes = [], places.magnitudes(wanted, rng)
    x, y, light = (sources[name][stars].astype(float) for name in ("x_psf", "y_psf", "flux_psf"))
    part = places.flux(magnitudes[:, None], x, y) / light  # (fakes, stars)
    may = (part >= p.least_change) & (part <= p.largest_change) & places.free(x, y)
    for row in range(wanted):
        choice = rng.permutation(np.flatnonzero(may[row]))
        for star in choice[places.take(x[choice], y[choice], 1)]:
            change = part[row, star] * light[star] * (-1 if rng.random() < p.fading else 1)
            found.append((x[star], y[star], magnitudes[row], change, stars[star], VARIABLE, light[star], 0.0, 0.0))
    return np.array(found, FAKES)


def constant_stars(sources: np.ndarray) -> np.ndarray:
    """Rows of the source list that are points with a PSF flux, neither saturated nor touched by a mask."""
    good = (sources["is_star"] | (sources["p_star"] > _POINT)) & ~sources["is_saturated"] & ~sources["is_masked"]
    return np.flatnonzero(good & (sources["flux_psf"] > 0) & np.isfinite(sources["x_psf"] + sources["y_psf"]))


def galaxies(sources: np.ndarray, extent: float) -> np.ndarray:
    """Rows of the source list that are wider than its stars by a factor `extent`."""
    if not len(sources):
        return np.zeros(0, int)
    stars = sources["r50"][sources["is_star"]]
    typical = np.median(stars) if len(stars) else np.median(sources["r50"])
    return np.flatnonzero((sources["r50"] > extent * typical) & ~sources["is_star"])


def like_the_light(hosts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One place in each host, x and y (n,), distributed like the light of an exponential disc of its shape."""
    distance = rng.gamma(2, _SCALE_OF_R50, len(hosts)) * hosts["r50"]
    turn, ratio = rng.uniform(0, 2 * np.pi, len(hosts)), np.clip(1 - hosts["ellipticity"], _FLATTEST, 1)
    along, across = distance * np.cos(turn) / np.sqrt(ratio), distance * np.sin(turn) * np.sqrt(ratio)
    cos, sin = np.cos(np.radians(hosts["theta"])), np.sin(np.radians(hosts["theta"]))
    return hosts["x"] + along * cos - across * sin, hosts["y"] + along * sin + across * cos
