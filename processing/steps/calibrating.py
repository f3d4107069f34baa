"""Calibrating: master frames of the detector from raw ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processing.algorithms.master_stacking import Master, combine
from processing.algorithms.sky_patterns import SourceParameters, mask_sources
from processing.errors import BadInput
from processing.instruments.base import RawSection
from processing.parameters import param
from processing.step import Step
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
from products.models import Exposure, MasterBias, MasterDark, MasterFlat

LAMP = "dome"


class BiasMaking(Step):
    """A master bias: the clipped mean of bias frames without overscan, in ADU."""

    name = "make_bias"
    version = (1, 2, 0)
    parameters: CalibratingParameters

    def run(self, raw: RawStack, corrections: Corrections) -> MasterBias:
        p, kind = self.parameters, Kind("bias", _as_it_is)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            master = combine(store, found.used, found.used_scales(), found.noise(), p.stack)
            figures = figures_of(found, master, level=float(np.median(master.data[::4])))
            return master_frame(MasterBias, raw, corrections, found, planes_of(master), figures)


class DarkMaking(Step):
    """A master dark: the clipped mean of dark frames over their exposure times, in ADU per second, hot pixels included.

    Frames of any exposure times go together, each with the weight that its noise gives it.
    """

    name = "make_dark"
    version = (1, 0, 0)
    parameters: CalibratingParameters

    def run(self, raw: RawStack, corrections: Corrections) -> MasterDark:
        p, kind = self.parameters, Kind("dark", _per_second, must_fit=_no_dark)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            master = combine(store, found.used, found.used_scales(), found.noise(), p.stack)
            figures = figures_of(found, master, **_dark_figures(found, master))
            return master_frame(MasterDark, raw, corrections, found, planes_of(master), figures)


class FlatParameters(CalibratingParameters):
    """How flats are chosen and combined."""

    sources: SourceParameters = param(
        SourceParameters(), help="Flats of the sky: how stars are masked before the frames are combined."
    )


class FlatMaking(Step):
    """A master flat: the relative response in electrons, of which the focal plane (all CCDs of a filter) has median 1.

    Each frame is divided by its own median, so that a lamp or a sky that changes does not widen the scatter; the mean
    ratio of that median to the focal plane's is put back at the end. Frames of a lamp are averaged with clipping. In
    frames of the sky, at night or at twilight, sources are masked first, and of the night sky the median is taken.
    """

    name = "make_flat"
    version = (1, 2, 0)
    parameters: FlatParameters

    def run(self, raw: RawStack, corrections: Corrections) -> MasterFlat:
        p, light = self.parameters, light_of(raw.exposures)
        kind = Kind("flat", over_its_median, in_electrons=True, has_light=True, is_lamp=light == LAMP)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            master = self._combined(found, raw, light)
            part = focal_plane_part(raw, found)
            planes = planes_of(master, 1.0)
            planes["data"] = planes["data"] * np.float32(part)
            planes["weight"] = planes["weight"] / np.float32(part) ** 2
            figures = figures_of(
                found,
                master,
                level=float(np.median(found.used_scales())),
                focal_plane=round(part, 5),
                amplifier_step=_step(master, found),
            )
            return master_frame(MasterFlat, raw, corrections, found, planes, figures)

    def _combined(self, found: Collected, raw: RawStack, light: str) -> Master:
        p, noise, scales = self.parameters, found.noise(), found.used_scales()
        if light == LAMP:
            return combine(found.store, found.used, scales, noise, p.stack)
        first = combine(found.store, found.used, scales, noise, p.stack, takes_median=True)
        with raw.store() as masked:
            covered = mask_sources(found.store, found.used, first.data, masked, p.sources)
            kept = without_covered(found, covered, p)
            return combine(masked, kept, found.used_scales(), noise, p.stack, takes_median=light == "sky")


def light_of(exposures: tuple[Exposure, ...]) -> str:
    """What lit flats: dome, twilight or sky. Exposures of the sky itself are sky flats; BadInput for a mixture."""
    lights = {"sky" if row.kind == Exposure.Kind.SCIENCE else row.header.get("flat_type") or LAMP for row in exposures}
    if len(lights) > 1:
        raise BadInput(what="the flats", reason=f"they are of several lights ({', '.join(sorted(lights))}); choose one")
    return lights.pop()


def without_covered(found: Collected, covered: Sequence[float], parameters: CalibratingParameters) -> list[int]:
    """Places, in the store of masked frames, of those that sources do not cover; the others are rejected."""
    kept = [place for place, part in enumerate(covered) if part <= parameters.acceptance.max_covered]
    for place in sorted(set(range(len(covered))) - set(kept), reverse=True):
        found.reject(found.used[place], f"sources cover {covered[place]:.0%} of it")
    found.require(parameters.min_frames)
    return kept


def focal_plane_part(raw: RawStack, found: Collected) -> float:
    """The level of this CCD over that of the focal plane, median of the exposures that are used; 1 of a single CCD."""
    if not raw.levels:
        return 1.0
    parts = [found.scales[index] / raw.levels[found.places[index]] for index in found.used]
    if not np.isfinite(parts).any():
        raise BadInput(what=f"the focal plane around {raw.section}", reason="its level is known of no exposure")
    return float(np.nanmedian(parts))


def _as_it_is(adu: np.ndarray, raw: RawSection, exposure: Exposure) -> Prepared:
    return Prepared(adu, 1.0)


def _per_second(adu: np.ndarray, raw: RawSection, exposure: Exposure) -> Prepared:
    adu /= np.float32(exposure.exposure_time)
    return Prepared(adu, exposure.exposure_time)


def over_its_median(adu: np.ndarray, raw: RawSection, exposure: Exposure) -> Prepared:
    frame = electrons(adu, raw)
    level = own_level(frame, exposure)
    frame /= np.float32(level)
    return Prepared(frame, level)


def _no_dark(exposure: Exposure) -> str:
    if exposure.exposure_time <= 0:
        return "its exposure time is 0 s: it is a bias"
    return ""


def _dark_figures(found: Collected, master: Master) -> dict[str, float]:
    current = master.data[::4]
    spread = 1.4826 * float(np.median(np.abs(current - np.median(current))))
    times = [row.exposure_time for row in found.used_exposures()]
    return {
        "level": float(np.median(current)),
        "hot": float(np.mean(master.data > np.median(current) + 10 * max(spread, 1e-9))),
        "shortest": min(times),
        "longest": max(times),
    }


def _step(master: Master, found: Collected) -> float:
    """Largest relative step of the response between neighbouring amplifiers, which the flat takes away."""
    levels = [float(np.median(master.data[amplifier.target][::4])) for amplifier in found.amplifiers]
    return round(max(levels) / min(levels) - 1, 5) if min(levels) > 0 else 0.0
