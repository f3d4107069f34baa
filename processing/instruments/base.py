"""What an instrument must say: how its files are read, which CCDs it has, which filters it knows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.utils.exceptions import AstropyUserWarning
from django.conf import settings

from processing.admission.admitting import Admitted, admit, ensure_admitted
from processing.admission.rules import AdmissionRules
from processing.algorithms.horizon import Site
from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput, StepError
from processing.instruments import catalog_magnitudes
from processing.instruments.offers import Found, Offer, Unreadable, fetched_file, settled_files
from processing.plugins import Plugin

if TYPE_CHECKING:
    from products.models import SensorSection

_OFFERED = ("kind", "mjd", "exposure_time", "filter", "filters", "target", "project", "ra", "dec")


@dataclass(frozen=True)
class Section:
    """One CCD of an instrument."""

    name: str


@dataclass(frozen=True)
class ExposureFacts:
    """What the row of an exposure says."""

    name: str
    kind: str  # science, bias, dark or flat
    mjd: float  # start, UTC
    exposure_time: float  # s
    filter: str  # short name; empty when it varies
    ra: float  # ICRS degrees
    dec: float
    header: dict[str, Any] = field(default_factory=dict)  # all that reading the file again needs, as plain JSON
    filters: dict[str, str] = field(default_factory=dict)  # of each section, where they differ
    airmass: float | None = None
    target: str = ""
    project: str = ""
    telescope: str = ""
    companions: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class RawSection:
    """The raw pixels of one CCD and what is needed to calibrate them."""

    section: str
    filter: str
    data: np.ndarray  # (ny, nx) as read, ADU
    amplifiers: tuple[Amplifier, ...]
    wcs: fits.Header  # rough, for the trimmed image
    pedestal: float = 0.0  # ADU that were added to every pixel
    zero_point: float | None = None  # AB magnitude of one electron in clear air, where the file tells it
    weight: np.ndarray | None = None  # (ny, nx) electron⁻², where the file brings one
    flags: np.ndarray | None = None  # (ny, nx) uint16 of PixelFlag, where the file brings them
    done: tuple[str, ...] = ()  # corrections that were made before the file came here
    sensor_section: SensorSection | None = None  # what the archive knows of the CCD, set by those who ask it


class Instrument(Plugin):
    """A camera at a telescope. A member's fields are options of reading its files (`--set instrument.gain=…`)."""

    package = "processing.instruments"
    # Corrections of raw data in the order in which they undo what the camera did, and which of them are made unless a
    # configuration says otherwise; some of them for some filters only.
    order: ClassVar[tuple[str, ...]] = (
        "overscan", "crosstalk", "bias", "linearity", "dark", "flat", "illumination", "fringe", "bad_pixels",
    )  # fmt: skip
    corrections: ClassVar[tuple[str, ...]] = ()
    only_in: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    filters: ClassVar[tuple[str, ...]] = ()  # short names; empty: any
    site: ClassVar[Site | None] = None
    flips: ClassVar[tuple[str, ...]] = ()  # axes that its headers may count the wrong way: "x", "y", "xy"
    photometric_system: ClassVar[str] = "sdss"  # of which tables lead from catalogues to its filters
    calibrated_by: ClassVar[Mapping[str, str]] = {}  # its filter → the one that catalogues have instead
    admission: ClassVar[AdmissionRules] = AdmissionRules()  # what its files must be like to be opened at all

    def admission_rules(self) -> AdmissionRules:
        """The rules with these options."""
        return self.admission

    def admit(self, path: Path, *, is_companion: bool = False) -> Admitted:
        """Let a file from outside in before anything else reads it; BadExposureFile says with a code what is wrong."""
        rules = self.admission_rules()
        return admit(path, rules.of_companion() if is_companion else rules, scratch_folder())

    def read_exposure(self, path: Path) -> ExposureFacts:
        """Facts of a raw file, from its headers alone. BadInput says what is wrong with it.

        Pixels are read by the process of a CCD only: a damaged file can take the process with it that unpacks them.
        """
        raise NotImplementedError

    def sections(self, path: Path, header: Mapping[str, Any]) -> list[Section]:
        """The CCDs of an exposure; `header` is that of its facts."""
        return [Section(name) for name in header["sections"]]

    def read_section(
        self, path: Path, companions: Mapping[str, Path], header: Mapping[str, Any], section: str
    ) -> RawSection:
        """The raw pixels of one CCD."""
        raise NotImplementedError

    def supplied(self, path: Path, kind: str) -> Iterator[Any]:
        """What a calibration file from outside holds for each CCD (Supplied); `kind` is one of CalibratorFile.Kind.

        Here, images that EXTNAME gives to CCDs. BadInput where the file is not what the kind needs.
        """
        from processing.instruments.supplied import plain_images

        yield from plain_images(path, kind)

    def corrections_in(self, band: str, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
        """The corrections that raw data in a filter need, in physical order; of `wanted` where that is given.

        BadInput for one that this instrument does not know.
        """
        chosen = self.corrections if wanted is None else wanted
        if unknown := [name for name in chosen if name not in self.order]:
            raise BadInput(what=f"correction {', '.join(unknown)}", reason=f"{self.name} knows {', '.join(self.order)}")
        return tuple(name for name in self.order if name in chosen and band in self.only_in.get(name, (band,)))

    def offers(
        self,
        known: Container[str] = (),
        *,
        folder: Annotated[str, "whole path of a folder on the server"],
        pattern: Annotated[str, "files in it, e.g. *.fits.fz, or **/*.fits in its folders too"] = "*.fits*",
        settle: Annotated[float, "seconds for which a file must not have changed"] = 10.0,
    ) -> Iterator[Found]:
        """Exposures that exist and can be fetched, but for the `known` ones: here, the raw files in a folder.

        What else a search takes are keyword-only arguments with types: they are what a watch may be given. A file is
        left for later while it changed less than `settle` seconds ago. BadInput where there is no such folder.
        """
        for path in settled_files(folder, pattern, settle):
            if isinstance(path, Unreadable):
                yield path
            elif path.name not in known:
                yield self.offer(path)

    def offer(self, path: Path) -> Found:
        """A raw file as an offer."""
        try:
            self.admit(path)
            facts = self.read_exposure(path)
        except Exception as error:  # what a damaged file raises is not foreseeable, and others wait behind it
            said = str(error) if isinstance(error, StepError) else f"{path}: {type(error).__name__}: {error}"
            return Unreadable(path.name, said[:500])
        return Offer(
            identifier=path.name,
            params={"path": str(path), "size": path.stat().st_size},
            **{name: getattr(facts, name) for name in _OFFERED},
        )

    def fetch(
        self, identifier: str, params: Mapping[str, Any], into: Path, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """The raw file of an offer, whole and verified; one that must be brought here goes into the folder `into`.

        Here, the file stays where it is. BadInput where it is missing or not what was offered. `progress` is told the
        bytes that are here, and those of the whole file.
        """
        if not isinstance(params.get("path"), str):
            raise BadInput(what=identifier, reason="nobody said where its raw file is (params: path)")
        return fetched_file(Path(params["path"]), params)

    def short_filter(self, text: str) -> str:
        """The short name of a filter as headers write it; BadInput for one that the instrument does not have."""
        short = str(text).strip().split(" ")[0]
        if self.filters and short not in self.filters:
            raise BadInput(what=f"filter '{text}'", reason=f"{self.name} has {', '.join(self.filters)}")
        return short

    def catalog_magnitude(self, stars: np.ndarray, band: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How bright catalogue stars are in the instrument's `band`, errors, a colour (NaN: unknown): (n,) each.

        Also of stars of any colour, for which it is rough: `calibration_magnitude` has those that calibrate. Raises
        EmptyCatalog where the catalogue has no magnitudes that lead to the band.
        """
        return catalog_magnitudes.rough(stars, self.photometric_system, self.calibrated_by.get(band, band))

    def calibration_magnitude(
        self, stars: np.ndarray, band: str, table: str = ""
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """AB magnitudes of catalogue stars in `band` that can calibrate (NaN: others), errors, a colour: (n,) each.

        By the tables of the photometric system, an archive's own `table` first. Raises EmptyCatalog as above.
        """
        return catalog_magnitudes.precise(stars, self.photometric_system, self.calibrated_by.get(band, band), table)


@contextlib.contextmanager
def open_fits(path: Path, *, new: bool = False, only: Sequence[int] = ()) -> Iterator[fits.HDUList]:
    """The HDUs of a file. BadInput where it is missing, not FITS, or cut short.

    A `new` one must pass the admission guard by its default rules, unless it was admitted before by others.
    Where `only` some HDUs are wanted, by number, what comes after them is not read.
    """
    if new:
        ensure_admitted(path, scratch_folder())
    if not Path(path).is_file():
        raise BadInput(what=str(path), reason="there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)  # of what is odd, and was told when the file was let in
            warnings.filterwarnings("error", message=".*truncated.*")
            hdus = fits.open(path, memmap=False, lazy_load_hdus=bool(only))
            wanted = [hdus[number] for number in only] if only else hdus
            for card in (card for hdu in wanted for card in hdu.header.cards):
                card.verify("silentfix+ignore")  # e.g. NaN, which is no number in FITS: it becomes text
    except Exception as error:  # what a damaged file raises is not foreseeable
        said = " ".join(str(error).split()).split(". ")[0].rstrip(".")[:150]  # what follows is advice for programmers
        reason = f"it cannot be read as FITS: {said}; is it whole, and a FITS image? fetch it again"
        raise BadInput(what=str(path), reason=reason) from error
    with hdus:
        yield hdus


def scratch_folder() -> Path:
    """Where files may be unpacked for a moment."""
    return Path(settings.SEECHANGE_DATA)


def image_data(hdu: Any, path: Path) -> np.ndarray:
    """The pixels of an image HDU, (ny, nx). BadInput where they cannot be read or are no picture."""
    try:
        data = hdu.data
    except Exception as error:  # what a damaged file raises is not foreseeable
        reason = f"its pixels cannot be read: {' '.join(str(error).split())[:150]}; is the file whole? fetch it again"
        raise BadInput(what=f"{path} [{hdu.name or 'first image'}]", reason=reason) from error
    if data is None or data.squeeze().ndim != 2:
        raise BadInput(what=str(path), reason="there is no two-dimensional image in it")
    return data.squeeze()


def images_of(hdus: fits.HDUList, path: Path) -> list[Any]:
    """The HDUs with two-dimensional images. BadInput where there is none."""
    found = [hdu for hdu in hdus if hdu.is_image and sum(size > 1 for size in hdu.shape) == 2]
    if not found:
        raise BadInput(what=str(path), reason="there is no two-dimensional image in it")
    return found


def keyword(header: Mapping[str, Any], names: Sequence[str], path: Path, hint: str, kind: type = float) -> Any:
    """The first of the keywords `names` that is there, as `kind`; BadInput names the keyword and how to supply it."""
    for name in names:
        value = header.get(name)
        if value is None or str(value).strip() == "":
            continue
        try:
            found = kind(value)
        except (TypeError, ValueError):
            found = np.nan
        if kind is float and not np.isfinite(found):
            raise BadInput(what=str(path), reason=f"the keyword {name} = {value!r} is not a number; {hint}")
        return found
    others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise BadInput(what=str(path), reason=f"the header has no keyword {names[0]}{others}; {hint}")


def mjd_of(header: Mapping[str, Any], path: Path, hint: str) -> float:
    """MJD (UTC) at the start of the exposure from MJD-OBS, or DATE-OBS with a time."""
    if header.get("MJD-OBS") is not None:
        return keyword(header, ["MJD-OBS"], path, hint)
    text = keyword(header, ["DATE-OBS", "DATE-BEG"], path, hint, str).strip()
    if "T" not in text:
        also = f"DATE-OBS = {text!r} has no time; {hint}"
        text += "T" + keyword(header, ["TIME-OBS", "UT", "UTC-OBS", "UTSTART", "TIME"], path, also, str).strip()
    try:
        return float(Time(text, format="isot", scale="utc").mjd)
    except ValueError as error:
        reason = f"the keyword DATE-OBS = {text!r} is no date like 2026-11-22T03:04:05; {hint}"
        raise BadInput(what=str(path), reason=reason) from error


def stem_of(path: Path) -> str:
    """The name of a raw file without its endings."""
    name = Path(path).name
    for ending in (".gz", ".fz", ".bz2"):
        name = name.removesuffix(ending)
    for ending in (".fits", ".fit", ".fts", ".FITS", ".FIT"):
        name = name.removesuffix(ending)
    return name
