"""Fake analysis: what the pipeline made of each fake, and why some were lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import field_validator

from processing.algorithms.fake_light import line_response
from processing.algorithms.fake_matching import distances, match_fakes
from processing.algorithms.stamps import cut_stamps, nearest_pixel
from processing.parameters import Parameters, param
from processing.step import Step
from processing.steps.fake_losses import Losses
from processing.steps.planes import tiles_of
from products.models import (
    Background,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    FakeAnalysis,
    FakeKind,
    FakeSet,
    MeasurementSet,
    ScienceImage,
)

RECOVERY = np.dtype(
    [
        ("is_detected", "?"),
        ("is_kept", "?"),
        ("is_bad", "?"),
        ("is_passed", "?"),  # kept, and the score is not below the threshold
        ("was_there", "?"),  # something is detected there without it, of either sign
        ("x", "f8"),
        ("y", "f8"),
        ("flux", "f8"),
        ("flux_error", "f8"),
        ("snr", "f4"),
        ("score", "f4"),
        ("expected_snr", "f4"),  # what its flux is in the noise of its place; NaN where nothing can be detected
        ("response", "f4"),  # part of its light that PSF photometry measures
        ("reason", "U12"),  # a FakeLoss; empty where it passed
    ]
)
MEASURED = ("x", "y", "flux", "flux_error", "snr", "score")


@dataclass(frozen=True)
class FakeRun:
    """What the steps made of the image with the fakes in it, of which nothing is kept, and what was there before."""

    image: ScienceImage
    difference: DifferenceImage
    detections: Detections
    measurement_set: MeasurementSet
    score_set: DeepScoreSet
    background: Background  # of the image without fakes, like `before`
    before: Detections
    merge_fwhm: float  # peaks this close to a stronger one were dropped, FWHM


class FakeAnalyzingParameters(Parameters):
    match_radius: float = param(3.0, gt=0, unit="px", help="A measurement this close to a fake is the fake.")
    blend_radius: float = param(
        3.0, gt=0, unit="FWHM", help="A stronger peak this close to a fake that was not detected is why."
    )
    stamp: int = param(31, ge=11, le=101, unit="px", help="Side of the stamps of lost fakes, odd.")

    @field_validator("stamp")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the size of a stamp must be odd, so that it has a middle pixel")
        return value


class FakeAnalyzing(Step):
    """Match the measurements of the injected image with the fakes, and say of those that are lost what lost them."""

    name = "fakeanalysis"
    version = (1, 2, 0)
    parameters: FakeAnalyzingParameters

    def run(self, fake_set: FakeSet, score_set: DeepScoreSet, found: FakeRun) -> FakeAnalysis:
        fakes, rows, radius = fake_set.table, found.measurement_set.all_rows(), self.parameters.match_radius
        x, y, flux = (np.array([getattr(row, name) for row in rows], float) for name in ("x", "y", "flux"))
        matched = match_fakes(fakes, x, y, flux < 0, radius=radius)
        table = self._expected(fakes, found)
        for name in MEASURED:
            table[name] = np.nan
        scores = {row.measurement_id: row.score for row in found.score_set.all_rows()}
        losses = Losses(fakes, table["expected_snr"], matched, found, self._reach(found))
        lost = []
        for index in range(len(fakes)):
            row = rows[matched[index]] if matched[index] >= 0 else None
            if row is not None:
                score = scores[row.pk]
                table[list(MEASURED)][index] = (row.x, row.y, row.flux, row.flux_error, row.snr, score)
                table["is_detected"][index], table["is_bad"][index] = True, row.is_bad
                table["is_kept"][index] = not row.is_bad
                table["is_passed"][index] = not row.is_bad and score >= found.score_set.threshold
            if not table["is_passed"][index]:
                loss = losses.of(index, row, None if row is None else scores[row.pk])
                table["reason"][index] = loss["reason"]
                lost.append(loss)
        new, difference = self._stamps(fakes[[loss["fake"] for loss in lost]], found)
        return FakeAnalysis(
            fake_set=fake_set,
            score_set=score_set,
            table=table,
            n_detected=int(table["is_detected"].sum()),
            n_kept=int(table["is_kept"].sum()),
            n_passed=int(table["is_passed"].sum()),
            outcomes=outcomes(fakes, table),
            losses=lost,
            new=new,
            difference=difference,
        )

    def _stamps(self, lost: np.ndarray, found: FakeRun) -> tuple[np.ndarray, np.ndarray]:
        """What the run saw around the fakes that it lost: two (n, size, size) float32."""
        planes = (found.image.data, found.background.level, found.difference.data)
        size = self.parameters.stamp
        new, sky, difference = (cut_stamps(plane, lost["x"], lost["y"], size=size)[0] for plane in planes)
        return (new - sky).astype(np.float32), difference.astype(np.float32)

    def _reach(self, found: FakeRun) -> tuple[float, float, float]:
        """Distances, px, within which a detection is the fake, merged with it, and beside it."""
        fwhm = found.difference.fwhm / found.difference.pixel_scale
        return self.parameters.match_radius, found.merge_fwhm * fwhm, self.parameters.blend_radius * fwhm

    def _expected(self, fakes: np.ndarray, found: FakeRun) -> np.ndarray:
        """A table of RECOVERY with what the noise allows at the places, and whether something was there before."""
        table = np.zeros(len(fakes), RECOVERY)
        table["response"] = 1
        if not len(fakes):
            return table
        difference, before = found.difference, found.before.table
        ny, nx = difference.shape
        row, column = np.clip(nearest_pixel(fakes["y"]), 0, ny - 1), np.clip(nearest_pixel(fakes["x"]), 0, nx - 1)
        long = np.flatnonzero(fakes["length"] > 0)
        if len(long):
            psf = tiles_of(difference)
            stamps = np.stack([psf.stamp(fakes["x"][index], fakes["y"][index]) for index in long])
            table["response"][long] = line_response(stamps, fakes["length"][long], fakes["angle"][long])
        score, plain = difference.score[row, column], difference.score_plain[row, column]
        # Registration and flux ratio have noise of their own under bright stars and galaxies.
        kept = np.clip(np.divide(score, plain, out=np.ones_like(score), where=plain != 0), 0, 1)
        error = np.where(difference.weight[row, column] > 0, difference.alpha_error[row, column], np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            table["expected_snr"] = np.abs(fakes["flux"]) * table["response"] * kept / error
        away = distances(fakes, before["x"], before["y"])
        table["was_there"] = (away <= self.parameters.match_radius).any(axis=1)
        return table


def outcomes(fakes: np.ndarray, table: np.ndarray) -> dict[str, dict[str, Any]]:
    """What an efficiency needs, by kind; without the fakes where something is detected anyway."""
    stage = table["is_detected"].astype(int) + table["is_kept"] + table["is_passed"]
    expected = fakes["flux"] * table["response"]
    ratio, pull = table["flux"] / expected, (table["flux"] - expected) / table["flux_error"]
    offset = np.where(fakes["length"] > 0, np.nan, np.hypot(table["x"] - fakes["x"], table["y"] - fakes["y"]))
    columns = {"ratio": ratio, "pull": pull, "offset": offset, "expected": table["expected_snr"]}
    found = {}
    for kind in FakeKind.values:
        rows = np.flatnonzero((fakes["kind"] == kind) & ~table["was_there"])
        if len(rows):
            found[kind] = {
                "mag": np.round(fakes["mag"][rows], 3).tolist(),
                "stage": stage[rows].tolist(),
                **{
                    name: [round(float(one), 3) if np.isfinite(one) else None for one in values[rows]]
                    for name, values in columns.items()
                },
            }
    return found
