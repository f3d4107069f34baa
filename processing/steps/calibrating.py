"""Calibrating: master frames from raw ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from processing.algorithms.detrend import normalise_flat
from processing.algorithms.overscan import Amplifier, subtract_overscan
from processing.algorithms.stacking import StackParameters, clipped_mean_stack
from processing.errors import BadInput
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import Exposure, MasterBias, MasterFlat


@dataclass(frozen=True)
class RawStack:
    """The raw frames of one CCD that go into one master frame."""

    frames: tuple[np.ndarray, ...]  # (ny, nx) ADU as read
    amplifiers: tuple[Amplifier, ...]
    exposures: tuple[Exposure, ...]
    section: str

    def trimmed(self) -> Iterator[np.ndarray]:
        """Each frame without overscan, (ny, nx) float32 ADU."""
        for frame in self.frames:
            yield subtract_overscan(frame, self.amplifiers)

    def facts(self, band: str = "") -> dict[str, object]:
        """The columns of an image that is made of these frames."""
        first = self.exposures[0]
        names = ",".join(sorted(str(row.pk) for row in self.exposures))
        return {
            "section": self.section,
            "instrument": first.instrument,
            "telescope": first.telescope,
            "filter": band,
            "mjd": min(row.mjd for row in self.exposures),
            "mjd_end": max(row.mjd for row in self.exposures),
            "exposure_time": sum(row.exposure_time for row in self.exposures),
            "read_noise": float(np.median([amplifier.read_noise for amplifier in self.amplifiers])),
            "components_digest": hashlib.sha256(names.encode()).hexdigest()[:20],
            "ra": first.ra,
            "dec": first.dec,
        }


@dataclass(frozen=True)
class BiasFrame:
    """The master bias of the CCD, (ny, nx) float32 ADU."""

    data: np.ndarray


class CalibratingParameters(Parameters):
    stack: StackParameters = param(StackParameters(), help="How the frames are combined.")
    min_frames: int = param(3, ge=1, help="Fewer frames than this are refused.")


class BiasMaking(Step):
    """A master bias: the clipped mean of bias frames without overscan."""

    name = "make_bias"
    version = (1, 1, 0)
    parameters: CalibratingParameters

    def run(self, raw: RawStack) -> MasterBias:
        _enough(raw.exposures, self.parameters.min_frames, "bias")
        data = clipped_mean_stack(raw.trimmed(), self.parameters.stack)
        return _master(MasterBias, data, raw, "")


class FlatMaking(Step):
    """A master flat: the clipped mean of flat frames, each divided by its own median; the CCD's median is 1."""

    name = "make_flat"
    version = (1, 1, 0)
    parameters: CalibratingParameters

    def run(self, raw: RawStack, bias: BiasFrame) -> MasterFlat:
        _enough(raw.exposures, self.parameters.min_frames, "flat")
        frames = (normalise_flat(frame - bias.data, raw.amplifiers) for frame in raw.trimmed())
        data = clipped_mean_stack(frames, self.parameters.stack)
        return _master(MasterFlat, data, raw, raw.exposures[0].filter)


def _enough(exposures: Sequence[Exposure], needed: int, kind: str) -> None:
    if len(exposures) < needed:
        raise BadInput(what=f"{len(exposures)} {kind} frames", reason=f"at least {needed} are needed")


def _master(cls: type, data: np.ndarray, raw: RawStack, band: str) -> MasterBias | MasterFlat:
    ny, nx = data.shape
    image = cls(
        data=data.astype(np.float32),
        weight=np.ones(data.shape, np.float32),
        flags=np.zeros(data.shape, np.uint16),
        width=nx,
        height=ny,
        **raw.facts(band),
    )
    image.related = {"raw_exposures": [row.pk for row in raw.exposures]}
    return image.set_position(image.ra, image.dec)
