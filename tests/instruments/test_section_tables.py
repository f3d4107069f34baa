"""Tables of what is known of CCDs between dates."""

from __future__ import annotations

import os

import pytest

from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.instruments.section_tables import TABLES, own_path, read_table, table_state

HEADER = """# %ECSV 1.0
# ---
# delimiter: ','
# datatype:
# - {name: section, datatype: string}
# - {name: amplifier, datatype: string}
# - {name: valid_from, datatype: float64}
# - {name: valid_to, datatype: float64}
# - {name: is_usable, datatype: bool}
# - {name: filter, datatype: string}
# - {name: gain, datatype: float64}
# - {name: comment, datatype: string}
# schema: astropy-2.0
section,amplifier,valid_from,valid_to,is_usable,filter,gain,comment
"""


def own_table(*rows: str, instrument: str = "ls4", header: str = HEADER):
    path = own_path(instrument, "sections")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n".join(rows) + "\n")
    return path


def test_every_table_that_comes_with_the_code_can_be_used_and_is_of_an_instrument():
    tables = sorted(TABLES.glob("*_sections.ecsv"))
    assert tables
    for path in tables:
        name = path.name.removesuffix("_sections.ecsv")
        assert name in Instrument.members()
        table_state(name, "", 60000.0)
        assert all(
            str(row["comment"]).strip() and str(row["source"]).strip()
            for row in read_table(path)
            if not row["is_usable"]
        )


def test_ls4_knows_its_dead_ccds_its_filters_and_who_is_read_to_the_right():
    assert not table_state("ls4", "SE_D", 61000).is_usable
    assert not table_state("ls4", "NE_H", 61000).is_usable
    assert table_state("ls4", "NW_B", 61000).is_usable and "suspect" in table_state("ls4", "NW_B", 61000).comment
    assert [table_state("ls4", f"{q}_A", 61000).filter for q in ("NE", "NW", "SE", "SW")] == ["i", "z", "g", "i"]
    right = [name for name in "ABCDEFGH" if table_state("ls4", f"SE_{name}", 61000).readout == "right"]
    assert right == list("CDEF")


def test_nothing_is_known_of_a_ccd_that_no_table_names():
    state = table_state("demo", "N1", 61000)
    assert (state.is_usable, state.filter, state.amplifier("A")) == (True, "", {})


def test_an_archives_own_rows_come_after_and_hold_between_their_dates():
    own_table(
        "NE_A,,61200,61300,False,,,struck by light", "NE_?,,61250,,,r,,swapped", "NE_A,L,,,,,1.8,", "NE_A,,,,,,2.0,"
    )
    before, between, both, after = (table_state("ls4", "NE_A", mjd) for mjd in (61199, 61220, 61260, 61301))
    assert (before.is_usable, before.filter) == (True, "i")
    assert (between.is_usable, between.filter, between.comment) == (False, "i", "struck by light")
    assert (both.is_usable, both.filter, both.comment) == (False, "r", "swapped")
    assert (after.is_usable, after.filter) == (True, "r")
    assert (after.amplifier("L"), after.amplifier("R")) == ({"gain": 1.8}, {"gain": 2.0})
    assert table_state("ls4", "NE_A", 61300).is_usable is False, "the last day counts"


def test_a_table_that_was_changed_is_read_again():
    path = own_table("NE_A,,,,False,,,")
    assert not table_state("ls4", "NE_A", 61000).is_usable
    own_table("NE_A,,,,True,,,")
    os.utime(path, ns=(1, 1))
    assert table_state("ls4", "NE_A", 61000).is_usable


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("NE_A,,,,,,-1,", "row 1.*gain = .*positive"), ("NE_A,,,,,,nan,", "row 1.*gain"), (",,,,False,,,", "names no section"),
        ("NE_A,,61300,61200,False,,,", "before valid_from"), ("NE_A,,soon,,False,,,", "cannot be read"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused_with_its_place(row, reason):
    own_table(row)
    with pytest.raises(BadInput, match=reason) as caught:
        table_state("ls4", "NE_A", 61000)
    assert "ls4_sections.ecsv" in str(caught.value)


def test_a_table_with_an_unknown_column_or_none_is_refused():
    own_table("NE_A,,,,,,,", header=HEADER.replace("comment", "coment"))
    with pytest.raises(BadInput, match=r"unknown column coment; there are: section, amplifier"):
        table_state("ls4", "NE_A", 61000)
    own_path("ls4", "sections").write_text("section,is_usable\nNE_A,no\n")
    with pytest.raises(BadInput, match="cannot be read as an ECSV table"):
        table_state("ls4", "NE_A", 61000)
    own_table("NE_A,,,,no,,,", header=HEADER.replace("is_usable, datatype: bool", "is_usable, datatype: string"))
    with pytest.raises(BadInput, match="must be True or False"):
        table_state("ls4", "NE_A", 61000)
