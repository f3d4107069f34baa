"""Products as compressed multi-extension FITS: one extension a plane, reproducible to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from products.errors import OldFile

TILE_ROWS = 64  # half the time of tiles of one row
NO_DITHER = -1  # of the FITS convention for tiled compression
INVERTED = "INVERTED"
LARGEST_ERROR = "MAXERROR"
SPACING, WIDTH, HEIGHT = "SPACING", "WIDTH", "HEIGHT"
NODES = 8  # px between the stored values of a smooth plane
SMOOTH = 2.0**-13  # of the largest value: what is smoother between the nodes is stored at the nodes


def image_hdu(
    name: str, data: np.ndarray, compression: str, unit: str = "", cards: fits.Header | None = None
) -> tuple[fits.hdu.base.ExtensionHDU, np.ndarray]:
    """One plane as an extension with further `cards`, and the plane as `read_plane` will give it.

    `compression` of floats is "noise" (steps of 1/32 to 1/16 of the noise of a pixel), "inverse" (the same, of 1/value,
    but not finer than 1/1000 of the typical one), "smooth" (every eighth pixel of every eighth row, linear between
    them, to 1/8192 of the largest value; what is less smooth: at least 2^15 steps up to that value) or
    "none"; zeros stay zeros. Integers are kept as they are. All by RICE in tiles of 64 rows. The card MAXERROR of what
    is not exact is the largest error of a value: half a step. Steps are powers of two, so that every reader gets the
    same numbers to the last bit.
    """
    header = fits.Header() if cards is None else cards.copy()
    if unit:
        header["BUNIT"] = unit
    if compression == "none" or data.size == 0 or data.ndim != 2:
        return fits.ImageHDU(data, header=header, name=name), data
    tiles = {"compression_type": "RICE_1", "tile_shape": (min(TILE_ROWS, data.shape[0]), data.shape[1])}
    if data.dtype.kind != "f":
        return fits.CompImageHDU(data, header, name, **tiles), data
    if compression == "smooth":
        nodes = at_nodes(data)
        found = between_nodes(nodes, data.shape)
        error = float(np.max(np.abs(found - data)))
        if error <= SMOOTH * largest(data):
            header[SPACING] = (NODES, "px between the values; linear between them")
            header[WIDTH], header[HEIGHT], header[LARGEST_ERROR] = data.shape[1], data.shape[0], error
            return fits.ImageHDU(nodes, header=header, name=name), found
    is_inverse = compression == "inverse"
    if is_inverse:
        header[INVERTED] = (True, "the product holds 1/value, and 0 for 0")
        data = inverse(data)
    step = 2.0 ** np.floor(np.log2(finest_step(data, compression)))
    header[LARGEST_ERROR] = (step / 2, "largest error of a stored value, same unit")
    stored = rounded(data, step)
    options = {"quantize_level": -step, "quantize_method": NO_DITHER}  # negative: an absolute step, the same everywhere
    hdu = fits.CompImageHDU(stored, header, name, **tiles, **options)
    return hdu, inverse(stored) if is_inverse else stored


def finest_step(data: np.ndarray, compression: str) -> float:
    """The smallest difference that is worth being stored."""
    if compression == "smooth":
        return largest(data) / 2**15
    noise = noise_of(data) / 16
    if compression == "inverse":  # nobody needs a variance to better than a thousandth
        some = data[::8, ::8]
        noise = max(noise, float(np.median(some[some > 0])) / 500 if (some > 0).any() else 0.0)
    return noise


def at_nodes(data: np.ndarray) -> np.ndarray:
    """Every eighth pixel of every eighth row (float32); the last may lie, continued linearly, beyond the edge."""
    for axis, size in enumerate(data.shape):
        nodes = np.take(data, range(0, size, NODES), axis=axis)
        if beyond := -(size - 1) % NODES:
            before, last = (np.take(data, [at], axis=axis) for at in (max(size - 2, 0), size - 1))
            nodes = np.concatenate([nodes, last + beyond * (last - before)], axis=axis)
        data = nodes
    return data.astype(np.float32)


def between_nodes(nodes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The plane (ny, nx) float32 that is linear between the values at its nodes."""
    return _between(np.ascontiguousarray(_between(nodes.T, shape[1]).T), shape[0])


def _between(nodes: np.ndarray, size: int) -> np.ndarray:
    """Rows between rows that are `NODES` apart, (size, n)."""
    found = np.empty((NODES * (len(nodes) - 1) + 1, nodes.shape[1]), np.float32)
    found[-1] = nodes[-1]
    step = (nodes[1:] - nodes[:-1]) / np.float32(NODES)
    for place in range(NODES):
        np.multiply(step, np.float32(place), out=found[place:-1:NODES])
        found[place:-1:NODES] += nodes[:-1]
    return found[:size]


def rounded(data: np.ndarray, step: float) -> np.ndarray:
    """The nearest multiples of `step`, a power of two, as float32; what is not 0 is at least a step away from it."""
    found = data * np.float32(1 / step)
    np.rint(found, out=found)
    lost = (found == 0) & (data != 0)
    if lost.any():
        found[lost] = np.sign(data[lost])
    found *= np.float32(step)
    return found


