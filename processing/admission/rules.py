"""What an instrument allows and wants of its files: one ClassVar `admission` on its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from processing.admission.codes import TOLERABLE, Code

COMPRESSIONS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "NOCOMPRESS", "PLIO_1")
PATIENCE = 20.0  # CPU seconds for one file


@dataclass(frozen=True)
class Limits:
    """What no file of an instrument exceeds; what is below can be opened without harm."""

    max_bytes: int = 4_000_000_000  # of the file, and unpacked
    max_gzip_ratio: float = 200.0  # beyond the first 64 MB
    max_hdus: int = 200
    max_cards: int = 20_000  # of one header
    max_all_cards: int = 100_000
    max_axis: int = 100_000  # pixels
    max_pixels: int = 400_000_000  # of one image
    max_rows: int = 5_000_000  # of one table
    max_tiles: int = 200_000  # of one compressed image
    max_expansion: float = 200.0  # of a compressed image of more than 256 MB
    max_trailing: int = 1_000_000  # bytes after the last extension, where they are tolerated


@dataclass(frozen=True)
class RequiredKeyword:
    """A keyword that files must have, under one of `names`, in the primary header or in that of the first image."""

    names: tuple[str, ...]
    kind: type = float  # float, int, str or bool; a number may be written as a text
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()  # of a text, compared without regard to case
    optional: bool = False  # only its value is looked at, where it is there

    def __str__(self) -> str:
        return " or ".join(self.names)


ExtensionCheck = Callable[[tuple[str, ...]], str]


@dataclass(frozen=True)
class AdmissionRules:
    """What is a warning instead of a refusal, which extensions and keywords there must be, and the limits.

    `extensions` is a pattern that as many image extensions as `min_images` must match by their EXTNAME, or a function
    that is given the names of all image extensions in order and answers what is wrong, or an empty text. The rules are
    lenient by default: what Astropy copes with and real telescopes write is a warning.
    """

    tolerated: frozenset[Code] = TOLERABLE - {Code.BAD_CHECKSUM, Code.BAD_WCS, Code.CONTROL_CHARACTERS}
    extensions: str | ExtensionCheck = ""
    min_images: int = 1  # images of two dimensions
    keywords: tuple[RequiredKeyword, ...] = ()
    compressions: tuple[str, ...] = COMPRESSIONS
    pixel_scale: tuple[float, float] = (1e-3, 300.0)  # arcsec; of celestial coordinates
    max_sip_order: int = 9
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if refused := self.tolerated - TOLERABLE:
            raise ValueError(f"{', '.join(sorted(refused))} can never be tolerated")

    def of_companion(self) -> AdmissionRules:
        """The same for a file that comes beside an exposure: weights, masks, tables; nothing must be in it."""
        return replace(self, extensions="", min_images=0, keywords=())

    def tolerating(self, *codes: Code) -> AdmissionRules:
        """The same with more warnings in place of refusals."""
        return replace(self, tolerated=self.tolerated | set(codes))

    def refusing(self, *codes: Code) -> AdmissionRules:
        """The same with fewer warnings."""
        return replace(self, tolerated=self.tolerated - set(codes))


LENIENT = AdmissionRules(min_images=0)
