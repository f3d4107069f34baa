"""Which measurements a stream takes, and which cut keeps the others back. One function decides and explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from products.models import Measurement

# In this order; the first that a measurement fails is the one that counts.
CUTS = {
    "failed_cuts": "failed a cut of the measuring",
    "score": "score too low",
    "snr": "S/N too low",
    "sign": "other sign of the change",
    "filter": "other filter",
    "brightness": "too bright or too faint",
    "known_objects": "a known moving object, or none",
    "detections": "seen too seldom or too often",
    "told_before": "told before, by a receipt of other cuts",
}


@dataclass(frozen=True)
class StreamCuts:
    """What a stream takes; the parameters of the step have the same names."""

    name: str
    min_score: float | None = None
    min_snr: float = 0.0
    also_bad: bool = False
    sign: str = "any"
    filters: tuple[str, ...] = ()
    brightest: float | None = None
    faintest: float | None = None
    min_detections: int = 1
    max_detections: int | None = None
    known_objects: str = "any"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From parameters, as they are at hand or as a provenance keeps them; what has no cut in it is left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    @property
    def counts_detections(self) -> bool:
        """Whether the number of earlier detections matters."""
        return self.min_detections > 1 or self.max_detections is not None


@dataclass(frozen=True)
class Refusal:
    """The first cut that keeps a measurement out of a stream."""

    cut: str  # of CUTS
    detail: str

    def __str__(self) -> str:
        return f"{CUTS[self.cut]}: {self.detail}"


@dataclass(frozen=True)
class Judged:
    """One scored measurement, with what the streams look at."""

    row: Measurement
    score: float
    threshold: float  # of the scorer
    earlier: int = 0  # kept detections of the object before this one
    known_as: str = ""  # the known body of the Solar System that it is of


def refusal(cuts: StreamCuts, judged: Judged) -> Refusal | None:
    """Why a stream does not take a measurement; None where it does."""
    row = judged.row
    least = judged.threshold if cuts.min_score is None else cuts.min_score
    if row.is_bad and not cuts.also_bad:
        return Refusal("failed_cuts", ", ".join(row.failed_cuts))
    if not judged.score >= least:
        return Refusal("score", f"{judged.score:.3f} < {least:.3f}")
    if not row.snr >= cuts.min_snr:
        return Refusal("snr", f"{row.snr:.1f} < {cuts.min_snr:.1f}")
    sign = "negative" if row.is_negative else "positive"
    if cuts.sign not in ("any", sign):
        return Refusal("sign", f"{sign}, not {cuts.sign}")
    if cuts.filters and row.filter not in cuts.filters:
        return Refusal("filter", f"{row.filter}, not {' or '.join(cuts.filters)}")
    if not _is_as_bright(cuts, row.magnitude):
        found = "no magnitude" if row.magnitude is None else f"{row.magnitude:.2f} mag"
        return Refusal("brightness", f"{found}, not {_span(cuts.brightest, cuts.faintest)}")
    if cuts.known_objects != "any" and (cuts.known_objects == "only") != bool(judged.known_as):
        return Refusal("known_objects", judged.known_as or "no known moving object")
    seen, most = judged.earlier + 1, cuts.max_detections
    if seen < cuts.min_detections or (most is not None and seen > most):
        return Refusal("detections", f"number {seen}, not {_span(cuts.min_detections, most)}")
    return None


def _is_as_bright(cuts: StreamCuts, magnitude: float | None) -> bool:
    if cuts.brightest is None and cuts.faintest is None:
        return True
    if magnitude is None:
        return False
    return (cuts.brightest is None or magnitude >= cuts.brightest) and (
        cuts.faintest is None or magnitude <= cuts.faintest
    )


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"
