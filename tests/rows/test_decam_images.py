"""From DECam files and calibrators from outside to images in electrons."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from django.core.management import call_command

from processing.exposures import RunSettings, ingest, process_section, sections_of
from processing.instruments import decam_calibrators
from processing.instruments.base import Instrument
from products.models import CalibratorFile, Report, ScienceImage
from products.pixel_flags import PixelFlag
from tests.instruments.decam_files import filled, instcal_files, raw_ccd, raw_file

pytestmark = pytest.mark.django_db
SHAPE = (128, 96)
SKY = {"A": 500.0, "B": 520.0}  # ADU that the amplifiers show of the same light
GAIN = {"A": 4.59347726229, "B": 4.4014084507}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(decam_calibrators, "SHAPE", SHAPE)


def settings_of(*corrections, **preprocessing):
    parameters = {"corrections": list(corrections) or None, "calibrator_set": "supplied", **preprocessing}
    return RunSettings(configuration={"preprocessing": parameters}, through="preprocessing")


def sky_file(path):
    """A raw exposure of even sky on N1 (amplifier A on the left) and S1 (on the right), with bias levels of their own."""
    path = raw_file(path, names=())
    rng = np.random.default_rng(5)
    hdus = [fits.PrimaryHDU(header=fits.getheader(path))]
    half = SHAPE[1] // 2
    for name, sides in (("N1", "AB"), ("S1", "BA")):
        raw = np.zeros((SHAPE[0] + 50, SHAPE[1] + 112))
        for side, columns in zip(sides, (slice(0, 56 + half), slice(56 + half, None))):
            raw[:, columns] = 1500 if side == "A" else 2100
            raw[:, columns] += 7 / GAIN[side] * rng.standard_normal(raw[:, columns].shape)
        top = 50 if name == "S1" else 0
        for side, left in zip(sides, (56, 56 + half)):
            light = rng.poisson(SKY[side] * GAIN[side], (SHAPE[0], half)) / GAIN[side]
            raw[top : top + SHAPE[0], left : left + half] += light
        hdus.append(raw_ccd(name, np.round(raw).astype(np.uint16)))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def image_of(exposure, section, settings):
    report = process_section(exposure, section, settings)
    assert report.state == Report.State.DONE, report.error_message
    return ScienceImage.objects.get(exposure=exposure, section=section)


def test_a_raw_exposure_becomes_flat_images_with_calibrators_from_outside(tmp_path):
    exposure = ingest(sky_file(tmp_path / "raw.fits"), Instrument.member("decam")())
    half = SHAPE[1] // 2
    flats = [fits.PrimaryHDU()]
    for name, sides in (("N1", "AB"), ("S1", "BA")):
        # The response of the pixels in ADU, so that electrons of both halves need another factor than the gain.
        flat = np.ones(SHAPE, np.float32)
        flat[:, :half], flat[:, half:] = (SKY[side] * GAIN[side] / 2300 for side in sides)
        flats.append(fits.ImageHDU(flat, name=name))
    fits.HDUList(flats).writeto(tmp_path / "flats.fits")
    mask = np.zeros(SHAPE, np.int16)
    mask[:, 7] = 1
    fits.HDUList(
        [fits.PrimaryHDU(), *(fits.ImageHDU(mask, filled({"CCDNUM": n}), name=name) for n, name in ((32, "N1"), (25, "S1")))]
    ).writeto(tmp_path / "bpm.fits")  # fmt: skip
    common = ("--instrument", "decam")
    call_command(
        "import_calibrators", str(tmp_path / "flats.fits"), *common, "--kind", "flat", "--flat-type", "dome", "--filter", "g"
    )  # fmt: skip
    call_command("import_calibrators", str(tmp_path / "bpm.fits"), *common, "--kind", "bad_pixels")
    assert sections_of(exposure) == ["N1", "S1"]
    for section in ("N1", "S1"):
        image = image_of(exposure, section, settings_of("overscan", "flat", "bad_pixels"))
        assert image.shape == SHAPE and image.filter == "g"
        left, right = (np.median(image.data[:, part]) for part in (slice(0, half), slice(half, None)))
        assert left == pytest.approx(right, rel=0.003) and left == pytest.approx(2300, rel=0.003)
        assert np.all(image.flags[:, 7] & int(PixelFlag.BAD)) and not np.any(image.flags[:, 20] & int(PixelFlag.BAD))
        assert image.preprocessing[:4] == ["overscan", "gain", "flat", "bad_pixels"]
        assert set(image.calibrators.values_list("kind", flat=True)) == {"flat", "bad_pixels"}
        good = image.weight > 0
        assert np.std(image.data[good]) == pytest.approx(np.sqrt(np.median(1 / image.weight[good])), rel=0.05)


def test_a_calibrator_that_is_missing_is_named(tmp_path):
    exposure = ingest(sky_file(tmp_path / "raw.fits"), Instrument.member("decam")())
    report = process_section(exposure, "N1", settings_of())
    assert report.error_type == "MissingCalibrator"
    for said in ("crosstalk", "import_calibrators FILE… --instrument decam --kind crosstalk", "corrections=[…]"):
        assert said in report.error_message
    assert not ScienceImage.objects.exists() and not CalibratorFile.objects.exists()


def test_a_reduced_exposure_needs_no_calibrators_and_keeps_its_planes(tmp_path):
    dq = np.zeros((40, 30), np.int32)
    dq[3, 4] = 3
    exposure = ingest(instcal_files(tmp_path, dq=dq)["ooi"], Instrument.member("decam")())
    image = image_of(exposure, "N4", settings_of())
    assert np.median(image.data) == pytest.approx(701 * 3.65, rel=0.005)
    assert image.flags[3, 4] & int(PixelFlag.SATURATED) and image.weight[3, 4] == 0
    assert np.median(image.weight) == pytest.approx(1 / (196 * 3.65**2), rel=0.01)
    assert {"overscan", "crosstalk", "flat", "fringe", "gain"} <= set(image.preprocessing)
    assert "dark" not in image.preprocessing


def test_dead_ccds_are_left_out_unless_somebody_asks_for_them(tmp_path):
    path = raw_file(tmp_path / "x.fits", names=("N30", "S7", "S30", "N1"))
    exposure = ingest(path, Instrument.member("decam")())
    assert sections_of(exposure) == ["S30", "N1"]
    assert sections_of(exposure, ["N30"]) == ["N30"]


def test_all_corrections_of_the_camera_with_tables_from_outside(tmp_path):
    exposure = ingest(sky_file(tmp_path / "raw.fits"), Instrument.member("decam")())
    flats = [fits.ImageHDU(np.ones(SHAPE, np.float32), name=name) for name in ("N1", "S1")]
    fits.HDUList([fits.PrimaryHDU(), *flats]).writeto(tmp_path / "ones.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(SHAPE, np.int16), name="N1")]).writeto(
        tmp_path / "bpm.fits"
    )
    adu = np.arange(0.0, 60_000, 50)
    curves = {"ADU": adu, "ADU_LINEAR_A": adu * 1.02, "ADU_LINEAR_B": adu}
    table = fits.BinTableHDU.from_columns([fits.Column(name, "E", array=curve) for name, curve in curves.items()])
    table.name = "N1"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "linearity.fits")
    (tmp_path / "xtalk.txt").write_text("ccd32A ccd25B 1e-2\n")  # 1 % of what B of S1 reads is in A of N1
    for kind, name, options in (
        ("flat", "ones.fits", ("--flat-type", "dome", "--filter", "g")), ("illumination", "ones.fits", ("--filter", "g")),
        ("bad_pixels", "bpm.fits", ()), ("linearity", "linearity.fits", ()), ("crosstalk", "xtalk.txt", ()),
    ):  # fmt: skip
        call_command("import_calibrators", str(tmp_path / name), "--instrument", "decam", "--kind", kind, *options)
    image = image_of(exposure, "N1", settings_of())
    assert image.preprocessing[:7] == [
        "overscan", "crosstalk", "linearity", "gain", "flat", "illumination", "bad_pixels",
    ]  # fmt: skip
    half = SHAPE[1] // 2
    expected = {"A": (SKY["A"] - 0.01 * SKY["B"]) * 1.02 * GAIN["A"], "B": SKY["B"] * GAIN["B"]}
    for side, part in (("A", slice(0, half)), ("B", slice(half, None))):
        assert np.median(image.data[:, part]) == pytest.approx(expected[side], rel=0.002)
