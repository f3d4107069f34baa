"""What a simulator of a camera must say: its CCDs, its optics, its filters, and how its raw files look."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits

from processing.algorithms.horizon import Site
from processing.algorithms.simulation_ccd import Ccd, CcdParameters, Ghost, Layout, Place, make_ccd
from processing.algorithms.simulation_optics import Optics
from processing.algorithms.simulation_render import Frame, Seeing
from processing.algorithms.simulation_weather import Photometry, Weather, weather_of
from processing.errors import BadInput
from processing.parameters import param
from processing.plugins import Plugin

KINDS = ("science", "bias", "dark", "dome", "twilight")
_BROADENING, _STRETCHING = 0.08, 0.03  # of the PSF from the middle of the field to its edge


@dataclass(frozen=True)
class Shot:
    """One exposure."""

    number: int  # the running number of the camera
    kind: str  # one of KINDS
    band: str  # empty where every CCD has a filter of its own
    mjd: float  # start, UTC
    exposure_time: float  # s
    ra: float  # degrees, where the telescope means to look
    dec: float
    level: float = 0.0  # electrons, of a flat
    target: str = ""

    def seed(self, seed: int, what: str = "") -> list[int]:
        """Of the random numbers of one thing in this exposure; `seed` is that of the whole simulation."""
        return [seed, round(self.mjd * 86400 * 10), zlib.crc32(f"{self.kind} {what}".encode())]


class Simulator(Plugin):
    """A camera of which raw exposures are simulated; its name is that of the instrument that reads them."""

    package = "processing.simulators"
    site: ClassVar[Site]
    telescope: ClassVar[str] = ""
    photometry: ClassVar[Mapping[str, Photometry]] = {}  # of each band
    has_filter_wheel: ClassVar[bool] = True
    has_checksums: ClassVar[bool] = False  # whether its files have CHECKSUM and DATASUM
    scale: ClassVar[float] = 1.0  # arcsec per px
    scatter: ClassVar[Mapping[str, float]] = {"pointing": 6.0, "rotation": 0.02}  # arcsec, degrees: of each exposure
    exposure_time: ClassVar[float] = 60.0  # s, of the survey
    faintest: ClassVar[tuple[float, float]] = (22.5, 21.8)  # stars and galaxies that are drawn, r
    distortion: ClassVar[float] = 2.0  # px at the edge of the field, which no header tells

    far_crosstalk: float = param(
        0.0, ge=0, lt=0.1, help="Largest coefficient from the neighbouring CCD; above 0 each CCD takes twice the time."
    )
    ccd: CcdParameters = param(CcdParameters(), help="What the CCDs are like.")

    def sections(self) -> tuple[str, ...]:
        """Names of the CCDs, in the order of the file."""
        raise NotImplementedError

    def band_of(self, section: str, shot: Shot) -> str:
        """The filter in front of a CCD."""
        return shot.band

    def layout(self, section: str, mjd: float) -> Layout:
        """Where the pixels of a CCD stand in the file."""
        raise NotImplementedError

    def place(self, section: str) -> Place:
        """Where a CCD is in the field."""
        raise NotImplementedError

    def wcs(self, section: str, ra: float, dec: float, rotation: float = 0.0) -> fits.Header:
        """WCS cards for the trimmed image when the telescope looks at a position, turned by `rotation` degrees."""
        raise NotImplementedError

    def file_name(self, shot: Shot) -> str:
        """The name of the raw file."""
        raise NotImplementedError

    def primary(self, shot: Shot, weather: Weather, count: int) -> fits.PrimaryHDU:
        """The first HDU of a file with `count` extensions."""
        raise NotImplementedError

    def extensions(self, shot: Shot, section: str, raw: np.ndarray) -> list[Any]:
        """The HDUs of a CCD with `raw` (uint16 ADU, as its layout says)."""
        raise NotImplementedError

    def last(self, shot: Shot, rng: np.random.Generator) -> list[Any]:
        """HDUs that come after those of the CCDs in a file that has them all: focus CCDs, for example."""
        return []

    def parameters_in(self, band: str) -> CcdParameters:
        """What the CCDs are like behind a filter: by default without fringes but in z and Y."""
        return self.ccd if band in ("z", "Y") else self.ccd.model_copy(update={"fringes": 0.0})

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """The CCDs called `names`, all where none is named, in the order of the file; BadInput for unknown ones."""
        known = self.sections()
        if unknown := [name for name in names if name not in known]:
            hint = f"it has {', '.join(known[:4])} … {known[-1]}"
            raise BadInput(what=f"section {', '.join(unknown)}", reason=f"{self.name} has no such CCD; {hint}")
        return tuple(name for name in known if name in names) or known

    def make_ccd(self, section: str, shot: Shot, seed: int) -> Ccd:
        """The CCD as it is behind the filter of an exposure; always the same for the same `seed`.

        Fringes, which take long to compute, are left out where there is no night sky to make them.
        """
        band, number = self.band_of(section, shot), self.sections().index(section)
        parameters = self.parameters_in(band)
        if shot.kind != "science":
            parameters = parameters.model_copy(update={"fringes": 0.0})
        ccd = make_ccd(
            self.layout(section, shot.mjd),
            parameters,
            seed=seed,
            number=number + 1,
            band=band,
            place=self.place(section),
        )
        if not self.far_crosstalk:
            return ccd
        neighbour = self.sections()[number ^ 1]
        names = [amplifier.name for amplifier in ccd.layout.amplifiers]
        others = [amplifier.name for amplifier in self.layout(neighbour, shot.mjd).amplifiers]
        sizes = np.random.default_rng([seed, number + 1, 7]).uniform(0.3, 1.0, (len(names), len(others)))
        ghosts = [
            Ghost(victim, source, float(self.far_crosstalk * size), neighbour)
            for victim, row in zip(names, sizes)
            for source, size in zip(others, row)
        ]
        return replace(ccd, ghosts=(*ccd.ghosts, *ghosts))

    def weather(self, shot: Shot, seed: int) -> Weather:
        """What sky, air and telescope are like in an exposure."""
        low, high = next(iter(self.photometry.values())).fwhm
        limits = {**self.scatter, "fwhm_low": low, "fwhm_high": high}
        rng = np.random.default_rng(shot.seed(seed, "weather"))
        return weather_of(self.site, shot.ra, shot.dec, shot.mjd, rng, limits=limits)

    def frame(self, section: str, shot: Shot, weather: Weather) -> Frame:
        """The sky as a CCD sees it; without the light between the sources."""
        place = self.place(section)
        far = place.radius / 1000
        optics = Optics(
            header=self.wcs(section, *weather.pointing, weather.rotation),
            centre=(-place.origin[0], -place.origin[1]),
            radial=self.distortion / far**3,
        )
        seeing = Seeing(
            fwhm=weather.seeing,
            ellipticity=weather.shape,
            gradient=_STRETCHING / far**2,
            broadening=_BROADENING / far**2,
        )
        band = self.band_of(section, shot)
        zero_point = weather.zero_point(self.photometry[band], shot.exposure_time)
        return Frame(self.layout(section, shot.mjd).trimmed, optics, seeing, band, zero_point, sky=0.0)
