"""A small simulated patch of sky in two epochs with everything that makes real and bogus candidates.

One field is drawn on a lattice of cells; each cell holds at most one event, a real change or an artefact, so that
each candidate has one cause. Stars and galaxies that do not change are everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELL = 40  # px
REAL = ("transient", "transient in a galaxy", "nuclear transient", "variable star", "faded")
BOGUS = (
    "moved star",
    "wrong PSF",
    "cosmic ray",
    "cosmic ray track",
    "hot pixel",
    "bad column",
    "saturated star",
    "blob",
)
_EVENT_CHANCE = 0.75  # of a cell


@dataclass(frozen=True)
class Moffat:
    """An elliptical Moffat profile, sampled at the pixel centres, sum 1 over its stamp."""

    fwhm: float  # px, geometric mean of the axes
    beta: float
    ellipticity: float
    angle: float  # rad

    @property
    def half(self) -> int:
        return int(np.ceil(5 * self.fwhm))

    def stamp(self, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
        """(m, m) with the profile at (dx, dy) px from the middle pixel."""
        offset = np.arange(-self.half, self.half + 1)
        across, up = (offset - dx)[None, :], (offset - dy)[:, None]
        along = across * np.cos(self.angle) + up * np.sin(self.angle)
        aside = up * np.cos(self.angle) - across * np.sin(self.angle)
        stretch = np.sqrt((1 + self.ellipticity) / (1 - self.ellipticity))
        scale = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        profile = (1 + (along**2 / stretch + aside**2 * stretch) / scale**2) ** -self.beta
        return profile / profile.sum()


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    kind: str  # of REAL or BOGUS
    x: float  # px
    y: float
    reach: float  # px: candidates this close belong to it
    is_negative: bool = False


@dataclass(frozen=True)
class Field:
    """Two epochs of one patch; images (ny, nx) float64 in electrons, sky subtracted."""

    new: np.ndarray
    reference: np.ndarray
    variance_new: np.ndarray
    variance_reference: np.ndarray
    mask: np.ndarray  # bool
    halo: np.ndarray  # bool
    psf_new: Moffat
    psf_reference: Moffat
    sky_new: float  # σ per pixel, electrons
    sky_reference: float
    shift: float  # px, the error of registration that was assumed
    events: tuple[Event, ...]


def flux_error(psf_new: np.ndarray, psf_reference: np.ndarray, sky_new: float, sky_reference: float) -> float:
    """σ of the PSF flux of a source on empty sky in the proper difference, electrons: 1/√F_S (ZOGY eq. 15)."""
    size = 4 * max(psf_new.shape[0], psf_reference.shape[0])
    new, reference = (abs(np.fft.fft2(psf, (size, size))) ** 2 for psf in (psf_new, psf_reference))
    density = sky_new**2 * reference + sky_reference**2 * new
    return float(1 / np.sqrt(np.mean(new * reference / np.maximum(density, 1e-12 * density.max()))))


def draw_field(seed: int, *, cells: int = 8, artefacts: bool = True, fwhm: float | None = None) -> Field:
    """Draw one field of cells² cells. Without `artefacts` registration and PSF are perfect and every event is real."""
    return _Painter(np.random.default_rng(seed), cells, artefacts, fwhm).field()


class _Painter:
    """Holds the two epochs while they are being drawn."""

    def __init__(self, rng: np.random.Generator, cells: int, artefacts: bool, fwhm: float | None) -> None:
        self.rng, self.cells, self.artefacts = rng, cells, artefacts
        self.size = cells * CELL
        fwhm = fwhm or np.exp(rng.uniform(np.log(1.9), np.log(5.0)))
        shape = rng.uniform(2.5, 4.5), rng.uniform(0, 0.08), rng.uniform(0, np.pi)
        self.psf_new = Moffat(fwhm, *shape)
        self.psf_reference = Moffat(fwhm * rng.uniform(0.8, 1.15), rng.uniform(2.5, 4.5), 0.02, 0.0)
        self.sky_new = rng.uniform(8, 40)
        self.sky_reference = self.sky_new * np.exp(rng.uniform(np.log(0.25), np.log(1.0)))
        self.shift = rng.uniform(0.015, 0.06) if artefacts else 0.015
        self.offset = rng.normal(0, self.shift if artefacts else 0, 2)
        self.sigma = flux_error(self.psf_new.stamp(), self.psf_reference.stamp(), self.sky_new, self.sky_reference)
        self.new = np.zeros((self.size, self.size))
        self.reference = np.zeros((self.size, self.size))
        self.defects = np.zeros((self.size, self.size))  # added to the new image after its photon noise
        self.mask = np.zeros((self.size, self.size), bool)
        self.halo = np.zeros((self.size, self.size), bool)
        self.events: list[Event] = []

    def field(self) -> Field:
        self._static_sky()
        for row in range(self.cells):
            for column in range(self.cells):
                if self.rng.random() < _EVENT_CHANCE:
                    self._event(column, row)
        new = self._expose(self.new, self.sky_new) + self.defects
        reference = self._expose(self.reference, self.sky_reference)
        # The variance of a pixel is known only through its own noisy counts.
        variance_new = np.maximum(new + self.sky_new**2, 0.25 * self.sky_new**2)
        quiet = self.sky_reference**2 / self.sky_new**2
        variance_reference = np.maximum(quiet * reference + self.sky_reference**2, 0.25 * self.sky_reference**2)
        new[self.mask] = reference[self.mask] = 0
        return Field(
            new,
            reference,
            variance_new,
            variance_reference,
            self.mask,
            self.halo,
            self.psf_new,
            self.psf_reference,
            self.sky_new,
            self.sky_reference,
            self.shift,
            tuple(self.events),
        )

    def _expose(self, light: np.ndarray, sky: float) -> np.ndarray:
        # A reference of n exposures in units of one has a source noise of R/n, and n is the ratio of the sky noise.
        gain = (self.sky_new / sky) ** 2
        source = self.rng.poisson(np.maximum(light * gain, 0)) / gain
        return source + np.minimum(light, 0) + self.rng.normal(0, sky, light.shape)

    def _add(self, image: np.ndarray, psf: Moffat, x: float, y: float, flux: float) -> None:
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        stamp = flux * psf.stamp(x - column, y - row)
        left, low, half = column - psf.half, row - psf.half, psf.half
        if not (-half <= column < self.size + half and -half <= row < self.size + half):
            return
        rows = slice(max(low, 0), max(min(low + 2 * half + 1, self.size), 0))
        columns = slice(max(left, 0), max(min(left + 2 * half + 1, self.size), 0))
        image[rows, columns] += stamp[rows.start - low : rows.stop - low, columns.start - left : columns.stop - left]

    def _point(self, x: float, y: float, flux_new: float, flux_reference: float) -> None:
        if flux_new:
            self._add(self.new, self.psf_new, x + self.offset[0], y + self.offset[1], flux_new)
        if flux_reference:
            self._add(self.reference, self.psf_reference, x, y, flux_reference)

    def _star_flux(self, low: float = 5, high: float = 1000) -> float:
        return self.sigma * np.exp(self.rng.uniform(np.log(low), np.log(high)))

    def _static_sky(self) -> None:
        area = self.size**2 / 320**2
        for _ in range(self.rng.poisson(self.rng.choice([10, 40]) * area)):
            flux = self._star_flux()
            self._point(*self.rng.uniform(0, self.size, 2), flux, flux)
        for _ in range(self.rng.poisson(8 * area)):
            self._galaxy(*self.rng.uniform(0, self.size, 2))

    def _galaxy(self, x: float, y: float) -> tuple[float, float]:
        """An exponential disc as a cloud of points, which both PSFs blur exactly; returns one of the points."""
        radius = self.psf_new.fwhm * self.rng.uniform(0.2, 1.5)
        flux = self._star_flux(10, 2000)
        angle, flat = self.rng.uniform(0, np.pi), self.rng.uniform(0.3, 1)
        distance, turn = radius * self.rng.gamma(2, 0.6, 25), self.rng.uniform(0, 2 * np.pi, 25)
        along, aside = distance * np.cos(turn), flat * distance * np.sin(turn)
        across = along * np.cos(angle) - aside * np.sin(angle)
        up = along * np.sin(angle) + aside * np.cos(angle)
        for dx, dy in zip(across, up):
            self._point(x + dx, y + dy, flux / 25, flux / 25)
        return x + across[0], y + up[0]

    def _event(self, column: int, row: int) -> None:
        margin = 10
        x = column * CELL + self.rng.uniform(margin, CELL - margin)
        y = row * CELL + self.rng.uniform(margin, CELL - margin)
        is_real = not self.artefacts or self.rng.random() < 0.5
        kind = str(self.rng.choice(REAL if is_real else BOGUS))
        fwhm = self.psf_new.fwhm
        if is_real:
            self._real(kind, x, y)
            return
        reach = {
            "cosmic ray": 2.0 * fwhm,
            "hot pixel": 2.0 * fwhm,
            "moved star": 2.5 * fwhm,
            "wrong PSF": 3.0 * fwhm,
        }.get(kind, float(CELL))
        getattr(self, "_" + kind.replace(" ", "_").lower())(x, y)
        self.events.append(Event(kind, x, y, reach))

    def _real(self, kind: str, x: float, y: float) -> None:
        change = self.sigma * np.exp(self.rng.uniform(np.log(4.5), np.log(150)))
        negative = kind == "faded" or (kind == "variable star" and self.rng.random() < 0.5)
        if kind == "nuclear transient":
            self._galaxy(x, y)
        elif kind == "transient in a galaxy":
            x, y = self._galaxy(x, y)
        elif kind == "variable star":
            star = change * np.exp(self.rng.uniform(np.log(1.1), np.log(20)))
            self._point(x, y, star, star)
        self._point(
            x,
            y,
            0 if kind == "faded" else (-change if negative else change),
            change if kind == "faded" else 0,
        )
        self.events.append(Event(kind, x, y, fwhm_reach(self.psf_new.fwhm), negative))

    def _moved_star(self, x: float, y: float) -> None:
        flux = self._star_flux(60, 3000)
        # Far enough to be seen: the flux of a dipole is that of the star times the shift.
        distance = min(self.rng.uniform(6, 40) * self.sigma / flux * self.psf_new.fwhm, 1.2 * self.psf_new.fwhm)
        angle = self.rng.uniform(0, 2 * np.pi)
        self._point(x, y, 0, flux)
        self._point(x + distance * np.cos(angle), y + distance * np.sin(angle), flux, 0)

    def _wrong_psf(self, x: float, y: float) -> None:
        flux = self._star_flux(200, 5000)
        wrong = Moffat(
            self.psf_new.fwhm * (1 + self.rng.choice([-1, 1]) * self.rng.uniform(0.02, 0.12)),
            self.psf_new.beta,
            min(self.psf_new.ellipticity + self.rng.uniform(0, 0.1), 0.3),
            self.rng.uniform(0, np.pi),
        )
        self._add(self.new, wrong, x + self.offset[0], y + self.offset[1], flux * self.rng.normal(1, 0.005))
        self._add(self.reference, self.psf_reference, x, y, flux)

    def _cosmic_ray(self, x: float, y: float) -> None:
        self.defects[int(y), int(x)] += self._star_flux(6, 300)
        if self.rng.random() < 0.3:
            self.defects[int(y), int(x) + self.rng.choice([-1, 1])] += self._star_flux(3, 50)

    def _cosmic_ray_track(self, x: float, y: float) -> None:
        angle, length = self.rng.uniform(0, np.pi), self.rng.uniform(2, 12)
        per_pixel = self._star_flux(5, 150) / np.sqrt(length)
        for step in np.arange(0, length, 0.5):
            self.defects[int(y + step * np.sin(angle)) % self.size, int(x + step * np.cos(angle)) % self.size] += (
                0.5 * per_pixel * self.rng.gamma(4, 0.25)
            )

    def _hot_pixel(self, x: float, y: float) -> None:
        self.defects[int(y), int(x)] += self.rng.choice([-1, 1]) * self._star_flux(6, 200)

    def _bad_column(self, x: float, y: float) -> None:
        length = int(self.rng.uniform(8, CELL))
        depth = self.rng.choice([-1, 1]) * self.sky_new * self.rng.uniform(2, 12)
        rows = slice(int(y), min(int(y) + length, self.size))
        self.defects[rows, int(x)] += depth * self.rng.uniform(0.6, 1.4, self.defects[rows, int(x)].shape)

    def _saturated_star(self, x: float, y: float) -> None:
        """Core lost and masked a little too small; spikes that turned between the epochs; perhaps marked as halo."""
        flux = self._star_flux(5000, 50000)
        self._point(x, y, flux * self.rng.normal(1, 0.01), flux)
        rows, columns = np.mgrid[: self.size, : self.size]
        distance = np.hypot(columns - x, rows - y)
        fwhm = self.psf_new.fwhm
        core = self.rng.uniform(0.8, 2.0) * fwhm
        self.mask |= distance < core
        angle = self.rng.uniform(0, np.pi)
        aside = np.abs((columns - x) * np.sin(angle) - (rows - y) * np.cos(angle))
        spike = np.exp(-0.5 * (aside / (0.4 * fwhm)) ** 2 - distance / (2 * fwhm)) * self.sky_new
        self.defects += np.where(distance < CELL, spike, 0) * self.rng.uniform(0, 30)
        if self.rng.random() < 0.3:
            self.halo |= distance < 4 * fwhm

    def _blob(self, x: float, y: float) -> None:
        rows, columns = np.mgrid[: self.size, : self.size]
        width = self.psf_new.fwhm * self.rng.uniform(0.9, 2.5)
        profile = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / width**2)
        peak = self.sigma * self.rng.uniform(8, 60) / (2 * np.pi * width**2) * self.rng.choice([-1, 1])
        self.defects += peak * profile * self.rng.uniform(1, 3)


def fwhm_reach(fwhm: float) -> float:
    """How far from the truth, px, a detection may be to be the same source: 1 FWHM, at least 2 px."""
    return max(fwhm, 2.0)
