"""Badness travels down the tree in both directions of time, is taken back, and is never lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from django.db import connection, transaction

from products.models import (
    PSF,
    Badness,
    CalibratorFile,
    CoaddImage,
    DataFile,
    DeepScoreSet,
    Exposure,
    Image,
    MasterBias,
    Measurement,
    Reference,
    ScienceImage,
    SourceList,
    WorldCoordinates,
    ZeroPoint,
)
from products.models.badness import HasBadness
from products.selectors.tags import product_models
from products.services import badness
from products.services.badness import set_badness
from products.services.keeping import keep
from tests import factories
from tests.skies_tiny import Sky

pytestmark = pytest.mark.django_db
SHAKING, GHOST, SKY = Badness.SHAKING, Badness.GHOST, Badness.BRIGHT_SKY
BAD_REFERENCE, FEW = Badness.BAD_REFERENCE, Badness.FEW_SOURCES


def inherited(row: HasBadness) -> Badness:
    return Badness(type(row)._base_manager.values_list("badness_upstream", flat=True).get(pk=row.pk))


def all_inherited(bits: Badness) -> dict[str, int]:
    """How many rows of each model inherit `bits`."""
    models = [*product_models(), Measurement]
    found = {model.__name__: model._base_manager.filter(badness_upstream=bits).count() for model in models}
    return {name: count for name, count in found.items() if count}


def test_what_is_wrong_with_an_exposure_reaches_everything_made_of_it_down_to_the_measurements():
    ccd = factories.full_ccd()
    told = set_badness(ccd.exposure, SHAKING, description="wind")
    expected = {
        "Image": 3, "SourceList": 2, "PSF": 1, "Background": 1, "WorldCoordinates": 1, "ZeroPoint": 1, "Cutouts": 1,
        "MeasurementSet": 1, "Measurement": 6, "DeepScoreSet": 1, "AlertBatch": 1,
    }  # fmt: skip
    assert all_inherited(SHAKING) == expected
    assert told == sum(expected.values())
    assert Exposure.objects.get().badness_own == SHAKING
    assert inherited(ccd.exposure) == 0
    assert Reference.objects.get().badness_upstream == 0  # not made of this exposure


def test_what_is_cleared_is_cleared_everywhere():
    ccd = factories.full_ccd()
    told = set_badness(ccd.exposure, SHAKING)
    assert set_badness(ccd.exposure, Badness(0)) == told
    assert all_inherited(SHAKING) == {}
    assert not Measurement.objects.exclude(badness_upstream=0).exists()


def test_a_bit_from_two_parents_stays_until_both_lose_it():
    ccd = factories.full_ccd()
    reference = Reference.objects.get().image
    set_badness(ccd.exposure, SKY | SHAKING)
    set_badness(reference, SKY)
    assert inherited(ccd.difference) == SKY | SHAKING
    set_badness(ccd.exposure, Badness(0))
    assert inherited(ccd.difference) == SKY
    assert inherited(ccd.zero_point) == 0
    set_badness(reference, Badness(0))
    assert inherited(ccd.difference) == 0


def test_own_bits_stay_with_their_product_and_go_down_with_the_inherited_ones():
    ccd = factories.full_ccd()
    set_badness(ccd.exposure, SHAKING)
    sources = SourceList.objects.get(image=ccd.image)
    set_badness(sources, FEW)
    assert (sources.badness_own, inherited(sources)) == (FEW, SHAKING)
    assert inherited(ccd.zero_point) == SHAKING | FEW
    assert inherited(ccd.image) == SHAKING
    set_badness(ccd.exposure, Badness(0))
    assert inherited(ccd.zero_point) == FEW


def test_a_measurement_is_marked_alone():
    ccd = factories.full_ccd()
    row = ccd.measurements[0]
    assert set_badness(row, GHOST, description="of the bright star") == 0
    assert Measurement.objects.filter(badness_own=GHOST).get().description == "of the bright star"
    assert not Measurement.objects.exclude(pk=row.pk).exclude(badness_own=0).exists()


def test_a_bit_that_a_kind_of_product_cannot_have_is_refused_with_those_it_can():
    ccd = factories.full_ccd()
    with pytest.raises(ValueError, match=r"ghost cannot be set on zero points; these can: no catalog"):
        set_badness(ccd.zero_point, GHOST | Badness.NO_CATALOG)
    assert ZeroPoint.objects.filter(badness_own=0).count() == ZeroPoint.objects.count()
    assert ccd.zero_point.badness_own == 0


def test_the_description_stays_when_none_is_given():
    image = factories.science_image()
    stale = ScienceImage.objects.get(pk=image.pk)
    set_badness(image, SHAKING, description="wind")
    set_badness(stale, SHAKING | SKY)
    assert ScienceImage.objects.get().description == "wind"


def master_bias(**links) -> MasterBias:
    fields = dict.fromkeys(("mjd", "mjd_end", "exposure_time"), 61367.0) | {"width": 4, "height": 4}
    row = MasterBias(
        instrument="demo", section="N1", components_digest="x", ra=0, dec=0,
        provenance=factories.provenance("calibrating"), **fields,
    )  # fmt: skip
    row.save(force_insert=True)
    for name, rows in links.items():
        getattr(row, name).set(rows)
    return row


def calibrator(**fields) -> CalibratorFile:
    return CalibratorFile.objects.create(kind="bias", instrument="demo", section="N1", **fields)


def test_a_bad_component_makes_the_coadd_and_what_is_subtracted_from_it_bad():
    ccd = factories.full_ccd()
    part = factories.science_image(factories.exposure("earlier"), "N2")
    zero_point = factories.calibrated(part, Sky(1))
    coadd = CoaddImage.objects.get()
    coadd.components.add(zero_point)
    set_badness(part, SHAKING)
    assert inherited(coadd) == SHAKING
    assert inherited(Reference.objects.get()) == SHAKING
    assert inherited(ccd.difference) == SHAKING
    assert inherited(ccd.measurements[0]) == SHAKING
    assert inherited(ccd.image) == 0
    set_badness(part, Badness(0))
    assert all_inherited(SHAKING) == {}


def test_a_bad_raw_frame_makes_the_master_frame_bad_and_what_it_calibrated():
    frame = factories.exposure("bias_001", kind="bias")
    bias = master_bias(raw_exposures=[frame])
    image = factories.science_image()
    image.calibrators.add(calibrator(image=bias))
    set_badness(frame, Badness.BANDING)
    assert inherited(bias) == Badness.BANDING
    assert inherited(image) == Badness.BANDING
    set_badness(frame, Badness(0))
    assert inherited(bias) == inherited(image) == 0


def test_a_bad_calibrator_table_makes_what_it_calibrated_bad():
    table = DataFile.objects.create(name="linearity", provenance=factories.provenance("calibrating"))
    image = factories.science_image()
    image.calibrators.add(calibrator(data_file=table))
    set_badness(table, SHAKING)
    assert inherited(image) == SHAKING


def test_every_way_down_is_a_way_up():
    """What tells a product of its parents' badness is what the parents find it by."""
    for model in badness.models_with_badness():
        for path in model.upstream_paths():
            assert issubclass(badness.end_of(model, path), HasBadness), (model, path)
    assert {"exposure", "zero_point", "reference", "components", "raw_exposures", "calibrators__image"} <= set(
        Image.upstream_paths()
    )


