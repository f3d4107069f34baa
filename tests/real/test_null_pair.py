"""Two frames of one galaxy, a minute apart: nothing changed, and little more is found than noise makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.cosmic_rays import find_cosmic_rays
from processing.algorithms.statistics import mad_std
from processing.catalogs.base import star_table
from processing.instruments.demo import Demo
from processing.pipelines import AstroCal, Cutting, Detection, Extraction, Measuring, PhotoCal, Subtraction
from processing.providers import ReferenceProducts, StarCatalog
from products.models import Exposure, Reference, ScienceImage
from products.pixel_flags import PixelFlag

pytestmark = pytest.mark.real
FRAMES = "aligned_eso085-030-004.fit", "aligned_eso085-030-005.fit"
MJD, SCALE, SHAPE = 57383.27, 0.75, (682, 1024)  # arcsec per px
GAIN = 1.29  # electrons per count, of the scatter of the sky; the frames do not say it
FULL = 60_000  # counts
POSSIBLE = 4  # more come of 0.5 expected ones in one of 6,000 pairs


def header() -> fits.Header:
    """An invented place on the sky: the frames have none."""
    found = fits.Header()
    for axis, kind, value, step in ((1, "RA---TAN", 150.0, -SCALE), (2, "DEC--TAN", -30.0, SCALE)):
        found[f"CTYPE{axis}"], found[f"CRVAL{axis}"], found[f"CUNIT{axis}"] = kind, value, "deg"
        found[f"CRPIX{axis}"], found[f"CD{axis}_{axis}"] = SHAPE[2 - axis] / 2, step / 3600
    return found


def image_of(path: Path, number: int) -> ScienceImage:
    """A frame as preprocessing leaves it; the three outermost pixels were made when the frames were aligned."""
    data = fits.getdata(path).astype(np.float32) * np.float32(GAIN)
    light = data - np.median(data)
    noise = mad_std(data[:, 2:] - data[:, :-2]) / np.sqrt(2)
    weight = (1 / (noise**2 + np.maximum(light, 0))).astype(np.float32)
    flags = np.full(data.shape, int(PixelFlag.BAD), np.uint16)
    flags[3:-3, 3:-3] = 0
    flags[data > FULL * GAIN] |= np.uint16(PixelFlag.SATURATED)
    weight[flags != 0] = 0
    hits = find_cosmic_rays(light, weight, 2.7)
    flags[hits] |= np.uint16(PixelFlag.COSMIC_RAY)
    weight[hits] = 0
    mjd = MJD + number / 1000
    exposure = Exposure(name=path.stem, instrument="demo", mjd=mjd, exposure_time=60.0, filter="r")
    return ScienceImage(
        data=data, weight=weight, flags=flags, exposure=exposure, section="1", width=SHAPE[1], height=SHAPE[0],
        wcs=header().tostring(sep="\n"), pixel_scale=SCALE, saturation=FULL * GAIN, filter="r", instrument="demo",
        mjd=mjd, exposure_time=60.0, mjd_end=mjd + 60 / 86400,
    )  # fmt: skip


def catalog_of(table: np.ndarray) -> StarCatalog:
    """The stars of one frame as a catalogue, for the other."""
    good = (table["snr"] > 20) & ~table["is_masked"] & ~table["is_saturated"]
    ra, dec = WCS(header()).all_pix2world(table["x"][good], table["y"][good], 0)
    mag = 25 - 2.5 * np.log10(np.maximum(table["flux_psf"][good], 1))
    colours = {"g": 0.5, "r": 0.0, "i": -0.2}
    columns = {"ra": ra, "dec": dec} | {f"mag_{band}": mag + colour for band, colour in colours.items()}
    stars = star_table(columns | {f"err_{band}": np.full(len(mag), 0.01) for band in colours})
    found = np.zeros(len(stars), [*stars.dtype.descr, ("position_error", "f4")])
    for name in stars.dtype.names:
        found[name] = stars[name]
    found["position_error"] = 20.0  # mas
    return StarCatalog(found[np.argsort(found["dec"])], "the other frame")


def calibrated(image: ScienceImage, catalog: StarCatalog | None) -> tuple[dict, StarCatalog]:
    """Products of the image by name, and the catalogue that was used: its own where none is given."""
    found = dict(zip(("sources", "psf", "background"), Extraction(injected=0).run(image=image)), image=image)
    catalog = catalog or catalog_of(found["sources"].table)
    for step, name in ((AstroCal(), "world_coordinates"), (PhotoCal(), "zero_point")):
        given = {"catalog": catalog, "instrument": Demo(), **found}
        found[name] = step.run(**{key: given[key] for key in step.inputs()})
    return found, catalog


@pytest.fixture(scope="module")
def frames(real_data):
    images = [image_of(real_data / "null_pair_eso085" / name, number) for number, name in enumerate(FRAMES)]
    first, catalog = calibrated(images[0], None)
    return first, calibrated(images[1], catalog)[0]


@pytest.mark.parametrize("method", ["zogy", "alard_lupton", "sfft"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["later minus earlier", "earlier minus later"])
def test_little_more_is_found_than_noise_makes(frames, method, order):
    new, reference = frames[order[1]], frames[order[0]]
    made_of = ReferenceProducts(**reference)
    step = Subtraction(method=method, fallbacks=())
    warped, difference = step.run(**new, reference=Reference(zero_point=made_of.zero_point), made_of=made_of)
    assert difference.score_std == pytest.approx(1, abs=0.03) and abs(difference.score_mean) < 0.03
    sources = Detection().run(image=difference, **{name: new[name] for name in ("world_coordinates", "zero_point")})
    expected = sources.quality["expected_of_noise"]
    assert 0.3 < expected < 0.6
    given = {name: new[name] for name in ("image", "background")}
    given |= {"difference": difference, "warped": warped, "sources": sources}
    cutouts = Cutting().run(**given)
    given |= {name: new[name] for name in ("world_coordinates", "zero_point", "psf")}
    measured = Measuring().run(cutouts=cutouts, **given)
    kept = [row for row in measured.rows if not row.is_bad]
    print(f"{method}: {len(sources.table)} found, {expected:.2f} expected of noise, {len(kept)} pass the cuts")
    assert len(kept) <= len(sources.table) <= POSSIBLE