def noise_of(data: np.ndarray) -> float:
    """Robust noise of one pixel: of the differences of pixels two apart in every eighth row, zeros left out."""
    rows = data[::8]
    used = (rows[:, 2:] != 0) & (rows[:, :-2] != 0)
    steps = np.abs(rows[:, 2:] - rows[:, :-2])[used]
    noise = float(1.4826 * np.median(steps) / np.sqrt(2)) if steps.size else 0.0
    return noise or largest(data) / 2**11


def largest(data: np.ndarray) -> float:
    """The largest absolute value, and never 0."""
    return max(float(data.max()), -float(data.min()), 1e-30)


def inverse(data: np.ndarray) -> np.ndarray:
    """1/value (float32), and 0 where the value is 0."""
    with np.errstate(divide="ignore"):
        found = np.divide(1, data, dtype=np.float32)
    np.copyto(found, 0, where=data == 0)  # several times faster than a division of some pixels only
    return found


def table_hdu(name: str, table: np.ndarray, units: Mapping[str, str]) -> fits.BinTableHDU:
    """A structured array as a binary table with units."""
    hdu = fits.BinTableHDU(table, name=name)
    for column in hdu.columns:
        if unit := units.get(column.name):
            column.unit = unit
    return hdu


def write(path: Path, header: fits.Header, hdus: list[fits.hdu.base.ExtensionHDU]) -> None:
    """Write a primary header and its extensions; the same contents are the same bytes whenever they are written."""
    found = fits.HDUList([fits.PrimaryHDU(header=header), *hdus])
    for hdu in found:
        if not isinstance(hdu, fits.CompImageHDU):  # of a compressed one it would be that of pixels that are not there
            hdu.add_checksum(when="of this extension")  # by default the comment is the time, and no two files are alike
    found.writeto(path, output_verify="fix")


def extension(file: fits.HDUList, name: str) -> fits.hdu.base.ExtensionHDU:
    """The extension `name` of an open file; OldFile where it has none."""
    try:
        return file[name]
    except KeyError:
        raise OldFile(path=Path(file.filename()).name, plane=name) from None


def read_plane(path: Path, name: str) -> np.ndarray:
    """The extension `name` in native byte order: an array, or a structured array for a table. OldFile without it."""
    with fits.open(path, memmap=False) as file:
        hdu = extension(file, name)
        data = np.asarray(hdu.data)
        if isinstance(hdu, fits.BinTableHDU) and not isinstance(hdu, fits.CompImageHDU):
            return native_table(hdu)
        if hdu.header.get(INVERTED):
            data = inverse(data)
        if hdu.header.get(SPACING):
            data = between_nodes(data.astype(np.float32), (hdu.header[HEIGHT], hdu.header[WIDTH]))
    return np.ascontiguousarray(data.astype(data.dtype.newbyteorder("="), copy=False))


def read_part(path: Path, names: Sequence[str], rows: slice, columns: slice) -> dict[str, np.ndarray]:
    """A part of several image extensions, by name; of compressed ones only the tiles that it touches are expanded.

    It is what `read_plane` has there. Slices lie within the image and have steps of 1. OldFile without one of them.
    """
    with fits.open(path, memmap=False) as file:
        hdus = {name: extension(file, name) for name in names}
        at_nodes_only = {name for name, hdu in hdus.items() if hdu.header.get(SPACING)}
        found = {name: np.asarray(hdus[name].section[rows, columns]) for name in names if name not in at_nodes_only}
        inverted = {name for name, hdu in hdus.items() if hdu.header.get(INVERTED)}
    parts = {name: inverse(part) if name in inverted else part for name, part in found.items()}
    parts |= {name: read_plane(path, name)[rows, columns] for name in at_nodes_only}
    return {name: np.ascontiguousarray(part, part.dtype.newbyteorder("=")) for name, part in parts.items()}


def native_table(hdu: fits.BinTableHDU) -> np.ndarray:
    """A binary table as a plain structured array in native byte order."""
    columns = {name: np.asarray(hdu.data[name]) for name in hdu.columns.names}
    dtype = []
    for name, values in columns.items():
        kind = values.dtype.newbyteorder("=") if values.dtype.kind != "b" else np.dtype(bool)
        dtype.append((name, kind, values.shape[1:]))
    table = np.zeros(len(hdu.data), dtype)
    for name, values in columns.items():
        table[name] = values
    return table


def cards(values: Mapping[str, tuple[Any, str]]) -> fits.Header:
    """A header from keyword → (value, comment); None and non-finite values are left out, text is made printable."""
    header = fits.Header()
    for key, (value, comment) in values.items():
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            continue
        header[key] = (printable(value) if isinstance(value, str) else value, comment)
    return header


def printable(text: str) -> str:
    """Text with everything that FITS does not allow replaced by a question mark."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
