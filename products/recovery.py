"""Fakes one by one: what was found of each, how well it was measured, and why the others were missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from products.figures import kept
from products.models import DifferenceImage, FakeAnalysis, Image, WarpedImage


@dataclass(frozen=True)
class Fake:
    """One injected source."""

    index: int
    x: float
    y: float
    magnitude: float
    has_host: bool
    is_detected: bool
    is_kept: bool
    residual: float | None  # measured minus injected, mag
    residual_error: float | None
    score: float | None
    expected_snr: float | None  # what the noise at its place allows; None on unusable pixels
    reason: str  # why it is missing; empty where it was kept

    @property
    def shown(self) -> tuple[float, float]:
        """Pixels as FITS counts them."""
        return self.x + 1, self.y + 1


@dataclass(frozen=True)
class Found:
    """The fakes of one image, as far as an efficiency needs them."""

    magnitudes: list[float]
    detected: list[bool]
    kept: list[bool]


def difference_of(analysis: FakeAnalysis) -> DifferenceImage:
    """The difference image, without fakes, of the image that the fakes were put into."""
    return analysis.score_set.measurement_set.cutouts.sources.image.as_kind()


def found_in(analysis: FakeAnalysis) -> Found:
    """Magnitudes of the fakes and what became of them."""

    def read() -> dict[str, list[Any]]:
        return {
            "magnitudes": np.round(analysis.fake_set.table["mag"], 4).tolist(),
            "detected": analysis.table["is_detected"].tolist(),
            "kept": analysis.table["is_kept"].tolist(),
        }

    return Found(**kept(analysis, "found", read))


def fakes_of(analysis: FakeAnalysis) -> list[Fake]:
    """Every fake of an image."""
    injected, found = analysis.fake_set.table, analysis.table
    threshold = analysis.score_set.measurement_set.cutouts.sources.threshold
    expected = expected_snr(analysis)
    zero_point = analysis.fake_set.zero_point.at(injected["x"], injected["y"])
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = -2.5 * np.log10(found["flux"]) + zero_point - injected["mag"]
        error = 2.5 / np.log(10) * found["flux_error"] / np.abs(found["flux"])
    rows = []
    for index, (fake, seen) in enumerate(zip(injected, found)):
        rows.append(
            Fake(
                index, float(fake["x"]), float(fake["y"]), float(fake["mag"]), bool(fake["host"] >= 0),
                bool(seen["is_detected"]), bool(seen["is_kept"]), _number(residual[index]), _number(error[index]),
                _number(seen["score"]), expected[index], why_missed(seen, expected[index], threshold),
            )
        )  # fmt: skip
    return rows


def why_missed(seen: Any, expected: float | None, threshold: float | None) -> str:
    """The reason in a few words; empty for a fake that was kept."""
    if seen["is_kept"]:
        return ""
    if seen["is_detected"]:
        return "detected, failed a cut"
    if expected is None:
        return "on unusable pixels"
    if threshold is not None and expected < threshold:
        return f"too faint: S/N {expected:.1f} expected, {threshold:g} needed"
    return f"not detected, though S/N {expected:.1f} was expected"


def expected_snr(analysis: FakeAnalysis) -> list[float | None]:
    """S/N that each fake should have in the difference image; None where its pixels are of no use, or not known."""

    def read() -> list[float | None]:
        fakes, difference = analysis.fake_set.table, difference_of(analysis)
        error, weight = difference.alpha_error, difference.weight
        if error is None or weight is None:
            return [None] * len(fakes)
        row = np.clip(np.rint(fakes["y"]).astype(int), 0, error.shape[0] - 1)
        column = np.clip(np.rint(fakes["x"]).astype(int), 0, error.shape[1] - 1)
        noise = np.where(weight[row, column] > 0, error[row, column], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return [_number(value, 2) for value in fakes["flux"] / noise]

    return kept(analysis, "expected", read)


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
