"""The sky under the sources and its noise: meshes of clipped means, unbiased on integer data too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import sep
from numpy.polynomial.polynomial import polygrid2d
from scipy import ndimage

from processing.algorithms.masks import grow as grow_mask
from processing.algorithms.statistics import clipped_mean, difference_noise, mad_std, truncation_factor
from processing.errors import BadInput, BadPixels
from processing.parameters import Parameters, param

_CLIP = 3.5  # σ
_FEWEST_PIXELS = 64  # unmasked pixels that a mesh needs whatever its size
_MESH_ROUNDS, _MESH_CLIP = 10, 2.5
_OFFSET_ROUNDS = 2
_SAMPLE = 1_000_000  # pixels are enough for the residual sky to 0.001 of the noise
_LEAST_PAIRS = 2000  # pixels of empty sky below which differences do not give the noise


class BackgroundParameters(Parameters):
    """How the sky is measured."""

    box: int = param(128, ge=8, unit="px", help="Side of a mesh; light smoother than this is taken for sky.")
    filter_size: int = param(3, ge=1, unit="meshes", help="Side of the median filter over the meshes.")
    object_threshold: float = param(
        1.0, gt=0, unit="sigma", help="Smoothed brightness, in pixel noise, above which a pixel is an object."
    )
    grow: float = param(5.0, ge=0, unit="px", help="Objects are grown by this before the sky is measured.")
    min_unmasked: float = param(0.2, gt=0, le=1, help="Part of a mesh that must be sky for the mesh to be used.")
    crowded: float = param(
        0.6, gt=0, le=1, help="Part of the image under objects above which the sky is the mode of all pixels."
    )
    model: Literal["mesh", "polynomial"] = param(
        "mesh", help="'polynomial' takes nebulae of any size for objects: for nebulous or small images."
    )
    order: int = param(2, ge=0, le=4, help="Of the polynomial of position.")


@dataclass(frozen=True)
class BackgroundMap:
    """The sky and its noise at every pixel."""

    level: np.ndarray  # (ny, nx) float32, unit of the image
    rms: np.ndarray  # (ny, nx) float32, standard deviation of a pixel without sources
    covered: float = 0.0  # part of the unmasked pixels under objects
    residual: float = 0.0  # clipped mean of the others after subtraction, in units of the noise

    @cached_property
    def value(self) -> float:
        """Median level over the image."""
        return float(np.median(self.level[::4, ::4]))

    @cached_property
    def noise(self) -> float:
        """Median noise over the image."""
        return float(np.median(self.rms[::4, ::4]))


def estimate_background(data: np.ndarray, mask: np.ndarray, parameters: BackgroundParameters) -> BackgroundMap:
    """Sky level and noise of `data` (ny, nx) float32 with `mask` (ny, nx) bool.

    A first pass with sep finds the objects. The second takes in each mesh the 3.5σ-clipped mean and standard deviation
    of what is left, because the mode that sep uses is off by up to half a unit on integer data; a median filter and
    bilinear interpolation follow, and the noise is scaled to the one that pixel differences show. Where objects cover
    most of the image the first pass is the answer. Raises BadPixels when nothing is unmasked, and BadInput when the
    image is too small or the sky has no noise.
    """
    data = np.ascontiguousarray(data, np.float32)
    mask = np.ascontiguousarray(mask, bool)
    _refuse_few(mask)
    level, rms, typical = _first_pass(data, mask, parameters)
    _refuse_flat(data, mask, rms, typical)
    if parameters.model == "polynomial":
        level = _polynomial(data, mask, parameters, typical)
    objects, covered = _objects(data - level, rms, mask, parameters)
    is_crowded = covered > parameters.crowded
    if is_crowded:  # the mode of all pixels has faint stars in it; what is left empty has fewer
        for _ in range(_OFFSET_ROUNDS):
            level = level + np.float32(_left(data - level, rms, mask | objects)) * rms
            objects, covered = _objects(data - level, rms, mask, parameters)
    else:
        level, rms = _second_pass(data, mask | objects, parameters, typical)
    empty = mask | objects
    if empty.size - np.count_nonzero(empty) < _LEAST_PAIRS:
        empty = mask
    residual = data - level
    scale = difference_noise(residual, empty, unit=rms)
    if np.isfinite(scale):  # in a crowd the spread of sep contains faint stars; differences contain fewer
        rms *= np.float32(min(scale, 1.0) if is_crowded else scale)
    _refuse_flat(data, mask, rms, typical)
    return BackgroundMap(level, rms, covered, _left(residual, rms, mask | objects))


def _objects(residual, rms, mask, parameters):
    """The mask of objects (ny, nx) bool, and the part of the unmasked pixels that they cover."""
    objects = object_mask(residual, rms, mask, parameters.object_threshold, parameters.grow)
    return objects, float(np.count_nonzero(objects & ~mask) / np.count_nonzero(~mask))


def _left(residual, rms, covered):
    """Clipped mean of the pixels that nothing covers, in units of the noise; 0 where they are too few to tell."""
    rows = max(1, residual.size // _SAMPLE)
    sample = (residual[::rows] / rms[::rows])[~covered[::rows]]
    return float(clipped_mean(sample, sigma=3.0)) if sample.size >= _FEWEST_PIXELS else 0.0


def smooth_level(data: np.ndarray, mask: np.ndarray, box: int, noise: float) -> np.ndarray:
    """Clipped mean of the unmasked pixels in meshes of `box` px, interpolated to every pixel: (ny, nx) float32.

    `noise` is that of a pixel, from which the clipping starts. Raises BadPixels when no mesh shows sky.
    """
    parameters = BackgroundParameters(box=min(box, *data.shape))
    edges, means, _, usable = _meshes(data, mask, parameters, noise)
    return _spread_out(means, edges, usable, parameters.filter_size)


def object_mask(
    data: np.ndarray, rms: np.ndarray | float, mask: np.ndarray, threshold: float, grow: float
) -> np.ndarray:
    """Pixels (ny, nx) bool of sources in background-subtracted `data`, grown by `grow` px.

    A pixel belongs to a source where the image smoothed by a 5×5 binomial exceeds `threshold` times the noise `rms` of
    one pixel; the smoothing leaves 27 % of the noise, so a threshold of 1.0 is 3.7 standard deviations.
    """
    from processing.algorithms.mask_kernels import smoothed_above

    noise = np.ascontiguousarray(np.broadcast_to(np.asarray(rms, np.float32), data.shape))
    above = smoothed_above(np.ascontiguousarray(data, np.float32), noise, mask, np.float32(threshold))
    return grow_mask(above, grow)


def _first_pass(data, mask, parameters):
    """Level and noise (ny, nx) float32 with objects under them, and the typical noise."""
    box, size = min(parameters.box, *data.shape), parameters.filter_size
    first = sep.Background(data, mask=mask, bw=box, bh=box, fw=size, fh=size)
    if (first.globalback, first.globalrms) != (0.0, 1.0):
        return first.back(dtype=np.float32), first.rms(dtype=np.float32), first.globalrms
    # What sep answers where no mesh has half of its pixels: then one level and one noise of all that there are.
    good = data[~mask]
    level, rms = (np.full(data.shape, value, np.float32) for value in (np.median(good), mad_std(good)))
    return level, rms, mad_std(good)


def _refuse_few(mask: np.ndarray) -> None:
    usable = mask.size - np.count_nonzero(mask)
    if usable >= _FEWEST_PIXELS:
        return
    if mask.size >= _FEWEST_PIXELS:
        raise BadPixels(fraction=float(mask.mean()), what="the image, so that there is no background")
    reason = (
        f"the image has {mask.size} pixels, {_FEWEST_PIXELS} are needed to measure a sky; is it the right extension?"
    )
    raise BadInput(what="background", reason=reason, pixels=int(mask.size))


def _refuse_flat(data: np.ndarray, mask: np.ndarray, rms: np.ndarray, typical: float) -> None:
    if np.isfinite(typical) and typical > 0 and np.all(rms > 0):
        return
    good = data[~mask]
    low, middle, high = (float(value) for value in np.percentile(good, [5, 50, 95]))
    reason = (
        f"the sky has no noise, or none could be measured: 90 % of the {good.size} usable pixels are from {low:g} to "
        f"{high:g} (median {middle:g}); is it an exposure of the sky, and are its masks, gain and units right?"
    )
    raise BadInput(what="background", reason=reason, median=middle, low=low, high=high)


def _second_pass(data, mask, parameters, noise):
    edges, means, spreads, usable = _meshes(data, mask, parameters, noise)
    level, rms = (_spread_out(values, edges, usable, parameters.filter_size) for values in (means, spreads))
    if parameters.model == "polynomial":
        level = _polynomial(data, mask, parameters, noise)
    return level, np.maximum(rms, np.float32(0.1 * np.median(spreads[usable])), out=rms)


def _polynomial(data, mask, parameters, noise):
    """Polynomial through the meshes, without those that are far above it: (ny, nx) float32."""
    order, shape = parameters.order, data.shape
    box = max(8, min(parameters.box, min(shape) // (2 * order + 6)))  # several times more meshes than coefficients
    edges, means, _, usable = _meshes(data, mask, parameters.model_copy(update={"box": box}), noise)
    rows, columns = (2 * (edge[1:] + edge[:-1] - 1) / 2 / max(edge[-1] - 1, 1) - 1 for edge in edges)
    v, u = (part[usable] for part in np.meshgrid(rows, columns, indexing="ij"))
    powers = [(n - j, j) for n in range(order + 1) for j in range(n + 1)]
    solution = _lower_fit(np.stack([u**i * v**j for i, j in powers], axis=1), means[usable], noise)
    coefficients = np.zeros((order + 1, order + 1))
    for (i, j), value in zip(powers, solution):
        coefficients[j, i] = value
    return polygrid2d(*(np.linspace(-1, 1, size) for size in shape), coefficients).astype(np.float32)


def _lower_fit(design, values, noise):
    """Least squares without the values that are far above: nebulae and haloes only ever add light."""
    used = np.ones(len(values), bool)
    for _ in range(_MESH_ROUNDS):
        if used.sum() < 2 * design.shape[1]:
            reason = f"{used.sum()} meshes for {design.shape[1]} coefficients; a lower order or the mesh is needed"
            raise BadInput(what="polynomial background", reason=reason)
        solution = np.linalg.lstsq(design[used], values[used], rcond=None)[0]
        left = values - design @ solution
        below = -left[used & (left < 0)]
        spread = max(float(np.median(below)) / 0.6745 if below.size else 0.0, 1e-3 * noise)
        kept = (left < _MESH_CLIP * spread) & (left > -2 * _MESH_CLIP * spread)
        if np.array_equal(kept, used):
            break
        used = kept
    return solution


def _meshes(data, mask, parameters, noise):
    from processing.algorithms.star_kernels import mesh_statistics

    edges = [_edges(size, parameters.box) for size in data.shape]
    means, spreads, counts = mesh_statistics(data, mask, *edges, noise, _CLIP, truncation_factor(_CLIP))
    areas = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    usable = (counts >= np.maximum(parameters.min_unmasked * areas, _FEWEST_PIXELS)) & (spreads > 0)
    if not usable.any():
        usable = (counts > _FEWEST_PIXELS) & (spreads > 0)
    if not usable.any():
        raise BadPixels(fraction=float(mask.mean()), what="the image, objects included, so that no mesh shows sky")
    return edges, means, spreads, usable


def _spread_out(values, edges, usable, filter_size):
    """The values of usable meshes, without outliers, at every pixel."""
    nearest = ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True)
    smooth = _without_outliers(values[tuple(nearest)], filter_size)
    return _interpolate(smooth, edges, (edges[0][-1], edges[1][-1]))


def _without_outliers(meshes: np.ndarray, size: int) -> np.ndarray:
    """Median filter of the meshes. Their typical slope is set aside, which the filter would flatten at the edges."""
    rows, columns = np.indices(meshes.shape)
    slopes = [float(np.median(np.diff(meshes, axis=axis))) if meshes.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    plane = slopes[0] * rows + slopes[1] * columns
    return ndimage.median_filter(meshes - plane, size=size, mode="nearest") + plane


def _edges(size: int, box: int) -> np.ndarray:
    return np.linspace(0, size, max(1, round(size / box)) + 1).astype(np.int64)


def _interpolate(values: np.ndarray, edges: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Bilinear between mesh centres, continued linearly to the edges of the image."""
    across = [_hat_weights(edge, size) for edge, size in zip(edges, shape)]
    return across[0] @ (values @ across[1].T).astype(np.float32)


def _hat_weights(edges: np.ndarray, size: int) -> np.ndarray:
    centres = (edges[1:] + edges[:-1] - 1) / 2
    weights = np.zeros((size, centres.size), np.float32)
    if centres.size == 1:
        return weights + 1
    at = np.arange(size)
    left = np.clip(np.searchsorted(centres, at) - 1, 0, centres.size - 2)
    part = (at - centres[left]) / (centres[left + 1] - centres[left])
    weights[at, left] = 1 - part
    weights[at, left + 1] = part
    return weights
