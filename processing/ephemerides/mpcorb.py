"""Orbits as the Minor Planet Center publishes them, imported into the archive; nothing is asked over the network."""

from __future__ import annotations

import numpy as np

from processing.algorithms.ephemerides import Cap, ephemeris, near
from processing.algorithms.horizon import Site
from processing.algorithms.sky import tangent_plane
from processing.ephemerides.base import EphemerisSource, KnownBodies
from processing.orbit_catalogs import catalog_for, names_of, orbits_of
from processing.parameters import param


class Mpcorb(EphemerisSource):
    """Asteroids of an imported orbit catalogue, moved with the pull of the planets from the epochs of their orbits."""

    name = "mpcorb"

    catalog: str = param("mpc", help="Name that the catalogue was given by `manage.py import_orbits`.")
    max_age: float = param(
        200.0, gt=0, unit="d", critical=False, help="A warning is given where the orbits are of an epoch further away."
    )
    floor: float = param(
        0.3, gt=0, unit="arcsec", help="Error of predicted places that remains where an orbit is known perfectly."
    )

    def predict(self, cap: Cap, mjd: float, site: Site | None) -> KnownBodies:
        row = catalog_for(self.catalog, mjd)
        orbits = orbits_of(row)
        rows = near(orbits, mjd, cap)
        table = ephemeris(orbits[rows], mjd, site, floor=self.floor)
        xi, eta = tangent_plane(table["ra"], table["dec"], cap.ra, cap.dec)
        inside = np.hypot(xi, eta) <= np.degrees(np.tan(np.radians(cap.radius))) * 3600  # NaN: on the other side
        names = names_of(row, rows[inside])
        row.free()
        return KnownBodies(table[inside], names, row, tuple(self._notes(row.epoch, mjd, site)))

    def _notes(self, epoch: float, mjd: float, site: Site | None) -> list[str]:
        notes = []
        if (age := abs(mjd - epoch)) > self.max_age:
            notes.append(
                f"the orbits of {self.catalog} are of an epoch {age:.0f} days away: bodies of few observations, and "
                "those that passed a planet, may be missed; import newer ones (manage.py import_orbits)"
            )
        if site is None:
            notes.append(
                "the instrument has no site: places are those seen from the centre of the Earth, up to 9″/au off"
            )
        return notes
