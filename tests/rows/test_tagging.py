"""Tags: what they hold, what they refuse, how two compare; the command that does the same."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from products.errors import BadTagName, TagConflict, UnknownProvenance, UnknownTag
from products.models import Provenance, ProvenanceTag, ScienceImage
from products.selectors.provenances import provenances_by_id
from products.selectors.tags import compare, contents
from products.services.tagging import clone, known_tags, tag_provenances, untag
from tests import factories

pytestmark = pytest.mark.django_db


def make(process: str, *upstreams: Provenance, **parameters) -> Provenance:
    return factories.provenance(process, *upstreams, tag="", **parameters)


def held(tag: str) -> set[str]:
    return set(ProvenanceTag.objects.filter(tag=tag).values_list("provenance_id", flat=True))


def test_a_tag_holds_what_was_put_into_it_once():
    a, b = make("extraction"), make("astrocal")
    assert tag_provenances("dr1", [a]) == 1
    assert tag_provenances("dr1", [a, b]) == 1
    assert tag_provenances("dr1", [a, b, b]) == 0
    assert held("dr1") == {a.pk, b.pk}


def test_a_second_provenance_of_a_process_is_refused_with_the_list_and_nothing_is_written():
    first, second = make("extraction", threshold=3), make("extraction", threshold=5)
    other, another = make("astrocal", order=1), make("astrocal", order=2)
    innocent = make("photocal")
    tag_provenances("dr1", [first, other])
    with pytest.raises(TagConflict) as refused:
        tag_provenances("dr1", [innocent, second, another])
    said = str(refused.value)
    assert all(row.pk in said for row in (first, second, other, another))
    assert innocent.pk not in said
    assert held("dr1") == {first.pk, other.pk}


def test_two_new_provenances_of_one_process_stand_against_each_other():
    with pytest.raises(TagConflict):
        tag_provenances("dr1", [make("extraction", threshold=3), make("extraction", threshold=5)])
    assert held("dr1") == set()


def test_referencing_may_have_several_provenances_in_a_tag():
    rows = [make("referencing", filter=name) for name in "gri"]
    assert tag_provenances("dr1", rows) == 3


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, " dr1", "dr1 ", "dr\n1", "..", "a//b", "a/../b", "/dr1"])
def test_a_name_that_no_page_could_show_is_refused(name):
    with pytest.raises(BadTagName):
        tag_provenances(name, [make("extraction")])
    assert known_tags() == []


@pytest.mark.parametrize("name", ["dr1", "ls4/current", "run of May (2)", "größe", "x" * 100])
def test_other_names_are_taken(name):
    assert tag_provenances(name, [make("extraction")]) == 1
    assert known_tags() == [name]


def test_a_clone_holds_the_same_and_goes_its_own_way():
    a, b = make("extraction"), make("astrocal")
    tag_provenances("current", [a, b])
    assert clone("current", "dr1") == 2
    untag("current", [a])
    assert held("dr1") == {a.pk, b.pk}
    assert held("current") == {b.pk}


def test_a_clone_into_a_tag_that_holds_something_else_is_refused():
    tag_provenances("current", [make("extraction", threshold=3), make("astrocal")])
    tag_provenances("dr1", [make("extraction", threshold=5)])
    before = held("dr1")
    with pytest.raises(TagConflict):
        clone("current", "dr1")
    assert held("dr1") == before


def test_an_unknown_tag_is_named_with_those_that_there_are():
    tag_provenances("current", [make("extraction")])
    for change in (lambda: clone("curent", "dr1"), lambda: untag("curent")):
        with pytest.raises(UnknownTag, match=r"curent.*current"):
            change()
    assert known_tags() == ["current"]


def test_untagging_keeps_provenances_and_products():
    image = factories.science_image()
    count = Provenance.objects.count()
    assert untag("current", [image.provenance]) == 1
    assert image.provenance_id not in held("current")
    assert untag("current") == 1  # the rest of it
    assert known_tags() == []
    assert Provenance.objects.count() == count
    assert ScienceImage.objects.get().provenance_id == image.provenance_id


def test_a_comparison_says_what_differs_and_why_and_how_much_each_has():
    image = factories.science_image()
    other = make("preprocessing", image.exposure.provenance, overscan_smoothing=7)
    later = make("extraction", other, threshold=3)
    earlier = make("extraction", image.provenance, threshold=3)
    tag_provenances("current", [earlier])
    tag_provenances("new", [image.exposure.provenance, other, later, make("astrocal", later)])
    found = compare("current", "new")
    why = {row.process: row.why for row in found.processes if not row.same}
    assert why == {"preprocessing": "parameters", "extraction": "preprocessing", "astrocal": "only in one tag"}
    assert found.parameters == [("preprocessing", "overscan_smoothing", 1, 7)]
    assert ("science images", 1, 0) in found.products


def test_the_contents_of_a_tag_stand_in_the_order_of_the_pipeline_with_their_products():
    factories.full_ccd()
    rows = contents("current")
    order = [row.provenance.process for row in rows]
    assert (
        order.index("preprocessing") < order.index("extraction") < order.index("subtraction") < order.index("scoring")
    )
    products = {row.provenance.process: row.products for row in rows}
    assert products["scoring"] == {"deep score sets": 1}
    assert products["subtraction"] == {"difference images": 1, "warped images": 1}


@pytest.mark.parametrize("cut", [4, 12, 20])
def test_a_provenance_is_found_by_the_beginning_of_its_id(cut):
    row = make("extraction")
    assert provenances_by_id([row.pk[:cut].lower()]) == [row]


def test_a_beginning_of_several_ids_is_refused_with_them():
    kept = make("extraction")
    Provenance.objects.create(pk=kept.pk[:10] + "AAAAAAAAAA", process="x", code_version=kept.code_version)
    with pytest.raises(UnknownProvenance, match=kept.pk):
        provenances_by_id([kept.pk[:10]])
    with pytest.raises(UnknownProvenance, match="at least"):
        provenances_by_id([""])


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="the tests' SQLite is in memory: threads share one connection"
)
def test_of_two_that_tag_different_provenances_at_once_one_is_refused():
    rows = [make("extraction", threshold=value) for value in range(6)]
    start, outcomes = threading.Barrier(6), []

    def put(row: Provenance) -> None:
        start.wait()
        try:
            outcomes.append(tag_provenances("dr1", [row]))
        except TagConflict:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=put, args=[row]) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["1"] + ["refused"] * 5
    assert len(held("dr1")) == 1


# The command ------------------------------------------------------------------------------------------------
def run(*words: str) -> str:
    out = StringIO()
    call_command("tag_provenances", *words, stdout=out)
    return out.getvalue()


def test_the_command_tags_shows_clones_compares_and_untags():
    image = factories.science_image()
    sources = make("extraction", image.provenance, threshold=3)
    assert "1 of 1" in run("tag", "current", sources.pk[:8])
    assert "2 of 2" in run("tag", "dr1", image.provenance_id, sources.pk)
    assert "current  3 provenances" in run("list")
    shown = run("show", "current", "--parameters")
    assert f"{image.provenance_id}  preprocessing 1.0.0: 1 science images" in shown
    assert "threshold = 3" in shown
    assert "3 provenances" in run("clone", "current", "dr2")
    assert held("dr2") == held("current")
    assert "only in one tag" in run("compare", "dr1", "dr2")
    assert "it holds 2 more" in run("untag", "dr2", sources.pk)
    assert "the tag is gone" in run("untag", "dr2", "--all")
    assert known_tags() == ["current", "dr1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "nix"], "there is no tag 'nix'; there are: current"),
        (["untag", "nix", "--all"], "there is no tag 'nix'"),
        (["clone", "nix", "dr1"], "there is no tag 'nix'"),
        (["compare", "current", "nix"], "there is no tag 'nix'"),
        (["tag", "dr1", "AAAAAAAA"], "there is no provenance 'AAAAAAAA'"),
        (["untag", "current"], "--all"),
        (["tag", "dr1"], "ID"),
        (["frob"], "frob"),
    ],
)
def test_the_command_says_what_it_does_not_know(words, said):
    tag_provenances("current", [make("extraction")])
    with pytest.raises(CommandError, match=said):
        run(*words)
    assert known_tags() == ["current"]


def test_the_command_refuses_a_conflict_and_what_the_tag_does_not_hold():
    first, second = make("extraction", threshold=3), make("extraction", threshold=5)
    tag_provenances("current", [first])
    with pytest.raises(CommandError, match=second.pk):
        run("tag", "current", second.pk)
    with pytest.raises(CommandError, match="does not hold"):
        run("untag", "current", first.pk, second.pk)
    assert held("current") == {first.pk}


def test_the_help_of_the_command_teaches_by_examples(capsys):
    with pytest.raises(SystemExit):
        call_command("tag_provenances", "--help")
    said = capsys.readouterr().out
    assert all(
        f"manage.py tag_provenances {word}" in said for word in ("list", "show", "tag", "clone", "compare", "untag")
    )
