"""Choose a configuration by how many stars the field has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from processing import config
from processing.catalog_choice import Field, one_catalog
from processing.catalogs.base import joined
from processing.parameters import Parameters, param
from processing.star_catalogs import without_doubles
from products.sky import GALACTIC, rotated, separation


class ConfigChoice(Parameters):
    """When and how a field decides on its configuration."""

    algorithm: Literal["none", "star_density"] = param("none", help="'star_density' chooses by the stars of the field.")
    faintest: float = param(20.0, unit="mag", help="Stars down to this magnitude count.")
    dense_from: float = param(30_000.0, gt=0, unit="1/deg2", help="From this density on a field is dense.")
    galactic_latitude: float = param(
        10.0,
        ge=0,
        unit="deg",
        help="Where no imported catalogue tells, fields this close to the Galactic plane are dense.",
    )
    dense: str = param("galactic.yaml", help="Configuration of dense fields; a name beside the default one, or a path.")
    sparse: str = param("extragalactic.yaml", help="Configuration of other fields.")


def choose(configuration: Mapping[str, Any], ra: float, dec: float) -> dict[str, Any]:
    """`configuration` with the one for the field at (ra, dec), degrees, over it."""
    choice = ConfigChoice.build(configuration.get("configchoice", {}), "configchoice")
    if choice.algorithm == "none":
        return dict(configuration)
    name = choice.dense if is_dense(ra, dec, choice) else choice.sparse
    path = Path(name) if Path(name).is_absolute() else Path(__file__).parent / "configs" / name
    return config.merge(configuration, config.load(path))


def is_dense(ra: float, dec: float, choice: ConfigChoice) -> bool:
    """Whether the field has many stars: by the imported catalogue that covers it, else by its Galactic latitude."""
    density = star_density(ra, dec, choice.faintest)
    if density is None:
        return abs(float(rotated(ra, dec, GALACTIC)[1][0])) < choice.galactic_latitude
    return density >= choice.dense_from


def star_density(ra: float, dec: float, faintest: float, radius: float = 0.25) -> float | None:
    """Stars per square degree within `radius` degrees, of what is held of a catalogue there; None without one.

    Where less than that is held around the position, the density is that of what is.
    """
    held = [row for row in one_catalog(_circle(ra, dec, radius)) if row.n_stars]
    if not any(row.covers(np.array([ra]), np.array([dec]))[0] for row in held):
        return None
    reach = min(radius, max(row.radius for row in held))
    x, y = _circle(ra, dec, reach).points()
    inside = separation(ra, dec, x, y) < reach
    covered = np.any([row.covers(x, y) for row in held], axis=0)[inside].mean()
    tables = [row.table for row in held]
    table = without_doubles(joined([one[separation(ra, dec, one["ra"], one["dec"]) < reach] for one in tables]))
    names = [name for name in table.dtype.names if name.startswith("mag_")]
    mags = np.min([np.where(np.isfinite(table[name]), table[name], np.inf) for name in names], axis=0)
    return float(((mags < faintest) & table["is_star"]).sum() / (np.pi * reach**2 * covered))


def _circle(ra: float, dec: float, radius: float) -> Field:
    """The square around a circle, degrees."""
    east, north = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]).T * radius
    return Field(np.stack([ra + east / np.cos(np.radians(min(abs(dec), 89.0))), dec + north], axis=1), 0.0)
