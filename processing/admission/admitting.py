"""Let a file from outside in, or say why not: what passes here can be opened by Astropy without harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processing.admission.checksums import check_sums
from processing.admission.codes import Code
from processing.admission.compression import check_compression, is_compressed
from processing.admission.headers import BLOCK, read_header
from processing.admission.keywords import check_extensions, check_keywords
from processing.admission.reading import Budget, Contents, check_name, opened
from processing.admission.rules import LENIENT, PATIENCE, AdmissionRules
from processing.admission.structure import BINTABLE, PRIMARY, TABLE, Hdu, describe
from processing.admission.tables import check_table
from processing.admission.wcs import check_wcs
from processing.errors import BadExposureFile

_NAMELESS = ("", "COMPRESSED_IMAGE")  # the second is what fpack calls images that had no name
_REMEMBERED = 500  # files


@dataclass(frozen=True)
class Oddity:
    """What is not as it should be, and tolerated."""

    code: Code
    detail: str

    def __str__(self) -> str:
        return f"{self.detail} [{self.code}]"


@dataclass(frozen=True)
class Admitted:
    """A file that was let in."""

    path: Path
    hdus: int
    images: tuple[str, ...]  # EXTNAME of each image of two dimensions, in order
    size: int  # bytes, unpacked
    warnings: tuple[Oddity, ...]


_State = tuple[str, int, int, int, int, int]
_outcomes: dict[_State, dict[AdmissionRules, Admitted | tuple[Code, str]]] = {}


def admit(path: Path, rules: AdmissionRules = LENIENT, scratch: Path | None = None) -> Admitted:
    """The file at `path`, looked through by `rules`. BadExposureFile says with a code what is wrong with it.

    It takes at most 20 s of CPU time and some megabytes of memory, whatever the file holds; what gzip has packed is
    unpacked into the folder `scratch`, and DiskFull is raised where there is no room. A file that did not change since
    it was looked through by the same rules is not looked through again.
    """
    path, state = Path(path), _state_of(path)
    known = _outcomes.get(state, {}).get(rules) if state else None
    if isinstance(known, Admitted):
        return known
    if known:
        raise BadExposureFile(*known, path=str(path))
    try:
        found = _admit(path, rules, scratch)
    except BadExposureFile as error:
        _remember(state, rules, (error.code, error.detail))
        raise BadExposureFile(error.code, error.detail, path=str(path)) from error
    _remember(state, rules, found)
    return found


def ensure_admitted(path: Path, scratch: Path | None = None) -> None:
    """Look a file through by the most lenient rules, unless it was let in by some; BadExposureFile as `admit`."""
    known = _outcomes.get(_state_of(path) or (), {})
    if not any(isinstance(outcome, Admitted) for outcome in known.values()):
        admit(path, LENIENT, scratch)


def _state_of(path: Path) -> _State | None:
    """What changes when a file does."""
    try:
        now = Path(path).stat()
    except (OSError, ValueError):
        return None
    return str(Path(path).absolute()), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _remember(state: _State | None, rules: AdmissionRules, outcome: Admitted | tuple[Code, str]) -> None:
    if state is None or (not isinstance(outcome, Admitted) and outcome[0] == Code.TOO_SLOW):
        return
    while len(_outcomes) >= _REMEMBERED:
        _outcomes.pop(next(iter(_outcomes)), None)
    _outcomes.setdefault(state, {})[rules] = outcome


def _admit(path: Path, rules: AdmissionRules, scratch: Path | None) -> Admitted:
    check_name(path.name)
    found = _Examination(rules)
    with opened(path, rules.limits, Budget(PATIENCE), scratch) as contents:
        found.look_through(contents)
        return Admitted(
            path=path,
            hdus=len(found.hdus),
            images=tuple(hdu.name for hdu in found.hdus if hdu.is_picture),
            size=contents.size,
            warnings=tuple(found.warnings()),
        )


class _Examination:
    """The HDUs of a file, one after the other, and what was tolerated in them."""

    def __init__(self, rules: AdmissionRules) -> None:
        self.rules = rules
        self.hdus: list[Hdu] = []
        self._tolerated: list[Oddity] = []

    def look_through(self, contents: Contents) -> None:
        """All of the file; BadExposureFile where something is not tolerated."""
        offset = cards = 0
        while offset < contents.size:
            if self.hdus and contents.at(offset, 8) != b"XTENSION":
                self._tolerate(lambda end=offset: _check_rest(contents, end, self.rules))
                break
            hdu = self._next(contents, offset)
            offset, cards = hdu.end, cards + hdu.header.count
            if cards > self.rules.limits.max_all_cards:
                said = f"its headers have more than {self.rules.limits.max_all_cards} cards"
                raise BadExposureFile(Code.TOO_MANY_CARDS, said)
        self._tolerate(lambda: _check_names(self.hdus))
        check_keywords(self.hdus, self.rules)
        check_extensions(self.hdus, self.rules)

    def _next(self, contents: Contents, offset: int) -> Hdu:
        rules = self.rules
        if len(self.hdus) >= rules.limits.max_hdus:
            raise BadExposureFile(Code.TOO_MANY_HDUS, f"it has more than {rules.limits.max_hdus} HDUs")
        hdu = describe(read_header(contents, len(self.hdus), offset, rules.limits), contents, rules)
        self.hdus.append(hdu)
        if hdu.kind in (TABLE, BINTABLE):
            columns = check_table(contents, hdu)
            hdu.is_compressed = hdu.kind == BINTABLE and is_compressed(hdu)
            if hdu.is_compressed:
                check_compression(contents, hdu, columns, rules)
        if hdu.shape or hdu.kind == PRIMARY:
            self._tolerate(lambda: check_wcs(hdu.header, rules))
        self._tolerate(lambda: check_sums(contents, hdu))
        for code, said in hdu.header.oddities.items():
            self._note(BadExposureFile(code, said))
        return hdu

    def _tolerate(self, check: Callable[[], None]) -> None:
        try:
            check()
        except BadExposureFile as error:
            self._note(error)

    def _note(self, error: BadExposureFile) -> None:
        if error.code not in self.rules.tolerated:
            raise error
        self._tolerated.append(Oddity(error.code, error.detail))

    def warnings(self) -> list[Oddity]:
        """One of each code: the first, and how many more there are."""
        counts = Counter(oddity.code for oddity in self._tolerated)
        first = {oddity.code: oddity for oddity in reversed(self._tolerated)}
        return [
            Oddity(code, first[code].detail + (f" (and {count - 1} more HDUs)" if count > 1 else ""))
            for code, count in counts.items()
        ]


def _check_rest(contents: Contents, offset: int, rules: AdmissionRules) -> None:
    """BadExposureFile for what follows the last HDU; where it could be a damaged one it is never tolerated."""
    length = contents.size - offset
    is_zero = length <= rules.limits.max_trailing and not any(
        piece.strip(b"\0") for piece in contents.chunks(offset, length)
    )
    if length >= BLOCK and not is_zero:
        said = f"{length} bytes follow the last extension, and are neither an extension nor zeros"
        raise BadExposureFile(Code.BAD_STRUCTURE, said)
    raise BadExposureFile(Code.TRAILING_BYTES, f"{length} bytes follow the last extension")


def _check_names(hdus: list[Hdu]) -> None:
    """BadExposureFile where the name of an extension says not which of two is meant."""
    names = [
        (hdu.kind, hdu.name.upper(), hdu.header.get("EXTVER", 1))
        for hdu in hdus[1:]
        if hdu.name.upper() not in _NAMELESS
    ]
    counts = Counter((kind, name, repr(version)) for kind, name, version in names)
    if twice := [f"{name}, version {version}" for (_, name, version), count in counts.items() if count > 1]:
        raise BadExposureFile(Code.DUPLICATE_EXTENSION, f"extensions of the same name: {'; '.join(twice[:5])}")
