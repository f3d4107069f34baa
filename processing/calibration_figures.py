"""What the page of a calibration shows: residuals of its stars, maps of PSF and sky. Counted once, then kept.

The stars are matched again from the source list, the pieces of the catalogue at hand and the parameters in the
provenance: nothing is fetched, and no product holds them twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from processing.algorithms.psf_model import PSFModel
from processing.algorithms.shapes import adaptive_moments
from processing.algorithms.sky import apply_proper_motion
from processing.algorithms.zero_point import ZeroPointFit, fit_zero_point
from processing.errors import EmptyCatalog, StepError
from processing.instruments.base import Instrument
from processing.parameters import ConfigurationError
from processing.providers import StarCatalog
from processing.steps.photocal import Matched, PhotoCal
from products.figures import kept
from products.models import PSF, Background, CatalogExcerpt, Image, ZeroPoint

MOST = 800  # stars that are drawn: the brightest
CELLS = 6  # of a map, along the shorter side of the image
VERSION = 2


def star_figures(zero_point: ZeroPoint, image: Image) -> dict[str, Any]:
    """Residuals of the stars behind a zero point, and their medians in cells of the image.

    `stars` are columns: x, y (px), mag, color, residual and error (mag, catalogue minus measured), east and north (mas,
    measured minus catalogue), used and bright. StepError where the catalogue is not at hand any more.
    """
    return kept(zero_point, "calibration", lambda: _stars(zero_point, image), version=VERSION)


def psf_map(psf: PSF, image: Image) -> dict[str, Any]:
    """FWHM (px) and ellipticity of the PSF in cells: lists of rows, the lowest first."""
    return kept(psf, "shape", lambda: _psf_map(psf, image), version=VERSION)


def sky_map(background: Background) -> dict[str, Any]:
    """Median level and noise (electrons) in cells: lists of rows, the lowest first."""
    return kept(background, "cells", lambda: _sky_map(background), version=VERSION)


def _stars(zero_point: ZeroPoint, image: Image) -> dict[str, Any]:
    step = _step_of(zero_point)
    world, sources = zero_point.world_coordinates, zero_point.world_coordinates.sources
    catalog = StarCatalog(_catalog(zero_point, image), zero_point.catalog)
    camera = Instrument.member(image.instrument)()
    matched = step.matched(image, sources, world, catalog, camera)
    fit = fit_zero_point(matched.measured, step.parameters.fit, image.shape)
    columns = _columns(zero_point, step, matched, fit)
    ra, dec = world.wcs.all_pix2world(columns["x"], columns["y"], 0)
    stars = catalog.table[matched.stars]
    columns["east"] = 3.6e6 * ((ra - stars["ra"] + 180) % 360 - 180) * np.cos(np.radians(stars["dec"]))
    columns["north"] = 3.6e6 * (dec - stars["dec"])
    shown = np.argsort(columns["mag"], kind="stable")[:MOST]
    return {
        "stars": {name: _plain(values[shown]) for name, values in columns.items()},
        "n": len(columns["x"]),
        "cells": _cells(columns, zero_point.at(columns["x"], columns["y"]) - zero_point.zp, image.shape),
        "color_pivot": step.parameters.fit.color_pivot,
        "surface": {"order": fit.surface.order, "range": fit.surface.range},
        "trend": [fit.trend, fit.trend_err],
    }


def _step_of(zero_point: ZeroPoint) -> PhotoCal:
    """The step with the parameters that made it; with those of today where an older version had others."""
    try:
        return PhotoCal(**zero_point.provenance.parameters)
    except (ConfigurationError, TypeError):
        return PhotoCal()


def _catalog(zero_point: ZeroPoint, image: Image) -> np.ndarray:
    """The stars of the catalogue that were at hand when the zero point was made, at the date of the image."""
    rows = CatalogExcerpt.objects.filter(origin=zero_point.catalog, created_at__lte=zero_point.created_at)
    tables = []
    for row in rows.overlapping(np.array(image.corners)) if image.corners else []:
        table = row.table.copy()
        motion = (table["pmra"], table["pmdec"])
        table["ra"], table["dec"] = apply_proper_motion(table["ra"], table["dec"], *motion, row.epoch, image.mjd_middle)
        if not tables or table.dtype == tables[0].dtype:
            tables.append(table)
    if not tables:
        hint = "no piece of it for this part of the sky is kept here"
        raise EmptyCatalog(catalog=zero_point.catalog or "that was used", found=0, needed=1, hint=hint)
    table = np.concatenate(tables)
    _, unique = np.unique(np.round(np.stack([table["ra"], table["dec"]]) * 3.6e6), axis=1, return_index=True)
    return table[np.sort(unique)]


def _columns(zero_point: ZeroPoint, step: PhotoCal, matched: Matched, fit: ZeroPointFit) -> dict[str, np.ndarray]:
    found = matched.measured
    away = np.nan_to_num(found.color - step.parameters.fit.color_pivot) if zero_point.color_term else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        asked = found.mag + 2.5 * np.log10(found.flux)
    return {
        "x": found.x, "y": found.y, "mag": found.mag, "color": found.color,
        "residual": asked - zero_point.at(found.x, found.y) - zero_point.color_term * away,
        "error": fit.error, "used": fit.used, "bright": fit.bright,
    }  # fmt: skip


def _cells(columns: dict[str, np.ndarray], variation: np.ndarray, shape: tuple[int, int]) -> dict[str, Any]:
    """By how much the stars used ask for another zero point than its mean, weighted, with errors and numbers, in cells.

    `variation` (n,) mag is what the zero point itself is away from its mean at the stars.
    """
    ny, nx = grid_of(shape)
    used = columns["used"] & np.isfinite(columns["residual"])
    row = np.clip((columns["y"][used] + 0.5) / shape[0] * ny, 0, ny - 1).astype(int)
    column = np.clip((columns["x"][used] + 0.5) / shape[1] * nx, 0, nx - 1).astype(int)
    weight, value = 1 / columns["error"][used] ** 2, (columns["residual"] + variation)[used]
    total, number, summed = np.zeros((ny, nx)), np.zeros((ny, nx), int), np.zeros((ny, nx))
    np.add.at(total, (row, column), weight)
    np.add.at(summed, (row, column), weight * value)
    np.add.at(number, (row, column), 1)
    few = number < 3
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, error = np.where(few, np.nan, summed / total), np.where(few, np.nan, 1 / np.sqrt(total))
    return {"mean": _plain(mean), "error": _plain(error), "number": number.tolist()}


def grid_of(shape: tuple[int, int], cells: int = CELLS) -> tuple[int, int]:
    """(rows, columns) of a map with `cells` along the shorter side and about square ones."""
    side = min(shape) / cells
    return max(1, round(shape[0] / side)), max(1, round(shape[1] / side))


def _psf_map(psf: PSF, image: Image) -> dict[str, Any]:
    model = PSFModel.from_planes(psf.planes, psf.model_header)
    ny, nx = grid_of(image.shape)
    y, x = ((np.arange(n) + 0.5) * size / n - 0.5 for n, size in zip((ny, nx), image.shape))
    size = 2 * model.half_size + 1
    stamps = np.concatenate([np.concatenate([model.stamp(round(a), round(b)) for a in x], axis=1) for b in y])
    column, row = np.meshgrid(np.arange(nx) * size + model.half_size, np.arange(ny) * size + model.half_size)
    found = adaptive_moments(stamps.astype(np.float32), column.ravel(), row.ravel(), fwhm=model.fwhm)
    good = found["converged"]
    e = np.hypot(found["e1"], found["e2"])
    width = np.array([model.fwhm_at(a, b) for b in y for a in x])
    ellipticity = np.where(good, 1 - np.sqrt((1 - e) / (1 + e)), np.nan)
    angle = np.degrees(0.5 * np.arctan2(found["e2"], found["e1"]))
    return {
        name: _plain(values.reshape(ny, nx))
        for name, values in (("fwhm", width), ("ellipticity", ellipticity), ("angle", angle))
    }


def _sky_map(background: Background) -> dict[str, Any]:
    level, rms = background.level, background.rms
    ny, nx = grid_of(level.shape, 2 * CELLS)
    rows, columns = (np.linspace(0, size, n + 1).astype(int) for n, size in zip((ny, nx), level.shape))
    cells = [[(slice(*rows[j : j + 2]), slice(*columns[i : i + 2])) for i in range(nx)] for j in range(ny)]
    return {
        name: [[float(np.median(plane[cell])) for cell in line] for line in cells]
        for name, plane in (("level", level), ("rms", rms))
    }


def _plain(values: np.ndarray) -> list[Any]:
    """For JSON, which has no NaN."""
    values = np.asarray(values)
    if values.dtype == bool:
        return values.tolist()
    return np.where(np.isfinite(values), np.round(values.astype(float), 5), None).tolist()


__all__ = ["StepError", "grid_of", "psf_map", "sky_map", "star_figures"]
