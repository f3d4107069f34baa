"""Where an image lies without trusting its header: patterns of four stars that look alike in pixels and on the sky.

Source of the code of a pattern: Lang et al. 2010 (AJ 139, 1782), section 2. The pixel scale of the header is believed.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from processing.algorithms.asterisms import Vote
from processing.algorithms.astrometry import PixelStars, SkyStars
from processing.algorithms.distortion import local_matrix
from processing.algorithms.sky import tangent_plane

# Detections of which patterns are made, and neighbours of each star that take part: what is spurious, or in one of the
# lists only, spoils some kinds of pattern more than others.
_ROUNDS = ((60, 9), (150, 7), (400, 5))
_CODE_RADIUS = 0.006  # of codes that are alike; the widest pair of a pattern is 1 long
_SCALE_RANGE = 0.04  # relative
_AGREE = 25.0  # px at the corners: patterns that say the same
_NEAR = 6.0  # px: a catalogue star that is where a detection is
_CANDIDATES, _TRIED = 30, 4
_FEWEST = 8  # detections, or catalogue stars: fewer make no patterns that prove anything


class _Patterns(NamedTuple):
    codes: np.ndarray  # (n, 4): C and D, in the frame in which the widest pair is 0 and 1
    first: np.ndarray  # (n,) complex, px: A
    second: np.ndarray  # B


def blind_votes(stars: PixelStars, catalog: SkyStars, guess: WCS, shape: tuple[int, int]) -> list[Vote]:
    """The likeliest places of an image (ny, nx) in a catalogue, best first, by how many stars they explain.

    Any shift within the catalogue, any rotation and both parities are found. A vote is relative to `guess`.
    """
    centre = (np.array(shape[::-1]) - 1) / 2
    sky, matrix = local_matrix(guess, *centre)
    plane = np.c_[tangent_plane(catalog.ra, catalog.dec, *sky)] @ np.linalg.inv(matrix).T
    rows = np.flatnonzero(np.isfinite(plane).all(axis=1))
    rows = rows[np.argsort(catalog.mag[rows], kind="stable")]
    top = np.argsort(-stars.flux, kind="stable")
    there = plane[rows] @ [1, 1j]
    here = np.c_[stars.x - centre[0], stars.y - centre[1]][top] @ [1, 1j]
    if min(len(here), len(there)) < _FEWEST:
        return []
    reach = float(np.hypot(*shape) / 2)
    larger = float(np.prod(np.ptp(plane[rows], axis=0)) / np.prod(shape))
    found: list[tuple[float, Vote]] = []
    for count, neighbours in _ROUNDS:
        stars_here, stars_there = here[:count], there[: int(np.clip(count * larger, count, 4000))]
        alike = _alike(_patterns(stars_here, neighbours), _patterns(stars_there, neighbours), reach)
        found += [_verified(one, here, there, shape) for one in alike]
    found.sort(key=lambda pair: -pair[0])
    return [one for _, one in found[:_TRIED]]


def _patterns(stars: np.ndarray, neighbours: int) -> _Patterns:
    """All patterns of a star and three of its nearest neighbours; `stars` (n,) complex."""
    count = min(neighbours, len(stars) - 1)
    near = cKDTree(np.c_[stars.real, stars.imag]).query(np.c_[stars.real, stars.imag], k=count + 1)[1]
    chosen = np.array(list(combinations(range(1, count + 1), 3)))
    rows = np.concatenate([np.repeat(near[:, :1, None], len(chosen), axis=1), near[:, chosen]], axis=2).reshape(-1, 4)
    four = stars[np.unique(np.sort(rows, axis=1), axis=0)]
    pairs = np.array(list(combinations(range(4), 2)))
    widest = np.argmax(np.abs(four[:, pairs[:, 0]] - four[:, pairs[:, 1]]), axis=1)
    others = np.array([[k for k in range(4) if k not in pair] for pair in pairs])
    every = np.arange(len(four))
    a, b = four[every, pairs[widest, 0]], four[every, pairs[widest, 1]]
    c, d = four[every, others[widest, 0]], four[every, others[widest, 1]]
    good = a != b
    a, b, c, d = a[good], b[good], c[good], d[good]
    c, d = (c - a) / (b - a), (d - a) / (b - a)
    turned = c.real + d.real > 1  # of the two ways to name the widest pair one is left, and so of C and D
    a, b = np.where(turned, b, a), np.where(turned, a, b)
    c, d = np.where(turned, 1 - c, c), np.where(turned, 1 - d, d)
    swapped = c.real > d.real
    c, d = np.where(swapped, d, c), np.where(swapped, c, d)
    return _Patterns(np.c_[c.real, c.imag, d.real, d.imag], a, b)


def _alike(here: _Patterns, there: _Patterns, reach: float) -> list[Vote]:
    """The transformations on which most pairs of patterns with one code agree."""
    tree, found = cKDTree(there.codes), []
    for flip, sign in (("", 1.0), ("y", -1.0)):
        codes = here.codes * [1, sign, 1, sign]
        matches = tree.query_ball_point(codes, _CODE_RADIUS)
        i = np.repeat(np.arange(len(codes)), [len(one) for one in matches])
        if len(i) == 0:
            continue
        j = np.concatenate([np.asarray(one, int) for one in matches if one])
        first, second = (part[j] if flip == "" else part[j].conj() for part in (there.first, there.second))
        turn = (here.second[i] - here.first[i]) / (second - first)
        shift = (here.first[i] + here.second[i] - turn * (first + second)) / 2
        right = np.abs(np.abs(turn) - 1) < _SCALE_RANGE
        turn, shift = turn[right], shift[right]
        if len(turn) == 0:
            continue
        space = np.c_[shift.real, shift.imag, turn.real * reach, turn.imag * reach] / _AGREE
        agree = cKDTree(space).query_ball_point(space, 1.0, return_length=True)
        for one in _apart(space, np.argsort(-agree, kind="stable")):
            angle, size = float(np.degrees(np.angle(turn[one]))), float(np.abs(turn[one]))
            vote = Vote(angle, size, (float(shift[one].real), float(shift[one].imag)), 0.0, int(agree[one]), flip)
            found.append(vote)
    return sorted(found, key=lambda one: -one.votes)[:_CANDIDATES]


def _apart(space: np.ndarray, order: np.ndarray) -> list[int]:
    """The first of `order` that do not say the same."""
    kept: list[int] = []
    for one in order[: 10 * _CANDIDATES]:
        if all(np.hypot.reduce(space[one] - space[other]) > 1 for other in kept):
            kept.append(int(one))
        if len(kept) == _CANDIDATES:
            break
    return kept


def _verified(found: Vote, here: np.ndarray, there: np.ndarray, shape: tuple[int, int]) -> tuple[float, Vote]:
    """How far beyond chance (σ) detections are found where a vote puts catalogue stars, and the vote that says so."""
    ny, nx = shape
    moved = np.c_[there.real, there.imag] @ found.matrix.T + found.shift
    inside = moved[np.all(np.abs(moved) < np.array([nx, ny]) / 2, axis=1)][:1000]
    here = here[:1000]
    chance = max(len(here) * len(inside) * np.pi * _NEAR**2 / (nx * ny), 0.5)
    if len(inside) == 0:
        return -np.inf, found
    distance, _ = cKDTree(np.c_[here.real, here.imag]).query(inside, distance_upper_bound=_NEAR)
    count = int(np.isfinite(distance).sum())
    significance = float((count - chance) / np.sqrt(chance))
    return significance, Vote(found.rotation, found.scale, found.shift, significance, count, found.flip)
