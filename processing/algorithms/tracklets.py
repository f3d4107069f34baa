"""Tracklets: detections of one night along a straight line at an even pace.

Pairs of detections whose distance fits a motion that is looked for are the ends of a path; detections in between that
lie on the path confirm it (Kubica et al. 2007, Icarus 189, 151; Denneau et al. 2013, PASP 125, 357, section 4). What
several paths share goes to the best of them. Places are unit vectors, so that neither RA 0 nor the poles are special.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from processing.algorithms.sky import from_tangent_plane, tangent_plane
from processing.parameters import Parameters, param

_ARCSEC = np.pi / 180 / 3600
_SAMPLE = 50  # paths from each visit of which the chance is computed
_RING = 60.0  # arcsec, radius within which detections are counted for it


class LinkParameters(Parameters):
    """What is a tracklet."""

    min_detections: int = param(3, ge=2, help="Detections of a tracklet; with 2 nothing confirms a path.")
    min_rate: float = param(2.0, gt=0, unit="arcsec/h", help="Slowest motion that is looked for.")
    max_rate: float = param(120.0, gt=0, unit="arcsec/h", help="Fastest motion that is looked for.")
    n_sigma: float = param(3.0, gt=0, unit="sigma", help="Errors within which a detection is on a path.")
    error_floor: float = param(
        0.1, ge=0, unit="arcsec", help="Error of every position that is added to that of its S/N: of the WCS, for one."
    )
    bend: float = param(
        0.4, ge=0, unit="arcsec/h²", help="How much paths may be bent: the turning Earth bends those 1 au away by 0.6."
    )
    still_radius: float = param(
        1.0,
        ge=0,
        unit="arcsec",
        help="What is seen again this close, later than the slowest motion allows, is still.",
    )
    max_visits: int = param(
        12, ge=2, help="Further visits of a place among which the other end of a path is looked for; it then grows."
    )


@dataclass(frozen=True)
class Detected:
    """Detections of a night; arrays (n,). Those of one visit have one time."""

    ra: np.ndarray  # ICRS degrees
    dec: np.ndarray
    error: np.ndarray  # arcsec along one axis
    mjd: np.ndarray  # days, UTC


@dataclass(frozen=True)
class Link:
    """One tracklet."""

    members: np.ndarray  # (k,) rows of the detections, in the order of time
    mjd: float  # middle of its time
    ra: float  # of the line there, ICRS degrees
    dec: float
    rate: float  # arcsec/h
    position_angle: float  # degrees, from north through east
    residual: float  # arcsec, rms distance from the line


@dataclass(frozen=True)
class Linked:
    """The tracklets of a night."""

    links: tuple[Link, ...]  # those of most detections first
    chance: dict[int, float]  # number of detections → expected number of links of at least as many by chance
    still: np.ndarray  # (n,) bool: detections that were left out because they stand still


@dataclass(frozen=True)
class _Visit:
    """The detections of one time."""

    hours: float
    rows: np.ndarray  # of the night
    tree: cKDTree  # of their unit vectors
    centre: np.ndarray  # (3,)
    radius: float  # rad


@dataclass(frozen=True)
class _Paths:
    """Paths that begin in one visit: the ends, and what lies on them in visits between."""

    ends: np.ndarray  # (m, 2) rows of the night
    between: np.ndarray  # (m, visits) rows of the night, −1 for none
    strain: np.ndarray  # (m,) mean of their squared distances from the path, in units of what is allowed
    chance: np.ndarray  # (visits + 1,) expected number of paths with 0, 1, … or more detections between by chance


def link(detected: Detected, p: LinkParameters) -> Linked:
    """Link the detections of a night."""
    night = _Night(detected, p)
    found, strains, chance = [], [], np.zeros(p.max_visits)
    for first in range(len(night.visits)):
        paths = night.paths_from(first)
        chance[: len(paths.chance)] += paths.chance
        members = np.concatenate([paths.ends[:, :1], paths.between, paths.ends[:, 1:]], axis=1)
        enough = (members >= 0).sum(axis=1) >= p.min_detections
        found += [row[row >= 0] for row in members[enough]]
        strains += paths.strain[enough].tolist()
    links = sorted(night.best(found, strains), key=lambda one: (-len(one.members), one.residual))
    expected = {n: float(chance[n - 2]) for n in range(max(p.min_detections, 3), 7) if n - 2 < len(chance)}
    return Linked(tuple(links), expected, night.still)


class _Night:
    """The detections of a night by visits, and how they are linked."""

    def __init__(self, detected: Detected, p: LinkParameters) -> None:
        self.p, self.detected = p, detected
        ra, dec = np.radians(detected.ra), np.radians(detected.dec)
        self.places = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
        self.errors = np.hypot(detected.error, p.error_floor)
        self.hours = 24 * (detected.mjd - detected.mjd.min()) if len(detected.mjd) else np.zeros(0)
        self.still = self._still()
        moving = np.flatnonzero(~self.still)
        times, which = np.unique(self.hours[moving], return_inverse=True)
        order = np.argsort(which, kind="stable")
        parts = np.split(moving[order], np.searchsorted(which[order], np.arange(1, len(times))))
        self.visits = [self._visit(hours, rows) for hours, rows in zip(times.tolist(), parts)]
        self.starts = np.array(times)
        self.centres = np.array([visit.centre for visit in self.visits]).reshape(-1, 3)
        self.radii = np.array([visit.radius for visit in self.visits])

    def _visit(self, hours: float, rows: np.ndarray) -> _Visit:
        places = self.places[rows]
        centre = places.mean(axis=0)
        centre /= max(np.linalg.norm(centre), 1e-9)
        radius = 2 * np.arcsin(np.clip(np.linalg.norm(places - centre, axis=1).max() / 2, 0, 1))
        return _Visit(hours, rows, cKDTree(places), centre, float(radius))

    def _still(self) -> np.ndarray:
        """What is seen again at its place, when even the slowest mover that is looked for would be elsewhere."""
        found = np.zeros(len(self.places), bool)
        if not len(found) or not self.p.still_radius:
            return found
        pairs = cKDTree(self.places).query_pairs(self.p.still_radius * _ARCSEC, output_type="ndarray")
        one, other = pairs.T
        apart = np.linalg.norm(self.places[one] - self.places[other], axis=1) / _ARCSEC
        errors = self.p.n_sigma * np.hypot(self.errors[one], self.errors[other])
        stays = self.p.min_rate * np.abs(self.hours[one] - self.hours[other]) > apart + errors
        found[pairs[stays].ravel()] = True
        return found

    def _later(self, first: int) -> np.ndarray:
        """The next visits that see what was seen in one of them, or where it may have gone: (k,), in order of time."""
        later = np.arange(first + 1, len(self.visits))
        apart = np.linalg.norm(self.centres[later] - self.centres[first], axis=1)
        gone = self.p.max_rate * (self.starts[later] - self.starts[first]) * _ARCSEC
        return later[apart <= self.radii[later] + self.radii[first] + gone][: self.p.max_visits]

    def paths_from(self, first: int) -> _Paths:
        """Paths that begin in a visit, with the detections on them."""
        from scipy.stats import poisson  # a second to load, for every process of a CCD too

        later = self._later(first)
        ends, last = self._ends(first, later)
        between = np.full((len(ends), max(len(later) - 1, 0)), -1)
        sample = np.linspace(0, len(ends) - 1, min(_SAMPLE, len(ends))).astype(int)
        expected, strain = np.zeros(len(sample)), np.zeros(len(ends))
        for column, number in enumerate(later[:-1]):
            some = np.flatnonzero(last > number)
            if not len(some):
                break
            between[some, column], apart = self._on_path(ends[some], self.visits[number])
            strain[some] += apart**2
            inside = last[sample] > number
            expected[inside] += self._by_chance(ends[sample[inside]], self.visits[number])
        confirmed = np.sum(between >= 0, axis=1)
        expected = expected[confirmed[sample] == 0]  # what is on the others is mostly what they are paths of
        weight = len(ends) / max(len(sample), 1)
        chance = np.array([weight * poisson.sf(n - 1, expected).sum() for n in range(len(later))])
        return _Paths(ends, between, strain / np.maximum(confirmed, 1), chance)

    def _ends(self, first: int, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of detections (m, 2) of a visit and of later ones that fit the rates, and the later visits (m,)."""
        here, ends, last = self.visits[first], [np.zeros((0, 2), int)], [np.zeros(0, int)]
        for number in later:
            there = self.visits[number]
            hours = there.hours - here.hours
            found = here.tree.sparse_distance_matrix(
                there.tree, 2 * np.sin(self.p.max_rate * hours * _ARCSEC / 2), output_type="ndarray"
            )
            found = found[found["v"] >= self.p.min_rate * hours * _ARCSEC]
            ends.append(np.stack([here.rows[found["i"]], there.rows[found["j"]]], axis=1))
            last.append(np.full(len(found), number))
        return np.concatenate(ends), np.concatenate(last)

    def _predicted(self, ends: np.ndarray, hours: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where paths are at a time: unit vectors (m, 3), the error of their ends there and the bend, arcsec (m,)."""
        start, end = self.places[ends[:, 0]], self.places[ends[:, 1]]
        begins, finishes = self.hours[ends[:, 0]], self.hours[ends[:, 1]]
        share = (hours - begins) / (finishes - begins)
        angle = 2 * np.arcsin(np.clip(np.linalg.norm(end - start, axis=1) / 2, 1e-12, 1))
        one, other = (np.sin(part * angle) / np.sin(angle) for part in (1 - share, share))
        error = np.hypot((1 - share) * self.errors[ends[:, 0]], share * self.errors[ends[:, 1]])
        bend = self.p.bend / 2 * np.abs((hours - begins) * (finishes - hours))
        return one[:, None] * start + other[:, None] * end, error, bend

    def _on_path(self, ends: np.ndarray, visit: _Visit) -> tuple[np.ndarray, np.ndarray]:
        """The detection of a visit that is on each path, rows of the night (m,), −1 for none; and how far off it is,
        as a part of what is allowed (m,), 0 for none."""
        places, error, bend = self._predicted(ends, visit.hours)
        widest = self.p.n_sigma * np.hypot(error.max(), self.errors[visit.rows].max()) + bend.max()
        apart, nearest = visit.tree.query(places, distance_upper_bound=widest * _ARCSEC)
        rows = visit.rows[np.minimum(nearest, len(visit.rows) - 1)]
        reach = self.p.n_sigma * np.hypot(error, self.errors[rows]) + bend
        off = apart / (reach * _ARCSEC)
        return np.where(off <= 1, rows, -1), np.where(off <= 1, off, 0.0)

    def _by_chance(self, ends: np.ndarray, visit: _Visit) -> np.ndarray:
        """Expected number of unrelated detections of a visit on each path (m,): their density times the area."""
        places, error, bend = self._predicted(ends, visit.hours)
        around = visit.tree.query_ball_point(places, _RING * _ARCSEC, return_length=True)
        reach = self.p.n_sigma * np.hypot(error, np.median(self.errors[visit.rows])) + bend
        return around * (reach / _RING) ** 2

    def best(self, found: list[np.ndarray], strains: list[float]) -> Iterator[Link]:
        """Of paths that share detections the one of most, then of the least strain; each detection is in one."""
        order = sorted(range(len(found)), key=lambda n: (-len(found[n]), strains[n]))
        taken = np.zeros(len(self.places), bool)
        for number in order:
            members = found[number]
            if taken[members].any():
                members = members[~taken[members]]
                if len(members) < self.p.min_detections:
                    continue
            grown = self._grown(members, taken)
            made = self._fit(grown)
            if not self.p.min_rate <= made.rate <= self.p.max_rate or not self._is_straight(grown):
                continue
            taken[grown] = True
            yield made

    def _grown(self, members: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """The same with what lies on the line in visits before and after, as far as it goes on without a gap."""
        for step in (1, -1):
            number = int(np.searchsorted(self.starts, self.hours[members[-1 if step == 1 else 0]])) + step
            missed = 0
            while 0 <= number < len(self.visits) and missed < self.p.max_visits:
                visit = self.visits[number]
                number += step
                pair = members[[0, -1]]
                apart = np.linalg.norm(visit.centre - self.places[pair[1 if step == 1 else 0]])
                if apart > visit.radius + self.p.max_rate * abs(visit.hours - self.hours[pair[0]]) * _ARCSEC:
                    continue
                row = int(self._on_path(pair[None], visit)[0][0])
                if row < 0 or taken[row]:
                    missed += 1
                    continue
                missed = 0
                members = np.append(members, row) if step == 1 else np.append(row, members)
        return members

    def _line(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted straight line through detections: place and motion (2, 2) in the middle of their time, and (k,)
        distances from it; arcsec and hours in the plane that touches the sky at the first one."""
        d = self.detected
        x, y = tangent_plane(d.ra[members], d.dec[members], d.ra[members[0]], d.dec[members[0]])
        hours = self.hours[members]
        middle = (hours[0] + hours[-1]) / 2
        design = np.stack([np.ones(len(members)), hours - middle], axis=1)
        weight = 1 / self.errors[members][:, None]
        line = np.linalg.lstsq(design * weight, np.stack([x, y], axis=1) * weight, rcond=None)[0]
        left = np.stack([x, y], axis=1) - design @ line
        return line, np.hypot(left[:, 0], left[:, 1])

    def _is_straight(self, members: np.ndarray) -> bool:
        """Whether no detection is further from the line than its error and the bend allow."""
        _, apart = self._line(members)
        span = self.hours[members[-1]] - self.hours[members[0]]
        return bool(np.all(apart <= self.p.n_sigma * self.errors[members] + self.p.bend * span**2 / 8))

    def _fit(self, members: np.ndarray) -> Link:
        line, apart = self._line(members)
        d, (east, north) = self.detected, line[1]
        ra, dec = from_tangent_plane(*line[0], d.ra[members[0]], d.dec[members[0]])
        return Link(
            members=members,
            mjd=float((d.mjd[members[0]] + d.mjd[members[-1]]) / 2),
            ra=float(ra),
            dec=float(dec),
            rate=float(np.hypot(east, north)),
            position_angle=float(np.degrees(np.arctan2(east, north)) % 360),
            residual=float(np.sqrt(np.mean(apart**2))),
        )
