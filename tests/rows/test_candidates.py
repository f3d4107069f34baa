"""The page of candidates: counts under the other filters, labels of many, the training set."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from products.models import Alert, DeepScore, DeepScoreSet, Label, Measurement, ProvenanceTag
from products.selectors import candidates
from products.selectors.tags import of_name
from products.services.labelling import say
from tests import factories
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db


@pytest.fixture
def scanner(client: Client) -> User:
    """Somebody who may label, logged in."""
    person = User.objects.create_user("ada")
    person.user_permissions.add(Permission.objects.get(codename="add_label"))
    client.force_login(person)
    return person


@pytest.fixture
def page(client: Client):
    """The text of a page that must answer 200."""

    def text(address: str) -> str:
        answer = client.get(address)
        assert answer.status_code == 200, address
        return answer.content.decode()

    return text


def pills(page: str, label: str) -> dict[str, int]:
    """Word → count of the pills of one choice."""
    part = page.split(f'aria-label="{label}"', 1)[1].split("</nav>", 1)[0]
    found = re.findall(r"<a [^>]*>(.*?)</a>", part, re.S)
    return {
        re.sub(r"<[^>]+>", "", text.split("<b>")[0]).strip(): int(text.split("<b>")[1].split("<")[0])
        for text in found if "<b>" in text
    }  # fmt: skip


def test_counts_are_those_under_the_other_filters(site: Archive, page, scanner: User) -> None:
    first = page("/candidates/")
    assert pills(first, "Kept or cut") == {"kept": 12, "cut": 6, "all": 18}
    assert pills(first, "Filter") == {"g": 4, "r": 8}
    assert pills(first, "Alert") == {"with": 3, "without": 9}
    only_g = page("/candidates/?filter=g")
    assert pills(only_g, "Kept or cut") == {"kept": 4, "cut": 2, "all": 6}
    assert pills(only_g, "Filter") == {"g": 4, "r": 8}, "a choice counts what the others leave"
    cut = page("/candidates/?show=cut")
    assert pills(cut, "Cut that failed") == {"negative flux": 3, "elongation": 3}
    narrowed = page("/candidates/?show=cut&failed=elongation&filter=r")
    assert pills(narrowed, "Cut that failed") == {"negative flux": 2, "elongation": 2}
    assert pills(narrowed, "Filter") == {"g": 1, "r": 2}
    high = page("/candidates/?min_score=0.9&show=all")
    assert "6 of 18" in high and pills(high, "Kept or cut") == {"kept": 6, "cut": 0, "all": 6}


def test_every_count_is_the_number_of_cards_behind_its_link(site: Archive, page, scanner: User) -> None:
    say(scanner, [row.pk for row in site.ccd.measurements[:2]], "real")
    say(scanner, [site.ccd.measurements[4].pk], "bogus")
    checked = 0
    for query in ("", "?show=all&min_snr=10", "?show=cut&label=none", "?filter=r&alert=no&show=all"):
        text = page(f"/candidates/{query}")
        for link, number in re.findall(r'<a href="(\?[^"]*)">(?:(?!</a>).)*?<b>(\d+)</b></a>', text, re.S):
            shown = page("/candidates/" + link.replace("&amp;", "&") + "&size=100")
            assert shown.count('<article class="cand"') == int(number), (query, link)
            checked += 1
    assert checked > 40


def test_each_range_says_how_many_pass_it_alone(site: Archive, page, scanner: User) -> None:
    rows = Measurement.objects.filter(is_bad=False)
    text = page("/candidates/?min_score=0.9&min_snr=40")
    alone = [int(number) for number in re.findall(r"(\d+) pass this cut alone", text)]
    assert alone == [rows.filter(scores__score__gte=0.9).count(), rows.filter(snr__gte=40).count(), 12]
    assert text.count('<svg class="hist"') == 3 and 'class="off"' in text


def test_a_score_is_that_of_the_tags_scorer(site: Archive, page) -> None:
    other = factories.provenance("scoring", site.ccd.measurement_set.provenance, tag="other", scorer={"name": "random"})
    scores = DeepScoreSet.objects.create(
        measurement_set=site.ccd.measurement_set, algorithm="random", threshold=0.3, n_real=6, provenance=other
    )
    for row in site.ccd.measurements:
        DeepScore.objects.create(score_set=scores, measurement=row, score=0.33)
    current = candidates.with_score(candidates.measured(of_name("current")), of_name("current"))
    assert len(current) == 18 and {row.score for row in current}.isdisjoint({0.33})
    assert {row.threshold for row in current} == {0.5}
    ProvenanceTag.objects.create(tag="other", provenance=site.ccd.measurement_set.provenance)
    changed = candidates.with_score(candidates.measured(of_name("other")), of_name("other"))
    assert {row.score for row in changed if row.measurement_set_id == site.ccd.measurement_set.pk} == {0.33}
    assert {row.score for row in changed if row.measurement_set_id != site.ccd.measurement_set.pk} == {None}


def test_sorting_puts_the_best_first_and_the_unscored_last(site: Archive, page) -> None:
    DeepScore.objects.filter(measurement=site.ccd.measurements[0]).exclude(alerts__isnull=False).delete()
    DeepScore.objects.filter(measurement=site.ccd.measurements[1]).delete()
    tag = of_name("current")
    for sort in ("-score", "score"):
        rows = candidates.InOrder(candidates.ordered(candidates.measured(tag), sort, tag), tag, 18)[0:18]
        scores = [row.score for row in rows]
        assert scores[-1] is None and None not in scores[:-1]
        assert scores[:-1] == sorted(scores[:-1], reverse=sort == "-score")


def test_many_are_labelled_at_once_and_taken_back(site: Archive, client: Client, scanner: User, page) -> None:
    keys = [str(row.pk) for row in site.ccd.measurements[:3]]
    assert 'id="bulk"' in page("/candidates/") and page("/candidates/").count('form="bulk"') == 12
    back = client.post("/candidates/label/", {"measurement": keys, "verdict": "bogus", "next": "/candidates/?page=1"})
    assert back.url == "/candidates/?page=1"
    assert set(Label.objects.values_list("verdict", "person__username")) == {("bogus", "ada")}
    answer = client.post("/candidates/label/", {"measurement": keys[:2], "verdict": ""}, HTTP_ACCEPT="application/json")
    assert answer.json() == {"verdict": "", "measurements": 2} and Label.objects.count() == 1
    for wrong in (
        {"verdict": "real"},
        {"measurement": ["x"], "verdict": "real"},
        {"measurement": keys, "verdict": "x"},
    ):
        assert client.post("/candidates/label/", wrong).status_code == 400
    client.force_login(User.objects.create_user("viewer"))
    assert client.post("/candidates/label/", {"measurement": keys, "verdict": "real"}).status_code == 403
    assert 'id="bulk"' not in page("/candidates/") and Label.objects.count() == 1


def test_a_label_leads_back_to_the_list_and_to_no_other_site(site: Archive, client: Client, scanner: User) -> None:
    data = {"verdict": "real", "measurement": [str(site.ccd.measurements[0].pk)]}
    for back, leads in (
        ("/candidates/?show=cut", "/candidates/?show=cut"), ("https://elsewhere.example/", "/candidates/"),
        ("//elsewhere.example/", "/candidates/"), ("", "/candidates/"),
    ):  # fmt: skip
        assert client.post("/candidates/label/", data | {"next": back}).url == leads, back


def test_who_else_said_what_is_shown_and_found(site: Archive, scanner: User, page) -> None:
    other = User.objects.create_user("kso")
    row = site.ccd.measurements[0]
    say(other, [row.pk], "bogus")
    say(scanner, [row.pk, site.ccd.measurements[1].pk], "real")
    text = page("/candidates/")
    assert "kso: bogus" in text and "you: real" in text and "labelled by you <b data-done>2</b> of 12" in text

    def number(query: str) -> int:
        return page(f"/candidates/?{query}").count('<article class="cand"')

    assert (number("label=real"), number("label=bogus"), number("label=none")) == (2, 0, 10)
    assert (number("label=bogus&by=kso"), number("label=any&by=anybody"), number("label=disagree")) == (1, 2, 1)


def test_a_label_said_again_changes_and_knows_when(site: Archive, scanner: User) -> None:
    row = site.ccd.measurements[0]
    say(scanner, [row.pk], "real")
    first = Label.objects.get()
    say(scanner, [row.pk], "unsure", "a dipole?")
    second = Label.objects.get()
    assert (second.verdict, second.remark, second.created_at) == ("unsure", "a dipole?", first.created_at)
    assert second.changed_at > first.changed_at


def test_the_training_set_has_measurement_provenance_score_verdict_person_and_time(
    site: Archive, client: Client, scanner: User
) -> None:
    row = site.ccd.measurements[0]
    say(scanner, [row.pk, site.ccd.measurements[5].pk], "real")
    say(User.objects.create_user("kso"), [row.pk], "bogus")
    found = list(csv.DictReader(io.StringIO(client.get("/candidates/labels.csv").content.decode())))
    assert [(one["verdict"], one["person"]) for one in found] == [("real", "ada"), ("real", "ada"), ("bogus", "kso")]
    mine = next(one for one in found if one["measurement"] == str(row.pk) and one["person"] == "ada")
    assert float(mine["score"]) == row.scores.get().score and mine["scorer"] == row.scores.get().score_set.provenance_id
    assert mine["provenance"] == site.ccd.measurement_set.provenance_id and mine["exposure"] == site.name
    assert mine["time"].startswith(Label.objects.first().changed_at.strftime("%Y-%m-%dT%H"))
    assert len(list(csv.DictReader(io.StringIO(client.get("/candidates/labels.csv?show=kept").content.decode())))) == 2
    whole = json.loads(client.get("/candidates/labels.json").content)
    assert len(whole["rows"]) == 3 and whole["units"]["flux"] == "electron"


def test_an_alert_is_marked_on_its_card(site: Archive, page) -> None:
    number = Alert.objects.count()
    assert page("/candidates/?size=100").count('<span class="tag">alert</span>') == number == 3
