"""Pages of fakes: efficiency, residuals, and why a fake was missed."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image as Picture

from products.efficiency import efficiency
from products.models import FakeAnalysis
from products.recovery import fakes_of, found_in
from products.selectors.fakes import analyses, together
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def analysis(site) -> FakeAnalysis:
    return analyses().get()


def test_fractions_have_binomial_errors_that_hold_the_truth_two_times_in_three():
    rng = np.random.default_rng(3)
    truth, holding, number = 0.8, 0, 0
    for _ in range(60):
        for one in efficiency(np.repeat([18.1, 18.4], 40), rng.random(80) < truth).bins:
            number += 1
            holding += one.low <= truth <= one.high
    assert 0.58 < holding / number < 0.8
    (alone,) = efficiency([20.0], [True]).bins
    assert alone.high == pytest.approx(1) and alone.low < 0.6


def test_the_magnitude_at_which_half_are_found_comes_back_with_its_error():
    rng = np.random.default_rng(8)
    pulls = []
    for _ in range(30):
        mags = rng.uniform(18, 23, 400)
        chance = 0.97 / (1 + np.exp((mags - 21.0) / 0.15))
        found = efficiency(mags, rng.random(400) < chance)
        half = 21.0 + 0.15 * np.log(2 * 0.97 - 1)
        pulls.append((found.half - half) / found.half_error)
    assert abs(np.mean(pulls)) < 0.6 and 0.5 < np.std(pulls) < 1.6


@pytest.mark.parametrize("found", [np.ones(50, bool), np.zeros(50, bool), np.arange(50) % 7 == 0])
def test_where_fakes_do_not_say_where_half_are_found_nothing_is_claimed(found):
    assert efficiency(np.linspace(18, 22, 50), found).half is None
    assert efficiency([], []).bins == ()


def test_each_fake_says_why_it_is_missing(analysis):
    fakes = fakes_of(analysis)
    assert sum(fake.is_detected for fake in fakes) == analysis.n_detected
    for fake in fakes:
        if fake.is_kept:
            assert fake.reason == "" and fake.residual == pytest.approx(0, abs=1e-3)
        elif fake.is_detected:
            assert fake.reason == "detected, failed a cut"
        elif fake.expected_snr is None:
            assert fake.reason == "on unusable pixels"
        else:
            assert fake.expected_snr < 5 and fake.reason.startswith("too faint")
    snr = [fake.expected_snr for fake in fakes if fake.expected_snr]
    here = analysis.fake_set.zero_point.at
    flux = [10 ** (0.4 * (here(fake.x, fake.y) - fake.magnitude)) for fake in fakes if fake.expected_snr]
    np.testing.assert_allclose(snr, np.array(flux) / 70, rtol=0.01)


def test_what_is_read_from_files_is_read_once(analysis, monkeypatch):
    before = found_in(analysis)
    analysis.path().unlink()
    analysis.free()
    assert found_in(FakeAnalysis.objects.get()) == before


def test_many_images_count_together_by_magnitude_or_from_their_limits(site):
    factories.fakes(site.again)
    sums = together(analyses())
    assert sums.images == 2 and sums.kept.n == 80 and sums.limit == pytest.approx(22.4)
    shifted = together(analyses(), from_limit=True)
    assert shifted.kept.n == 80 and shifted.limit == 0
    assert shifted.kept.bins[0].magnitude == pytest.approx(sums.kept.bins[0].magnitude - 22.4, abs=0.3)


def test_an_analysis_that_cannot_be_read_is_counted_apart(site):
    factories.fakes(site.again).path().unlink()
    sums = together(analyses())
    assert sums.images == 1 and sums.unreadable == 1 and sums.kept.n == 40


def test_the_list_narrows_plot_and_table_together(site, client):
    factories.fakes(site.again)
    page = client.get("/fakes/").content.decode()
    assert "80 fakes in 2 images" in page and "from its image" not in page
    page = client.get(f"/fakes/?exposure={site.name}").content.decode()
    assert "40 fakes in 1 images" in page and page.count("<tr data-href") == 1
    assert "No image with fakes matches" in client.get("/fakes/?filter=z").content.decode()
    assert "No fakes under the tag trial" in client.get("/fakes/?tag=trial").content.decode()


def test_an_image_shows_efficiency_residuals_and_what_was_missed(analysis, client):
    page = client.get(f"/fakes/{analysis.pk}/").content.decode()
    assert page.count('<svg class="plot"') == 2 and "limit 5σ" in page
    missed = page.split("<h2>Missed</h2>")[1].split("</table>")[0]
    assert missed.count("<tr><td") == 40 - analysis.n_kept
    assert "failed a cut" in missed and "too faint" in missed
    assert re.search(r"offset of magnitudes.*?</dt><dd>[+−]?0\.000", page)


def test_the_place_of_a_fake_is_shown_in_new_reference_and_difference(analysis, client):
    for plane in ("new", "reference", "difference"):
        answer = client.get(f"/fakes/{analysis.pk}/0/{plane}.png")
        picture = Picture.open(io.BytesIO(answer.content))
        assert answer.status_code == 200 and picture.size == (51, 51)
    for index, plane in ((0, "weight"), (40, "new"), (10**9, "new")):
        assert client.get(f"/fakes/{analysis.pk}/{index}/{plane}.png").status_code == 404


def test_an_analysis_whose_files_are_lost_has_its_page_still(analysis, client):
    analysis.fake_set.path().unlink()
    page = client.get(f"/fakes/{analysis.pk}/")
    assert page.status_code == 200 and "neither in the data folder" in page.content.decode()
    assert client.get("/fakes/").status_code == 200
    assert client.get(f"/fakes/{analysis.pk}/0/new.png").status_code == 404
