"""Wings of the PSF, of which one star is too faint to tell much: how they follow the core, and what they hide."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from processing.algorithms.psf_model import STEP, PSFModel, moffat_profile, nodes, terms
from processing.algorithms.psf_stars import RING
from processing.algorithms.shapes import FWHM_PER_SIGMA

_FROM, _WIDTH = 1.5, 0.75  # FWHM: where wings begin, and over how much of the radius
_KNOWN = 3.0  # FWHM
_PLACES = 4  # a side of the grid over the image
_STEPS = 2  # of Gauss–Newton
_MOST = 0.6  # stretch along any axis; more is the noise of few stars, and could turn the profile inside out
_MARGIN = 4  # nodes around the core, for its slopes


def wing_share(model: PSFModel) -> np.ndarray:
    """How much of each node (m, m) is wing: 0 in the core, 1 from 2.25 FWHM on."""
    u = nodes(model.half_size)
    return np.clip((np.hypot(u[:, None], u[None, :]) / model.fwhm - _FROM) / _WIDTH, 0, 1)


def own_light(model: PSFModel) -> float:
    """What a star's wings add to the ring of its sky, per flux: those at 3 FWHM continued as those of a Moffat profile.

    Further out the light is so faint that what the sky is wrong by would count as light, and make the sky more wrong.
    """
    u, half = nodes(model.half_size), model.half_size
    radius = np.hypot(u[:, None], u[None, :])
    known = np.abs(radius / model.fwhm - _KNOWN) < 0.25
    beyond = np.linspace(half, half + RING, 50)
    wing = [moffat_profile(r, model.fwhm) for r in (radius[known], beyond)]
    share = np.average(wing[1], weights=beyond) / np.mean(wing[0])
    return max(float(np.mean(model.planes[0][known])), 0.0) * float(share)


def with_wings(model: PSFModel, planes: np.ndarray) -> np.ndarray:
    """`planes` (terms, m, m), but with wings that change over the image as the core does.

    The core at every place is taken for that of the first plane, P(r), stretched by a matrix A = 1 + E and brightened
    by a, since the core alone gives the stars their fluxes: (1 + a) P(A⁻¹ r) / |A|. The wings are stretched like it,
    but by σ² / (σ² − 1/12) as much: the core is as wide as the seeing and a pixel together, and pixels do not stretch.
    """
    if model.order == 0:
        return planes
    grid = np.linspace(-1, 1, _PLACES)
    (ny, nx), across = model.shape, np.stack(np.meshgrid(grid, grid)).reshape(2, -1)
    rows = terms((across[0] + 1) * (nx - 1) / 2, (across[1] + 1) * (ny - 1) / 2, model.shape, model.order)[:, 1:]
    wing = wing_share(model)
    middle, reach = len(wing) // 2, int(_FROM * model.fwhm * STEP)
    box = slice(middle - reach - _MARGIN, middle + reach + _MARGIN + 1)
    found = _stretches(planes[:, box, box], rows, wing[box, box] == 0)
    width2 = (model.fwhm / FWHM_PER_SIGMA) ** 2
    found[:, 1:] *= width2 / max(width2 - 1 / 12, width2 / 2)
    change = _stretched(planes[0], found) - planes[0]
    followed = np.linalg.lstsq(rows, change.reshape(len(rows), -1), rcond=None)[0].reshape(planes[1:].shape)
    return np.concatenate([planes[:1], (1 - wing) * planes[1:] + wing * followed])


def _stretches(planes: np.ndarray, rows: np.ndarray, core: np.ndarray) -> np.ndarray:
    """a, E_xx, E_yy and E_xy (n, 4) of the core (m, m) bool where the terms but the first are `rows` (n, terms − 1)."""
    profile, middle = planes[0], planes.shape[1] // 2
    y, x = np.indices(profile.shape) - middle
    along_y, along_x = (
        np.gradient(ndimage.spline_filter1d(profile, order=3, axis=axis, mode="mirror"), axis=axis) for axis in (0, 1)
    )
    shapes = [profile, -(profile + x * along_x), -(profile + y * along_y), -(y * along_x + x * along_y)]
    solve = np.linalg.pinv(np.stack([shape[core] for shape in shapes], axis=1)).T
    wanted = profile[core] + rows @ planes[1:, core]
    found = np.zeros((len(rows), len(shapes)))
    for _ in range(_STEPS):
        found += (wanted - _stretched(profile, found)[:, core]) @ solve
    return found


def _stretched(profile: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """(1 + a) P(A⁻¹ r) / |A| of a centred profile (m, m) for each of the ways (n, 4): (n, m, m)."""
    middle, smooth = np.full(2, profile.shape[0] // 2), ndimage.spline_filter(profile, order=3, mode="nearest")
    found = np.empty((len(ways), *profile.shape))
    _, xx, yy, xy = ways.T
    largest = np.abs(xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)  # of the eigenvalues of E
    allowed = _MOST / np.maximum(largest, _MOST)
    for made, brighter, (xx, yy, xy) in zip(found, ways[:, 0], ways[:, 1:] * allowed[:, None]):
        matrix = np.array([[1 + yy, xy], [xy, 1 + xx]])
        inverse = np.linalg.inv(matrix)
        offset = middle - inverse @ middle
        ndimage.affine_transform(smooth, inverse, offset, output=made, order=3, mode="nearest", prefilter=False)
        made *= (1 + brighter) / np.linalg.det(matrix)
    return found
