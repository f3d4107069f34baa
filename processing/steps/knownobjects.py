"""Known objects: which measurements are of known bodies of the Solar System."""

from __future__ import annotations

import numpy as np

from processing.algorithms.pairing import closest_pairs
from processing.algorithms.sky import tangent_plane
from processing.ephemerides.base import EphemerisSource, KnownBodies
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import KnownObject, KnownObjectSet, MeasurementSet


class KnownObjectsParameters(Parameters):
    source: EphemerisSource = param("none", help="Where bodies are looked up; none: they are not looked for.")
    radius: float = param(2.0, gt=0, unit="arcsec", help="A body that is predicted this close to a measurement is it.")
    n_sigma: float = param(
        3.0, ge=0, unit="sigma", help="The same within so many errors of the predicted place, where that is more."
    )
    max_uncertainty: float = param(
        10.0, gt=0, unit="arcsec", help="Bodies whose predicted places are less sure are left out: they fit anything."
    )
    faintest: float = param(26.0, unit="mag", help="Bodies that are predicted to be fainter (V) are left out.")


class KnownObjects(Step):
    """Match the measurements with predicted places of known bodies, the closest first, each once."""

    name = "knownobjects"
    version = (1, 0, 0)
    parameters: KnownObjectsParameters

    def run(self, measurement_set: MeasurementSet, bodies: KnownBodies) -> KnownObjectSet:
        p, table = self.parameters, bodies.table
        usable = np.flatnonzero((table["uncertainty"] <= p.max_uncertainty) & ~(table["magnitude"] > p.faintest))
        rows = measurement_set.all_rows() if len(usable) else []
        result = KnownObjectSet(
            measurement_set=measurement_set,
            orbit_catalog=bodies.catalog,
            source=p.source.name,
            n_predicted=len(usable),
            n_matched=0,
        )
        self._warnings = list(bodies.notes)
        if not rows:
            return result
        table = table[usable]
        here = np.array([[row.ra, row.dec] for row in rows])
        reach = np.maximum(p.radius, p.n_sigma * table["uncertainty"])
        for index, body, separation in _matches(here, table, reach):
            found = table[body]
            match = KnownObject(
                known_object_set=result,
                measurement=rows[index],
                name=bodies.names[usable[body]],
                separation=separation,
                magnitude=float(found["magnitude"]) if np.isfinite(found["magnitude"]) else None,
                **{name: float(found[name]) for name in COPIED},
            )
            result.rows.append(match)
        result.n_matched = len(result.rows)
        return result

    def warnings(self) -> list[str]:
        return self._warnings


COPIED = ("uncertainty", "ra", "dec", "rate", "position_angle", "distance")


def _matches(here: np.ndarray, table: np.ndarray, reach: np.ndarray) -> list[tuple[int, int, float]]:
    """(row of `here`, row of `table`, arcsec), closest first; `here` (n, 2) is in degrees, `reach` (m,) in arcsec."""
    middle = tuple(here[0])
    places = np.stack(tangent_plane(here[:, 0], here[:, 1], *middle), axis=1)
    predicted = np.stack(tangent_plane(table["ra"], table["dec"], *middle), axis=1)
    return closest_pairs(places, predicted, reach)
