"""Small pieces of the planes of an image: values for the readout of the viewer, and its tiles at full resolution."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from astropy.io import fits as astropy_fits
from PIL import Image as Picture

from products import fits, rendering, storage
from products.models import Image
from products.pixel_flags import PixelFlag

BLOCK = 64  # pixels a side of a block of values
TILE = 512  # pixels a side of a tile of the picture
PLANES = {"data": "electrons", "score": "S/N", "limit": "AB mag"}  # of which values and tiles are shown; their units


def read_part(image: Image, plane: str, y: slice, x: slice) -> np.ndarray:
    """Part of a plane, without the rest: the tiles of the file that it lies in are read."""
    if plane == "limit":
        x, y = (np.arange(part.start, part.stop) for part in (x, y))
        return image.limit_at(x[None], y[:, None])
    name = getattr(type(image), plane).extension
    with astropy_fits.open(image.path(), memmap=False) as file:
        hdu = fits.extension(file, name)
        part = np.array(hdu.section[y, x])
        return fits.inverse(part) if hdu.header.get(fits.INVERTED) else part


def has_plane(image: Image, plane: str) -> bool:
    """Whether images of this kind have that plane."""
    return plane in PLANES and getattr(type(image), plane, None) is not None


def block(image: Image, plane: str, x: int, y: int) -> dict[str, Any]:
    """Values, weights and flags of the block around a pixel, rows from below; IndexError beyond the image."""
    if not (0 <= x < image.width and 0 <= y < image.height):
        raise IndexError(f"the image has {image.width} × {image.height} pixels")
    left, low = x // BLOCK * BLOCK, y // BLOCK * BLOCK
    rows, columns = slice(low, min(low + BLOCK, image.height)), slice(left, min(left + BLOCK, image.width))
    flags = read_part(image, "flags", rows, columns)
    return {
        "x": left,
        "y": low,
        "unit": PLANES[plane],
        "values": _rounded(read_part(image, plane, rows, columns)),
        "weights": _rounded(read_part(image, "weight", rows, columns)),
        "flags": flags.tolist(),
        "names": {int(bits): names_of(int(bits)) for bits in np.unique(flags) if bits},
    }


def names_of(bits: int) -> list[str]:
    """The names of the bits that are set in the flags of a pixel."""
    return [bit.name.lower().replace("_", " ") for bit in PixelFlag if bit & bits]


def _rounded(values: np.ndarray) -> list[list[float | None]]:
    """Five significant digits: more than the noise leaves; None for what is no number."""
    return [[float(f"{value:.5g}") if np.isfinite(value) else None for value in row] for row in values.tolist()]


def tile_png(image: Image, plane: str, stretch: str, column: int, row: int) -> bytes:
    """A tile of a plane at full resolution in the grey of its preview, y up; tile (0, 0) is at the lower left."""
    left, low = column * TILE, row * TILE
    if not (0 <= left < image.width and 0 <= low < image.height):
        raise IndexError("there is no such tile")
    part = slice(low, min(low + TILE, image.height)), slice(left, min(left + TILE, image.width))
    grey = rendering.grey(read_part(image, plane, *part), *_grey_of_preview(image, plane, stretch))
    if image.kind in rendering.WARPED_KINDS:
        grey = rendering.hatched(grey, rendering.beyond_warped(read_part(image, "flags", *part)), left + low)
    buffer = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(np.flipud(grey))).save(buffer, "PNG")
    return buffer.getvalue()


def _grey_of_preview(image: Image, plane: str, stretch: str) -> tuple[float, float, str]:
    """The values that the preview shows black and white; found once, from the whole plane."""
    path = rendering.preview_path(image, f"{plane}_{stretch}_grey.json")
    if not path.exists():
        factor = rendering.bin_factor(image)
        found = rendering.limits(image, plane, rendering.thumbnail(image, plane, factor), factor, stretch)
        with storage.whole_file(path) as partial:
            partial.write_text(json.dumps(found))
    black, white, scale = json.loads(path.read_text())
    return black, white, scale
