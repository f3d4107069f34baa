"""PSF models in the form of PSFEx, as models of the kind that is made here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from processing.algorithms.psf_model import MARGIN, PSFModel, nodes, terms
from processing.errors import BadInput


@dataclass(frozen=True)
class PSFExBasis:
    """What a PSFEx file says besides the planes; positions are FITS pixels, from 1."""

    degree: int
    zero: tuple[float, float]  # POLZERO1, 2: position that is 0
    scale: tuple[float, float]  # POLSCAL1, 2: pixels that are 1
    sampling: float  # PSF_SAMP: pixels between the samples of a plane
    fwhm: float  # px
    n_stars: int = 0
    chi2: float = 0.0

    def values(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The terms (n, terms) at positions in pixels from 0: 1, x, x², y, xy, y² for degree 2."""
        u, v = ((np.asarray(at, float) + 1 - zero) / scale for at, zero, scale in zip((x, y), self.zero, self.scale))
        return np.stack([u**i * v**j for j in range(self.degree + 1) for i in range(self.degree + 1 - j)], axis=-1)


def psfex_model(planes: np.ndarray, basis: PSFExBasis, shape: tuple[int, int]) -> PSFModel:
    """The PSF of `planes` (terms, m, m), samples as PSFEx stores them, of an image of `shape` (ny, nx).

    The polynomial is exact, samples between those of the file come from a quintic spline. Raises BadInput where planes
    and degree do not fit together. Source: Bertin 2011 (ASP Conf. 442, 435) and the PSFEx manual.
    """
    planes = np.asarray(planes, float)
    count = (basis.degree + 1) * (basis.degree + 2) // 2
    odd_square = planes.ndim == 3 and planes.shape[1] == planes.shape[2] and planes.shape[1] % 2 == 1
    if not odd_square or len(planes) != count:
        reason = f"planes of shape {planes.shape}; {count} odd squares belong to degree {basis.degree}"
        raise BadInput(what="PSFEx model", reason=reason)
    if not (np.isfinite(planes).all() and planes[0].sum() > 0 and basis.sampling > 0 and min(basis.scale) > 0):
        raise BadInput(
            what="PSFEx model", reason="values that are no numbers, no light, or steps that are not positive"
        )
    middle = planes.shape[1] // 2
    half = int(middle * basis.sampling) - MARGIN
    if half < 2:
        raise BadInput(
            what="PSFEx model", reason=f"{planes.shape[1]} samples {basis.sampling:.2f} px apart are too few"
        )
    at = middle + np.stack(np.meshgrid(nodes(half), nodes(half), indexing="ij")) / basis.sampling
    fine = np.stack([ndimage.map_coordinates(plane, at, order=5, mode="mirror") for plane in planes])
    x, y = (part.ravel() for part in np.meshgrid(*(np.linspace(0, size - 1, basis.degree + 3) for size in shape[::-1])))
    change = np.linalg.lstsq(terms(x, y, shape, basis.degree), basis.values(x, y), rcond=None)[0]
    ours = np.tensordot(change, fine, axes=1)
    model = PSFModel(ours.astype(np.float32), basis.degree, shape, half, basis.fwhm, basis.n_stars, basis.chi2)
    return PSFModel(
        (ours / model.plane_sums[0]).astype(np.float32),
        basis.degree,
        shape,
        half,
        basis.fwhm,
        basis.n_stars,
        basis.chi2,
    )
