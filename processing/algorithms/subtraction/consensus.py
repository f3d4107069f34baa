"""Two methods at once: one makes the difference, and the other has to see what it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from processing.algorithms.peaks import maxima
from processing.algorithms.subtraction.base import Difference, Epoch, MatchedStars, MatchingMethod, SubtractionMethod
from processing.parameters import param

_LOOKED_AT = 0.75  # of `support`: a peak between pixels is lower in each of them
_SHARE = 0.8  # of the first score, where that is less than `support`
_COUNTED = 5.0  # sigma, from which on peaks are counted


class Consensus(SubtractionMethod):
    """The difference of one method, with the pixels marked whose score a second method does not support.

    What a method makes out of its own errors the other one does not repeat, and noise, which both share, supports
    itself. The score stays that of the first, calibrated on empty sky; peaks on marked pixels are no detections.
    `quality` is that of the first; with `second_` before their names the scores and the own numbers of the second; and
    `unsupported_peaks` and `unsupported_fraction` of the peaks above 5 sigma. The statistic of `zogy`, one of the two
    unless others are asked for, is covered by US patent 10,776,653.
    """

    name: ClassVar[str] = "consensus"

    first: MatchingMethod = param("zogy", help="The method that makes the difference, its score and its fluxes.")
    second: MatchingMethod = param("alard_lupton", help="The method that has to see every peak too.")
    support: float = param(
        4.0, gt=0, unit="sigma", help="Score of the same sign that the second method must exceed at the same pixel."
    )

    def __call__(self, new: Epoch, reference: Epoch, stars: MatchedStars | None = None) -> Difference:
        """Subtract with both methods. Raises what either raises."""
        other = self.second(new, reference, stars)
        second, mask, quality = other.score, other.mask, other.quality
        del other  # eight planes
        found = self.first(new, reference, stars)
        mask |= found.mask
        unsupported = self.unsupported(found.score, second)
        peaks = maxima(np.abs(found.score), _COUNTED, 1)
        peaks = tuple(axis[~mask[peaks]] for axis in peaks)
        missed = float(np.count_nonzero(unsupported[peaks]))
        counts = {"unsupported_peaks": missed, "unsupported_fraction": missed / max(len(peaks[0]), 1)}
        own = {name for name in quality if name not in found.quality or name.startswith("score_")}
        quality = found.quality | {f"second_{name}": quality[name] for name in sorted(own)} | counts
        return replace(found, mask=mask, quality=quality, unsupported=unsupported)

    def unsupported(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Where the second score (ny, nx) does not say what the first does; bool.

        Where the PSF is narrow a peak of 5 sigma may be below 4 in every pixel: four fifths of the first are enough.
        """
        height = np.abs(first)
        same = np.where(first < 0, -second, second)
        return (height > _LOOKED_AT * self.support) & (same < np.minimum(self.support, _SHARE * height))
