"""Pictures of products: stamps at native size, downsampled previews of whole images, tints of mask bits.

A picture of a product never changes, so previews are kept under `SEECHANGE_DATA/previews`.
"""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
from astropy.io import fits as astropy_fits
from astropy.wcs import WCS
from django.conf import settings
from PIL import Image as Picture

from products import depth, fits, storage
from products.models import Background, Cutouts, Image, Measurement
from products.models.calibrations import AB_MICROJANSKY
from products.pixel_flags import DESCRIPTIONS, PixelFlag

STAMP_PLANES = {"new": "NEW", "reference": "REF", "difference": "DIFF"}
PREVIEW_PLANES = ("data", "weight", "score", "limit", "coverage")
STRETCHES = ("asinh", "linear", "log")
LARGEST_SIDE = 2048  # pixels of a preview
WARPED_KINDS = (Image.Kind.WARPED, Image.Kind.DIFFERENCE)
VERSION = 2  # raise when previews look different
BLACK, WHITE = -3.0, 90.0  # of new and reference, in σ of the new image's sky
DIFFERENCE_RANGE = 9.0  # ± σ
SCORE_RANGE = 8.0  # ± S/N
TINTS = ("#ff5a4d", "#6aa8ff", "#ffd24d", "#7dff8a", "#d9a0ff")


