"""Named files that are wrong in one way each, and the code that each must get; or are right, and get none."""

from __future__ import annotations

from tests.admission import corpus_content, corpus_structure  # noqa: F401 - they put their cases into CASES
from tests.admission.cases import CASES, DEFAULT

__all__ = ["CASES", "DEFAULT"]
