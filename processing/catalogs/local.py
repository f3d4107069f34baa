"""Catalogues that were imported."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from processing.catalogs.base import StarCatalogSource
from processing.errors import EmptyCatalog


class Local(StarCatalogSource):
    """Any imported catalogue that covers the image; nothing is fetched."""

    name = "local"
    is_fetched: ClassVar[bool] = False

    def fetch(self, ra: float, dec: float, radius: float, faintest: float) -> np.ndarray:
        hint = f"none covers ra {ra:.4f}, dec {dec:+.4f}; import one: manage.py import_catalog FILE --name NAME"
        raise EmptyCatalog(catalog="imported before", found=0, needed=1, hint=hint)