def robust_sigma(values: np.ndarray) -> float:
    """Standard deviation of the bulk of `values` from the median absolute deviation; 1 where that vanishes."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    return float(1.4826 * np.median(np.abs(finite - np.median(finite)))) or 1.0


def grey(values: np.ndarray, low: float, high: float, stretch: str = "linear") -> np.ndarray:
    """8-bit grey, shape of `values`: `low` is black, `high` white; asinh and log brighten what is faint."""
    unit = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    if stretch == "asinh":
        unit = np.arcsinh(30 * unit) / np.arcsinh(30)
    elif stretch == "log":
        unit = np.log1p(1000 * unit) / np.log1p(1000)
    return np.round(255 * unit).astype(np.uint8)


def north_up(array: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """The array as displayed (first row on top), turned by the quarter turn that brings north closest to up, east left.

    `matrix` (2, 2) takes pixel offsets to degrees of ra · cos dec and dec.
    """
    shown = np.flipud(array)
    if matrix is None:
        return shown
    north, east = (np.linalg.solve(matrix, direction) for direction in ((0.0, 1.0), (1.0, 0.0)))
    turns = round((90 - np.degrees(np.arctan2(north[1], north[0]))) / 90) % 4
    shown = np.rot90(shown, turns)
    angle = np.arctan2(east[1], east[0]) + turns * np.pi / 2
    return np.fliplr(shown) if np.cos(angle) > 0 else shown


def pixel_matrix(header: str) -> np.ndarray | None:
    """The linear part (2, 2) of a WCS in FITS cards, one a line; None where it cannot be read."""
    try:
        return WCS(astropy_fits.Header.fromstring(header, sep="\n")).celestial.pixel_scale_matrix
    except (ValueError, astropy_fits.VerifyError):
        return None


def stamp_png(measurement: Measurement, plane: str, noise: float | None = None) -> bytes:
    """A stamp of the measurement at native size, north up; where there is no image it is hatched.

    New and reference share one asinh stretch in units of the new image's noise; the difference is linear. With `noise`
    (μJy) the stretch is in units of that flux instead, the same for every image of a series.
    """
    cutouts = measurement.measurement_set.cutouts
    index = measurement.index_in_sources
    difference = cutouts.sources.image
    values = _one_stamp(cutouts, STAMP_PLANES[plane], index)
    outside = _beyond(cutouts, index, values.shape)
    if plane != "new":
        outside |= beyond_warped(_one_stamp(cutouts, "FLAGS", index))
    zero_point = float(difference.zero_point.at(measurement.x, measurement.y))
    common = noise and noise * 10 ** (0.4 * (zero_point - AB_MICROJANSKY))
    if plane == "difference":
        sigma = common or robust_sigma(values[~outside])
        pixels = grey(values, -DIFFERENCE_RANGE * sigma, DIFFERENCE_RANGE * sigma)
    else:
        sigma = common or difference.background_noise or robust_sigma(_one_stamp(cutouts, "NEW", index))
        pixels = grey(values, BLACK * sigma, WHITE * sigma, "asinh")
    matrix = pixel_matrix(difference.zero_point.world_coordinates.header)
    shown, nothing = north_up(pixels, matrix), north_up(outside, matrix)
    return _png(hatched(shown, nothing))


def place_png(image: Image, x: float, y: float, size: int = 51) -> bytes:
    """A stamp of an image around a pixel, north up, in the stretch of the stamps of measurements."""
    left, low = round(x) - size // 2, round(y) - size // 2
    inside_y, inside_x = slice(max(low, 0), max(low + size, 0)), slice(max(left, 0), max(left + size, 0))
    with astropy_fits.open(image.path(), memmap=False) as file:  # tiles around the place are read, not the whole image
        part = np.array(fits.extension(file, type(image).data.extension).section[inside_y, inside_x], np.float32)
    values = np.full((size, size), np.nan, np.float32)
    values[inside_y.start - low :, inside_x.start - left :][: part.shape[0], : part.shape[1]] = part
    return values_png(values, image)


def values_png(values: np.ndarray, image: Image) -> bytes:
    """`values` (size, size) float32 as a stamp in the stretch of an image, NaN where it ends."""
    seen = values[np.isfinite(values)]
    if image.kind == Image.Kind.DIFFERENCE:
        sigma = image.background_noise or robust_sigma(seen)
        pixels = grey(values, -DIFFERENCE_RANGE * sigma, DIFFERENCE_RANGE * sigma)
    else:
        sigma, sky = sky_noise(image), float(np.median(seen)) if seen.size else 0.0
        pixels = grey(values, sky + BLACK * sigma, sky + WHITE * sigma, "asinh")
    matrix = pixel_matrix(image.wcs)
    shown, nothing = north_up(pixels, matrix), north_up(np.isnan(values), matrix)
    return _png(hatched(shown, nothing))


def hatched(pixels: np.ndarray, nothing: np.ndarray, start: int = 0) -> np.ndarray:
    """8-bit grey with diagonal stripes where there is `nothing`: no stretch of an image looks like them.

    `start` is the sum of x and y of the first pixel, where the pixels are a part of a picture.
    """
    y, x = np.indices(pixels.shape)
    return np.where(nothing, np.where((x + y + start) % 6 < 2, 96, 48).astype(np.uint8), pixels)


def beyond_warped(flags: np.ndarray) -> np.ndarray:
    """Which pixels lie beyond an image that was warped to their grid."""
    return (flags & int(PixelFlag.OUT_OF_BOUNDS)) != 0


def _beyond(cutouts: Cutouts, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of a stamp lie beyond the edges of the CCD."""
    centre = _one_stamp(cutouts, "CENTRES", index)
    y, x = np.indices(shape) + (centre[::-1] - np.array(shape) // 2)[:, None, None]
    image = cutouts.sources.image
    return (x < 0) | (y < 0) | (x >= image.width) | (y >= image.height)


def _one_stamp(cutouts: Cutouts, name: str, index: int) -> np.ndarray:
    with astropy_fits.open(cutouts.path(), memmap=False) as file:  # a section is read alone, without the rest
        return np.array(fits.extension(file, name).section[index])


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def preview_path(image: Image, name: str) -> Path:
    """Where a preview is kept."""
    key = image.pk.hex
    return Path(settings.SEECHANGE_DATA) / "previews" / key[-2:] / f"{key}_{name}_v{VERSION}"


def binned(array: np.ndarray, factor: int, *, largest: bool = False) -> np.ndarray:
    """Means (or largest values) of factor × factor pixels; what is left over at the upper edges is dropped."""
    if factor == 1:
        return array
    ny, nx = (side // factor * factor for side in array.shape)
    blocks = array[:ny, :nx].reshape(ny // factor, factor, nx // factor, factor)
    return blocks.max(axis=(1, 3)) if largest else blocks.mean(axis=(1, 3), dtype=np.float32)


def bin_factor(image: Image) -> int:
    """How many pixels of the image make one of its preview."""
    return max(1, -(-max(image.width, image.height) // LARGEST_SIDE))


def preview(image: Image, plane: str, stretch: str = "asinh") -> Path:
    """A PNG of a whole plane, y up, hatched beyond what was warped to its grid; made at the first request."""
    path = preview_path(image, f"{plane}_{stretch}.png")
    if not path.exists():
        factor = bin_factor(image)
        values = thumbnail(image, plane, factor)
        pixels = grey(values, *limits(image, plane, values, factor, stretch))
        if image.kind in WARPED_KINDS:
            pixels = hatched(pixels, binned(beyond_warped(image.flags), factor) > 0.5)
        with storage.whole_file(path) as partial:
            partial.write_bytes(_png(np.flipud(pixels)))
    return path


def thumbnail(image: Image, plane: str, factor: int) -> np.ndarray:
    """A plane with one value for factor × factor pixels: their mean, or the limit in their middle."""
    if plane != "limit":
        return binned(getattr(image, plane), factor)
    x, y = depth.grid(image, factor)
    return image.limit_at(x[:, : image.width // factor], y[: image.height // factor])


def limits(image: Image, plane: str, values: np.ndarray, factor: int, stretch: str) -> tuple[float, float, str]:
    """Which values of a plane, of which `factor` pixels a side were averaged, are black and white, and the scale."""
    if plane == "score":
        return -SCORE_RANGE / factor, SCORE_RANGE / factor, "linear"
    if plane == "limit":
        seen = values[np.isfinite(values)]
        shallow, deep = np.percentile(seen, (1, 99)) if seen.size else (0.0, 0.0)
        return float(shallow) - 0.05, float(deep) + 0.05, "linear"  # what is unusable is black
    if plane == "coverage":
        return 0.0, float(values.max()) or 1.0, "linear"
    if plane == "weight":
        return 0.0, float(np.percentile(values, 99)) or 1.0, "linear"
    if image.kind == Image.Kind.DIFFERENCE:
        sigma = robust_sigma(values)
        return -DIFFERENCE_RANGE * sigma, DIFFERENCE_RANGE * sigma, "linear"
    sigma, sky = sky_noise(image) / factor, float(np.median(values))
    white = {"asinh": WHITE, "linear": 20.0, "log": 3000.0}[stretch]
    return sky + (BLACK if stretch != "log" else -1.0) * sigma, sky + white * sigma, stretch


def sky_noise(image: Image) -> float:
    """Noise of the new image's sky, electrons: the common unit of the stretch of new and reference."""
    new = image.zero_point.image if image.kind == Image.Kind.WARPED else image
    measured = Background.objects.filter(sources__image=new).values_list("noise", flat=True).first()
    return measured or new.background_noise or robust_sigma(image.data)


def mask_shares(image: Image) -> list[tuple[str, float, str, str]]:
    """(name, part of the pixels, tint, meaning) of every bit that is set somewhere, largest first; counted once."""
    path = preview_path(image, "flags.json")
    if not path.exists():
        flags = image.flags
        counts = (
            {} if flags is None else {bit.name.lower(): float(np.mean((flags & bit.value) != 0)) for bit in PixelFlag}
        )
        with storage.whole_file(path) as partial:
            partial.write_text(json.dumps({name: share for name, share in counts.items() if share}))
    shares = sorted(json.loads(path.read_text()).items(), key=lambda pair: -pair[1])
    tints = itertools.chain(TINTS, itertools.repeat(TINTS[-1]))
    return [(name, share, tint, DESCRIPTIONS[PixelFlag[name.upper()]]) for (name, share), tint in zip(shares, tints)]


def mask_preview(image: Image, name: str) -> Path:
    """A PNG that tints the pixels with one bit and is transparent elsewhere, y up; KeyError for an unknown bit."""
    bit = PixelFlag[name.upper()]
    tint = next((found for known, _, found, _ in mask_shares(image) if known == name), TINTS[-1])
    path = preview_path(image, f"mask_{bit.name.lower()}_{tint[1:]}.png")
    if not path.exists():
        chosen = binned((image.flags & bit.value) != 0, bin_factor(image), largest=True)
        picture = Picture.fromarray(np.ascontiguousarray(np.flipud(chosen)).astype(np.uint8))
        picture.putpalette([0, 0, 0, *bytes.fromhex(tint[1:])])
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", transparency=bytes([0, 140]))
        with storage.whole_file(path) as partial:
            partial.write_bytes(buffer.getvalue())
    return path
