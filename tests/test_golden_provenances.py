"""The ids of the default pipelines stay as they are: a change makes every product of everybody a new one."""

from __future__ import annotations

import copy
import json

from tests import golden
from tests.golden.provenances import Golden, differences, golden_provenances

ADVICE = """
Whoever has processed data before will make all these products again. If that is what you want (a raised version, a new
or changed parameter), run `python -m tests.golden provenances`, commit the file, and say so in CHANGELOG.md. If it is
not, declare the parameter with critical=False or take the change back."""


def kept() -> Golden:
    return json.loads(golden.PROVENANCES.read_text())


def test_the_provenances_of_the_default_pipelines_are_what_they_were():
    lines = differences(kept(), golden_provenances())
    assert not lines, "\n  ".join(["the default provenances changed:", *lines]) + ADVICE


def test_the_kept_file_says_everything_that_the_declarations_say():
    assert kept() == golden_provenances(), f"versions or parameters changed without the ids?{ADVICE}"


def test_a_change_is_named_with_its_reason_and_what_follows_from_it():
    before = golden_provenances()
    after = copy.deepcopy(before)
    entry = after["SCIENCE"]["extraction"]
    entry["id"], entry["parameters"]["psf_photometry_snr"] = "X" * 20, 7.0
    after["SCIENCE"]["astrocal"]["id"] = "Y" * 20
    after["SCIENCE"]["detection"] |= {"id": "Z" * 20, "version": "1.9"}
    del after["COADD"]["photocal"]
    assert differences(before, after) == [
        "SCIENCE: extraction: psf_photometry_snr 5.0 → 7.0",
        "SCIENCE: astrocal: something before it changed",
        f"SCIENCE: detection: version {before['SCIENCE']['detection']['version']} → 1.9",
        "COADD: photocal is gone",
    ]


def test_nothing_but_the_critical_parameters_and_the_version_decides_the_id():
    from processing import provenances
    from processing.pipelines import SCIENCE
    from products.models import Exposure, Reference

    roots = {Exposure: ["A" * 20], Reference: ["B" * 20]}
    usual = {name: own for name, (own, _) in provenances.ids([step() for step in SCIENCE], roots).items()}
    quiet = [step(**({"send": False} if step.name == "alerting" else {})) for step in SCIENCE]
    assert {name: own for name, (own, _) in provenances.ids(quiet, roots).items()} == usual
    other = [step(**({"peaks": {"threshold": 6.0}} if step.name == "detection" else {})) for step in SCIENCE]
    changed = {name for name, (own, _) in provenances.ids(other, roots).items() if own != usual[name]}
    assert changed == {"detection", "cutting", "measuring", "scoring", "knownobjects", "alerting"}
