"""Why a fake was lost, from what the run left: planes of the difference, peaks, measurements, cuts and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from processing.algorithms.fake_matching import distances
from processing.algorithms.stamps import nearest_pixel
from products.models import FakeLoss, Measurement
from products.pixel_flags import PixelFlag

if TYPE_CHECKING:
    from processing.steps.fakeanalysis import FakeRun

_SEEN = int(PixelFlag.UNUSABLE & ~PixelFlag.ZERO_WEIGHT)
_AROUND = 1  # px from the nearest pixel: where the score of a fake has its maximum


class Losses:
    """The fakes of a run (dtype FAKES), the S/N expected of them (n,), which measurement they are (n,) or −1."""

    def __init__(
        self,
        fakes: np.ndarray,
        expected: np.ndarray,
        matched: np.ndarray,
        run: FakeRun,
        reach: tuple[float, float, float],
    ) -> None:
        self.fakes, self.expected, self.matched, self.run = fakes, expected, matched, run
        self.match, self.merge, self.blend = reach
        self.peaks, self.threshold = run.detections.table, float(run.detections.threshold)
        self.away = distances(fakes, self.peaks["x"], self.peaks["y"])
        self.before = run.before.table
        self.before_away = distances(fakes, self.before["x"], self.before["y"])

    def of(self, index: int, row: Measurement | None, score: float | None) -> dict[str, Any]:
        """The reason of a fake that did not come through, with the figures that decided."""
        fake = self.fakes[index]
        found = {
            "fake": index,
            "kind": str(fake["kind"]),
            "x": round(float(fake["x"]), 2),
            "y": round(float(fake["y"]), 2),
            "mag": round(float(fake["mag"]), 3),
            "fades": bool(fake["flux"] < 0),
            "expected": _plain(self.expected[index]),
        }
        if row is None:
            return found | self._undetected(index)
        if row.is_bad:
            cuts = [[name, value, limit] for name, value, limit, passed in row.cuts if not passed]
            reason = FakeLoss.HALO if [cut[0] for cut in cuts] == ["halo"] else FakeLoss.CUT
            return found | _loss(reason, *cuts[0][1:], cuts=cuts)
        return found | _loss(FakeLoss.SCORE, score, self.run.score_set.threshold)

    def _undetected(self, index: int) -> dict[str, Any]:
        """Why no measurement is this fake."""
        expected = float(self.expected[index])
        if (self.before_away[index] <= self.match).any():
            return self._occupied(index)
        same = self.peaks["is_negative"] == (self.fakes["flux"][index] < 0)
        if (self.away[index][same] <= self.match).any():
            return self._taken(index, same)
        if not np.isfinite(expected):
            return self._masked(index)
        if expected < self.threshold:
            return _loss(FakeLoss.FAINT, expected, self.threshold)
        reached = self._reached(index)
        for radius, peaks, reason in (
            (self.merge + self.match, same, FakeLoss.MERGED),
            (self.blend, np.ones_like(same), FakeLoss.BLENDED),
        ):
            stronger = peaks & (self.away[index] <= radius) & (self.peaks["snr"] >= max(reached, self.threshold))
            if stronger.any():
                return self._beside(index, reason, stronger)
        if reached < self.threshold:
            return _loss(FakeLoss.NOISE, reached, self.threshold)
        if (around := same & self._in_footprint(index)).any():
            return self._beside(index, FakeLoss.BLENDED, around)
        return _loss(FakeLoss.UNEXPLAINED, reached, self.threshold)

    def _in_footprint(self, index: int) -> np.ndarray:
        """Of which peaks (n,) the extent of the footprint holds a fake."""
        inside = np.ones(len(self.peaks), bool)
        for axis in "xy":
            pixel = int(nearest_pixel(self.fakes[axis][index]))
            inside &= (self.peaks[f"footprint_{axis}0"] <= pixel) & (pixel < self.peaks[f"footprint_{axis}1"])
        return inside

    def _taken(self, index: int, same: np.ndarray) -> dict[str, Any]:
        """A peak is there, which is another fake's, or which was not saved."""
        near = np.flatnonzero(same & (self.away[index] <= self.match))
        peak = near[np.argmin(self.away[index][near])]
        measured = {row.index_in_sources: number for number, row in enumerate(self.run.measurement_set.all_rows())}
        owner = np.flatnonzero(self.matched == measured.get(int(peak), -2))
        if len(owner):
            return _loss(FakeLoss.MERGED, self.peaks["snr"][peak], self.threshold, what=f"fake {owner[0]}")
        return _loss(FakeLoss.UNSAVED, self.peaks["snr"][peak], self.threshold)

    def _beside(self, index: int, reason: FakeLoss, stronger: np.ndarray) -> dict[str, Any]:
        rows = np.flatnonzero(stronger)
        peak = rows[np.argmin(self.away[index][rows])]
        what = _said(self.peaks[peak], self.away[index][peak])
        return _loss(reason, self.peaks["snr"][peak], self.expected[index], what=what)

    def _occupied(self, index: int) -> dict[str, Any]:
        """What was detected at the place without the fake: the two add up, or take each other away."""
        peak = int(np.argmin(self.before_away[index]))
        what = _said(self.before[peak], self.before_away[index][peak])
        return _loss(FakeLoss.OCCUPIED, self.before["snr"][peak], self.expected[index], what=what)

    def _masked(self, index: int) -> dict[str, Any]:
        """Which flags, the nearest ones, keep detection from the place of a fake."""
        flags = self.run.difference.flags
        half, (ny, nx) = int(np.ceil(self.blend)), flags.shape
        i, j = int(nearest_pixel(self.fakes["y"][index])), int(nearest_pixel(self.fakes["x"][index]))
        top, left = max(i - half, 0), max(j - half, 0)
        box = flags[top : i + half + 1, left : j + half + 1] & _SEEN
        rows, columns = np.nonzero(box)
        if not len(rows):
            edge = min(i, j, ny - 1 - i, nx - 1 - j)
            return _loss(FakeLoss.EDGE, edge) if edge <= self.blend + half else _loss(FakeLoss.MASKED, what="no weight")
        away = np.hypot(rows + top - i, columns + left - j)
        nearest = np.argmin(away)
        flag = PixelFlag(int(box[rows[nearest], columns[nearest]]))
        reason = FakeLoss.REFERENCE if flag & PixelFlag.OUT_OF_BOUNDS else FakeLoss.MASKED
        return _loss(reason, away[nearest], what=flag.label)

    def _reached(self, index: int) -> float:
        """The largest |score| of its sign at the place of a fake, σ."""
        score, fake = self.run.difference.score, self.fakes[index]
        i, j = int(nearest_pixel(fake["y"])), int(nearest_pixel(fake["x"]))
        near = score[max(i - _AROUND, 0) : i + _AROUND + 1, max(j - _AROUND, 0) : j + _AROUND + 1]
        return float((near * (-1 if fake["flux"] < 0 else 1)).max())


def _said(peak: np.void, away: float) -> str:
    """A peak in words."""
    sign = "fading " if peak["is_negative"] else ""
    return f"{sign}peak of S/N {peak['snr']:.1f} at {peak['x'] + 1:.1f}, {peak['y'] + 1:.1f}, {away:.1f} px away"


def _loss(
    reason: FakeLoss,
    value: float | None = None,
    threshold: float | None = None,
    *,
    what: str = "",
    cuts: list | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"reason": reason.value, "value": _plain(value), "threshold": _plain(threshold)}
    return found | {key: given for key, given in (("what", what), ("cuts", cuts)) if given}


def _plain(value: Any) -> float | None:
    """A number for JSON, to four figures; None for what is none."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{float(value):.4g}")
