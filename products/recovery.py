"""Fakes one by one: what was found of each, how well it was measured, and why the others were lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from products.errors import OldFakes
from products.models import DifferenceImage, FakeAnalysis, FakeKind, FakeLoss, Image, WarpedImage


@dataclass(frozen=True)
class Fake:
    """One injected source."""

    index: int
    kind: str  # a FakeKind
    x: float
    y: float
    magnitude: float
    fades: bool
    length: float | None  # px, of a streak
    is_detected: bool
    is_kept: bool
    is_passed: bool
    was_there: bool  # something was detected there without it
    residual: float | None  # measured minus injected, mag
    residual_error: float | None
    ratio: float | None  # measured over injected flux
    pull: float | None
    offset: float | None  # px
    score: float | None
    expected_snr: float | None  # what the noise at its place allows; None on unusable pixels
    reason: str  # a FakeLoss; empty where it passed
    why: str  # the reason with its figures

    @property
    def shown(self) -> tuple[float, float]:
        """Pixels as FITS counts them."""
        return self.x + 1, self.y + 1

    @property
    def what(self) -> str:
        """Its kind in words."""
        return f"{FakeKind(self.kind).label}{', fading' if self.fades else ''}"


@dataclass(frozen=True)
class Lost:
    """A fake that did not come through, as its row keeps it."""

    analysis: FakeAnalysis
    index: int
    kind: str
    x: float
    y: float
    magnitude: float
    fades: bool
    expected_snr: float | None
    reason: str
    why: str
    below_limit: float | None  # magnitude minus the 5σ limit of its image

    @property
    def shown(self) -> tuple[float, float]:
        """Pixels as FITS counts them."""
        return self.x + 1, self.y + 1

    @property
    def what(self) -> str:
        """Its kind in words."""
        return f"{FakeKind(self.kind).label}{', fading' if self.fades else ''}"


def difference_of(analysis: FakeAnalysis) -> DifferenceImage:
    """The difference image, without fakes, of the image that the fakes were put into."""
    return analysis.score_set.measurement_set.cutouts.sources.image.as_kind()


def fakes_of(analysis: FakeAnalysis) -> list[Fake]:
    """Every fake of an image. Raises OldFakes for one that was analysed before reasons were kept."""
    injected, found = analysis.fake_set.table, analysis.table
    if "response" not in found.dtype.names or "kind" not in injected.dtype.names:
        raise OldFakes()
    expected = injected["flux"] * found["response"]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, pull = found["flux"] / expected, (found["flux"] - expected) / found["flux_error"]
        residual = -2.5 * np.log10(np.where(ratio > 0, ratio, np.nan))
        error = 2.5 / np.log(10) * found["flux_error"] / np.abs(found["flux"])
    offset = np.where(injected["length"] > 0, np.nan, np.hypot(found["x"] - injected["x"], found["y"] - injected["y"]))
    why = {loss["fake"]: explained(loss) for loss in analysis.losses}
    return [
        Fake(
            index, str(fake["kind"]), float(fake["x"]), float(fake["y"]), float(fake["mag"]), bool(fake["flux"] < 0),
            _number(fake["length"]) or None, bool(seen["is_detected"]), bool(seen["is_kept"]), bool(seen["is_passed"]),
            bool(seen["was_there"]), _number(residual[index]), _number(error[index]), _number(ratio[index]),
            _number(pull[index]), _number(offset[index]), _number(seen["score"]), _number(seen["expected_snr"], 2),
            str(seen["reason"]), why.get(index, ""),
        )
        for index, (fake, seen) in enumerate(zip(injected, found))
    ]  # fmt: skip


def lost_of(analysis: FakeAnalysis) -> list[Lost]:
    """The fakes of an image that did not come through; no file is read."""
    limit = analysis.fake_set.zero_point.limiting_magnitude
    return [
        Lost(
            analysis, loss["fake"], loss["kind"], loss["x"], loss["y"], loss["mag"], loss["fades"], loss["expected"],
            loss["reason"], explained(loss), None if limit is None else loss["mag"] - limit,
        )
        for loss in analysis.losses
    ]  # fmt: skip


def explained(loss: Mapping[str, Any]) -> str:
    """A reason in words, with the figures that decided."""
    reason, value, threshold = FakeLoss(loss["reason"]), loss["value"], loss["threshold"]
    expected = f"S/N {loss['expected']:.1f} expected" if loss["expected"] is not None else ""
    figures = {
        FakeLoss.FAINT: f"{expected}, {_short(threshold)} needed",
        FakeLoss.NOISE: f"S/N {_short(value)} reached where {_short(loss['expected'])} was expected, "
        f"{_short(threshold)} needed",
        FakeLoss.MASKED: f"{loss.get('what', '')} {_away(value)}",
        FakeLoss.REFERENCE: f"{loss.get('what', '')} {_away(value)}",
        FakeLoss.EDGE: _away(value),
        FakeLoss.OCCUPIED: f"{loss.get('what', '')}, {expected}",
        FakeLoss.MERGED: loss.get("what", ""),
        FakeLoss.BLENDED: loss.get("what", ""),
        FakeLoss.UNSAVED: f"peak of S/N {_short(value)}",
        FakeLoss.CUT: "; ".join(f"{name} {_short(one)}, limit {_short(limit)}" for name, one, limit in _cuts(loss)),
        FakeLoss.SCORE: f"{_short(value)}, {_short(threshold)} needed",
        FakeLoss.UNEXPLAINED: f"S/N {_short(value)} at its place, {expected}",
    }.get(reason, "")
    return f"{reason.label}: {figures.strip()}" if figures.strip() else str(reason.label)


def _cuts(loss: Mapping[str, Any]) -> list[list[Any]]:
    return loss.get("cuts", [])


def _away(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} px away"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _number(value: Any, decimals: int = 4) -> float | None:
    return round(float(value), decimals) if np.isfinite(value) else None


def image_of(analysis: FakeAnalysis) -> Image:
    """The image that the fakes were put into."""
    return analysis.fake_set.zero_point.image


def images_of(analysis: FakeAnalysis) -> dict[str, Image | None]:
    """New, reference and difference without fakes, as stamps name them."""
    difference = difference_of(analysis)
    kin = {"zero_point": difference.zero_point_id, "reference": difference.reference_id}
    warped = WarpedImage.objects.filter(provenance=difference.provenance_id, **kin).first()
    return {"new": image_of(analysis), "reference": warped, "difference": difference}
