"""Calibrators from outside: kept once, registered for their dates, refused where they make no sense."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from django.core.management import CommandError, call_command

from processing.instruments import decam_calibrators
from processing.providers import calibrator
from products.models import BadPixelMask, CalibratorFile, DataFile, FringePattern, Image, MasterFlat
from products.pixel_flags import PixelFlag
from tests import factories

pytestmark = pytest.mark.django_db
SHAPE = (64, 32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(decam_calibrators, "SHAPE", SHAPE)


def frames(path, *values, **pixels):
    """A file with an extension a CCD (N1, N2, …) around each of the values."""
    rng = np.random.default_rng(3)
    hdus = [fits.PrimaryHDU()]
    for k, value in enumerate(values, 1):
        data = (value * (1 + 0.01 * rng.standard_normal(SHAPE))).astype(pixels.get("dtype", np.float32))
        hdus.append(fits.ImageHDU(data, name=f"N{k}"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def run(path, kind, *options):
    call_command("import_calibrators", str(path), "--instrument", "decam", "--kind", kind, *options)


def flat(path, *options):
    run(path, "flat", "--flat-type", "dome", "--filter", "g", *options)


def test_flats_are_kept_as_they_are_for_their_dates(tmp_path, capsys):
    path = frames(tmp_path / "flats.fits", 0.9, 1.1)
    flat(path, "--valid-from", "2014-02-09", "--valid-to", "2023-02-24")
    rows = CalibratorFile.objects.order_by("section")
    assert [(row.section, row.filter, row.flat_type, row.calibrator_set) for row in rows] == [
        ("N1", "g", "dome", "supplied"), ("N2", "g", "dome", "supplied"),
    ]  # fmt: skip
    assert {(row.valid_from, row.valid_to) for row in rows} == {(56697.0, 60000.0)}
    image = MasterFlat.objects.get(section="N1")
    with fits.open(path) as hdus:
        np.testing.assert_allclose(image.data, hdus["N1"].data, rtol=1e-3)
    assert image.provenance.process == "import_calibrators" and image.mjd == 56697.0
    assert "2 CCDs have flat in the set supplied" in capsys.readouterr().out
    exposure = factories.exposure(instrument="decam", filter="g", mjd=58000.0)
    assert calibrator("flat", exposure, "N1", "supplied").image_id == image.pk


def test_the_same_files_again_make_nothing_twice(tmp_path):
    path = frames(tmp_path / "flats.fits", 0.9, 1.1)
    flat(path)
    flat(path)
    assert (CalibratorFile.objects.count(), Image.objects.count()) == (2, 2)
    with pytest.raises(CommandError, match="N1 is registered with another valid from; change that in the admin"):
        flat(path, "--valid-from", "57000")
    with pytest.raises(CommandError, match="another flat type"):
        run(path, "flat", "--flat-type", "sky", "--filter", "g")
    flat(path, "--calibrator-set", "general")
    assert (CalibratorFile.objects.count(), Image.objects.count()) == (4, 2)


def test_newer_ones_take_the_place_of_older_ones_when_asked(tmp_path):
    flat(frames(tmp_path / "old.fits", 0.9))
    flat(frames(tmp_path / "new.fits", 1.1), "--valid-from", "2014-02-09")
    assert not CalibratorFile.objects.exclude(superseded_by=None).exists()
    flat(frames(tmp_path / "newest.fits", 1.2), "--supersede")
    newest = CalibratorFile.objects.latest("created_at")
    assert CalibratorFile.objects.filter(superseded_by=newest).count() == 2
    assert newest.quality["median"] == pytest.approx(1.2, rel=0.002) and newest.quality["flagged_percent"] == 0
    assert newest.quality["scatter"] == pytest.approx(0.012, rel=0.1)


def test_flats_in_other_units_are_normalised_over_the_focal_plane_when_asked(tmp_path):
    path = frames(tmp_path / "flats.fits", 18_000, 20_000, 24_000)
    with pytest.raises(CommandError, match=r"median is [12]\d{4}.*--normalise"):
        flat(path)
    assert not Image.objects.exists()
    flat(path, "--normalise")
    medians = [np.median(MasterFlat.objects.get(section=f"N{k}").data) for k in (1, 2, 3)]
    np.testing.assert_allclose(medians, [0.9, 1.0, 1.2], rtol=0.01)


def test_an_illumination_correction_has_median_1(tmp_path):
    run(frames(tmp_path / "x.fits", 1.04, 1.05, 1.06), "illumination", "--filter", "r")
    assert np.median(Image.objects.get(section="N2").data) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(
    ("kind", "values", "options", "said"),
    [
        ("flat", [1.0], ["--filter", "g"], "--flat-type dome"), ("flat", [1.0], ["--flat-type", "dome"], "--filter NAME"),
        ("bias", [0.0], ["--flat-type", "dome"], "it has no light"), ("bias", [30_000.0], [], "median is 3"),
        ("fringe", [1.0], ["--filter", "z"], "median is 1"), ("fringe", [0.0], ["--normalise", "--filter", "z"], "normalised"),
        ("fringe", [0.0], ["--filter", "Halpha"], "u, g, r, i, z"), ("dark", [5e5], [], "median is 5"),
        ("flat", [-1.0], ["--flat-type", "sky", "--filter", "g", "--normalise"], "above 0"),
        ("bias", [0.0], ["--sections", "S5"], "nothing of the CCDs"), ("bias", [0.0], ["--valid-from", "59000", "--valid-to", "58000"], "before"),
        ("linearity", [1.0], [], "no table"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_kept(tmp_path, kind, values, options, said):
    with pytest.raises(CommandError, match=said):
        run(frames(tmp_path / "x.fits", *values), kind, *options)
    assert not CalibratorFile.objects.exists() and not Image.objects.exists() and not DataFile.objects.exists()


def test_one_bad_frame_among_good_ones_keeps_all_of_them_out(tmp_path):
    good = frames(tmp_path / "good.fits", 1.0)
    fits.PrimaryHDU(np.full(SHAPE, np.nan, np.float32)).writeto(tmp_path / "flat_33.fits")
    with pytest.raises(CommandError, match=r"flat_33.fits \[N2\].*100% of its pixels"):
        call_command(
            "import_calibrators", str(good), str(tmp_path / "flat_33.fits"), "--instrument", "decam", "--kind", "flat",
            "--flat-type", "dome", "--filter", "g",
        )  # fmt: skip
    with pytest.raises(CommandError, match=r"N1 is in .*good\.fits too"):
        call_command("import_calibrators", str(good), str(good), "--instrument", "decam", "--kind", "bias")
    assert not CalibratorFile.objects.exists() and not Image.objects.exists()


def test_pixels_that_are_no_number_become_flags(tmp_path):
    path = frames(tmp_path / "x.fits", 1.0)
    with fits.open(path, mode="update") as hdus:
        hdus["N1"].data[3, 4] = np.nan
    flat(path)
    image = MasterFlat.objects.get()
    assert (
        image.flags[3, 4] == PixelFlag.BAD
        and image.data[3, 4] == pytest.approx(1, abs=0.002)
        and image.weight[3, 4] == 0
    )


def test_masks_and_patterns_are_images_of_their_kind(tmp_path):
    mask = np.zeros(SHAPE, np.int16)
    mask[5, 6] = 2
    fits.PrimaryHDU(mask).writeto(tmp_path / "DECam_Master_cd_40.fits")
    run(tmp_path / "DECam_Master_cd_40.fits", "bad_pixels")
    row = CalibratorFile.objects.get()
    assert (row.section, row.filter, row.kind) == ("N9", "", "bad_pixels")
    image = BadPixelMask.objects.get()
    assert image.flags[5, 6] == PixelFlag.BAD and image.flags.astype(bool).sum() == 1
    run(frames(tmp_path / "fringe.fits", 0.0), "fringe", "--filter", "z")
    assert FringePattern.objects.get().filter == "z"
    fits.PrimaryHDU(np.ones(SHAPE, np.int16)).writeto(tmp_path / "bpm_41.fits")
    with pytest.raises(CommandError, match="100% of the pixels would be bad"):
        run(tmp_path / "bpm_41.fits", "bad_pixels")


def test_tables_are_kept_with_the_columns_that_preprocessing_reads(tmp_path):
    (tmp_path / "xtalk.txt").write_text("ccd32A ccd32B 1.5e-4\nccd33B ccd32A 2e-5\n")
    run(tmp_path / "xtalk.txt", "crosstalk", "--valid-from", "2013-06-06")
    run(tmp_path / "xtalk.txt", "crosstalk", "--valid-from", "2013-06-06")
    rows = CalibratorFile.objects.order_by("section")
    assert [(row.section, row.kind, row.image_id) for row in rows] == [
        ("N1", "crosstalk", None),
        ("N2", "crosstalk", None),
    ]
    table = DataFile.objects.get(pk=rows[0].data_file_id).table
    assert table["source_section"].tolist() == ["N1"] and table["coefficient"].tolist() == [1.5e-4]
    curve = np.arange(0.0, 60_000, 100)
    columns = [fits.Column(name, "E", array=curve) for name in ("ADU", "ADU_LINEAR_A", "ADU_LINEAR_B")]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "lin.fits")
    run(tmp_path / "lin.fits", "linearity")
    table = CalibratorFile.objects.get(kind="linearity").data_file.table
    assert table["amplifier"].tolist() == ["A", "A", "B", "B"] and table["linear_adu"].max() == curve.max()


def test_frames_of_other_cameras_go_by_their_extension_names(tmp_path):
    path = frames(tmp_path / "x.fits", 0.0, 0.0)
    call_command("import_calibrators", str(path), "--instrument", "demo", "--kind", "bias")
    assert sorted(CalibratorFile.objects.values_list("instrument", "section")) == [("demo", "N1"), ("demo", "N2")]
    with pytest.raises(CommandError, match="only images are"):
        call_command("import_calibrators", str(path), "--instrument", "demo", "--kind", "linearity")
