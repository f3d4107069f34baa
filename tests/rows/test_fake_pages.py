"""Pages of fakes: efficiency, residuals, and why a fake was missed."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image as Picture

from products.efficiency import efficiency
from products.models import FakeAnalysis
from products.recovery import fakes_of
from products.selectors import fakes as selector
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


def test_the_magnitude_at_which_nine_of_ten_are_found_comes_back_with_its_error():
    rng = np.random.default_rng(9)
    pulls = []
    for _ in range(40):
        mags = rng.uniform(18, 23, 600)
        found = efficiency(mags, rng.random(600) < 0.97 / (1 + np.exp((mags - 21.0) / 0.15)))
        pulls.append((found.ninety - (21.0 + 0.15 * np.log(0.97 / 0.9 - 1))) / found.ninety_error)
    assert abs(np.mean(pulls)) < 0.6 and 0.6 < np.std(pulls) < 1.5


def test_where_fewer_than_nine_of_ten_bright_ones_are_found_there_is_no_such_limit():
    rng = np.random.default_rng(9)
    mags = rng.uniform(18, 23, 4000)
    found = efficiency(mags, rng.random(4000) < 0.8 / (1 + np.exp((mags - 21.0) / 0.15)))
    assert found.ninety is None and found.half == pytest.approx(21.0 + 0.15 * np.log(0.6), abs=4 * found.half_error)


def test_each_fake_says_why_it_is_lost(analysis):
    fakes = fakes_of(analysis)
    assert sum(fake.is_detected for fake in fakes) == analysis.n_detected
    for fake in fakes:
        if fake.is_passed:
            assert fake.reason == fake.why == "" and fake.residual == pytest.approx(0, abs=1e-3)
            assert fake.ratio == pytest.approx(1) and fake.pull == pytest.approx(0, abs=1e-3)
        elif fake.is_detected:
            assert fake.reason == "cut" and fake.why == "failed a cut: psf_chi2 3.1, limit 2"
        else:
            assert fake.reason == "faint"
            assert fake.why == f"too faint: S/N {fake.expected_snr:.1f} expected, 5 needed"
    here = analysis.fake_set.zero_point.at
    flux = [10 ** (0.4 * (here(fake.x, fake.y) - fake.magnitude)) for fake in fakes]
    np.testing.assert_allclose([fake.expected_snr for fake in fakes], np.array(flux) / 70, rtol=0.01)
    assert {fake.what for fake in fakes} >= {"in a galaxy", "variable star", "variable star, fading"}


def test_nothing_is_read_from_files_to_count_fakes_and_show_reasons(analysis):
    before, lost = together([analysis]), selector.lost([analysis])
    analysis.path().unlink()
    analysis.fake_set.path().unlink()
    again = selector.with_losses().get()
    assert together(analyses()) == before and len(selector.lost([again]).shown) == len(lost.shown) > 0


def test_kinds_add_up_and_stages_only_lose(analysis):
    sums = together([analysis])
    parts = [together([analysis], kind=kind) for kind in ("hostless", "hosted", "variable", "streak")]
    assert [part.kept.n for part in parts] == [10, 20, 10, 0]
    for stage in selector.STAGES:
        assert sum(part.stage(stage).found for part in parts) == sums.stage(stage).found
    assert sums.detected.found == analysis.n_detected > sums.kept.found == analysis.n_kept
    every, *_ = [one for one in sums.accuracy if one.kind == ""]
    assert every.ratio == pytest.approx(1) and every.n == sum(one.n for one in sums.accuracy if one.kind)


def test_streaks_are_counted_by_themselves(analysis):
    found = analysis.outcomes["hostless"]
    analysis.outcomes["streak"] = {name: values[:3] for name, values in found.items()} | {"stage": [1, 1, 1]}
    every, streaks = together([analysis]), together([analysis], kind="streak")
    assert every.kept.n == 40 and (streaks.kept.n, streaks.detected.found, streaks.kept.found) == (3, 3, 0)


def test_of_one_fake_no_scatter_is_told(analysis, client):
    found = analysis.outcomes["hostless"]
    analysis.outcomes["streak"] = {name: values[:1] for name, values in found.items()} | {
        "expected": [50.0],
        "stage": [3],
    }
    analysis.save()
    (one,) = [one for one in together([analysis]).accuracy if one.kind == "streak"]
    assert (one.n, one.ratio_error, one.pull_sigma) == (1, None, None) and one.ratio == pytest.approx(1)
    row = client.get("/fakes/").content.decode().split("<td>streak")[1].split("</tr>")[0]
    *_, scatter, _ = row.split('<td class="n">')
    assert "±" not in row and "–" in scatter


def test_a_limit_that_the_fakes_hardly_tell_is_none():
    """Of 25 fakes with a wide fall the most likely curve crosses 90 % at 19.2, with an error above half a magnitude."""
    rng = np.random.default_rng(5)
    mags = rng.uniform(19, 22, 25)
    found = efficiency(mags, rng.random(25) < 0.97 / (1 + np.exp((mags - 20.5) / 0.6)))
    assert found.half is not None and found.ninety is None and found.ninety_error is None


def test_an_exposure_and_a_night_say_how_deep_their_fakes_are(site, client):
    factories.fakes(site.again)
    page = client.get(f"/exposures/{site.name}/").content.decode()
    assert re.search(r"points of fakes kept.*?of 40, half to 2\d\.\d\d ± 0\.\d\d mag", page)
    night = client.get("/").content.decode()
    assert re.search(
        r"Fakes in 1 image: .*?of 40 points kept, half to [+−]\d\.\d\d ± 0\.\d\d mag from the limit", night
    )
    (address,) = re.findall(r'href="(/fakes/\?by=exposure[^"]+)"', night)
    assert site.again.image.exposure.name in client.get(address.replace("&amp;", "&")).content.decode()
    FakeAnalysis.objects.all().delete()
    assert "Fakes in" not in client.get("/").content.decode()
    assert "points of fakes" not in client.get(f"/exposures/{site.name}/").content.decode()


def test_exposures_and_nights_have_efficiencies_of_their_own(site):
    factories.fakes(site.again)
    rows = analyses()
    keys = [row["key"] for row in selector.group_keys(rows, "exposure")]
    assert keys == sorted([site.name, site.again.image.exposure.name], reverse=True)
    for group in selector.grouped(rows, "exposure", keys):
        assert group.sums.images == 1 and group.sums.kept.n == 40
    nights = [row["key"] for row in selector.group_keys(rows, "night")]
    found = selector.grouped(rows, "night", nights)
    assert sum(group.sums.images for group in found) == 2
    for group in found:
        inside = [row for row in rows if group.start <= row.fake_set.zero_point.image.mjd < group.end]
        assert len(inside) == group.sums.images


def test_many_images_count_together_by_magnitude_or_from_their_limits(site):
    factories.fakes(site.again)
    sums = together(analyses())
    assert sums.images == 2 and sums.kept.n == 80 and sums.limit == pytest.approx(22.4)
    shifted = together(analyses(), from_limit=True)
    assert shifted.kept.n == 80 and shifted.limit == pytest.approx(22.4)
    assert shifted.kept.bins[0].magnitude == pytest.approx(sums.kept.bins[0].magnitude - 22.4, abs=0.3)


def test_an_analysis_of_an_earlier_version_is_counted_apart(site, client):
    old = factories.fakes(site.again)
    FakeAnalysis.objects.filter(pk=old.pk).update(outcomes={}, losses=[])
    sums = together(analyses())
    assert sums.images == 1 and sums.without == 1 and sums.kept.n == 40
    assert "inject their fakes again" in client.get("/fakes/").content.decode()


def test_the_list_narrows_plot_and_table_together(site, client):
    factories.fakes(site.again)
    page = client.get("/fakes/").content.decode()
    assert "80 points in 2 images" in page and "from its image" not in page
    page = client.get(f"/fakes/?exposure={site.name}").content.decode()
    assert "40 points in 1 image:" in page and page.count("<tr data-href") == 1
    page = client.get("/fakes/?kind=variable").content.decode()
    assert "20 fakes in 2 images" in page
    assert "No image with fakes matches" in client.get("/fakes/?filter=z").content.decode()
    assert "No fakes under the tag trial" in client.get("/fakes/?tag=trial").content.decode()


def test_the_list_by_exposure_and_by_night_leads_on(site, client):
    factories.fakes(site.again)
    page = client.get("/fakes/?by=exposure").content.decode()
    assert "Efficiency by exposure" in page and f"exposure={site.name}" in page and "90 % kept to" in page
    from_limit = client.get("/fakes/?by=night&x=limit").content.decode()
    assert 'class="n">22.40<' in from_limit and "mag from the limit</span>" in from_limit
    assert "mag from the limit</span>" not in client.get("/fakes/?by=night&x=mag").content.decode()
    page = client.get("/fakes/?by=night").content.decode()
    (start, end), *_ = re.findall(r"by=exposure&amp;start=([\d.]+)&amp;end=([\d.]+)", page)
    assert float(end) == float(start) + 1
    page = client.get(f"/fakes/?by=exposure&start={start}&end={end}").content.decode()
    assert "Efficiency by exposure" in page


def test_an_image_shows_efficiency_accuracy_and_what_was_lost(analysis, client):
    page = client.get(f"/fakes/{analysis.pk}/").content.decode()
    assert page.count('<svg class="plot"') == 2 and "limit 5σ" in page
    lost = page.split("<h2>Lost</h2>")[1].split("</table>")[0]
    assert lost.count("<tr><td") == 40 - analysis.n_passed
    assert "failed a cut: psf_chi2 3.1, limit 2" in lost and "too faint" in lost
    assert re.search(r"<td>variable star<td class=.n.>\d", page)
    only = client.get(f"/fakes/{analysis.pk}/?kind=hosted&reason=cut").content.decode()
    rows = re.findall(r"<tr><td class=.n.>\d+<td>([\w ,]+)<", only.split("<h2>Lost</h2>")[1])
    assert rows and all(kind == "in a galaxy" for kind in rows) and "too faint:" not in only


def test_lost_fakes_of_many_images_stand_side_by_side(site, client):
    other = factories.fakes(site.again)
    page = client.get("/fakes/lost/").content.decode()
    number = sum(40 - row.n_passed for row in analyses())
    assert f">{number}<" in page and "variable star" in page
    cuts = client.get("/fakes/lost/?reason=cut").content.decode()
    assert cuts.count("psf_chi2 3.1") == sum(row.n_detected - row.n_kept for row in analyses())
    assert str(other.pk) in cuts and site.again.image.section in cuts
    only = client.get(f"/fakes/lost/?reason=cut&kind=hosted&exposure={site.name}").content.decode()
    assert str(other.pk) not in only and 0 < only.count("psf_chi2 3.1") < cuts.count("psf_chi2 3.1")
    assert "No fake was lost like this" in client.get("/fakes/lost/?reason=edge").content.decode()


def test_the_place_of_a_fake_is_shown_in_new_reference_and_difference(analysis, client):
    for plane in ("new", "reference", "difference"):
        answer = client.get(f"/fakes/{analysis.pk}/0/{plane}.png")
        picture = Picture.open(io.BytesIO(answer.content))
        assert answer.status_code == 200 and picture.size == (31, 31)
    lost = analysis.losses[-1]["fake"]
    before = client.get(f"/fakes/{analysis.pk}/{lost}/difference.png").content
    FakeAnalysis.objects.update(losses=[])
    assert client.get(f"/fakes/{analysis.pk}/{lost}/difference.png").content != before  # it had the fake in it
    for index, plane in ((0, "weight"), (40, "new"), (10**9, "new")):
        assert client.get(f"/fakes/{analysis.pk}/{index}/{plane}.png").status_code == 404


def test_an_analysis_whose_files_are_lost_has_its_page_still(analysis, client):
    analysis.fake_set.path().unlink()
    page = client.get(f"/fakes/{analysis.pk}/")
    assert page.status_code == 200 and "neither in the data folder" in page.content.decode()
    assert client.get("/fakes/").status_code == 200
    assert client.get(f"/fakes/{analysis.pk}/0/new.png").status_code == 404
