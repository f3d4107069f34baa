"""Several references for one image, and references from another camera."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.psf_model import PSFModel
from processing.algorithms.resampling import pixel_map, warp, warp_flags, warp_valid, warp_variance
from processing.algorithms.wcs_fit import footprint
from processing.errors import NoOverlap
from processing.pipelines import Subtraction
from processing.providers import ReferenceProducts
from processing.steps.reference_mosaic import PiecewisePSF, mosaic
from products.models import CoaddImage
from products.pixel_flags import PixelFlag


def part_of(
    made_of: ReferenceProducts, columns: slice, zero_point: float = 0.0, slope: float = 0.0
) -> ReferenceProducts:
    """The same reference with usable pixels in some columns only, in units `zero_point` mag fainter.

    From the left to the right the units change by another 2 `slope` mag.
    """
    image, zp = copy.copy(made_of.image), copy.copy(made_of.zero_point)
    image.__dict__["_planes"] = {}
    background = copy.copy(made_of.background)
    background.__dict__["_planes"] = {}
    width = made_of.image.width
    across = np.linspace(-1, 1, width)
    scale = np.float32(10 ** (0.4 * (zero_point + slope * across)))
    keep = np.zeros(made_of.image.shape, bool)
    keep[:, columns] = True
    image.data, image.weight = made_of.image.data * scale, np.where(keep, made_of.image.weight, 0) / scale**2
    image.flags = np.where(keep, made_of.image.flags, int(PixelFlag.OUT_OF_BOUNDS)).astype(np.uint16)
    background.level, background.rms = made_of.background.level * scale, made_of.background.rms * scale
    background.noise = made_of.background.noise * 10 ** (0.4 * zero_point)
    zp.zp = made_of.zero_point.zp + zero_point
    if slope:
        zp.surface = {"shape": list(made_of.image.shape), "coefficients": [[0.0], [slope]]}
    sources = copy.copy(made_of.sources)
    sources.__dict__["_planes"] = {}
    table = made_of.sources.table.copy()
    for name in ("flux_psf", "flux_psf_err"):
        table[name] *= np.interp(table["x"], np.arange(width), scale)
    sources.table = table
    return replace(made_of, image=image, background=background, zero_point=zp, sources=sources)


@pytest.fixture(scope="module")
def halves(ccd) -> ReferenceProducts:
    """A reference of the left part, and with it one of the right part in other units; some columns are in both."""
    middle = ccd.made_of.image.width // 2
    left, right = (
        part_of(ccd.made_of, slice(0, middle + 20)),
        part_of(ccd.made_of, slice(middle - 20, None), zero_point=0.7, slope=0.1),
    )
    return replace(left, others=(right,))


def test_two_halves_are_subtracted_as_the_whole(ccd, halves):
    given = {**ccd.new, "reference": ccd.reference}
    _, whole = Subtraction().run(**given, made_of=ccd.made_of)
    warped, shared = Subtraction().run(**given, made_of=halves)
    both = (whole.weight > 0) & (shared.weight > 0)
    assert both.sum() > 0.95 * np.sum(whole.weight > 0)
    off = (whole.score - shared.score)[both]
    # Every pixel is resampled twice, the second time on its own grid; a seam that showed would be a column of sigmas.
    assert np.std(off) < 0.05 and np.abs(np.mean(off)) < 0.01
    middle = np.s_[:, ccd.new["image"].width // 2 - 30 : ccd.new["image"].width // 2 + 30]
    assert np.std((whole.score - shared.score)[middle][both[middle]]) < 0.1
    assert shared.score_std == pytest.approx(whole.score_std, abs=0.01)
    assert warped.related == {"components": [halves.zero_point.pk, halves.others[0].zero_point.pk]}
    assert whole.quality["flux_ratio"] == pytest.approx(shared.quality["flux_ratio"], abs=2e-3)


def test_a_reference_of_which_the_zero_point_varies_is_subtracted_as_an_even_one(ccd):
    given = {**ccd.new, "reference": ccd.reference}
    even, uneven = (
        Subtraction().run(**given, made_of=one)
        for one in (ccd.made_of, part_of(ccd.made_of, slice(None), zero_point=-0.3, slope=0.1))
    )
    good = (even[0].weight > 0) & (uneven[0].weight > 0)
    assert good.sum() > 0.99 * np.sum(even[0].weight > 0)
    off = (uneven[0].data - even[0].data)[good] * np.sqrt(even[0].weight[good])
    assert np.abs(off).max() < 0.1
    assert np.std((uneven[1].score - even[1].score)[good]) < 0.02
    assert uneven[1].quality["flux_ratio"] == pytest.approx(even[1].quality["flux_ratio"], abs=2e-3)


def test_one_half_alone_is_too_little(ccd, halves):
    given = {**ccd.new, "reference": ccd.reference}
    with pytest.raises(NoOverlap, match="60% needed"):
        Subtraction(min_overlap=0.6).run(**given, made_of=replace(halves, others=()))


def test_a_mosaic_takes_each_pixel_and_its_psf_and_noise_from_one_reference(ccd, halves):
    new, (right,) = ccd.new, halves.others
    broad = copy.copy(right.psf)
    noisy = copy.copy(right.background)
    noisy.__dict__["_planes"] = {"rms": right.background.rms * 3, "level": right.background.level}
    other = replace(right, background=noisy, psf=broad)
    made = mosaic((halves, other), new["image"], new["world_coordinates"], new["zero_point"])
    ny, nx = new["image"].shape
    scale = 10 ** (0.4 * (new["zero_point"].zp - halves.zero_point.zp))
    assert np.median(made.rms[:, 60 : nx // 2 - 60]) == pytest.approx(halves.background.noise * scale, rel=0.05)
    assert np.median(made.rms[:, nx // 2 + 60 : nx - 60]) == pytest.approx(
        3 * halves.background.noise * scale, rel=0.05
    )
    table = made.sources.table
    assert 0.9 * len(halves.sources.table) <= len(table) <= 1.1 * len(halves.sources.table)
    psf = made.psf_model()
    assert psf.stamp(10, ny // 2).sum() == pytest.approx(1, abs=1e-5)
    assert isinstance(psf, PiecewisePSF) and set(np.unique(psf.origin)) == {-1, 0, 1}


def test_nothing_usable_in_any_reference_is_no_overlap(ccd):
    none = part_of(ccd.made_of, slice(0, 0))
    with pytest.raises(NoOverlap):
        Subtraction().run(**ccd.new, reference=ccd.reference, made_of=replace(none, others=(none,)))


@pytest.fixture(scope="module")
def foreign(ccd) -> ReferenceProducts:
    """The reference as another camera would have taken it: smaller pixels, turned, mirrored; calibrated for itself."""
    image, wcs = ccd.coadd, ccd.made_of.world_coordinates.wcs
    middle = wcs.all_pix2world((image.width - 1) / 2, (image.height - 1) / 2, 0)
    shape, turn, scale = (640, 660), np.radians(25), 0.85 * image.pixel_scale / 3600
    other = WCS(naxis=2)
    other.wcs.ctype, other.wcs.crval = ["RA---TAN", "DEC--TAN"], [float(value) for value in middle]
    other.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    other.wcs.cd = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    mapping = pixel_map(other, shape, wcs, image.shape)
    flags = warp_flags(image.flags, mapping, shape)
    flags[~warp_valid(mapping, shape)] |= np.uint16(PixelFlag.OUT_OF_BOUNDS)
    variance = warp_variance(np.where(image.weight > 0, 1 / np.maximum(image.weight, 1e-12), 0), mapping, shape)
    usable = ((flags & int(PixelFlag.UNUSABLE)) == 0) & (variance > 0)
    row = CoaddImage(
        data=warp(image.data, mapping, shape), weight=np.where(usable, 1 / np.maximum(variance, 1e-12), 0),
        flags=flags, width=shape[1], height=shape[0], wcs=other.to_header().tostring(sep="\n"),
        pixel_scale=scale * 3600, instrument="demo", filter=image.filter, mjd=image.mjd, mjd_end=image.mjd_end,
        exposure_time=image.exposure_time, saturation=image.saturation,
    )  # fmt: skip
    row.weight = row.weight.astype(np.float32)
    return ReferenceProducts(**ccd.calibrated(row.set_footprint(footprint(other, shape))))


def test_a_reference_of_another_camera_finds_the_same_changes(ccd, foreign):
    given = {**ccd.new, "reference": ccd.reference}
    (_, ours), (_, theirs) = (Subtraction().run(**given, made_of=one) for one in (ccd.made_of, foreign))
    both = (ours.weight > 0) & (theirs.weight > 0)
    assert both.mean() > 0.6
    assert np.corrcoef(ours.score[both], theirs.score[both])[0, 1] > 0.9
    changed = ccd.truth[(ccd.truth["kind"] == "transient") & (ccd.truth["flux"] > 3000)]
    places = np.rint(np.c_[changed["y"], changed["x"]]).astype(int)
    inside = [(y, x) for y, x in places if 20 < y < 490 and 20 < x < 490 and both[y, x]]
    assert inside
    for y, x in inside:
        box = slice(y - 2, y + 3), slice(x - 2, x + 3)
        assert theirs.score[box].max() > 0.8 * ours.score[box].max() > 5
    assert foreign.psf.fwhm_pixels == pytest.approx(ccd.made_of.psf.fwhm_pixels / 0.85, rel=0.06)
    assert isinstance(foreign.psf_model(), PSFModel)
