"""Choose a configuration by how many stars the field has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from processing import config
from processing.parameters import Parameters, param
from products.models import CatalogExcerpt
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
    """Stars per square degree within `radius` degrees in the imported catalogue around a position; None without one."""
    for excerpt in CatalogExcerpt.objects.containing(ra, dec):
        table = excerpt.table
        names = [name for name in table.dtype.names if name.startswith("mag_")]
        bright = (
            np.nanmin([np.where(np.isfinite(table[name]), table[name], np.inf) for name in names], axis=0) < faintest
        )
        reach = min(radius, excerpt.radius)
        near = separation(ra, dec, table["ra"], table["dec"]) < reach
        return float((bright & near & table["is_star"]).sum() / (np.pi * reach**2))
    return None
