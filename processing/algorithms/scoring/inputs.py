"""Stamps as networks see them: in units of their noise, without their local level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.features import TOGETHER, FlatStamps, flat_stamps
from processing.algorithms.scoring.base import Candidates

_LARGEST = 3e4  # σ; more is no number of half precision, and says nothing


@dataclass(frozen=True)
class NoiseStamps:
    """What the stamps of candidates hold, in noise."""

    stamps: np.ndarray  # (n, 3, size, size) float32: difference (of the right sign: up), new, reference, in σ
    mask: np.ndarray  # (n, size, size) bool, where the stamps are 0 because nothing is known

    def __len__(self) -> int:
        return len(self.mask)

    def cropped(self, size: int) -> NoiseStamps:
        """Their middle `size` × `size` pixels."""
        margin = (self.mask.shape[1] - size) // 2
        inside = slice(margin, margin + size)
        return NoiseStamps(self.stamps[:, :, inside, inside], self.mask[:, inside, inside])


def noise_stamps(candidates: Candidates, size: int) -> NoiseStamps:
    """The middle `size` × `size` pixels of each candidate; what is beyond smaller stamps is masked."""
    parts = [noise_stamps_of(part, flat_stamps(part), size) for part in candidates.batches(TOGETHER)]
    nothing = NoiseStamps(np.zeros((0, 3, size, size), np.float32), np.zeros((0, size, size), bool))
    return NoiseStamps(
        np.concatenate([nothing.stamps, *(part.stamps for part in parts)]),
        np.concatenate([nothing.mask, *(part.mask for part in parts)]),
    )


def noise_stamps_of(candidates: Candidates, flat: FlatStamps, size: int) -> NoiseStamps:
    """The same of a few candidates whose flat stamps are known."""
    n, whole = len(candidates), candidates.mask.shape[1]
    found = np.zeros((n, 3, size, size), np.float32)
    half = min(size, whole) // 2
    inside = slice(whole // 2 - half, whole // 2 + half + 1)
    target = slice(size // 2 - half, size // 2 + half + 1)
    for channel, name in enumerate(("difference", "new", "reference")):
        in_noise = getattr(flat, name)[:, inside, inside] / getattr(flat, f"{name}_noise")
        found[:, channel, target, target] = np.nan_to_num(np.clip(in_noise, -_LARGEST, _LARGEST), nan=0)
    mask = np.ones((n, size, size), bool)
    mask[:, target, target] = candidates.mask[:, inside, inside]
    return NoiseStamps(found, mask)
