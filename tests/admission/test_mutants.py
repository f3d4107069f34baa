"""Random changes to whole files: each result is refused with a code, or read by Astropy without harm to its process."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processing.admission.admitting import admit
from processing.admission.rules import AdmissionRules
from processing.errors import BadExposureFile
from tests.admission.files import KINDS, compressed, mutant
from tests.admission.test_corpus import read_by_astropy

SEED = 20261128
AT_ONCE = 250  # files of one process
RULES = AdmissionRules(min_images=0)


@pytest.fixture(scope="module")
def mutants(request, tmp_path_factory) -> tuple[list[Path], Counter]:
    """The files that were let in, and how often each code was given to the others."""
    folder, chance = tmp_path_factory.mktemp("mutants"), random.Random(SEED)
    whole = {kind: make() for kind, make in KINDS.items()}
    whole["refused as it is"] = compressed("HCOMPRESS_1")  # what a change lets in must not be unpacked as such
    admitted, codes = [], Counter()
    for number in range(request.config.getoption("--mutants")):
        path = folder / f"{number}.fits"
        path.write_bytes(mutant(whole[chance.choice(list(whole))], chance))
        begun = time.thread_time()
        try:
            admit(path, RULES)
            admitted.append(path)
        except BadExposureFile as error:
            codes[error.code] += 1
            path.unlink()
        assert time.thread_time() - begun < 5
    return admitted, codes


def test_most_mutants_are_refused_for_many_reasons(mutants):
    admitted, codes = mutants
    assert 0.5 < codes.total() / (codes.total() + len(admitted)) < 0.8
    assert len(codes) >= 14, codes


def test_astropy_reads_the_others_without_a_crash_or_a_hang(mutants):
    """What ends its process is the guard's fault; that some tiles or columns of text are nonsense is not."""
    admitted, _ = mutants
    batches = [admitted[i : i + AT_ONCE] for i in range(0, len(admitted), AT_ONCE)]
    with ThreadPoolExecutor(2) as pool:
        said = {path: text for some in pool.map(read_by_astropy, batches) for path, text in some.items()}
    assert set(said) == set(map(str, admitted))
    unreadable = [text for text in said.values() if not isinstance(text, int)]
    assert not [text for text in unreadable if "MemoryError" in text or "compression type" in text]
    assert len(unreadable) < 0.1 * len(said), Counter(unreadable).most_common(5)
