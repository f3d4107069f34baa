"""Every page on a full archive, on an empty one, and on addresses that nobody should ask for."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from products.models import Alert, Label, Provenance, ProvenanceTag
from products.models.badness import Badness
from products.services.badness import set_badness
from tests import factories
from tests.rows.archive import FAILED, Archive

pytestmark = pytest.mark.django_db


def test_every_page_answers_and_names_itself(site: Archive, text) -> None:
    for name, address in site.pages().items():
        page = text(address)
        if name not in {"light curve", "labels", "step"}:
            assert "<title>" in page and page.count("<h1") == 1, name
            assert "None" not in page.replace("None yet", "").replace("None.", "").replace("None, of", ""), name
            assert ">nan" not in page and "NaN" not in page, name


def test_a_page_has_no_script_or_handler_in_its_text(site: Archive, text) -> None:
    for name, address in site.pages().items():
        page = text(address)
        assert "onclick=" not in page and "javascript:" not in page, name
        assert "http://" not in page.replace("http://testserver", "").replace("http://www.w3.org", ""), name


def test_an_empty_archive_says_what_to_do_first(client: Client, text) -> None:
    assert "manage.py demo" in text("/")
    assert "process_exposure" in text("/exposures/")
    for address in ("/candidates/", "/objects/", "/provenance/", "/provenance/compare/", "/find/?q=x", "/pipeline/"):
        text(address)


def test_the_night_counts_its_exposures_by_state_its_detections_and_alerts(site: Archive, text) -> None:
    page = text("/?night=2026-11-22")
    assert "22/23 November 2026" in page
    for label, number in (("taken", 1), ("done", 0), ("partial", 1), ("failed", 0), ("detections", 12), ("alerts", 2)):
        assert f"<span>{label}</span><strong" in page, label
        part = page.split(f"<span>{label}</span><strong", 1)[1].split("</strong>", 1)[0]
        assert part.endswith(str(number)), (label, part)
    assert "photocal: 4 stars found, 10 needed" in page
    assert "is not a date" in text("/?night=yesterday")


def test_the_counts_of_the_night_lead_to_as_many_candidates(site: Archive, text) -> None:
    page = text("/?night=2026-11-22")
    link = page.split("<span>alerts</span>")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert text(link).count('<article class="cand"') == 2
    link = page.split("<span>detections</span>")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert text(link).count('<article class="cand"') == 12
    link = page.split("<span>partial</span>")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert f'data-href="/exposures/{site.name}/"' in text(link)
    assert "No exposure matches" in text(link.replace("partial", "failed"))


def test_a_report_shows_steps_warnings_and_the_error_with_its_details(site: Archive, text) -> None:
    page = text(f"/exposures/{site.name}/N1/report/")
    assert "the score scatters by 1.12 on empty sky" in page and "limiting magnitude" in page
    assert site.ccd.image.provenance_id[:8] in page
    failed = text(f"/exposures/{site.name}/{FAILED}/report/")
    assert "Stopped in photocal" in failed and "4 stars found, 10 needed" in failed and "NotEnoughStars" in failed
    assert "not reached" in failed


def test_candidates_are_filtered_sorted_and_say_why_they_were_cut(site: Archive, text) -> None:
    for query, number in (
        ("", 12), ("show=cut", 6), ("show=all", 18), ("filter=g", 4), ("min_score=0.9", 6), ("min_snr=1e9", 0),
        (f"exposure={site.name}&section=N1", 4), ("alert=yes", 3), ("alert=no", 9), ("label=none", 12), ("label=real", 0),
    ):  # fmt: skip
        assert text(f"/candidates/?{query}&size=100").count('<article class="cand"') == number, query
    assert "cut: negative flux 0.460 &gt; 0.400" in text("/candidates/?show=cut")
    page = text("/candidates/?sort=score")
    assert page.index("score <b>0.77") < page.index("score <b>0.98")


def test_an_object_has_points_with_errors_and_limits_brighter_up(site: Archive, text) -> None:
    empty = factories.exposure("demo_20261125_030000", mjd=61369.125)
    factories.full_ccd(3, of=empty, objects=[])
    page = text(f"/objects/{site.object}/")
    assert page.count('class="err"') == 2 and page.count('class="lim"') >= 1
    assert "AB magnitude" in page and site.name in page
    ticks = [float(part.split("<")[0]) for part in page.split('text-anchor="end">')[1:]]
    heights = [float(part.split('"')[0]) for part in page.split('<text x="46" y="')[1:]]
    assert ticks == sorted(ticks) and heights == sorted(heights), "smaller magnitudes stand higher"
    alert = Alert.objects.get(score__measurement=site.again.measurements[0])
    assert str(alert.pk) in page
    assert "μJy" in text(f"/objects/{site.object}/?y=flux")


def test_objects_are_found_by_cone_and_by_name(site: Archive, text) -> None:
    row = site.ccd.measurements[1].object
    page = text(f"/objects/?position={row.ra}+{row.dec}&radius=2")
    assert row.name in page and site.object not in page
    assert row.name in text(f"/objects/?name={row.name[:8]}")
    assert "No object within" in text("/objects/?position=120+45")


def test_a_search_leads_to_exposures_objects_alerts_images_and_provenances(site: Archive, client: Client) -> None:
    alert = Alert.objects.get(score__measurement=site.ccd.measurements[0])
    image, provenance = site.ccd.image, site.ccd.image.provenance_id
    for query, leads in (
        (site.name, f"/exposures/{site.name}/"),
        (site.object, f"/objects/{site.object}/"),
        (str(alert.pk), f"/alerts/{alert.pk}/"),
        (str(site.ccd.measurements[0].pk), f"/objects/{site.object}/?point={site.ccd.measurements[0].pk}"),
        (str(image.pk), f"/images/{image.pk}/"),
        (provenance, f"/provenance/{provenance}/"),
        ("02:22:00 -04:45:00", "/objects/?position=02%3A22%3A00+-04%3A45%3A00&radius=10"),
    ):
        assert client.get("/find/", {"q": query}).url == leads, query


def test_a_search_says_that_it_shows_only_the_first(site: Archive, text) -> None:
    for number in range(26):
        factories.exposure(f"many_{number}")
    page = text("/find/?q=many")
    assert page.count("<tr") == 25 and "the first 25" in page and 'href="/exposures/?name=many"' in page


def test_the_night_has_the_streams_with_what_waits_and_what_is_withheld(site: Archive, text) -> None:
    Alert.objects.update(state="pending")
    set_badness(site.ccd.image, Badness.SHAKING)
    page = text("/?night=2026-11-22")
    assert "alerts/?night=2026-11-22&amp;stream=all" in page
    assert "1 alert is withheld</a>" in page and "state=withheld&amp;night=2026-11-22" in page
    row = page.split("stream=all")[1].split("</tr>")[0]
    assert [int(n) for n in re.findall(r'<td class="n">(\d+)', row)] == [2, 0, 1, 1], (
        "eligible, sent, waiting, withheld"
    )


@pytest.mark.parametrize(
    "address", ["/exposures/", "/objects/", "/candidates/", "/alerts/", "/reports/", "/calibrators/"]
)
def test_nobody_gets_more_rows_at_once_than_a_page_may_have(address: str, client: Client, site: Archive) -> None:
    for asked, given in (("7", 7), ("200", 200), ("99999", 200)):
        assert client.get(f"{address}?size={asked}").context["page"].paginator.per_page == given
    usual = client.get(address).context["page"].paginator.per_page
    for asked in ("0", "-1", "many", "9" * 40, ""):
        assert client.get(f"{address}?size={asked}").context["page"].paginator.per_page == usual, asked


def test_provenance_pages_show_code_parameters_products_and_neighbours(site: Archive, text) -> None:
    key = site.ccd.difference.provenance_id
    page = text(f"/provenance/{key}/")
    assert "method.name" in page and "zogy" in page and "difference images" in page
    assert site.ccd.zero_point.provenance_id in page and site.ccd.measurement_set.provenance_id in page
    Provenance.objects.filter(pk=key).update(is_bad=True, bad_comment="kernel was transposed")
    assert "kernel was transposed" in text(f"/provenance/{key}/") and "kernel was" in text("/provenance/")
    assert "detections" in text("/provenance/tags/current/")
    compared = text("/provenance/compare/?a=current&b=trial")
    assert "only in one tag" in compared and "threshold" in compared
    assert "There is no tag called zzz" in text("/provenance/compare/?a=current&b=zzz")


def test_steps_show_their_parameters_with_limits(text) -> None:
    page = text("/pipeline/steps/subtraction/")
    assert "min_overlap" in page and "≥ 0, ≤ 1" in page and "zogy" in page
    assert "DifferenceImage" in text("/pipeline/")


def test_the_tag_is_chosen_by_address_cookie_and_otherwise_the_last(site: Archive, client: Client, text) -> None:
    assert "0 kept" in text("/candidates/?tag=trial")
    answer = client.post("/preferences/", {"tag": "trial", "next": "/candidates/"})
    assert answer.url == "/candidates/" and "0 kept" in text("/candidates/")
    client.cookies.clear()
    assert "12 kept" in text("/candidates/")
    ProvenanceTag.objects.filter(tag="trial").delete()
    ProvenanceTag.objects.filter(tag="current").update(tag="spring")
    assert "12 kept" in text("/candidates/") and "holds no provenance" not in text("/candidates/")
    assert "holds no provenance" in text("/candidates/?tag=nothing")


def test_a_tag_of_any_script_is_kept_in_a_cookie_that_headers_can_carry(site: Archive, client: Client) -> None:
    ProvenanceTag.objects.create(tag="夜 é;%41", provenance=site.ccd.image.provenance)
    answer = client.post("/preferences/", {"tag": "夜 é;%41"})
    answer.cookies["tag"].OutputString().encode("ascii")
    assert client.get("/exposures/").context["tag"] == "夜 é;%41"


def test_preferences_do_not_lead_to_other_sites(client: Client) -> None:
    assert client.post("/preferences/", {"theme": "dark", "next": "https://evil.example/"}).url == "/"
    assert 'data-theme="dark"' in client.get("/").content.decode()


def test_labels_need_a_log_in_and_belong_to_the_person(site: Archive, client: Client, text) -> None:
    row = site.ccd.measurements[0]
    address = reverse("label", args=[row.pk])
    assert client.post(address, {"verdict": "real"}).url.startswith("/login/") and not Label.objects.exists()
    assert 'class="verdicts"' not in text("/candidates/")
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    assert (
        'class="verdicts"' not in text("/candidates/") and client.post(address, {"verdict": "real"}).status_code == 403
    )
    ada.user_permissions.add(Permission.objects.get(codename="add_label"))
    assert 'class="verdicts"' in text("/candidates/")
    assert client.post(address, {"verdict": "real", "next": "/candidates/"}).url == "/candidates/"
    assert client.post(address, {"verdict": "bogus"}, HTTP_ACCEPT="application/json").json()["verdict"] == "bogus"
    assert Label.objects.get().verdict == "bogus"
    assert client.post(address, {"verdict": "maybe"}).status_code == 400
    assert client.get(address).status_code == 405
    client.post(address, {"verdict": ""})
    assert not Label.objects.exists()


def test_what_is_not_there_is_a_404_that_says_so(site: Archive, client: Client) -> None:
    for address, says in (
        ("/exposures/nothing/", "There is no exposure called nothing."),
        (f"/exposures/{site.name}/Z9/", "has no CCD Z9"),
        (f"/exposures/{site.name}/Z9/report/", "has not been processed"),
        (f"/exposures/{site.name}/N1/report/?attempt=77", "has no attempt 77"),
        ("/objects/nothing/", "There is no object called nothing."),
        ("/objects/nothing/light_curve.csv", "There is no object called nothing."),
        (f"/objects/{site.object}/light_curve.doc", "There is no format"),
        ("/candidates/labels.doc", "There is no format"),
        ("/provenance/NOTHING/", ""),
        ("/provenance/tags/nothing/", "There is no tag called nothing."),
        ("/pipeline/steps/nothing/", "there are: "),
        ("/docs/nothing/", "There is no page"),
        (f"/images/{uuid4()}/", ""),
        (f"/images/{site.ccd.image.pk}/zzz.png", "This image has no plane"),
        (f"/images/{site.ccd.image.pk}/mask-zzz.png", "There is no mask bit"),
        (f"/images/{site.ccd.image.pk}/data.png?stretch=zzz", "There is no stretch"),
        (f"/stamps/{uuid4()}/new.png", ""),
        (f"/stamps/{site.ccd.measurements[0].pk}/zzz.png", "There is no stamp"),
        (f"/files/{uuid4()}/", "There is no file"),
        ("/images/not-an-id/", ""),
        ("/nothing/at/all/", ""),
    ):
        answer = client.get(address)
        page = answer.content.decode()
        assert answer.status_code == 404 and says.replace("'", "&#x27;") in page, address
        assert "There is nothing at this address" in page and "Look for it by name" in page, address


def test_an_attempt_that_sent_its_alerts_came_to_the_end_and_one_that_was_told_to_stop_did_not(client: Client) -> None:
    ccd = factories.full_ccd()
    whole = ccd.report
    whole.steps = [*whole.steps, {**whole.steps[-1], "name": "sending"}]
    whole.finished_at = whole.started_at
    whole.save()
    page = client.get(reverse("exposure", args=[ccd.image.exposure.name])).content.decode()
    assert "came to the end" in page
    whole.steps = whole.steps[:4]
    whole.save()
    page = client.get(reverse("exposure", args=[ccd.image.exposure.name])).content.decode()
    assert "went through photocal, as asked" in page and "4 of 11 steps" in page


def test_an_arrow_that_passes_a_provenance_is_not_hidden_behind_it(text) -> None:
    first = factories.provenance("astrocal")
    second = factories.provenance("photocal", first)
    third = factories.provenance("subtraction", first, second)
    page = text(f"/provenance/{third.pk}/")
    paths = re.findall(r'<path class="link" d="([^"]+)"', page)
    tops = [float(y) for y in re.findall(r'class="node[^>]*translate\([\d.]+ ([\d.]+)\)', page)]
    (around,) = [path for path in paths if "H" in path]
    assert len(paths) == 3 and len(tops) == 3
    assert 0 < float(around.split("H")[0].split()[-1]) < min(tops)
