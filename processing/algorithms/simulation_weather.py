"""Night, air and moon over a simulated telescope: airmass, brightness of the sky, seeing, error of the pointing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import erfa
import numpy as np
from astropy.coordinates import get_body
from astropy.time import Time

from processing.algorithms.horizon import Site, airmass
from processing.algorithms.sky import from_tangent_plane

_NIGHT = -12.0  # degrees, the highest sun in the night
_HORIZON = 38.0  # airmass at the horizon
_STEP = 1 / 288  # days: how finely a night is searched


@dataclass(frozen=True)
class Photometry:
    """What a camera collects in one band."""

    zero_point: float  # AB magnitude of one electron a second, outside the atmosphere
    sky: float  # AB mag per square arcsec on a dark night
    extinction: float  # mag per airmass
    fwhm: tuple[float, float] = (2.2, 3.2)  # px at zenith, smallest and largest


@dataclass(frozen=True)
class Weather:
    """What sky, air and telescope are like in one exposure."""

    altitude: float  # degrees
    azimuth: float  # degrees
    hour_angle: float  # degrees
    airmass: float
    moon_altitude: float  # degrees
    moon_separation: float  # degrees
    moon_phase: float  # lit part, 0 to 1
    clouds: float  # mag
    seeing: float  # px, FWHM at this airmass
    shape: tuple[float, float]  # ellipticity of the PSF on the axis, along x and diagonal
    gradient: tuple[float, float]  # relative change of the sky per degree, to the east and to the north
    pointing: tuple[float, float]  # ra, dec, degrees where the telescope truly points
    rotation: float  # degrees, by which the camera is turned from what is thought

    def zero_point(self, band: Photometry, exposure_time: float) -> float:
        """AB magnitude of one electron in the exposure."""
        return band.zero_point + 2.5 * np.log10(exposure_time) - band.extinction * self.airmass - self.clouds

    def sky(self, band: Photometry, exposure_time: float, pixel: float) -> float:
        """Electrons per pixel of `pixel` arcsec from the night sky and the moon."""
        dark = 10 ** (-0.4 * band.sky)
        moon = 0.0
        if self.moon_altitude > 0:
            # Roughly Krisciunas & Schaefer 1991: brighter near the moon and in the blue.
            near = 10 ** (-0.012 * min(self.moon_separation, 90.0))
            moon = 10 ** (-0.4 * 19.0) * self.moon_phase**2.5 * near * 4 * band.extinction / 0.18
            moon *= np.sin(np.radians(self.moon_altitude))
        bright = dark * (0.4 + 0.6 * self.airmass) + moon
        return float(pixel**2 * exposure_time * 10 ** (0.4 * band.zero_point) * bright)


def horizontal(site: Site, ra: np.ndarray, dec: np.ndarray, mjd: np.ndarray) -> tuple[np.ndarray, ...]:
    """Altitude, azimuth and hour angle (degrees, without refraction) of ICRS positions at dates (UTC), one or many.

    As in `horizon.altitude`, no table of the Earth's rotation is needed.
    """
    angles = np.radians(ra), np.radians(dec)
    place = *np.radians([site.longitude, site.latitude]), site.height
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)  # of leap seconds that may come
        found = erfa.atco13(*angles, *([0.0] * 4), 2400000.5, mjd, 0.0, *place, *([0.0] * 5), 0.55)
    azimuth, zenith_distance, hour_angle = (np.degrees(value) for value in found[:3])
    return 90 - zenith_distance, azimuth % 360, (hour_angle + 180) % 360 - 180


def best_time(site: Site, ra: float, dec: float, night: float) -> float:
    """MJD (UTC) at which a field is highest in the dark hours of the night that begins on the day `night` (MJD).

    It is the middle of the night where the sun does not set deeply enough.
    """
    midnight = np.floor(night) + 1 - site.longitude / 360
    dates = midnight + np.arange(-0.5, 0.5, _STEP)
    sun = get_body("sun", Time(dates, format="mjd"))
    dark = dates[horizontal(site, sun.ra.deg, sun.dec.deg, dates)[0] < _NIGHT]
    if not len(dark):
        return float(midnight)
    dark = dark[2:-2] if len(dark) > 8 else dark
    return round(float(dark[np.argmax(horizontal(site, ra, dec, dark)[0])]), 5)


def weather_of(
    site: Site, ra: float, dec: float, mjd: float, rng: np.random.Generator, *, limits: Mapping[str, float]
) -> Weather:
    """What it is like at a date when the telescope means to look at a position (degrees).

    `limits`: `fwhm_low`, `fwhm_high` px at zenith, `pointing` arcsec and `rotation` degrees as scatters of the errors.
    """
    altitude, azimuth, hour_angle = (float(value) for value in horizontal(site, ra, dec, mjd))
    when = Time(mjd, format="mjd")
    moon, sun = get_body("moon", when), get_body("sun", when)  # as seen from the middle of the earth
    moon_altitude = float(horizontal(site, moon.ra.deg, moon.dec.deg, mjd)[0])
    elongation = np.radians(_separation(sun.ra.deg, sun.dec.deg, moon.ra.deg, moon.dec.deg))
    moon_separation = _separation(moon.ra.deg, moon.dec.deg, ra, dec)
    air = airmass(altitude) or _HORIZON
    turn, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.04)
    error, rotation = rng.normal(0, limits["pointing"], 2), rng.normal(0, limits["rotation"])
    pointing = from_tangent_plane(*error, ra, dec)
    return Weather(
        altitude=altitude,
        azimuth=azimuth,
        hour_angle=hour_angle,
        airmass=air,
        moon_altitude=moon_altitude,
        moon_separation=moon_separation,
        moon_phase=float((1 - np.cos(elongation)) / 2),
        clouds=rng.exponential(0.04),
        seeing=rng.uniform(limits["fwhm_low"], limits["fwhm_high"]) * air**0.6,
        shape=(size * np.cos(turn), size * np.sin(turn)),
        gradient=tuple(rng.normal(0, 0.015, 2)),
        pointing=(float(pointing[0]), float(pointing[1])),
        rotation=rotation,
    )


def _separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    d1, d2, a = np.radians([dec1, dec2, ra1 - ra2])
    return float(np.degrees(np.arccos(np.clip(np.sin(d1) * np.sin(d2) + np.cos(d1) * np.cos(d2) * np.cos(a), -1, 1))))
