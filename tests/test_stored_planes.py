"""What compression takes from a plane is no more than its file says, and small beside the noise."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits as astropy_fits

from products import fits

NOISE = 12.0


def planes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    y, x = np.indices((300, 400))
    level = (400 + 0.02 * x + 5 * np.sin(y / 90)).astype(np.float32)
    return {
        "smooth": level,
        "smooth, with an edge": np.where(x < 150, level, level + 3).astype(np.float32),
        "noise": rng.normal(100, NOISE, level.shape).astype(np.float32),
        "inverse": (1 / rng.normal(150, NOISE, level.shape)).astype(np.float32),
    }


@pytest.mark.parametrize("kind", ["smooth", "smooth, with an edge", "noise", "inverse"])
def test_the_error_of_a_stored_plane_is_bounded_by_its_card(kind, tmp_path):
    compression = kind.split(",")[0]
    plane, path = planes()[kind], tmp_path / "plane.fits"
    fits.write(path, astropy_fits.Header(), [fits.image_hdu("A", plane, compression)[0]])
    stored, bound = fits.read_plane(path, "A"), astropy_fits.getheader(path, "A")[fits.LARGEST_ERROR]
    if compression == "inverse":
        stored, plane = 1 / stored, 1 / plane
    error = np.abs(stored - plane).max()
    assert 0.9 * bound < error < 1.001 * bound + 1e-5 * np.abs(plane).max()
    assert bound < (0.01 if compression == "smooth" else 1 / 25) * NOISE


@pytest.mark.parametrize("shape", [(300, 400), (8, 8), (9, 17), (1, 5), (16, 33), (2, 2)])
def test_of_a_smooth_plane_few_values_are_stored(shape, tmp_path):
    plane, path = planes()["smooth"][: shape[0], : shape[1]], tmp_path / "plane.fits"
    hdu, known = fits.image_hdu("A", plane, "smooth")
    fits.write(path, astropy_fits.Header(), [hdu])
    assert hdu.data.size < max(plane.size / 30, 8)
    assert np.abs(known - plane).max() < 0.006
    np.testing.assert_array_equal(fits.read_plane(path, "A"), known)
    rows, columns = slice(shape[0] // 2, shape[0]), slice(0, shape[1] // 2 + 1)
    np.testing.assert_array_equal(fits.read_part(path, ["A"], rows, columns)["A"], known[rows, columns])


@pytest.mark.parametrize("compression", ["smooth", "noise", "inverse"])
def test_who_writes_a_plane_knows_what_a_reader_will_get_to_the_last_bit(compression, tmp_path):
    plane, path = planes()[compression].copy(), tmp_path / "plane.fits"
    plane[5:9, 20:40] = 0
    plane[100, 200:204] *= np.array([1e-6, 300, 1e4, -1e3], np.float32)
    hdu, known = fits.image_hdu("A", plane, compression)
    fits.write(path, astropy_fits.Header(), [hdu])
    stored = fits.read_plane(path, "A")
    assert stored.dtype == known.dtype == np.float32
    np.testing.assert_array_equal(stored, known)
    np.testing.assert_array_equal(stored == 0, plane == 0)


def test_exact_planes_have_no_error(tmp_path):
    path, flags = tmp_path / "plane.fits", np.arange(1200, dtype=np.uint16).reshape(30, 40)
    hdu, known = fits.image_hdu("A", flags, "exact")
    fits.write(path, astropy_fits.Header(), [hdu])
    np.testing.assert_array_equal(fits.read_plane(path, "A"), flags)
    np.testing.assert_array_equal(known, flags)
    assert fits.LARGEST_ERROR not in astropy_fits.getheader(path, "A")
