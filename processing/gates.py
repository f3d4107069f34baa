"""Quality gates: figures of a product held against limits. What is beyond one gets badness, and the reason in words.

Badness goes on to everything that is made of the product: references are not made of it, and alerts that rest on it are
withheld until a person clears it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from products.models.badness import Badness, HasBadness


@dataclass(frozen=True)
class Gate:
    """One figure and its limits; what is not known, or has no limit, passes."""

    words: str  # what the figure is
    value: float | None
    bit: Badness
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def reason(self) -> str:
        """What is wrong, with the figures; empty where nothing is."""
        if self.value is None or math.isnan(self.value):
            return ""
        if self.most is not None and self.value > self.most:
            return f"{self._said(self.value)} is more than {self.most:g}"
        if self.least is not None and self.value < self.least:
            return f"{self._said(self.value)} is less than {self.least:g}"
        return ""

    def _said(self, value: float) -> str:
        return f"{self.words} {value:.4g}{f' {self.unit}' if self.unit else ''}"


def judge(product: HasBadness, gates: Sequence[Gate]) -> list[str]:
    """Set the bits of the gates that an unsaved product does not pass, and say why in its description.

    Returns the reasons, for the report.
    """
    reasons = []
    for gate in gates:
        if why := gate.reason:
            product.badness_own = int(product.badness_own | gate.bit)
            reasons.append(why)
    if reasons:
        product.description = "; ".join(filter(None, [product.description, *reasons]))
    return reasons