def new_coordinates(sources: SourceList) -> WorldCoordinates:
    return WorldCoordinates(sources=sources, header="", n_matches=3, rms_ra=0.1, rms_dec=0.1, order=1)


def test_a_product_kept_later_inherits_at_birth_also_from_a_parent_that_was_marked_meanwhile():
    image = factories.science_image()
    factories.calibrated(image, Sky(1))
    at_hand = SourceList.objects.select_related("image").get()
    set_badness(ScienceImage.objects.get(), SHAKING)
    set_badness(SourceList.objects.get(), FEW)
    assert at_hand.badness == 0  # read before
    row = new_coordinates(at_hand)
    assert keep([row], factories.provenance("astrocal", at_hand.provenance, tag="", order=2))
    assert inherited(row) == row.badness_upstream == SHAKING | FEW


def test_a_coadd_kept_later_inherits_from_its_components_and_its_own_children_from_it():
    parts = [factories.calibrated(factories.science_image(factories.exposure(name)), Sky(1)) for name in ("a", "b")]
    set_badness(parts[1].image, SKY)
    grid = factories.grid(parts[0].image.exposure)
    coadd = CoaddImage(section="N1", components_digest="two", data=Sky(1).new, **grid)
    coadd.set_footprint(np.array(parts[0].image.corners))
    coadd.related = {"components": [part.pk for part in parts]}
    assert keep([coadd], factories.provenance("coaddition", tag=""))
    sources = SourceList(image=coadd, n_sources=0)
    psf = PSF(sources=sources, fwhm_pixels=2.0, order=0, n_stars=0)
    assert keep([sources, psf], factories.provenance("extraction", coadd.provenance, tag=""))
    assert inherited(coadd) == inherited(sources) == inherited(psf) == SKY


def test_measurements_kept_later_inherit_at_birth():
    ccd = factories.full_ccd()
    set_badness(ccd.exposure, SHAKING)
    old = ccd.measurement_set
    made = type(old)(cutouts=old.cutouts, n_measured=1, n_saved=1, n_kept=1, association_radius=1.0)
    values = {
        name: getattr(ccd.measurements[0], name) for name in ("mjd", "filter", "x", "y", "flux", "flux_error", "snr")
    }
    row = Measurement(measurement_set=made, index_in_sources=0, **values)
    made.rows = [row.set_position(35.5, -4.75)]
    assert keep([made], factories.provenance("measuring", old.provenance, tag=""))
    assert inherited(row) == SHAKING


def test_marking_an_exposure_with_many_measurements_takes_few_queries(django_assert_max_num_queries):
    exposure = factories.exposure()
    ccds = [factories.full_ccd(1, of=exposure, section=name) for name in ("N1", "N2", "N3", "N4")]
    with django_assert_max_num_queries(150):
        told = set_badness(exposure, SHAKING)
    assert told == 19 * len(ccds)
    assert DeepScoreSet.objects.filter(badness_upstream=SHAKING).count() == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer, so that these cannot meet")
@pytest.mark.parametrize("first", ["keeping", "marking"])
def test_a_product_kept_while_its_parent_is_marked_is_not_forgotten(first):
    image = factories.science_image()
    factories.calibrated(image, Sky(1))
    sources = SourceList.objects.get()
    row = new_coordinates(sources)
    provenance = factories.provenance("astrocal", sources.provenance, tag="", order=2)
    work = {"keeping": lambda: keep([row], provenance), "marking": lambda: set_badness(image, SHAKING)}
    begun, go_on = threading.Event(), threading.Event()

    def run_first() -> None:
        with transaction.atomic():
            work.pop(first)()
            begun.set()
            go_on.wait(10)
        connection.close()

    def run_second() -> None:
        next(iter(work.values()))()
        connection.close()

    one, two = threading.Thread(target=run_first), threading.Thread(target=run_second)
    one.start()
    assert begun.wait(10)
    two.start()
    two.join(0.5)  # it waits, or has overlooked the other
    go_on.set()
    one.join()
    two.join()
    assert inherited(row) == SHAKING
