"""Calibrating from exposures of the sky: fringes, and what a flat of a lamp misses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from processing.algorithms.background import smooth_level
from processing.algorithms.master_stacking import Master, combine
from processing.algorithms.readout import Frames
from processing.algorithms.sky_patterns import SourceParameters, amplitude, mask_sources, over_sky, smoothed
from processing.instruments.base import RawSection
from processing.parameters import param
from processing.step import Step
from processing.steps.calibrating import focal_plane_part, without_covered
from processing.steps.raw_stack import (
    CalibratingParameters,
    Collected,
    Corrections,
    Kind,
    Prepared,
    RawStack,
    collect,
    electrons,
    figures_of,
    master_frame,
    own_level,
    planes_of,
)
from products.models import Exposure, FringePattern, IlluminationCorrection

_LEAST_RESPONSE = 0.2  # of a flat, below which a pixel is of no use
_BRIGHT = 3.0  # threshold of the first pass over that of the second


class FringeParameters(CalibratingParameters):
    """How exposures of the sky become a fringe pattern."""

    sources: SourceParameters = param(
        SourceParameters(), help="How sources are masked; the box is also the largest scale that the pattern keeps."
    )
    smoothing: float = param(
        1.5, ge=0, unit="px", help="Sigma of the Gaussian that the pattern is smoothed with: fringes are broad."
    )
    min_frames: int = param(5, ge=3, help="Fewer usable exposures than this, of different fields, are refused.")


class FringeMaking(Step):
    """A fringe pattern: what exposures of different fields have in common on small scales, relative to their sky.

    Each exposure is flat-fielded and divided by its own smooth sky, its sources are masked, and the median is taken;
    a second pass finds the sources under the fringes of the first. The mean of the pattern is 0.
    """

    name = "make_fringe"
    version = (1, 0, 0)
    parameters: FringeParameters

    def run(self, raw: RawStack, corrections: Corrections) -> FringePattern:
        p, kind = self.parameters, _of_the_sky("science", corrections.frames)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            guess = np.ones(found.shape, np.float32)
            # Fringes must not be taken for sources; the median bears the faint ones that are left in this pass.
            bright = p.sources.model_copy(update={"threshold": _BRIGHT * p.sources.threshold})
            first = self._pass(raw, found, guess, bright)
            guess = np.where(first.is_empty, np.float32(1), first.data)
            master = self._pass(raw, found, guess, p.sources)
            planes = planes_of(master, 1.0)
            usable = planes["flags"] == 0
            pattern = smoothed(planes["data"] - 1, usable, p.smoothing)
            planes["data"] = pattern - np.float32(np.mean(pattern[usable], dtype=float))
            planes["data"][~usable] = 0
            size = amplitude(planes["data"], usable)
            level = float(np.median(found.used_scales()))
            figures = figures_of(found, master, level=level, amplitude=size)
            return master_frame(FringePattern, raw, corrections, found, planes, figures)

    def _pass(self, raw: RawStack, found: Collected, guess: np.ndarray, sources: SourceParameters) -> Master:
        p = self.parameters
        with raw.store() as masked:
            covered = over_sky(found.store, found.used, guess, masked, sources)
            kept = without_covered(found, covered, p)
            return combine(masked, kept, found.used_scales(), found.noise(), p.stack, takes_median=True)


class IlluminationParameters(CalibratingParameters):
    """How exposures of the sky become an illumination correction."""

    sources: SourceParameters = param(SourceParameters(), help="How sources are masked.")
    smoothing: int = param(64, ge=16, unit="px", help="Side of the meshes whose levels are interpolated.")


class IlluminationMaking(Step):
    """An illumination correction: the smooth response to the sky that is left after the flat; median 1.

    Exposures of the sky are corrected and flat-fielded, divided by their medians, their sources masked, the median
    taken, and that smoothed.
    """

    name = "make_illumination"
    version = (1, 0, 0)
    parameters: IlluminationParameters

    def run(self, raw: RawStack, corrections: Corrections) -> IlluminationCorrection:
        p, kind = self.parameters, _of_the_sky("science", corrections.frames)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            guess = np.ones(found.shape, np.float32)
            with raw.store() as masked:
                kept = without_covered(found, mask_sources(store, found.used, guess, masked, p.sources), p)
                master = combine(masked, kept, found.used_scales(), found.noise(), p.stack, takes_median=True)
            noise = float(np.sqrt(np.median(master.variance[~master.is_empty])))
            smooth = smooth_level(master.data, master.is_empty, p.smoothing, noise)
            level = focal_plane_part(raw, found)
            part = level / float(np.median(smooth))
            planes = {
                "data": (smooth * np.float32(part)).astype(np.float32),
                "weight": master.weight * np.float32(p.smoothing**2),
                "flags": np.zeros(smooth.shape, np.uint16),
            }
            low, high = (float(value) for value in np.percentile(planes["data"][::4, ::4], [0.5, 99.5]))
            figures = figures_of(
                found, master, level=float(np.median(found.used_scales())), lowest=low, highest=high,
                focal_plane=round(level, 5),
            )  # fmt: skip
            return master_frame(IlluminationCorrection, raw, corrections, found, planes, figures)


def _of_the_sky(name: str, frames: Frames) -> Kind:
    return Kind(name, _flat_fielded(frames), in_electrons=True, has_light=True)


def _flat_fielded(frames: Frames) -> Callable[[np.ndarray, RawSection, Exposure], Prepared]:
    """Electrons over flat and illumination, as far as there are any, over their median."""

    def prepare(adu: np.ndarray, raw: RawSection, exposure: Exposure) -> Prepared:
        frame = electrons(adu, raw)
        for response in (frames.flat, frames.illumination):
            if response is not None:
                frame = np.divide(
                    frame, response, out=np.full_like(frame, np.nan), where=response > np.float32(_LEAST_RESPONSE)
                )
        if frames.bad_pixels is not None:
            frame[frames.bad_pixels != 0] = np.nan
        level = own_level(frame, exposure)
        return Prepared(frame / np.float32(level), level)

    return prepare
