"""Fields on cells of a catalogue that is fetched from an archive on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from astropy.table import Table

from processing.catalog_choice import Chosen, Field, stars_of
from processing.catalogs import services
from processing.catalogs.base import StarCatalogSource
from processing.catalogs.gaia import Gaia
from products import sky
from tests.catalogs.catalog_server import CatalogServer, gaia_sky, serving

CROSSING = (135.0, 0.0)  # a corner where four cells of order 6 meet
CELL = int(sky.cells(*CROSSING, 6)[0])


def square(ra: float, dec: float, half: float = 0.1) -> np.ndarray:
    """Corners of a field, degrees."""
    return np.array(
        [[ra - half, dec - half], [ra + half, dec - half], [ra + half, dec + half], [ra - half, dec + half]]
    )


ONE_CELL = square(*sky.cell_circle(6, CELL)[:2])


def stars_around() -> Table:
    """What the archive has: of the four cells and around them."""
    return gaia_sky(6000, 2.5, CROSSING)


@contextmanager
def answering(stars: Table) -> Iterator[CatalogServer]:
    """The archive, of which nothing is known yet."""
    services._known_columns.clear()
    with serving(CatalogServer(stars)) as found:
        yield found


def gaia(archive: CatalogServer, **parameters) -> Gaia:
    quick = {"attempts": 2, "timeout": 30.0, "pause": 0.0, "is_queued": False}
    return Gaia(**{"url": f"{archive.address}/tap", **quick, **parameters})


def around(corners: np.ndarray, source: StarCatalogSource, faintest: float = 20.0, min_cover: float = 0.5) -> Chosen:
    return stars_of(Field(corners, 0.02), source, faintest=faintest, min_cover=min_cover)
