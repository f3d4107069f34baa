"""What a source of ephemerides must offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from processing.algorithms.ephemerides import EPHEMERIS, Cap
from processing.algorithms.horizon import Site
from processing.plugins import Plugin
from products.models import OrbitCatalog


@dataclass(frozen=True)
class KnownBodies:
    """Bodies of the Solar System that are predicted to be in a piece of sky at one time."""

    table: np.ndarray = field(default_factory=lambda: np.zeros(0, EPHEMERIS))  # (n,)
    names: tuple[str, ...] = ()  # (n), as people write them
    catalog: OrbitCatalog | None = None  # that they were predicted from
    notes: tuple[str, ...] = ()  # what people should know of the prediction


class EphemerisSource(Plugin):
    """A way to know which bodies of the Solar System are where."""

    package: ClassVar[str] = "processing.ephemerides"

    def predict(self, cap: Cap, mjd: float, site: Site | None) -> KnownBodies:
        """The bodies in a circle on the sky at MJD (UTC), as seen from a site, or from the centre of the Earth.

        BadInput where the source cannot be used; it says what to do.
        """
        raise NotImplementedError
