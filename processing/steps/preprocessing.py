"""Preprocessing: from raw pixels of a CCD to electrons with weight and flags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import sep

from processing.algorithms.cosmic_rays import CosmicRayParameters, find_cosmic_rays
from processing.algorithms.detrend import Calibrated, FlagBits, calibrate
from processing.algorithms.first_look import FirstLook, first_look
from processing.algorithms.fringe import fit_fringe
from processing.algorithms.overscan import trim
from processing.algorithms.readout import Exposed, correct_adu, crosstalk_victims
from processing.algorithms.trails import TrailParameters, find_trails
from processing.algorithms.wcs_fit import footprint, pixel_scale_arcsec, wcs_from_header
from processing.errors import BadInput, BadPixels
from processing.instruments.base import RawSection
from processing.parameters import Parameters, param
from processing.providers import Calibrators
from processing.step import Step
from products.models import Exposure, ScienceImage
from products.pixel_flags import PixelFlag

BITS = FlagBits(
    bad=int(PixelFlag.BAD),
    saturated=int(PixelFlag.SATURATED),
    bleed=int(PixelFlag.BLEED),
    no_weight=int(PixelFlag.ZERO_WEIGHT),
)
READOUT = ("overscan", "crosstalk", "bias", "linearity", "dark")  # made on ADU, before the gain
_MOST_NEGATIVE = 0.1  # part of the pixels that may be below 0 where only their light tells the noise
_MESH = 128  # px, of the sky that is taken off while trails, fringes and cosmic rays are looked for


class PreprocessingParameters(Parameters):
    corrections: tuple[str, ...] | None = param(
        None, help="Corrections to make, in whatever order they are named; those of the instrument if none is given."
    )
    calibrator_set: Literal["supplied", "general", "nightly"] = param(
        "general", help="Which set of calibration frames."
    )
    flat_type: Literal["", "dome", "sky", "twilight"] = param("", help="Light of the flats; any if empty.")
    overscan_smoothing: int = param(51, ge=1, unit="rows", help="Median filter along the overscan.")
    saturation_fraction: float = param(
        0.95, gt=0, le=1, help="Part of the saturation level from which a pixel is flagged."
    )
    find_trails: bool = param(True, help="Whether trails of satellites are looked for and flagged.")
    trails: TrailParameters = param(TrailParameters(), help="What counts as a trail.")
    find_cosmic_rays: bool = param(True, help="Whether cosmic rays are looked for and flagged.")
    cosmic_rays: CosmicRayParameters = param(CosmicRayParameters(), help="What counts as a cosmic ray.")
    max_bad_fraction: float = param(0.7, ge=0, le=1, help="An image with more unusable pixels is refused.")


@dataclass
class Planes:
    """An image while it is made, (ny, nx) each, with what was done to it and what was found in it."""

    data: np.ndarray  # float32, electrons
    weight: np.ndarray  # float32, inverse variance
    flags: np.ndarray  # uint16
    done: list[str]
    quality: dict[str, float] = field(default_factory=dict)

    def flag(self, where: np.ndarray, bit: PixelFlag, name: str) -> None:
        """Set a bit and note that it was looked for."""
        self.flags[where] |= np.uint16(bit)
        self.weight[where] = 0
        self.done.append(name)


class Preprocessing(Step):
    """Undo what camera and readout did to the light; flag what is unusable; convert to electrons."""

    name = "preprocessing"
    version = (1, 4, 1)
    parameters: PreprocessingParameters

    def run(self, exposure: Exposure, raw: RawSection, calibrators: Calibrators) -> ScienceImage:
        planes = self._calibrated(raw, calibrators, exposure.exposure_time)
        self._refuse_bad(planes, f"{exposure.name} {raw.section}")
        wcs = wcs_from_header(raw.wcs)
        scale = pixel_scale_arcsec(wcs, planes.data.shape)
        look = first_look(planes.data, planes.weight <= 0)
        self._look_closer(planes, calibrators, look)
        self._refuse_bad(planes, f"{exposure.name} {raw.section}")
        ny, nx = planes.data.shape
        image = ScienceImage(
            exposure=exposure,
            section=raw.section,
            data=planes.data,
            weight=planes.weight,
            flags=planes.flags,
            width=nx,
            height=ny,
            wcs=raw.wcs.tostring(sep="\n"),
            pixel_scale=scale,
            fwhm=look.fwhm and look.fwhm * scale,
            background_level=look.level,
            background_noise=look.noise,
            zero_point_estimate=raw.zero_point,
            limiting_magnitude_estimate=look.limiting_magnitude(raw.zero_point),
            read_noise=float(np.median([amplifier.read_noise for amplifier in raw.amplifiers])),
            saturation=float(min(a.saturation * a.gain for a in raw.amplifiers)),
            preprocessing=planes.done,
            quality=planes.quality,
            sensor_section=raw.sensor_section,
            filter=raw.filter,
            mjd=exposure.mjd,
            mjd_end=exposure.mjd + exposure.exposure_time / 86400,
            **{
                name: getattr(exposure, name)
                for name in ("instrument", "telescope", "project", "target", "exposure_time", "airmass")
            },
        )
        image.related = {"calibrators": [file.pk for file in calibrators.files]}
        return image.set_footprint(footprint(wcs, planes.data.shape))

    def _calibrated(self, raw: RawSection, calibrators: Calibrators, exposure_time: float) -> Planes:
        """Electrons, with the weight and the flags that the file brought or else their own."""
        p = self.parameters
        order = [name for name in calibrators.corrections if name not in raw.done]
        left_out = {name: None for name in ("dark", "flat", "illumination") if name not in order}
        frames = replace(calibrators.frames, **left_out)
        exposed = Exposed(raw.section, exposure_time, calibrators.neighbours, p.overscan_smoothing)
        as_read = trim(raw.data, raw.amplifiers)
        adu = correct_adu(raw.data, raw.amplifiers, frames, order, exposed)
        if "overscan" not in order:
            adu -= np.float32(raw.pedestal)
        found = calibrate(
            adu,
            raw.amplifiers,
            frames,
            BITS,
            exposure_time=exposure_time,
            saturation_fraction=p.saturation_fraction,
            as_read=as_read,
        )
        own = self._own_flags(found, raw)
        flags = own if raw.flags is None else own | raw.flags
        if "crosstalk" in order:
            ghosts = crosstalk_victims(as_read, raw.amplifiers, frames.crosstalk, exposed, p.saturation_fraction)
            flags[ghosts] |= np.uint16(PixelFlag.CROSSTALK)
        weight = found.weight if raw.weight is None else raw.weight.astype(np.float32)
        usable = (flags & int(PixelFlag.UNUSABLE)) == 0
        readout = [name for name in order if name in READOUT]
        later = [name for name in order if name not in (*READOUT, "fringe")]
        return Planes(found.data, np.where(usable, weight, 0), flags, [*raw.done, *readout, "gain", *later])

    @staticmethod
    def _own_flags(found: Calibrated, raw: RawSection) -> np.ndarray:
        """Flags of pixels whose noise their own value tells; BadInput where it cannot tell: the sky was subtracted."""
        unknown = (found.flags & int(PixelFlag.ZERO_WEIGHT)) != 0
        if raw.weight is not None:  # it knows the noise of the sky that is no longer there
            return np.where(unknown, found.flags & ~np.uint16(PixelFlag.ZERO_WEIGHT), found.flags)
        if np.mean(unknown & (found.data < 0)) > _MOST_NEGATIVE:
            reason = "many pixels are below 0 and nothing tells their noise: its sky was subtracted; put a weight image"
            hint = "beside it (instrument.weight_file), or give --set instrument.read_noise=ELECTRONS, that of the sky"
            raise BadInput(what=f"the image {raw.section}", reason=f"{reason} {hint}")
        return found.flags

    def _look_closer(self, planes: Planes, calibrators: Calibrators, look: FirstLook) -> None:
        """Take off the fringes; flag trails and cosmic rays."""
        p = self.parameters
        wanted = {
            "fringe": "fringe" in calibrators.corrections and "fringe" not in planes.done,
            "trails": p.find_trails and "trails" not in planes.done,
            "cosmic_rays": p.find_cosmic_rays and "cosmic_rays" not in planes.done,
        }
        if look.level is None and wanted["fringe"]:
            raise BadInput(what="the fringe correction", reason="the image shows no sky to fit the fringes to")
        if not any(wanted.values()) or look.level is None:
            return
        light = planes.data - _smooth_sky(planes)
        if wanted["fringe"]:
            fit = fit_fringe(light, planes.weight, calibrators.frames.fringe)
            fringes = np.float32(fit.amplitude) * calibrators.frames.fringe
            fringes[np.isnan(fringes)] = 0
            planes.data -= fringes
            light -= fringes
            planes.quality["fringe_amplitude"], planes.quality["fringe_amplitude_error"] = fit.amplitude, fit.error
            planes.done.append("fringe")
        if wanted["trails"]:
            where, trails = find_trails(light, planes.weight, p.trails)
            planes.flag(where, PixelFlag.TRAIL, "trails")
            planes.quality["trails"] = len(trails)
        if wanted["cosmic_rays"]:
            where = find_cosmic_rays(light, planes.weight, look.fwhm, p.cosmic_rays)
            planes.flag(where, PixelFlag.COSMIC_RAY, "cosmic_rays")
            planes.quality["cosmic_ray_pixels"] = int(np.count_nonzero(where))

    def _refuse_bad(self, planes: Planes, what: str) -> None:
        bad = float(np.mean(planes.weight <= 0))
        if bad > self.parameters.max_bad_fraction:
            raise BadPixels(fraction=bad, what=what)


def _smooth_sky(planes: Planes) -> np.ndarray:
    """Light smoother than a mesh, (ny, nx) float32."""
    box = min(_MESH, *planes.data.shape)
    return sep.Background(planes.data, mask=planes.weight <= 0, bw=box, bh=box).back(dtype=np.float32)
