"""References by command: explained, shared, superseded, and from the deep image of another camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from django.core.management.base import CommandError

from processing.algorithms.resampling import pixel_map, warp, warp_valid, warp_variance
from processing.simulated_night import FIRST_MJD
from products.models import DifferenceImage, Exposure, Image, Reference, Report, WarpedImage
from products.selectors.references import left_out
from products.sky import between
from tests.night.same import counts

pytestmark = pytest.mark.night


def late() -> Exposure:
    return Exposure.objects.get(name__contains="late-1")


def cut_to(row: Reference, start: float, end: float) -> None:
    """Let a reference say that it covers a part of its width only."""
    a, b, c, d = (tuple(corner) for corner in row.corners)
    low, high = (between(a, b, start), between(a, b, end)), (between(d, c, end), between(d, c, start))
    row.set_footprint(np.array([*low, *high])).save()


def test_a_reference_says_which_images_were_left_out_and_why(night, command):
    said = command("make_reference", instrument="demo", filter="r", refset="sharp", max_number=1, sections="N1")
    assert "left out: 1 images: the 1 sharpest of its CCD and field are used" in said
    row = Reference.objects.get(provenance__refsets__name="sharp")
    why = [(one["section"], one["reason"]) for one in left_out(row.image.pk, row.image.quality)]
    assert ("N1", "the 1 sharpest of its CCD and field are used") in why
    proper = {"refset": "proper", "assignments": ["coaddition.stack.method=proper"]}
    command("make_reference", instrument="demo", filter="r", sections="N1", **proper)
    assert Reference.objects.get(provenance__refsets__name="proper").zero_point.limiting_magnitude == pytest.approx(
        Reference.objects.get(provenance__refsets__name="default", section="N1").zero_point.limiting_magnitude, abs=0.1
    )
    before = counts()
    said = command("make_reference", instrument="demo", filter="r", max_number=1, sections="N1", explain=True)
    assert said.count("left out: ") == 3 and said.count("used for N1") == 1 and counts() == before
    name = late().name
    with pytest.raises(CommandError, match=f"{name} has no image yet"):
        command("make_reference", instrument="demo", filter="r", covering=name)
    early = Exposure.objects.filter(name__contains="early").first()
    said = command("make_reference", instrument="demo", filter="r", covering=f"{early.name}:N2", explain=True)
    assert said.count("used for N2") == 2


def test_two_references_share_an_image_down_to_its_fakes(night, command):
    command("make_reference", instrument="demo", filter="r", max_number=1, sections="N1")
    left, right = Reference.objects.filter(section="N1").order_by("created_at")
    cut_to(left, 0.0, 0.62)
    cut_to(right, 0.38, 1.0)
    command("process_exposure", late().name, numprocs=0, sections="N1")
    difference = DifferenceImage.objects.get(exposure=late(), section="N1")
    warped = WarpedImage.objects.get(exposure=late(), section="N1")
    assert difference.reference in (left, right)
    assert set(warped.components.all()) == {left.zero_point, right.zero_point}
    assert difference.score_std == pytest.approx(1, abs=0.1)
    command("inject_fakes", late().name, section=["N1"])
    assert not Report.objects.filter(exposure=late()).exclude(error_type="").exists()
    before = counts()
    command("process_exposure", late().name, numprocs=0, sections="N1")
    assert counts() == before


def test_a_deeper_reference_supersedes_the_older_one_and_what_used_that_stays(night, command):
    command("make_reference", instrument="demo", filter="r", max_number=1, sections="N1", refset="growing")
    command("process_exposure", late().name, numprocs=0, sections="N1", refset="growing", through_step="subtraction")
    old = DifferenceImage.objects.get()
    choice = {"instrument": "demo", "filter": "r", "sections": "N1", "mjd_max": FIRST_MJD}
    said = command("make_reference", refset="growing", supersede=True, **choice)
    assert f"superseded: reference demo r N1 of {old.reference.created_at:%Y-%m-%d} ({old.reference.pk})" in said
    again = DifferenceImage.objects.get()
    assert again.badness == 0 and again.reference == old.reference
    command("process_exposure", late().name, numprocs=0, sections="N1", refset="growing", through_step="subtraction")
    assert DifferenceImage.objects.count() == 2
    newest = DifferenceImage.objects.order_by("-created_at").first()
    assert newest.reference.image.exposure_time > old.reference.image.exposure_time


def test_a_sky_subtracted_image_without_weights_is_refused_and_says_what_to_do(foreign, command):
    foreign.with_name("deep.weight.fits").unlink()
    with pytest.raises(CommandError, match="its sky was subtracted; put a weight image beside it"):
        command("import_reference", foreign, refset="deep", assignments=["instrument.filter=r"])
    assert not Reference.objects.filter(provenance__refsets__name="deep").exists()


@pytest.fixture
def foreign(night, tmp_path: Path) -> Path:
    """The stack of N1 as the file of another camera: smaller pixels, turned, mirrored, in ADU, its filter called R."""
    row = Reference.objects.get(section="N1")
    image, wcs = row.image, row.zero_point.world_coordinates.wcs
    middle = wcs.all_pix2world((image.width - 1) / 2, (image.height - 1) / 2, 0)
    side, turn, scale, gain = int(1.35 * image.width), np.radians(20), 0.8 * image.pixel_scale / 3600, 2.5
    other = WCS(naxis=2)
    other.wcs.ctype, other.wcs.crval = ["RA---TAN", "DEC--TAN"], [float(value) for value in middle]
    other.wcs.crpix = [(side + 1) / 2, (side + 1) / 2]
    other.wcs.cd = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    mapping = pixel_map(other, (side, side), wcs, image.shape)
    usable = warp_valid(mapping, (side, side), margin=3)
    variance = warp_variance(np.where(image.weight > 0, 1 / np.maximum(image.weight, 1e-9), 0), mapping, (side, side))
    path, header = tmp_path / "deep.fits", other.to_header()
    header.update({"FILTER": "R", "EXPTIME": 600.0, "GAIN": gain, "MJD-OBS": image.mjd, "SATURATE": 40_000.0})
    fits.writeto(path, np.where(usable, warp(image.data, mapping, (side, side)) / gain, np.nan), header)
    weight = np.where(usable & (variance > 0), gain**2 / np.maximum(variance, 1e-9), 0).astype(np.float32)
    fits.writeto(tmp_path / "deep.weight.fits", weight, other.to_header())
    return path


def test_the_deep_image_of_another_camera_becomes_a_reference(foreign, command):
    with pytest.raises(CommandError, match="no magnitudes in filter 'R'"):
        command("import_reference", foreign, refset="deep")
    renamed = foreign.rename(foreign.with_name("deeper.fits"))
    foreign.with_name("deep.weight.fits").rename(foreign.with_name("deeper.weight.fits"))
    said = command(
        "import_reference", renamed, refset="deep", assignments=["instrument.filter=r"], as_filter="r",
    )  # fmt: skip
    assert (
        "calibrated under the tag 'current-generic'" in said
        and "limit " in said
        and "it serves images of generic; others with" in said
    )
    row = Reference.objects.get(provenance__refsets__name="deep")
    assert row.instrument == "generic" and row.image.pixel_scale == pytest.approx(
        0.8 * Reference.objects.exclude(pk=row.pk).first().image.pixel_scale, rel=0.01
    )
    with pytest.raises(CommandError, match="did not finish"):
        command("subtract", late().name, section=["N1"], refset="deep")
    assert "there are some of generic" in Report.objects.latest("started_at").error_message
    settings = ["referencing.same_instrument=false"]
    command("process_exposure", late().name, numprocs=0, sections="N1", refset="deep", assignments=settings)
    difference = DifferenceImage.objects.get(exposure=late())
    assert difference.reference == row
    assert difference.score_std == pytest.approx(1, abs=0.15)
    assert Image.objects.filter(exposure=late(), kind="warped").count() == 1
