"""What references there are at a position: how many images went into each there, and how deep it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from products.errors import ArchiveError
from products.models import Background, CoaddImage, Reference
from products.pixels import BLOCK, read_part


@dataclass(frozen=True)
class Cover:
    """One reference at one position; None for what its file does not say."""

    reference: Reference
    x: float | None = None  # px from 0 in its image
    y: float | None = None
    n_images: int | None = None  # that entered the pixel
    limit: float | None = None  # mag: 5σ, point source, for the noise of the sky around the pixel
    is_usable: bool = False

    @property
    def has_gap(self) -> bool:
        """Whether the footprint covers the position, and the pixels do not."""
        return self.x is not None and not self.is_usable


def covers(references: Iterable[Reference], ra: float, dec: float) -> list[Cover]:
    """What each of some references, whose footprints contain the position (degrees), has there; few tiles are read."""
    return [_cover(row, ra, dec) for row in references]


def _cover(row: Reference, ra: float, dec: float) -> Cover:
    image = row.zero_point.image.as_kind()
    try:
        x, y = (float(value) for value in row.zero_point.world_coordinates.wcs.all_world2pix(ra, dec, 0, quiet=True))
    except ValueError:
        return Cover(row)
    if not (np.isfinite(x) and np.isfinite(y)):  # its solution points to the other side of the sky
        return Cover(row)
    if not (-0.5 <= x < image.width - 0.5 and -0.5 <= y < image.height - 0.5):
        return Cover(row, x, y)
    column, line = int(np.rint(x)), int(np.rint(y))
    left, low = column // BLOCK * BLOCK, line // BLOCK * BLOCK
    part = slice(low, min(low + BLOCK, image.height)), slice(left, min(left + BLOCK, image.width))
    try:
        weight = read_part(image, "weight", *part)
    except (ArchiveError, OSError, KeyError):
        return Cover(row, x, y)
    here = float(weight[line - low, column - left])
    return Cover(row, x, y, _images(image, part, (line - low, column - left)), _limit(row, weight), here > 0)


def _images(image: CoaddImage, part: tuple[slice, slice], at: tuple[int, int]) -> int | None:
    """Images in a pixel: 1 where nothing was stacked, None where the stack does not know."""
    if not isinstance(image, CoaddImage):
        return 1
    try:
        return int(read_part(image, "coverage", *part)[at])
    except (ArchiveError, OSError, KeyError):
        return None


def _limit(row: Reference, weight: np.ndarray) -> float | None:
    """The limit of the image, for the noise of the sky in the pixels around."""
    limit, usable = row.zero_point.limiting_magnitude, weight[weight > 0]
    skies = Background.objects.filter(sources=row.zero_point.world_coordinates.sources_id)
    noise = skies.values_list("noise", flat=True).first()
    if limit is None or not usable.size or not noise:
        return None
    return float(limit + 2.5 * np.log10(np.sqrt(np.percentile(usable, 75)) * noise))
