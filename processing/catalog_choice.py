"""Which stars of a catalogue an image is compared with: those of imported tables, or of cells that are fetched."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processing.catalog_cells import brighter, fetched, held
from processing.catalogs.base import StarCatalogSource, joined
from processing.errors import BadInput, CatalogAway, CatalogCut, EmptyCatalog
from processing.star_catalogs import without_doubles
from products import sky
from products.models import CatalogExcerpt

GRID = 48  # points along each side of an image by which the cells that it touches are found
AROUND, AT_LEAST = 2.0, 0.3  # radii of the image, and degrees, to which stars are given, as far as its cells reach


class CatalogAwayWarning(UserWarning):
    """A catalogue could not be asked; what was kept of it before serves instead."""


@dataclass(frozen=True)
class Field:
    """The piece of sky that stars are wanted of."""

    corners: np.ndarray  # (4, 2) ICRS degrees, of the image
    margin: float  # degrees that its position may be off

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """ra, dec (n,), degrees, of a grid on the image."""
        return self._grid(0.0)

    def wide_points(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of the image with the margin and a step of the grid around it: no cell that it touches is missed."""
        return self._grid(self.margin)

    def _grid(self, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """A grid on the rectangle around the corners in the tangent plane, along the first side of the image."""
        edge = sky.unit_vectors(self.corners[:, 0], self.corners[:, 1])
        middle = edge.mean(axis=0)
        middle /= np.linalg.norm(middle)
        along = (edge[1] - edge[0]) + (edge[2] - edge[3])
        along -= middle * (along @ middle)
        along /= np.linalg.norm(along)
        across = np.cross(middle, along)
        x, y = (edge @ along) / (edge @ middle), (edge @ across) / (edge @ middle)
        pad = np.radians(margin)
        sides = []
        for values in (x, y):
            low, high = values.min() - pad, values.max() + pad
            step = (high - low) / (GRID - 1) if margin else 0.0
            sides.append(np.linspace(low - step, high + step, GRID))
        xi, eta = (part.ravel() for part in np.meshgrid(*sides))
        v = middle + xi[:, None] * along + eta[:, None] * across
        v /= np.linalg.norm(v, axis=1)[:, None]
        return np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360, np.degrees(np.arcsin(np.clip(v[:, 2], -1, 1)))


@dataclass(frozen=True)
class Chosen:
    """Stars for an image, at the epoch of the catalogue, and where they came from."""

    table: np.ndarray
    origin: str
    epoch: float
    excerpts: tuple[CatalogExcerpt, ...]


def stars_of(field: Field, source: StarCatalogSource, *, faintest: float, min_cover: float) -> Chosen:
    """Stars down to a magnitude of an imported catalogue that covers enough of the field, else of cells.

    What is held of the same sky gives the same table, to the bit. EmptyCatalog where nothing is imported and nothing
    can be fetched; CatalogAway where a catalogue cannot be asked and too little of it is kept. Where what is kept is
    less than was wanted, a CatalogAwayWarning says so.
    """
    near = _near(field)
    if source.is_fetched:
        near = [row for row in near if (row.origin, row.limit) == (source.name, None)]
    if rows := one_catalog(field, near, min_cover):
        return _stars(field, rows, source, faintest)
    if not source.is_fetched:
        ra, dec, radius = sky.centre_and_radius(field.corners)
        source.fetch(ra, dec, radius, faintest)  # says how to import one
        raise EmptyCatalog(catalog=source.name, found=0, needed=1, hint="none covers the image")
    return _stars(field, _cells(field, source, faintest, min_cover), source, faintest)


def _near(field: Field) -> list[CatalogExcerpt]:
    """Excerpts that have stars of the field; in an order that depends on nothing but them."""
    ra, dec, radius = sky.centre_and_radius(field.corners)
    wide = field.wide_points()
    rows = CatalogExcerpt.objects.filter(
        sky.cone(ra, dec, radius + 2 * field.margin + CatalogExcerpt.objects.reach())
    ).order_by("created_at", "pk")
    return [row for row in rows if row.covers(*wide).any()]


def _cover(field: Field, rows: Sequence[CatalogExcerpt]) -> float:
    """The part of the image that excerpts cover together."""
    points = field.points()
    covered = np.zeros(len(points[0]), bool)
    for row in rows:
        covered |= row.covers(*points)
    return float(covered.mean())


def one_catalog(
    field: Field, near: Sequence[CatalogExcerpt] | None = None, min_cover: float = 0.0
) -> list[CatalogExcerpt]:
    """The excerpts of one catalogue at one epoch: of those that cover most, what was imported, and what came last.

    Of those that are `near`, or of all; none where they cover no more than `min_cover` of the field.
    """
    catalogs: dict[tuple[str, float], list[CatalogExcerpt]] = {}
    for row in _near(field) if near is None else near:
        catalogs.setdefault((row.origin, row.epoch), []).append(row)
    ranked = [
        ((round(_cover(field, rows), 3), all(row.limit is None for row in rows), rows[-1].created_at), rows)
        for rows in catalogs.values()
    ]
    (cover, *_), best = max(ranked, key=lambda one: one[0], default=((0.0,), []))
    if cover <= min_cover:
        return []
    deepest = {(row.order, row.cell): row for row in sorted(best, key=lambda row: row.limit or 0.0)}
    return [row for row in best if row.limit is None or row is deepest[row.order, row.cell]]  # tables add up


def _cells(field: Field, source: StarCatalogSource, faintest: float, min_cover: float) -> list[CatalogExcerpt]:
    """The excerpts of all cells that the field touches, fetched where they are not held."""
    wide = field.wide_points()
    numbers = sky.cells(*wide, source.cell_order)
    found: list[CatalogExcerpt] = []
    problem: BadInput | CatalogCut | None = None
    notes = []
    for cell in np.unique(numbers).tolist():
        row = held(source, cell, faintest)
        if row is None and not (isinstance(problem, CatalogAway)):
            try:
                row = fetched(source, cell, faintest)
            except (BadInput, CatalogCut) as error:
                problem = error
        if row is None:
            here = numbers == cell
            row = _instead(field, source, wide[0][here], wide[1][here])
            notes.append(_note(source, cell, row))
        if row is not None and row not in found:
            found.append(row)
    if problem is not None:
        if _cover(field, found) <= min_cover:
            raise problem
        warnings.warn(f"{problem}; {'; '.join(notes)}", CatalogAwayWarning, stacklevel=2)
    return found


def _instead(field: Field, source: StarCatalogSource, ra: np.ndarray, dec: np.ndarray) -> CatalogExcerpt | None:
    """What is held of the catalogue that covers most of some positions, and of that the deepest and the newest."""
    rows = [row for row in _near(field) if (row.origin, row.epoch) == (source.name, source.epoch)]
    ranked = [
        ((round(float(row.covers(ra, dec).mean()), 2), np.inf if row.limit is None else row.limit, row.created_at), row)
        for row in rows
    ]
    (cover, *_), best = max(ranked, key=lambda one: one[0], default=((0.0,), None))
    return best if cover > 0 else None


def _note(source: StarCatalogSource, cell: int, row: CatalogExcerpt | None) -> str:
    place = f"cell {source.cell_order}/{cell}"
    if row is None:
        return f"no stars of {place}"
    depth = "of an imported table" if row.limit is None else f"down to {row.limit:g} mag"
    return f"for {place} stars {depth} that were kept on {row.created_at:%Y-%m-%d}"


def _stars(field: Field, rows: Sequence[CatalogExcerpt], source: StarCatalogSource, faintest: float) -> Chosen:
    """The stars of excerpts around the middle of the field, each once, by declination and right ascension."""
    ra, dec, radius = sky.centre_and_radius(field.corners)
    reach = max(AROUND * radius, AT_LEAST) + field.margin
    tables = []
    for row in rows:
        table = row.table
        if len(table):
            near = sky.separation(ra, dec, table["ra"], table["dec"]) <= reach
            tables.append(table[near])
        row.free()
    table = without_doubles(joined(tables)) if tables else np.zeros(0, [("ra", "f8"), ("dec", "f8")])
    if rows and rows[0].origin == source.name:
        table = brighter(table, source, faintest)
    if len(table) == 0:
        hint = "import one: manage.py import_catalog FILE --name NAME"
        raise EmptyCatalog(catalog=rows[0].origin if rows else source.name, found=0, needed=1, hint=hint)
    order = np.lexsort((table["ra"], table["dec"]))
    return Chosen(table[order], rows[0].origin, rows[0].epoch, tuple(rows))
