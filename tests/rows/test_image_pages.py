"""The pages of exposures and images."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from products.models import CoaddImage, ProvenanceTag, ScienceImage, WarpedImage
from products.models.badness import Badness
from products.selectors.exposures import ccds
from products.selectors.tags import of_name
from products.services.badness import set_badness
from products.views.focal_plane import focal_plane
from tests import factories
from tests.rows.archive import FAILED, Archive

pytestmark = pytest.mark.django_db


def test_exposures_are_found_by_name_date_position_and_filter(site: Archive, text) -> None:
    other = site.again.exposure.name
    for query, finds in (
        ("name=042219", True), ("name=zzz", False), ("start=2026-11-23&end=2026-11-23", True), ("end=61367.0", False),
        ("position=35.5 -4.75", True), ("position=120 45", False), ("filter=r", True), ("filter=i", False),
        ("target=xmm", True), ("kind=bias", False),
    ):  # fmt: skip
        assert (f'data-href="/exposures/{site.name}/"' in text(f"/exposures/?{query}")) is finds, query
    assert other not in text("/exposures/?filter=r")
    assert "a date (2026-11-23) or an MJD" in text("/exposures/?start=soon")


def test_an_exposure_shows_its_ccds_failures_and_provenance(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/")
    assert "partial: 2 of 3" in page and "photocal: 4 stars found, 10 needed" in page
    assert site.ccd.exposure.provenance_id[:8] in page and "badness" in page
    assert f"/exposures/{site.name}/N2/report/" in page and "what reading the raw file again needs" in page
    assert page.index(f">{FAILED}</a>") < page.index(">N1</a>"), "failures come first"


def test_the_focal_plane_has_north_up_and_east_left() -> None:
    exposure = factories.exposure("plane")
    factories.full_ccd(1, of=exposure, section="N1", centre=(35.40, -4.70))
    factories.full_ccd(2, of=exposure, section="S1", centre=(35.45, -4.75))
    cells = {cell.row.section: cell for cell in focal_plane(ccds(exposure, of_name("current")), "state").cells}
    assert cells["S1"].x < cells["N1"].x, "it lies to the east"
    assert cells["S1"].y > cells["N1"].y, "and to the south"


def test_a_ccd_that_was_left_out_is_unused_and_leads_nowhere(text) -> None:
    exposure = factories.exposure("dead_ccd", filter="", filters={"N1": "g", "N2": "g"})
    states = lambda: {row.section: row.state for row in ccds(exposure, of_name("current"))}  # noqa: E731
    assert states() == {"N1": "waiting", "N2": "waiting"}
    report = factories.report(exposure, "N1", failed="extraction")
    assert states() == {"N1": "failed", "N2": "unused"}
    page = text(f"/exposures/{exposure.name}/")
    assert "N2: unused: not usable at this date, or not asked for" in page
    assert f"/exposures/{exposure.name}/N1/" in page and f"/exposures/{exposure.name}/N2/" not in page
    report.state = "running"
    report.save()
    assert states()["N2"] == "waiting"


def test_an_image_tells_what_its_preprocessing_did(site: Archive, text) -> None:
    image = site.ccd.image
    assert ">Preprocessing" not in text(f"/exposures/{site.name}/N1/")
    bias = factories.calibrator(image)
    done = ["overscan", "gain", "flat", "fringe", "trails", "cosmic_rays"]
    figures = {"fringe_amplitude": 812.34, "fringe_amplitude_error": 1.26, "trails": 2, "cosmic_ray_pixels": 2796}
    ScienceImage.objects.filter(pk=image.pk).update(preprocessing=done, quality=figures)
    page = text(f"/exposures/{site.name}/N1/")
    assert "overscan, gain, flat, fringe, trails, cosmic rays" in page
    assert f'href="/calibrators/{bias.pk}/"' in page and "812.3 ± 1.3" in page and "2796" in page


def test_a_ccd_that_stopped_shows_the_seeing_of_its_first_look(text) -> None:
    image = factories.science_image()
    factories.report(image.exposure, "N1", failed="extraction")
    page = text(f"/exposures/{image.exposure.name}/")
    assert "≈ 1.70" in page and "Blanco 4 m" in page
    factories.report(image.exposure, "N1")  # now the PSF is measured
    assert "≈" not in text(f"/exposures/{image.exposure.name}/")


def test_the_first_look_stands_beside_what_the_stars_say(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/N1/")
    assert "First look" in page and "27.43" in page and "22.71" in page and "401.0 ± 20.1" in page
    lost = page.index("light lost on the way")
    assert ">0.12 <" in page[lost : lost + 80]  # 27.43 − 27.31
    assert "0.37" in page and "Blanco 4 m" in page
    image = site.ccd.image
    ScienceImage.objects.filter(pk=image.pk).update(zero_point_estimate=None, limiting_magnitude_estimate=None)
    assert "light lost" not in text(f"/exposures/{site.name}/N1/")


def test_a_coadd_leads_to_the_image_that_it_is_aligned_to(site: Archive, text, client: Client) -> None:
    coadd = site.ccd.difference.reference.zero_point.image
    assert "aligned to" not in text(f"/images/{coadd.pk}/")
    CoaddImage.objects.filter(pk=coadd.pk).update(alignment_target=site.ccd.image)
    page = text(f"/images/{coadd.pk}/")
    address = reverse("image", args=[site.ccd.image.pk])
    assert "aligned to" in page and f'href="{address}"' in page and "light lost" not in page
    assert client.get(address).headers["Location"] == f"/exposures/{site.name}/N1/"


def test_a_frame_for_calibration_is_not_called_unprocessed(text) -> None:
    factories.exposure("demo_bias_1", kind="bias", filter="")
    page = text("/exposures/demo_bias_1/")
    assert "A frame for calibration" in page and "Not processed" not in page


def test_a_ccd_shows_planes_marks_cuts_products_and_badness(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/N1/")
    for plane in ("New", "Reference", "Difference", "Score", "5σ limit"):
        assert f"{plane}</a>" in page
    assert page.count('class="l-kept"') == 4 and page.count('class="l-cut"') == 2
    assert "27.310 ± 0.012" in page and "22.40" in page and "zogy" in page
    assert "limit 5σ of the difference</dt><dd>21.87" in page
    assert reverse("fits", args=[site.ccd.difference.pk]) in page
    assert "None, of its own or inherited." in page
    for row in (site.ccd.image, site.ccd.difference, site.ccd.measurement_set):
        assert row.provenance_id[:8] in page
    cut = text(f"/exposures/{site.name}/N1/?detection=4")
    assert "0.460 &gt; 0.400" in cut or "0.460 > 0.400" in cut


def test_the_marks_sit_on_the_pixels_of_the_sources(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/N1/")
    row = site.ccd.measurements[0]
    height = site.ccd.image.height
    assert f"translate({row.x + 0.5:.1f} {height - row.y - 0.5:.1f})" in page


def test_a_reference_shows_its_own_calibration_although_no_tag_holds_it(site: Archive, text) -> None:
    image = site.ccd.difference.reference.zero_point.image
    ProvenanceTag.objects.filter(provenance=image.provenance).delete()
    page = text(f"/images/{image.pk}/")
    assert "27.310 ± 0.012" in page
    assert '<b id="which">coadd</b>' in page and "cut, and why" not in page, "it is not called new, and has no marks"


def test_badness_is_shown_wherever_it_is_inherited(site: Archive, text) -> None:
    set_badness(site.ccd.image, Badness.BANDING, description="stripes in amplifier 2")
    page = text(f"/exposures/{site.name}/N1/")
    assert "banding" in page and "(inherited)" in page and "stripes in amplifier 2" in page


def test_a_mark_of_its_own_is_not_called_inherited_as_well(site: Archive, text) -> None:
    set_badness(site.ccd.exposure, Badness.BANDING)
    set_badness(site.ccd.image, Badness.BANDING | Badness.SHAKING)
    section = text(f"/exposures/{site.name}/N1/").split("<h2>Badness</h2>")[1].split("</section>")[0]
    image = section.split("</p>")[0]
    assert "banding, shaking" in image and "inherited" not in image
    assert section.count("(inherited)") == section.count("<p>") - 1, "everything else inherits it"


def test_a_difference_and_a_warped_reference_are_shown_as_planes_of_the_new_image(
    site: Archive, client: Client
) -> None:
    ccd = f"/exposures/{site.name}/N1/"
    assert client.get(f"/images/{site.ccd.difference.pk}/").url == f"{ccd}?plane=difference"
    warped = WarpedImage.objects.filter(zero_point=site.ccd.zero_point).get()
    assert client.get(f"/images/{warped.pk}/").url == f"{ccd}?plane=reference"
