"""Parameters and plug-ins: declared once, checked, frozen."""

from __future__ import annotations

import pytest

from processing import config
from processing.errors import NotEnoughStars
from processing.parameters import ConfigurationError, Parameters, param
from processing.plugins import Plugin
from processing.steps.subtraction import Subtraction


class Fruit(Plugin):
    @classmethod
    def members(cls):
        return {"apple": Apple, "pear": Pear}


class Apple(Fruit):
    name = "apple"
    seeds: int = param(5, ge=0, unit="seeds", help="How many seeds.")
    basket: str = param("left", critical=False, help="Where it lies.")


class Pear(Fruit):
    name = "pear"


class Meal(Parameters):
    fruit: Fruit = param("apple", help="What is eaten.")
    portions: int = param(2, ge=1, le=9, help="How often.")
    cook: str = param("anybody", critical=False, help="By whom it is made.")


def test_a_plug_in_is_chosen_by_its_name():
    assert Meal().fruit == Apple()
    assert Meal.build({"fruit": "pear"}).fruit == Pear()
    assert Meal.build({"fruit": {"name": "apple", "seeds": 7}}).fruit.seeds == 7


def test_a_misspelt_plug_in_is_refused_with_a_suggestion():
    with pytest.raises(ConfigurationError, match="did you mean 'apple'"):
        Meal.build({"fruit": "appel"})


def test_a_misspelt_parameter_is_refused_with_a_suggestion():
    with pytest.raises(ConfigurationError, match=r"unknown parameter 'portion'.*did you mean 'portions'"):
        Meal.build({"portion": 3}, "meal")
    with pytest.raises(ConfigurationError, match="did you mean 'seeds'"):
        Meal.build({"fruit": {"name": "apple", "seed": 3}})


def test_a_misspelt_parameter_of_nested_parameters_is_refused_with_a_suggestion():
    class Feast(Parameters):
        main: Meal = param(Meal(), help="The main course.")
        sides: tuple[Meal, ...] = param((), help="What goes with it.")

    with pytest.raises(ConfigurationError, match=r"'portion' of feast\.main; did you mean 'portions'"):
        Feast.build({"main": {"portion": 3}}, "feast")
    with pytest.raises(ConfigurationError, match=r"'portion' of feast\.sides\.0; did you mean 'portions'"):
        Feast.build({"sides": [{"portion": 3}]}, "feast")


def test_a_value_out_of_range_names_the_parameter():
    with pytest.raises(ConfigurationError, match=r"meal\.portions = 10"):
        Meal.build({"portions": 10}, "meal")


def test_parameters_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        Meal().portions = 3


def test_only_critical_parameters_of_the_chosen_plug_in_enter_the_provenance():
    meal = Meal.build({"cook": "Ann", "fruit": {"name": "apple", "basket": "right"}})
    assert meal.critical() == {"fruit": {"name": "apple", "seeds": 5}, "portions": 2}
    assert Meal.build({"fruit": "pear"}).critical()["fruit"] == {"name": "pear"}


def test_show_prints_unit_default_and_help(capsys):
    Apple().show_pars()
    shown = capsys.readouterr().out
    assert "seeds = 5 seeds" in shown and "default 5" in shown and "How many seeds." in shown
    assert "not in the provenance" in shown


def test_an_expected_failure_carries_its_details():
    error = NotEnoughStars(found=3, needed=10, purpose="zero point")
    assert str(error) == "3 stars found, 10 needed (zero point)"
    assert error.details == {"found": 3, "needed": 10, "purpose": "zero point"}


def test_an_expected_failure_survives_the_way_from_another_process():
    import pickle

    error = pickle.loads(pickle.dumps(NotEnoughStars(found=3, needed=10, purpose="zero point")))
    assert error.details["found"] == 3 and str(error).startswith("3 stars")


