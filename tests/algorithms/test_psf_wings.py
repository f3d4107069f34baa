"""The wings of a PSF whose core is known everywhere and whose wings only in the middle: profiles stretched exactly."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.psf_model import PSFModel, moffat_model, moffat_profile, nodes, terms
from processing.algorithms.psf_wings import own_light, wing_share, with_wings

SHAPE, FINE = (1000, 500), 5


def stretched(fwhm: float, half: int, matrix: np.ndarray) -> np.ndarray:
    """A Moffat profile stretched by a matrix and averaged over pixels afterwards, at the nodes (m, m)."""
    u = nodes(half)
    shift = (np.arange(FINE) - (FINE - 1) / 2) / FINE
    inverse, found = np.linalg.inv(matrix), np.zeros((u.size, u.size))
    for dy in shift:
        for dx in shift:
            x, y = u[None, :] + dx, u[:, None] + dy
            radius = np.hypot(inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y)
            found += moffat_profile(radius, fwhm) / np.linalg.det(matrix)
    return found / FINE**2


def stretch_at(x: float, y: float) -> np.ndarray:
    """By up to 10 %, with an axis that turns: much more than the optics of a survey."""
    right, up = (2 * at / (size - 1) - 1 for at, size in ((x, SHAPE[1]), (y, SHAPE[0])))
    return np.array([[1 + 0.05 * up**2 + 0.04 * right, 0.03 * up], [0.03 * up, 1 + 0.05 * up**2 - 0.04 * right]])


@pytest.mark.parametrize("fwhm", [2.0, 4.2])
def test_wings_are_stretched_as_the_core_is(fwhm):
    half = round(4 * fwhm)
    places = [(x, y) for y in np.linspace(0, SHAPE[0] - 1, 5) for x in np.linspace(0, SHAPE[1] - 1, 5)]
    true = np.stack([stretched(fwhm, half, stretch_at(*at)) for at in places])
    middle = true[12]
    rows = terms(*np.transpose(places), SHAPE, 2)
    changes = np.linalg.lstsq(rows[:, 1:], (true - middle).reshape(25, -1), rcond=None)[0].reshape(5, *middle.shape)
    width = moffat_model(fwhm, SHAPE, over_pixels=True).fwhm_at(0, 0)
    model = PSFModel(np.concatenate([middle[None], changes]), 2, SHAPE, half, width, 0, 0.0)
    wing = wing_share(model)
    unknown = np.concatenate([middle[None], changes * (wing == 0)])
    found = with_wings(model, unknown)
    np.testing.assert_array_equal(found[:, wing == 0], unknown[:, wing == 0])
    u = nodes(half)
    far = (wing == 1) & (np.hypot(u[:, None], u[None, :]) < 3.5 * fwhm)
    light = np.tensordot(rows, found, axes=1)[:, far].sum(axis=1)
    np.testing.assert_allclose(light, true[:, far].sum(axis=1), rtol=0.005)
    assert true[0][far].sum() > 1.1 * middle[far].sum()


def test_wings_of_a_constant_psf_stay():
    model = moffat_model(3.0, SHAPE)
    planes = model.planes + np.random.default_rng(1).normal(0, 1e-5, model.planes.shape)
    np.testing.assert_array_equal(with_wings(model, planes), planes)


def test_a_core_that_few_stars_turned_inside_out_does_not_do_so_to_the_wings():
    profile = moffat_model(3.0, SHAPE).planes[0]
    middle = profile.shape[0] // 2
    along_x = np.gradient(profile, axis=1) * (np.arange(len(profile)) - middle)
    planes = np.zeros((6, *profile.shape), np.float32)
    planes[0], planes[3] = profile, 1.3 * (profile + along_x)  # at the edges the width along x would be -0.3
    model = PSFModel(planes, 2, SHAPE, 12, 3.0, 0, 0.0)
    found = np.tensordot(terms([0.0, SHAPE[1] - 1], [500, 500], SHAPE, 2), with_wings(model, planes), axes=1)
    wing = wing_share(model) == 1
    assert (found[:, wing] > 0).all() and found[:, wing].max() < 3 * profile[wing].max()


def test_the_light_in_the_ring_of_the_sky_is_that_of_the_profile():
    model = moffat_model(4.0, SHAPE, half_size=16)
    there = np.linspace(16, 24, 50)
    expected = np.average(moffat_profile(there, 4.0), weights=there) / moffat_profile(0.0, 4.0)
    assert own_light(model) == pytest.approx(float(expected) * float(model.planes.max()), rel=0.05)
