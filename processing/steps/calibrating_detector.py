"""Calibrating the detector itself: its defects, its linearity, and the crosstalk between its amplifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from processing.algorithms import crosstalk, defects, linearity
from processing.algorithms.defects import DefectParameters
from processing.algorithms.detrend import amplifier_plane
from processing.algorithms.frame_quality import AcceptanceParameters
from processing.algorithms.master_stacking import combine
from processing.algorithms.overscan import Amplifier, trim
from processing.algorithms.readout import CROSSTALK, Exposed, RawCcd
from processing.algorithms.statistics import mad_std
from processing.errors import BadInput, StepError, TooFewFrames
from processing.instruments.base import RawSection
from processing.parameters import Parameters, param
from processing.step import Step
from processing.steps.calibrating import LAMP, light_of, over_its_median
from processing.steps.raw_stack import (
    CalibratingParameters,
    Collected,
    Corrections,
    Kind,
    RawStack,
    alike,
    collect,
    corrected,
    master_frame,
)
from products.models import BadPixelMask, DataFile, Exposure
from products.pixel_flags import PixelFlag

_TWO_LEVELS = 1.5  # ratio of the levels of flats from which they are of two levels


class BadPixelParameters(CalibratingParameters):
    """How defects are found."""

    acceptance: AcceptanceParameters = param(
        AcceptanceParameters(level_tolerance=20.0, noise_tolerance=5.0, structure_tolerance=0.03),
        help="When a flat is left out; flats of any level are welcome.",
    )
    tests: DefectParameters = param(DefectParameters(), help="What makes a pixel a defect.")
    min_frames: int = param(2, ge=1, help="Fewer usable flats than this are refused.")


class BadPixelMaking(Step):
    """A bad-pixel mask: defects in flats, and in the master bias and dark of the CCD where they are at hand.

    Tests: response to light, columns and parts of them, the ratio of flats of two levels, dark current, bias.
    """

    name = "make_badpixelmask"
    version = (1, 0, 0)
    parameters: BadPixelParameters

    def run(self, raw: RawStack, corrections: Corrections) -> BadPixelMask:
        p = self.parameters
        kind = Kind("flat", over_its_median, in_electrons=True, has_light=True, is_lamp=True)
        with raw.store() as store:
            found = collect(raw, kind, corrections, p, store)
            tests = dict(self._tests(found, corrections))
            defects.refuse_too_many(tests)
            bad = np.logical_or.reduce(list(tests.values()))
            bad = defects.filled_columns(bad, p.tests)
            flags = np.where(bad, int(PixelFlag.BAD), 0).astype(np.uint16)
            figures = {
                "frames": len(found.used), "rejected": len(found.rejected), "flagged": float(bad.mean()),
                **{f"by {name}": int(mask.sum()) for name, mask in tests.items()},
            }  # fmt: skip
            planes = {"data": bad.astype(np.float32), "weight": np.ones(bad.shape, np.float32), "flags": flags}
            return master_frame(BadPixelMask, raw, corrections, found, planes, figures)

    def _tests(self, found: Collected, corrections: Corrections) -> Iterator[tuple[str, np.ndarray]]:
        """Name of a test and the pixels that it flags."""
        p, frames = self.parameters.tests, corrections.frames
        scales = np.array(found.used_scales())
        middle = float(np.sqrt(scales.min() * scales.max()))
        groups = [[index for index in found.used if (found.scales[index] > middle) == high] for high in (False, True)]
        if scales.max() > _TWO_LEVELS * scales.min():
            low, high = (self._stack(found, group) for group in groups)
            noise = float(np.sqrt(np.median(low.variance) + np.median(high.variance)))
            yield "ratio of two levels", defects.unstable_ratio(high.data, low.data, noise, p)
            flat = high.data
        else:
            flat = self._stack(found, found.used).data
        yield "response", defects.bad_response(flat, p)
        yield "columns", defects.bad_columns(flat, p)
        gain = amplifier_plane(found.amplifiers, flat.shape, "gain")
        if frames.dark is not None:
            dark = frames.dark * gain
            yield "dark current", defects.hot_pixels(dark, mad_std(dark[::2, ::2]), p)
        if frames.bias is not None:
            yield "bias", defects.odd_bias(frames.bias * gain, p)

    def _stack(self, found: Collected, group: list[int]) -> Any:
        return combine(found.store, group, [found.scales[i] for i in group], found.noise(), self.parameters.stack)


class LinearityMakingParameters(Parameters):
    """How the ramp is read and fitted."""

    curve: linearity.LinearityParameters = param(linearity.LinearityParameters(), help="How the curve is fitted.")
    min_frames: int = param(6, ge=5, help="Fewer usable flats than this are refused.")
    max_residual: float = param(
        0.02, gt=0, le=1, help="A curve whose relative residuals (rms) are larger than this is refused."
    )


class LinearityMaking(Step):
    """A linearity table: linear ADU for measured ADU of each amplifier, from flats of rising exposure time.

    The lamp is followed by flats whose exposure times are repeated, best interleaved with the ramp.
    """

    name = "make_linearity"
    version = (1, 0, 0)
    parameters: LinearityMakingParameters

    def run(self, raw: RawStack, corrections: Corrections) -> DataFile:
        p, rejected = self.parameters, {}
        cells, exposures, amplifiers = [], [], ()
        for exposure, section, adu in corrected_frames(raw, corrections, rejected):
            if exposure.exposure_time <= 0 or light_of((exposure,)) != LAMP:
                rejected[exposure.name] = "it is not a flat of a lamp with an exposure time"
                continue
            amplifiers = amplifiers or section.amplifiers
            read, full = as_read(section), p.curve.max_level
            cells.append([linearity.cell_means(adu, read, amplifier, full) for amplifier in amplifiers])
            exposures.append(exposure)
        if len(cells) < p.min_frames:
            raise TooFewFrames(kind="flat", used=len(cells), needed=p.min_frames, rejected=rejected)
        levels = np.stack([linearity.levels_of(of_one) for of_one in zip(*cells)], axis=1)
        fit = linearity.fit_linearity(
            levels,
            np.array([row.exposure_time for row in exposures]),
            np.array([row.mjd for row in exposures]),
            amplifiers,
            [_above_bias(raw, amplifier) for amplifier in amplifiers],
            p.curve,
        )
        if (worst := max(fit.residual.values())) > p.max_residual:
            reason = f"flats scatter by {worst:.1%} around the best curve; did the lamp or the shutter change?"
            raise BadInput(what=f"the ramp of {raw.section}", reason=reason)
        for place, exposure in enumerate(exposures):
            if not np.isfinite(levels[place]).any():
                rejected[exposure.name] = "it is saturated"
        figures = {
            "frames": len(exposures), "rejected": len(rejected), "residual": max(fit.residual.values()),
            "largest_residual": max(fit.largest.values()), "correction": max(fit.correction.values()),
            "reach": min(fit.reach.values()), "lamp_drift": fit.drift, "lamp_followed": fit.is_drift_known,
            "points": list(fit.points),
        }  # fmt: skip
        return data_file("linearity", raw, corrections, fit.table, {"figures": figures, "rejected": rejected})


class CrosstalkMeasuringParameters(Parameters):
    """Which exposures and which pairs of amplifiers count."""

    pixels: crosstalk.CrosstalkParameters = param(
        crosstalk.CrosstalkParameters(), help="Which pixels tell of crosstalk."
    )
    all_pairs: bool = param(False, help="Whether ghosts of the amplifiers of other CCDs are looked for too.")
    min_frames: int = param(2, ge=1, help="Fewer usable exposures than this are refused.")
    significance: float = param(
        5.0, ge=0, unit="sigma", help="Pairs with other CCDs enter the table only from this significance on."
    )


class CrosstalkMeasuring(Step):
    """A crosstalk table: the part of a bright source that shows up in each amplifier of the CCD which is read with it.

    Bright stars in exposures of the sky are the sources; other CCDs are too, where they are asked for.
    """

    name = "measure_crosstalk"
    version = (1, 0, 0)
    parameters: CrosstalkMeasuringParameters

    def run(self, raw: RawStack, corrections: Corrections) -> DataFile:
        p, rejected = self.parameters, {}
        samples: dict[tuple[str, str, str], list[crosstalk.Samples]] = {}
        used = 0
        for exposure, section, adu in corrected_frames(raw, corrections, rejected):
            used += 1
            own = crosstalk.light_of(adu, as_read(section), section.amplifiers, p.pixels)
            place = raw.exposures.index(exposure)
            for name, source in self._sources(own, raw, place, corrections):
                for victim in own:
                    if victim is source or victim.amplifier.size != source.amplifier.size:
                        continue
                    key = (victim.amplifier.name, name, source.amplifier.name)
                    samples.setdefault(key, []).append(
                        crosstalk.samples_of(victim, source, p.pixels, is_same_ccd=name == raw.section)
                    )
        if used < p.min_frames:
            raise TooFewFrames(kind="science", used=used, needed=p.min_frames, rejected=rejected)
        rows, unknown = [], []
        for key, found in samples.items():
            one = crosstalk.fit_coefficient(found, p.pixels)
            if one is None:
                unknown.append(" ".join(key))
            elif key[1] == raw.section or abs(one.value) > p.significance * one.error:
                rows.append((*key, one.value, one.error))
        if not rows:
            reason = f"no pair of amplifiers has {p.pixels.min_pixels} bright pixels; give more exposures"
            raise BadInput(what=f"the crosstalk of {raw.section}", reason=reason)
        table = np.array(rows, CROSSTALK)
        figures = {
            "frames": used, "rejected": len(rejected), "pairs": len(rows),
            "largest": float(np.max(np.abs(table["coefficient"]))), "error": float(np.median(table["error"])),
            "unknown": len(unknown),
        }  # fmt: skip
        return data_file("crosstalk", raw, corrections, table, {"figures": figures, "rejected": rejected})

    def _sources(
        self, own: list[crosstalk.AmplifierLight], raw: RawStack, place: int, corrections: Corrections
    ) -> Iterator[tuple[str, crosstalk.AmplifierLight]]:
        """Section and light of every amplifier whose ghosts are looked for."""
        yield from ((raw.section, one) for one in own)
        others = raw.neighbours(place) if self.parameters.all_pairs else {}
        for name in others:
            ccd: RawCcd = others[name]
            section = RawSection(section=name, filter="", data=ccd.data, amplifiers=ccd.amplifiers, wcs=None)
            adu = corrected(section, Corrections(), Exposed(name))
            for one in crosstalk.light_of(adu, as_read(section), ccd.amplifiers, self.parameters.pixels):
                yield name, one


def corrected_frames(
    raw: RawStack, corrections: Corrections, rejected: dict[str, str]
) -> Iterator[tuple[Exposure, RawSection, np.ndarray]]:
    """Each frame that can be read, with its linear ADU above the bias; the reasons of the others go to `rejected`."""
    first: tuple[Amplifier, ...] = ()
    for place, exposure in enumerate(raw.exposures):
        try:
            section = raw.frames[place]
        except StepError as error:
            rejected[exposure.name] = f"it cannot be read: {error}"
            continue
        if first and not alike(section.amplifiers, first):
            rejected[exposure.name] = "its size or its amplifiers are not those of the first frame"
            continue
        first = first or section.amplifiers
        yield exposure, section, corrected(section, corrections, Exposed(raw.section, exposure.exposure_time))


def as_read(raw: RawSection) -> np.ndarray:
    """The trimmed ADU before anything was subtracted, (ny, nx) float32."""
    return trim(raw.data, raw.amplifiers)


def _above_bias(raw: RawStack, amplifier: Amplifier) -> float:
    """ADU from the overscan to saturation, of the first frame that can be read."""
    for place in range(len(raw.exposures)):
        try:
            data = raw.frames[place].data
        except StepError:
            continue
        level = float(np.median(data[amplifier.bias][::8])) if amplifier.bias is not None else 0.0
        return amplifier.saturation - level
    return amplifier.saturation


def data_file(
    kind: str, raw: RawStack, corrections: Corrections, table: np.ndarray, quality: Mapping[str, Any]
) -> DataFile:
    """The product of a table; its quality goes with it until a calibrator is made of it."""
    row = DataFile(name=table_name(kind, raw, corrections), table=table)
    row.quality = dict(quality)
    row.related = {
        "raw_exposures": [exposure.pk for exposure in raw.exposures if exposure.name not in quality["rejected"]],
        "calibrators": [file.pk for file in corrections.files],
    }
    return row


def table_name(kind: str, raw: RawStack, corrections: Corrections) -> str:
    """What identifies a table beside its provenance: the CCD and the frames in it."""
    facts = raw.facts(corrections.files)
    return f"{kind} {facts['instrument']} {raw.section} {int(facts['mjd'])} {facts['components_digest']}"
