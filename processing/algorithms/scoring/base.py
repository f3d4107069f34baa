"""The family of scorers: each says for a candidate how likely it is astronomical (1) rather than an artefact (0)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from processing.errors import BadInput
from processing.parameters import param
from processing.plugins import Plugin


@dataclass(frozen=True)
class Candidates:
    """What a scorer may look at, one row a candidate."""

    new: np.ndarray  # (n, size, size) float32, electrons, background subtracted
    reference: np.ndarray  # the same of the reference, electrons of the new image
    difference: np.ndarray  # the same of the difference
    mask: np.ndarray  # (n, size, size) bool, True where a pixel must not be used or is outside the image
    table: np.ndarray  # (n,) dtype DIAGNOSTICS

    def __post_init__(self) -> None:
        shape = self.difference.shape
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2 == 0:
            raise BadInput(what="stamps", reason=f"shape {shape} is not (n, odd size, odd size)")
        for name in ("new", "reference", "mask"):
            if getattr(self, name).shape != shape:
                raise BadInput(what="stamps", reason=f"{name} has shape {getattr(self, name).shape}, not {shape}")
        if len(self.table) != shape[0]:
            raise BadInput(what="stamps", reason=f"{shape[0]} stamps, but {len(self.table)} rows of diagnostics")

    def __len__(self) -> int:
        return len(self.table)

    def of(self, rows: np.ndarray | slice) -> Candidates:
        """Some of them, by number, mask or slice."""
        return Candidates(**{name: values[rows] for name, values in vars(self).items()})

    def batches(self, size: int) -> Iterator[Candidates]:
        """All of them in order, `size` at a time: so many that their stamps stay in the cache of the processor."""
        for first in range(0, len(self), size):
            yield self.of(slice(first, first + size))


@dataclass(frozen=True)
class Scores:
    """What a scorer says, in the order of the candidates."""

    score: np.ndarray  # (n,) float32, 0 (bogus) to 1 (real)
    info: list[dict]  # what else it says of each, plain JSON values


class Scorer(Plugin):
    """One way to tell real from bogus; the fields of a member are its parameters."""

    package = "processing.algorithms.scoring"

    threshold: float = param(0.5, ge=0, le=1, help="Score from which a candidate is called real.")

    def __call__(self, candidates: Candidates) -> Scores:
        """Score the candidates, all at once; the same candidates always get the same scores."""
        raise NotImplementedError
