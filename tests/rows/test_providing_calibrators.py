"""What preprocessing is given for a CCD: the frames and tables of its corrections, and what other CCDs leave in it."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.readout import CROSSTALK
from processing.datastore import DataStore
from processing.errors import BadInput, MissingCalibrator
from processing.exposures import ingest
from processing.instruments.demo import Demo
from processing.pipelines import Preprocessing
from processing.providers import Calibrators, provide
from products.models import CalibratorFile, DataFile, Exposure, MasterBias, MasterFlat
from products.pixel_flags import PixelFlag
from products.services.keeping import keep
from tests import factories
from tests.instruments.test_instruments import SHAPE, demo_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def exposure(tmp_path) -> Exposure:
    demo_file(tmp_path / "raw1.fits")
    return ingest(tmp_path / "raw1.fits", Demo())


def kept(cls: type, kind: str, value: float, flags: np.ndarray | None = None, band: str = "") -> CalibratorFile:
    """A frame of one value for CCD N1."""
    frame = cls(
        instrument="demo", section="N1", filter=band, mjd=61000.0, mjd_end=61000.0, exposure_time=0.0, width=SHAPE[1],
        height=SHAPE[0], data=np.full(SHAPE, value, np.float32), weight=np.ones(SHAPE, np.float32),
        flags=np.zeros(SHAPE, np.uint16) if flags is None else flags, components_digest=kind,
    )  # fmt: skip
    keep([frame.set_position(150.0, 2.0)], factories.provenance(f"make_{kind}"))
    return CalibratorFile.objects.create(
        kind=kind, instrument="demo", section="N1", filter=band, image_id=frame.pk, flat_type="dome" if band else ""
    )


def given(exposure: Exposure, **parameters) -> Calibrators:
    return provide((Calibrators,), DataStore(exposure, section="N1"), Preprocessing(**parameters))


def test_each_correction_of_the_camera_has_its_frame(exposure):
    bias, flat = kept(MasterBias, "bias", 7.0), kept(MasterFlat, "flat", 1.1, band="g")
    found = given(exposure)
    assert found.corrections == ("overscan", "bias", "flat")
    assert set(found.files) == {bias, flat}
    assert (found.frames.bias[0, 0], found.frames.flat[0, 0]) == pytest.approx((7.0, 1.1), rel=1e-4)
    assert found.frames.dark is None and found.frames.bad_pixels is None
    assert given(exposure, flat_type="dome").files == found.files
    with pytest.raises(MissingCalibrator, match="sky"):
        given(exposure, flat_type="sky")


def test_a_correction_whose_frame_is_missing_is_an_error_unless_it_is_left_out(exposure):
    bias = kept(MasterBias, "bias", 7.0)
    with pytest.raises(MissingCalibrator, match="make_flat"):
        given(exposure)
    found = given(exposure, corrections=["bias", "overscan"])
    assert (found.corrections, found.files) == (("overscan", "bias"), (bias,))
    with pytest.raises(BadInput, match=r"correction flats.*demo knows overscan, crosstalk"):
        given(exposure, corrections=["flats"])


def test_an_exposure_that_came_reduced_needs_nothing_again(exposure):
    exposure.header["done"] = ["overscan", "bias", "flat"]
    found = given(exposure)
    assert (found.corrections, found.files) == ((), ())


def test_pixels_that_a_frame_knows_nothing_of_are_flagged_whatever_the_mask_says(exposure):
    edge = np.zeros(SHAPE, np.uint16)
    edge[:, 0] = int(PixelFlag.BAD)
    kept(MasterBias, "bias", 7.0)
    kept(MasterFlat, "flat", 1.0, edge, band="g")
    np.testing.assert_array_equal(given(exposure).frames.bad_pixels, edge)


def test_ccds_whose_light_leaves_ghosts_here_are_read_too(exposure):
    provenance = factories.provenance("measure_crosstalk")
    table = DataFile(
        name="crosstalk", table=np.array([("A", "N2", "B", 1e-3, 1e-5), ("B", "", "A", 2e-3, 1e-5)], CROSSTALK)
    )
    keep([table], provenance)
    CalibratorFile.objects.create(kind="crosstalk", instrument="demo", section="N1", data_file=table)
    found = given(exposure, corrections=["overscan", "crosstalk"])
    assert list(found.neighbours) == ["N2"]
    raw = Demo().read_section(exposure.path(), {}, exposure.header, "N2")
    np.testing.assert_array_equal(found.neighbours["N2"].data, raw.data)
    assert list(found.frames.crosstalk["coefficient"]) == [1e-3, 2e-3]