def test_configurations_include_others_in_order(tmp_path):
    (tmp_path / "base.yaml").write_text("a: {x: 1, y: 1, list: [1]}\nb: {z: 1}\n")
    (tmp_path / "more.yaml").write_text("a: {list: [2]}\n")
    (tmp_path / "last.yaml").write_text("a: {y: 3}\n")
    (tmp_path / "main.yaml").write_text(
        "preloads: [base.yaml]\naugments: [more.yaml]\noverrides: [last.yaml]\na: {x: 2, y: 2}\n"
    )
    assert config.load(tmp_path / "main.yaml") == {"a": {"x": 2, "y": 3, "list": [1, 2]}, "b": {"z": 1}}


def test_what_is_not_beside_a_configuration_is_included_from_those_that_come_with_the_code(tmp_path):
    (tmp_path / "main.yaml").write_text("preloads: [default.yaml]\ndetection: {peaks: {threshold: 7.0}}\n")
    assert config.load(tmp_path / "main.yaml")["detection"]["peaks"]["threshold"] == 7.0
    (tmp_path / "default.yaml").write_text("a: {x: 1}\n")
    assert config.load(tmp_path / "main.yaml")["a"] == {"x": 1}


def test_show_prints_nested_parameters_by_their_dotted_names(capsys):
    Meal(portions=3).show()
    shown = capsys.readouterr().out
    assert "fruit = 'apple'  (default 'apple')" in shown and "fruit.seeds = 5 seeds  (default 5)" in shown
    assert "portions = 3  (default 2)" in shown


@pytest.mark.parametrize("text", ["2026", "1.10", "yes", "null", "a: b", '"', "été"])
def test_a_name_from_the_command_line_stays_the_text_that_it_is(text):
    assert config.assign({}, [config.assignment("referencing.refset", text)]) == {"referencing": {"refset": text}}


def test_local_overrides_come_last(tmp_path):
    (tmp_path / "main.yaml").write_text("a: {x: 1}\n")
    (tmp_path / "local_overrides.yaml").write_text("a: {x: 2}\n")
    assert config.load(tmp_path / "main.yaml") == {"a": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1, 2]", "must hold a mapping"),
        ("a: {", "cannot be read as YAML"),
        ("preloads: [gone.yaml]", "no configuration file"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_name(tmp_path, text, complaint):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        config.load(path)


def test_a_configuration_that_includes_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("preloads: [b.yaml]")
    (tmp_path / "b.yaml").write_text("preloads: [a.yaml]")
    with pytest.raises(ConfigurationError, match="includes itself"):
        config.load(tmp_path / "a.yaml")


def test_another_plug_in_drops_the_parameters_of_the_one_that_it_replaces():
    merged = config.merge({"s": {"method": {"name": "zogy", "tile": 128}}}, {"s": {"method": {"name": "other"}}})
    assert merged == {"s": {"method": {"name": "other"}}}


def test_what_is_chosen_by_its_name_can_get_parameters_after_it():
    given = {"scoring": {"scorer": {"name": "trees", "model": "mine"}}}
    found = config.assign(given, ["scoring.scorer=network", "scoring.scorer.prior=0.2"])
    assert found == {"scoring": {"scorer": {"name": "network", "prior": 0.2}}}
    assert given["scoring"]["scorer"]["name"] == "trees"


def test_set_assigns_dotted_keys_with_yaml_values():
    assert config.assign({"a": {"x": 1}}, ["a.b.c=2.5", "a.flag=true"]) == {
        "a": {"x": 1, "b": {"c": 2.5}, "flag": True}
    }


@pytest.mark.parametrize("text", ["nonsense", "a=1", "a.=1", ".b=1"])
def test_a_malformed_set_says_what_it_should_look_like(text):
    with pytest.raises(ConfigurationError, match=r"step\.parameter=value"):
        config.assign({}, [text])


def test_a_wrong_choice_of_a_plug_in_names_it_and_the_others():
    with pytest.raises(ConfigurationError, match=r"'flor' of SubtractionMethod 'zogy'"):
        Subtraction(method={"name": "zogy", "flor": 1})
    with pytest.raises(
        ConfigurationError, match=r"3 is no SubtractionMethod; name one: alard_lupton, consensus, sfft, zogy"
    ):
        Subtraction(method=3)
