"""Preprocessing: from raw pixels of a CCD to electrons with weight and flags."""

from __future__ import annotations

import numpy as np

from processing.algorithms.detrend import FlagBits, Frames, calibrate
from processing.algorithms.first_look import first_look
from processing.algorithms.overscan import subtract_overscan, trim
from processing.algorithms.wcs_fit import footprint, pixel_scale_arcsec, wcs_from_header
from processing.errors import BadPixels
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


class PreprocessingParameters(Parameters):
    calibrator_set: str = param("general", help="Which set of calibration frames: supplied, general or nightly.")
    overscan_smoothing: int = param(51, ge=1, unit="rows", help="Median filter along the overscan.")
    saturation_fraction: float = param(
        0.95, gt=0, le=1, help="Part of the saturation level from which a pixel is flagged."
    )
    max_bad_fraction: float = param(0.7, ge=0, le=1, help="An image with more unusable pixels is refused.")


class Preprocessing(Step):
    """Correct raw pixels for overscan, bias, dark and flat; flag what is unusable; convert to electrons."""

    name = "preprocessing"
    version = (1, 2, 0)
    parameters: PreprocessingParameters

    def run(self, exposure: Exposure, raw: RawSection, calibrators: Calibrators) -> ScienceImage:
        data, weight, flags, done = self._calibrated(raw, calibrators, exposure.exposure_time)
        bad = float(np.mean(weight <= 0))
        if bad > self.parameters.max_bad_fraction:
            raise BadPixels(fraction=bad, what=f"{exposure.name} {raw.section}")
        ny, nx = data.shape
        wcs, look = wcs_from_header(raw.wcs), first_look(data, weight <= 0)
        scale = pixel_scale_arcsec(wcs, data.shape)
        image = ScienceImage(
            exposure=exposure,
            section=raw.section,
            data=data,
            weight=weight,
            flags=flags,
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
            preprocessing=[*raw.done, *done],
            filter=raw.filter,
            mjd=exposure.mjd,
            mjd_end=exposure.mjd + exposure.exposure_time / 86400,
            **{
                name: getattr(exposure, name)
                for name in ("instrument", "telescope", "project", "target", "exposure_time", "airmass")
            },
        )
        image.related = {"calibrators": [file.pk for file in calibrators.files]}
        return image.set_footprint(footprint(wcs, data.shape))

    def _calibrated(
        self, raw: RawSection, calibrators: Calibrators, exposure_time: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        if any(amplifier.bias is not None for amplifier in raw.amplifiers):
            adu = subtract_overscan(raw.data, raw.amplifiers, smooth_rows=self.parameters.overscan_smoothing)
            as_read, done = trim(raw.data, raw.amplifiers), ["overscan"]
        else:
            as_read, done = raw.data.astype(np.float32), []
            adu = as_read - np.float32(raw.pedestal)
        frames = Frames(bias=calibrators.bias, dark=calibrators.dark, flat=calibrators.flat, bad_pixels=None)
        done += [name for name in ("bias", "dark", "flat") if getattr(frames, name) is not None]
        found = calibrate(
            adu,
            raw.amplifiers,
            frames,
            BITS,
            exposure_time=exposure_time,
            saturation_fraction=self.parameters.saturation_fraction,
            as_read=as_read,
        )
        flags = found.flags if raw.flags is None else found.flags | raw.flags
        weight = found.weight if raw.weight is None else raw.weight.astype(np.float32)
        usable = (flags & int(PixelFlag.UNUSABLE)) == 0
        return found.data, np.where(usable, weight, 0).astype(np.float32), flags, [*done, "gain"]
