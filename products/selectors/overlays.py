"""What the viewer can mark on an image beside its measurements: stars, fakes, detections of which nothing was saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from products.models import CatalogExcerpt, Image
from products.selectors.trace import Tree
from products.sky import separation

MOST = 3000  # marks of one kind: the brightest
MATCH_RADIUS = 1.5  # arcsec within which a star of the catalogue and a source are taken for the same


@dataclass(frozen=True)
class Mark:
    """One mark: pixels from 0, what it stands for, how it is drawn."""

    x: float
    y: float
    text: str
    how: str = ""

    def as_list(self) -> list[Any]:
        """For JSON."""
        return [round(self.x, 2), round(self.y, 2), self.text, self.how]


def stars(tree: Tree) -> list[Mark]:
    """The stars that the PSF was measured on."""
    table = tree.sources.table if tree.sources else None
    if table is None or "is_star" not in table.dtype.names:
        return []
    rows = table[table["is_star"]]
    rows = rows[np.argsort(-rows["flux"])][:MOST]
    return [Mark(row["x"], row["y"], f"star of the PSF, S/N {row['snr']:.0f}") for row in rows]


def catalog(tree: Tree) -> list[Mark]:
    """The stars of the catalogue that astrometry used, and which of them have a source where they should be."""
    solution = tree.world_coordinates
    if solution is None or not tree.image.corners:
        return []
    near = list(solution.catalog_excerpts.all())
    near = near or CatalogExcerpt.objects.filter(origin=solution.catalog).overlapping(np.array(tree.image.corners))
    tables = [_brightest(excerpt, tree.image) for excerpt in near if excerpt.n_stars]
    if not tables:
        return []
    ra, dec, magnitude = (np.concatenate(columns) for columns in zip(*tables))
    x, y = solution.wcs.all_world2pix(ra, dec, 0, quiet=True)
    inside = (x > -0.5) & (y > -0.5) & (x < tree.image.width - 0.5) & (y < tree.image.height - 0.5)
    found = np.unique(np.column_stack([x, y, magnitude])[inside], axis=0)  # excerpts overlap
    found = found[np.argsort(found[:, 2])][:MOST]
    matched = _near_a_source(tree, found[:, :2])
    return [
        Mark(
            x,
            y,
            f"{solution.catalog} {magnitude:.2f} mag" + ("" if has else ", no source there"),
            "" if has else "dashed",
        )
        for (x, y, magnitude), has in zip(found.tolist(), matched)
    ]


def _brightest(excerpt: CatalogExcerpt, image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and magnitudes of stars around an image, in its filter where that is known; 99 where none is."""
    table = excerpt.table
    table = table[separation(image.ra, image.dec, table["ra"], table["dec"]) < 1.1 * image.radius]
    names = [name for name in table.dtype.names if name.startswith("mag_")]
    column = f"mag_{image.filter}" if f"mag_{image.filter}" in names else names[0] if names else None
    magnitude = np.nan_to_num(table[column].astype(float), nan=99.0) if column else np.full(len(table), 99.0)
    chosen = np.argsort(magnitude)[: 20 * MOST]
    return table["ra"][chosen], table["dec"][chosen], magnitude[chosen]


def _near_a_source(tree: Tree, places: np.ndarray) -> np.ndarray:
    table = tree.sources.table if tree.sources else None
    if table is None or not len(table) or not len(places):
        return np.zeros(len(places), bool)
    away, _ = cKDTree(np.column_stack([table["x"], table["y"]])).query(places)
    return away * (tree.image.pixel_scale or 1.0) <= MATCH_RADIUS


def fakes(tree: Tree) -> list[Mark]:
    """Injected sources: kept, detected but cut, or missed."""
    analysis = tree.fakes
    if analysis is None:
        return []
    marks = []
    for fake, what in list(zip(analysis.fake_set.table, analysis.table))[:MOST]:
        outcome = "kept" if what["is_kept"] else "detected, but cut" if what["is_detected"] else "missed"
        how = "" if what["is_kept"] else "dashed"
        marks.append(Mark(fake["x"], fake["y"], f"fake of {fake['mag']:.2f} mag: {outcome}", how))
    return marks


def unsaved(tree: Tree) -> list[Mark]:
    """Detections of which no measurement was saved: they failed a cut by far."""
    table = tree.detections.table if tree.detections else None
    if table is None or tree.measurement_set is None:
        return []
    saved = set(tree.measurement_set.measurements.values_list("index_in_sources", flat=True))
    rows = [row for index, row in enumerate(table) if index not in saved]
    return [Mark(row["x"], row["y"], f"detected at S/N {row['snr']:.1f}, not saved") for row in rows[:MOST]]


KINDS = {"stars": stars, "catalog": catalog, "fakes": fakes, "unsaved": unsaved}
