"""For those who do not look for known bodies."""

from __future__ import annotations

from processing.algorithms.ephemerides import Cap
from processing.algorithms.horizon import Site
from processing.ephemerides.base import EphemerisSource, KnownBodies


class NoEphemerides(EphemerisSource):
    """No bodies are known."""

    name = "none"

    def predict(self, cap: Cap, mjd: float, site: Site | None) -> KnownBodies:
        return KnownBodies()
