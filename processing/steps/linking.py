"""Linking: tracklets among the detections of one night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from processing.algorithms.tracklets import Detected, Link, LinkParameters, link
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import Provenance, Tracklet, TrackletSet


class LinkingParameters(Parameters):
    min_score: float | None = param(
        None, ge=0, le=1, help="Smallest score of a detection that is linked; every kept detection if not given."
    )
    links: LinkParameters = param(LinkParameters(), help="What is a tracklet.")


@dataclass(frozen=True)
class NightDetections:
    """The detections of a night that may move."""

    night: int  # MJD on which it begins, at noon UT
    measuring: Provenance  # of the measurements
    digest: str  # of what is linked
    detected: Detected
    measurements: Sequence[UUID]  # (n)
    magnitudes: np.ndarray  # (n,) AB, NaN unknown
    known_as: Sequence[str]  # (n) the known body that each is of; empty: none


class Linking(Step):
    """Find what moved along a straight line in one night."""

    name = "linking"
    version = (1, 0, 0)
    parameters: LinkingParameters

    def run(self, night: NightDetections) -> TrackletSet:
        found = link(night.detected, self.parameters.links)
        result = TrackletSet(
            night=night.night,
            measuring=night.measuring,
            inputs_digest=night.digest,
            n_detections=len(night.measurements),
            n_tracklets=len(found.links),
            chance={str(number): round(expected, 4) for number, expected in found.chance.items()},
        )
        result.rows = [_tracklet(result, night, one) for one in found.links]
        Tracklet.set_positions(result.rows, *np.array([[one.ra, one.dec] for one in found.links]).reshape(-1, 2).T)
        return result


def _tracklet(result: TrackletSet, night: NightDetections, one: Link) -> Tracklet:
    """A row, with the ids of its measurements as `members`; the same link has the same id whenever it is found."""
    members = [night.measurements[row] for row in one.members]
    magnitudes = night.magnitudes[one.members]
    names = Counter(night.known_as[row] for row in one.members)
    name, number = names.most_common(1)[0]
    row = Tracklet(
        tracklet_set=result,
        n_detections=len(members),
        mjd=one.mjd,
        mjd_first=float(night.detected.mjd[one.members[0]]),
        mjd_last=float(night.detected.mjd[one.members[-1]]),
        rate=one.rate,
        position_angle=one.position_angle,
        residual=one.residual,
        magnitude=float(np.nanmedian(magnitudes)) if np.isfinite(magnitudes).any() else None,
        known_as=name if 2 * number > len(members) else "",
    )
    row.members = members
    return row
