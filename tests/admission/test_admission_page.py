"""The page about files from outside is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from processing.admission.codes import Code

PAGE = Path(__file__).parents[2] / "templates" / "docs" / "admission.md"
ROWS = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `[a-z-]+` \|", line)]


def test_the_page_has_every_code_once_with_its_meaning_and_remedy():
    wanted = [
        f"| `{code}` | {code.meaning} | {code.advice} | {'yes' if code.is_tolerable else 'no'} |" for code in Code
    ]
    assert wanted == ROWS


@pytest.mark.parametrize("code", Code)
def test_a_code_is_short_and_its_meaning_is_a_sentence(code):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.value) and len(code.value) <= 20
    assert code.meaning[0].isupper() and code.meaning.endswith((".", ")."))
    assert code.advice and not code.advice.endswith(".")
