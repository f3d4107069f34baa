"""The page of a calibration: what it shows of a solution that was really made, and of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.test import Client

from processing.algorithms.psf_model import moffat_model
from processing.catalogs.base import star_table
from processing.extraction_gates import ExtractionGates
from processing.gate_figures import GATES
from processing.instruments.demo import Demo
from processing.pipelines import PhotoCal
from processing.providers import StarCatalog
from processing.star_catalogs import keep_excerpt
from processing.steps.astrocal import AstroCalGates
from processing.steps.photocal import PhotoCalGates
from products.models import (
    PSF,
    Background,
    Badness,
    CatalogExcerpt,
    Provenance,
    ScienceImage,
    SourceList,
    WorldCoordinates,
    ZeroPoint,
)
from products.services.keeping import keep
from products.views.calibration_plots import arrow_map
from tests import factories
from tests.factories.images import SCALE, provenance, saved
from tests.rows.archive import Archive
from tests.skies_tiny import SHAPE

pytestmark = pytest.mark.django_db
ZP, TERM, MJD = 27.0, 0.08, 61367.1821
COLUMNS = [
    *((name, "f8") for name in ("x", "y")),
    *((name, "f4") for name in ("flux", "flux_err", "flux_psf", "flux_psf_err", "snr", "ellipticity")),
    ("flux_aper", "f4", (2,)), ("sep_flag", "i2"), ("is_masked", "?"), ("is_saturated", "?"), ("is_star", "?"),
]  # fmt: skip


def sources_of(image: ScienceImage) -> tuple[np.ndarray, np.ndarray]:
    """A source list of 80 stars, and the same as a catalogue has them."""
    rng = np.random.default_rng(4)
    table = np.zeros(80, COLUMNS)
    table["x"], table["y"] = rng.uniform(4, SHAPE[1] - 5, 80), rng.uniform(4, SHAPE[0] - 5, 80)
    mag, color = rng.uniform(15, 18, 80), rng.uniform(0.2, 1.6, 80)
    flux = 10 ** (-0.4 * (mag - ZP - TERM * (color - 0.8)))
    table["flux_psf_err"] = np.sqrt(flux + 1000)
    table["flux_psf"] = flux + rng.normal(0, table["flux_psf_err"])
    table["flux"], table["flux_err"], table["is_star"] = table["flux_psf"], table["flux_psf_err"], True
    table["flux_aper"] = table["flux_psf"][:, None] * [0.8, 0.95]
    ra, dec = WorldCoordinates(header=image.wcs).wcs.all_pix2world(table["x"], table["y"], 0)
    columns = {"ra": ra + 3e-5 / 3600, "dec": dec, "pmra": np.zeros(80), "pmdec": np.zeros(80), "mag_r": mag}
    return table, star_table(columns | {"mag_g": mag + color, "err_r": np.full(80, 0.003)})


def calibrated(clear: float = ZP + 0.2) -> tuple[ScienceImage, ZeroPoint]:
    """An image of which the zero point was made by its step, with the stars at hand; `clear`: that of clear air."""
    of = factories.exposure("field")
    image = factories.science_image(of, "N1")
    ScienceImage.objects.filter(pk=image.pk).update(zero_point_estimate=clear)
    image.zero_point_estimate = clear
    table, stars = sources_of(image)
    extraction = provenance("extraction", image.provenance)
    sources = saved(
        SourceList(image=image, table=table, n_sources=80, n_stars=80, aperture_radii=[2.0, 4.0], provenance=extraction)
    )
    model = moffat_model(2.6, SHAPE)
    psf = PSF(sources=sources, planes=model.planes, model_header=model.header(), fwhm_pixels=2.6, order=0, n_stars=80)
    psf.chi2, psf.provenance = 1.0, extraction
    x = np.arange(SHAPE[1], dtype=np.float32)
    level = np.broadcast_to(400 + x / 4, SHAPE).astype(np.float32)
    sky = Background(sources=sources, level=level, rms=np.full(SHAPE, 20, np.float32), value=416.0, noise=20.0)
    sky.provenance = extraction
    world = WorldCoordinates(
        sources=sources, header=image.wcs, n_matches=80, rms_ra=0.01, rms_dec=0.01, order=1, catalog="survey",
        provenance=provenance("astrocal", extraction),
    )  # fmt: skip
    for row in (psf, sky, world):
        saved(row)
    keep_excerpt(stars, "survey", 2026.9)
    step = PhotoCal()
    zero_point = step.run(image, sources, psf, sky, world, StarCatalog(stars, "survey"), Demo())
    assert keep([zero_point], provenance("photocal", world.provenance, **step.parameters.critical()))
    factories.report(of, "N1")
    return image, zero_point


def test_the_page_shows_the_stars_that_the_step_used(text) -> None:
    _, zero_point = calibrated()
    page = text("/exposures/field/N1/calibration/")
    assert zero_point.zp == pytest.approx(ZP, abs=0.01) and zero_point.color_term == pytest.approx(TERM, abs=0.02)
    assert f"{zero_point.zp:.4f} ± {zero_point.zp_error:.4f}" in page
    assert "cannot be" not in page and ">80 stars<" in page
    assert page.count('class="plot"') == 4 and page.count('class="plot cells"') == 6
    assert page.count("mmag at ") == 160  # each star against magnitude and colour
    assert page.count(" mag: east ") == zero_point.n_stars
    for words in ("FWHM of the PSF", "Ellipticity of the PSF", "Sky", "The stars ask for no variation"):
        assert words in page
    again = text("/exposures/field/N1/calibration/")  # from what was kept
    assert again.partition("</h1>")[2] == page.partition("</h1>")[2]


def test_every_plot_says_in_words_what_it_shows(text) -> None:
    calibrated()
    page = text("/exposures/field/N1/calibration/")
    for words in ("star − zero point against AB magnitude of the catalogue: 80 stars, scatter", "residual vectors of",
                  f"FWHM over the image, from {2.6 * SCALE:.2f}", "sky over the image, from 40"):  # fmt: skip
        assert f'aria-label="{words}' in page, words


def test_gates_stand_beside_their_limits_and_what_fails_says_why(text) -> None:
    _, zero_point = calibrated(clear=ZP + 4)
    assert zero_point.badness_own == Badness.CLOUDS
    page = text("/exposures/field/N1/calibration/")
    assert "clouds" in page and "light lost on the way 4" in page and "is more than 1.5" in page
    assert page.count('class="bad">fails') == 1 and "passes" in page
    assert "clouds" in text("/exposures/field/N1/")  # the page of the image


def test_every_limit_of_a_gate_has_its_row() -> None:
    steps = {"extraction": ExtractionGates, "astrocal": AstroCalGates, "photocal": PhotoCalGates}
    assert set(GATES) == {(step, name) for step, gates in steps.items() for name in gates.model_fields}


def test_a_sky_that_is_too_high_fails_as_one_that_is_too_low_does(text) -> None:
    _, zero_point = calibrated()
    sources = zero_point.world_coordinates.sources
    Provenance.objects.filter(pk=sources.provenance_id).update(parameters={"gates": {"max_sky_residual": 0.2}})
    for left, fails in ((0.1, 0), (0.3, 1), (-0.3, 1)):
        Background.objects.update(quality={"residual_sigma": left})
        page = text("/exposures/field/N1/calibration/")
        assert page.count('class="bad">fails') == fails, left


def test_badness_of_a_gate_goes_on_to_what_is_made_of_it() -> None:
    _, zero_point = calibrated(clear=ZP + 4)
    row = ZeroPoint.objects.get(pk=zero_point.pk)
    assert row.badness == Badness.CLOUDS and "light lost" in row.description
    scene = factories.images.Sky(1)
    heir = factories.images.reference(row, scene)
    assert not heir.badness  # a coadd that does not name it
    coadd = heir.zero_point.image
    coadd.components.set([row])
    from products.services.badness import inherit

    inherit(coadd)
    assert coadd.badness == Badness.CLOUDS


def test_without_the_catalogue_the_page_says_so_and_shows_the_rest(text) -> None:
    calibrated()
    CatalogExcerpt.objects.all().delete()
    page = text("/exposures/field/N1/calibration/")
    assert "The stars cannot be shown" in page and "no piece of it for this part of the sky" in page
    assert "FWHM of the PSF" in page


def test_a_product_that_cannot_be_read_leaves_the_rest_of_the_page(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/N1/calibration/")  # the PSF of the factories is no model
    assert "A file cannot be read" in page and "Quality gates" in page and "Noise of the sky" in page


def test_only_what_is_calibrated_has_such_a_page(site: Archive, client: Client) -> None:
    difference, image = site.ccd.difference, site.ccd.image
    assert client.get(f"/images/{difference.pk}/calibration/").status_code == 404
    assert client.get(f"/images/{image.pk}/calibration/").headers["Location"].endswith("/N1/calibration/")
    assert client.get(f"/exposures/{site.name}/X9/calibration/").status_code == 404
    assert client.get("/exposures/nobody/N1/calibration/").status_code == 404


def test_the_image_and_its_report_lead_to_it(site: Archive, text) -> None:
    for address in (f"/exposures/{site.name}/N1/", f"/exposures/{site.name}/N1/report/"):
        assert f'href="/exposures/{site.name}/N1/calibration/"' in text(address)
    coadd = site.ccd.difference.reference.zero_point.image
    assert f'href="/images/{coadd.pk}/calibration/"' in text(f"/images/{coadd.pk}/")
    assert f'href="/images/{coadd.pk}/"' in text(f"/images/{coadd.pk}/calibration/")


def test_stars_of_pieces_with_other_columns_and_those_that_were_used_are_shown(text) -> None:
    _, zero_point = calibrated()
    whole = CatalogExcerpt.objects.get()
    table = whole.table.copy()
    plain = keep_excerpt(table[:30], "survey", 2026.9)
    wider = np.zeros(50, [*table.dtype.descr, ("ruwe", "f4")])
    for name in table.dtype.names:
        wider[name] = table[name][30:]
    more = keep_excerpt(wider, "survey", 2026.9)
    zero_point.catalog_excerpts.set([plain, more])
    assert ">80 stars<" in text("/exposures/field/N1/calibration/")
    zero_point.catalog_excerpts.set([plain])
    (path,) = (Path(settings.SEECHANGE_DATA) / "previews").rglob(f"{zero_point.pk.hex}_calibration_*.json")
    path.unlink()
    assert ">30 stars<" in text("/exposures/field/N1/calibration/")  # another piece of that sky is no matter


def test_a_star_without_a_residual_has_no_arrow() -> None:
    stars = {"used": [True, True, False], "east": [None, 3.0, 1.0], "north": [2.0, 4.0, 1.0]}
    stars |= {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0], "mag": [15.0, 16.0, 17.0]}
    drawn = arrow_map(stars, SHAPE, np.diag([-1e-4, 1e-4]))
    assert len(drawn.arrows) == 1 and "east +3, north +4 mas" in drawn.arrows[0].title
    assert arrow_map(stars | {"north": [None] * 3}, SHAPE, np.diag([-1e-4, 1e-4])) is None
