"""What scorers learn from: labelled candidates of whole nights, kept in one file of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.features import FEATURES, features
from processing.algorithms.scoring.base import Candidates
from processing.algorithms.scoring.inputs import NoiseStamps, noise_stamps
from processing.algorithms.scoring.models import Lessons
from processing.errors import BadInput
from processing.training.fields import REAL
from products.storage import whole_file

SIZE = 31  # px, of the stamps that are kept
LABELLED_REAL = ("real", "fake")  # by people, and by those who put them in


@dataclass(frozen=True)
class Material:
    """Labelled candidates, one row each."""

    features: np.ndarray  # (n, len(FEATURES)) float32
    stamps: np.ndarray  # (n, 3, SIZE, SIZE) float16, as in NoiseStamps
    mask: np.ndarray  # (n, SIZE, SIZE) bool
    table: np.ndarray  # (n,) dtype DIAGNOSTICS
    kind: np.ndarray  # (n,) str
    is_real: np.ndarray  # (n,) bool
    night: np.ndarray  # (n,) str: candidates of one night of one field are never learned and tested
    made_by: str = ""  # options of the command that made it

    def __len__(self) -> int:
        return len(self.is_real)

    def of(self, rows: np.ndarray) -> Material:
        """Some of the rows, by number or mask."""
        return Material(**{name: getattr(self, name)[rows] for name in _COLUMNS}, made_by=self.made_by)

    @property
    def lessons(self) -> Lessons:
        """As scorers take them."""
        stamps = NoiseStamps(self.stamps.astype(np.float32), self.mask)
        return Lessons(self.features, stamps, self.table, self.is_real)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, the most frequent first."""
        kinds, numbers = np.unique(self.kind, return_counts=True)
        order = np.argsort(-numbers, kind="stable")
        return {str(kinds[k]): int(numbers[k]) for k in order}

    @classmethod
    def made(cls, candidates: Candidates, kind: np.ndarray, night: str) -> Material:
        """From candidates whose `kind` (n,) is known; those whose is not, "", are left out."""
        sure = np.flatnonzero(kind != "")
        chosen = candidates.of(sure)
        in_noise, kind = noise_stamps(chosen, SIZE), kind[sure].astype("U24")
        return cls(
            features=features(chosen),
            stamps=in_noise.stamps.astype(np.float16),
            mask=in_noise.mask,
            table=chosen.table,
            kind=kind,
            is_real=np.isin(kind, (*REAL, *LABELLED_REAL)),
            night=np.full(len(kind), night, "U40"),
        )


_COLUMNS = tuple(field.name for field in fields(Material) if field.name != "made_by")


def joined(parts: Sequence[Material], made_by: str = "") -> Material:
    """All of several; BadInput where there is none."""
    if not parts:
        raise BadInput(what="the training", reason="there is nothing to learn from")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return Material(**columns, made_by=made_by)


def save(material: Material, path: Path) -> None:
    """Keep it in a file, whole or not at all."""
    arrays = {name: getattr(material, name) for name in _COLUMNS}
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, names=np.array(list(FEATURES)), made_by=np.array(material.made_by), **arrays)


def load(path: Path) -> Material:
    """What `save` kept. BadInput for another file, or one of other features or diagnostics."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise BadInput(what=str(path), reason=f"it cannot be read as training material: {error}") from error
    if missing := {*_COLUMNS, "names", "made_by"} - set(held):
        raise BadInput(what=str(path), reason=f"it is no training material: without {', '.join(sorted(missing))}")
    if tuple(held["names"]) != tuple(FEATURES) or held["table"].dtype != DIAGNOSTICS:
        raise BadInput(what=str(path), reason="it has other features than this version; simulate the nights again")
    return Material(**{name: held[name] for name in _COLUMNS}, made_by=str(held["made_by"]))
