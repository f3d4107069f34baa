"""Sources of known place and flux, put into an image to see what the pipeline makes of them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from processing.algorithms.resampling import StampModel
from processing.algorithms.stamps import cut_stamps, nearest_pixel, psf_stamps, shift_stamps
from processing.errors import BadInput
from processing.parameters import Parameters, param

FAKES = np.dtype(
    [
        ("x", "f8"),  # px from 0
        ("y", "f8"),
        ("mag", "f8"),  # AB
        ("flux", "f8"),  # electrons
        ("host", "i4"),  # row of the source list, −1 without
    ]
)
_SCALE_OF_R50 = 1 / 1.67835  # scale length of an exponential disc over its half-light radius
_TRIES = 30  # positions drawn for each fake that is wanted


class FakeParameters(Parameters):
    """How many fakes, how bright and where."""

    count: int = param(100, ge=1, le=100_000, help="Fakes wanted; fewer where the image has no room for them.")
    brighter: float = param(4.0, unit="mag", help="The brightest fakes are this much brighter than the limit.")
    fainter: float = param(0.5, unit="mag", help="The faintest ones are this much fainter than the limit.")
    hostless: float = param(
        0.4, ge=0, le=1, help="Fraction of the fakes that is put anywhere; the others into galaxies."
    )
    host_extent: float = param(
        1.4, gt=1, help="Galaxies have half-light radii larger than those of stars by this factor."
    )
    min_separation: float = param(30.0, ge=0, unit="px", help="Smallest distance between two fakes.")
    clearance: int = param(3, ge=0, unit="px", help="No masked pixel within a box of this half size around a fake.")
    edge: int = param(40, ge=0, unit="px", help="Smallest distance from the edge of the image.")
    seed: int = param(1, ge=0, help="Seed of the random numbers; the same seed gives the same fakes.")


def draw_fakes(
    mask: np.ndarray,
    sources: np.ndarray,
    *,
    zero_point: float,
    limiting_magnitude: float,
    parameters: FakeParameters,
) -> np.ndarray:
    """Draw places and magnitudes: a structured array of dtype FAKES.

    `mask` (ny, nx) bool, True where a pixel is unusable; `sources` a source list with x, y, r50 (px) and is_star, of
    which the extended ones are hosts. Fakes lie in their hosts like the light of an exponential disc. Magnitudes are
    uniform around `limiting_magnitude` (AB, 5 σ); electrons follow from `zero_point`.
    """
    if limiting_magnitude is None or not np.isfinite(limiting_magnitude):
        raise BadInput(what="fakes", reason="the image has no limiting magnitude")
    p, rng = parameters, np.random.default_rng(parameters.seed)
    ny, nx = mask.shape
    number = p.count * _TRIES
    x = rng.uniform(p.edge - 0.5, max(nx - 0.5 - p.edge, p.edge), number)
    y = rng.uniform(p.edge - 0.5, max(ny - 0.5 - p.edge, p.edge), number)
    host = np.full(number, -1)
    hosts = _galaxies(sources, p.host_extent)
    if len(hosts):
        inside = rng.random(number) >= p.hostless
        host[inside] = rng.choice(hosts, inside.sum())
        distance = rng.gamma(2, _SCALE_OF_R50, inside.sum()) * sources["r50"][host[inside]]
        turn = rng.uniform(0, 2 * np.pi, inside.sum())
        x[inside] = sources["x"][host[inside]] + distance * np.cos(turn)
        y[inside] = sources["y"][host[inside]] + distance * np.sin(turn)
    margin = p.edge - 0.5
    allowed = (x >= margin) & (x < nx - 1 - margin) & (y >= margin) & (y < ny - 1 - margin)
    allowed[allowed] = ~cut_stamps(mask, x[allowed], y[allowed], size=2 * p.clearance + 1)[0].any(axis=(1, 2))
    chosen = _apart(x, y, np.flatnonzero(allowed), p)

    fakes = np.zeros(len(chosen), FAKES)
    fakes["x"], fakes["y"], fakes["host"] = x[chosen], y[chosen], host[chosen]
    fakes["mag"] = limiting_magnitude + rng.uniform(-p.brighter, p.fainter, len(chosen))
    fakes["flux"] = 10 ** (0.4 * (zero_point - fakes["mag"]))
    return fakes


def _galaxies(sources: np.ndarray, extent: float) -> np.ndarray:
    """Rows of the source list that are wider than its stars."""
    if not len(sources):
        return np.zeros(0, int)
    stars = sources["r50"][sources["is_star"]]
    typical = np.median(stars) if len(stars) else np.median(sources["r50"])
    return np.flatnonzero((sources["r50"] > extent * typical) & ~sources["is_star"])


def _apart(x: np.ndarray, y: np.ndarray, allowed: np.ndarray, parameters: FakeParameters) -> np.ndarray:
    """The first rows of `allowed` that keep the smallest distance from each other, at most `count`."""
    chosen: list[int] = []
    for row in allowed:
        if len(chosen) == parameters.count:
            break
        distance = np.hypot(x[chosen] - x[row], y[chosen] - y[row])
        if not len(distance) or distance.min() >= parameters.min_separation:
            chosen.append(int(row))
    return np.array(chosen, int)


def inject(
    data: np.ndarray, variance: np.ndarray, psf: StampModel, fakes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Copies of `data` and `variance` (ny, nx; electrons, electrons²) with the `fakes` in them.

    Each fake is the PSF of its place, moved to its sub-pixel position, with photon noise. Its expected counts are
    added to the variance, except where that is 0: such pixels are unusable and stay so. Raises BadInput for a flux
    that is negative.
    """
    data, variance = data.copy(), variance.copy()
    if not len(fakes):
        return data, variance
    if (fakes["flux"] < 0).any():
        raise BadInput(what="fakes", reason="a flux is negative, and light cannot be taken away")
    column, row = nearest_pixel(fakes["x"]), nearest_pixel(fakes["y"])
    centred = psf_stamps(psf.stamp, fakes["x"], fakes["y"])
    expected = shift_stamps(centred, fakes["x"] - column, fakes["y"] - row) * fakes["flux"][:, None, None]
    # The wings of a measured PSF may be slightly negative; those have no photons to draw.
    drawn = rng.poisson(np.maximum(expected, 0)) + np.minimum(expected, 0)
    half, (ny, nx) = expected.shape[-1] // 2, data.shape
    for mean, counts, i, j in zip(np.maximum(expected, 0), drawn, row, column):
        rows = slice(max(i - half, 0), max(min(i + half + 1, ny), 0))
        columns = slice(max(j - half, 0), max(min(j + half + 1, nx), 0))
        part = (
            slice(rows.start - i + half, rows.stop - i + half),
            slice(columns.start - j + half, columns.stop - j + half),
        )
        data[rows, columns] += counts[part].astype(data.dtype)
        usable = variance[rows, columns] > 0
        variance[rows, columns] += np.where(usable, mean[part], 0).astype(variance.dtype)
    return data, variance


def match_fakes(fakes: np.ndarray, x: np.ndarray, y: np.ndarray, *, radius: float) -> np.ndarray:
    """Index of the detection at (x, y), px, that each fake is, (n,) int; −1 for a fake that was not found.

    One detection is one fake: the closest pairs within `radius` px first.
    """
    found = np.full(len(fakes), -1)
    if not len(fakes) or not len(x):
        return found
    truth = cKDTree(np.stack([fakes["x"], fakes["y"]], axis=1))
    near = truth.sparse_distance_matrix(cKDTree(np.stack([x, y], axis=1)), radius, output_type="ndarray")
    taken = np.zeros(len(x), bool)
    for pair in near[np.argsort(near["v"], kind="stable")]:
        if found[pair["i"]] < 0 and not taken[pair["j"]]:
            found[pair["i"]], taken[pair["j"]] = pair["j"], True
    return found
