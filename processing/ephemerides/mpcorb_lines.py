"""Read the lines of a file in the format of MPCORB.DAT; lines that are no orbit are counted and told, with reasons."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from processing.algorithms.orbits import ORBIT
from processing.ephemerides import packed
from processing.errors import BadInput

# First and last column, from 1, of what is read of a line, as the Minor Planet Center describes them.
COLUMNS = {
    "packed": (1, 7), "h": (9, 13), "g": (15, 19), "epoch": (21, 25), "mean_anomaly": (27, 35), "perihelion": (38, 46),
    "node": (49, 57), "inclination": (60, 68), "eccentricity": (71, 79), "semi_major_axis": (93, 103),
    "uncertainty": (106, 106), "name": (167, 194), "observed": (195, 202),
}  # fmt: skip
WIDTH, LEAST = 202, 103  # characters of a line, and of one that has all elements
ANGLES = ("mean_anomaly", "perihelion", "node", "inclination")
ELEMENTS = (*ANGLES, "eccentricity", "semi_major_axis")
# Arcsec a decade by which the place in the orbit may run off, at most, by the uncertainty parameter U.
RUNOFF = dict(zip("0123456789", (1.0, 4.4, 19.6, 86.5, 382.0, 1692.0, 7488.0, 33121.0, 146502.0, np.inf)))
MOST_BAD = 0.01  # part of the lines; a file with more of them is another one, or damaged
TOLD = 5  # bad lines that are told
_AT_ONCE = 100_000  # lines


@dataclass
class OrbitLines:
    """What a file of orbits holds."""

    table: np.ndarray  # (n,) of ORBIT, in the order of the file
    names: np.ndarray  # (n,) S28, as people write them
    n_bad: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)  # line from 1, reason; the first ones

    def told(self) -> str:
        """The bad lines as people read them."""
        lines = "; ".join(f"line {number}: {reason}" for number, reason in self.bad)
        return lines + (f"; and {self.n_bad - len(self.bad)} more" if self.n_bad > len(self.bad) else "")


def read_orbits(path: Path) -> OrbitLines:
    """The orbits of a file, plain or packed by gzip. BadInput where it has none, or too many lines that are none."""
    text = np.frombuffer(_contents(Path(path)), np.uint8)
    if not len(text):
        raise BadInput(what=str(path), reason="it is empty")
    ends = np.flatnonzero(np.append(text, 10) == 10)
    starts = np.concatenate([[0], ends[:-1] + 1])
    head = _head(text, starts, ends)
    numbers = np.flatnonzero(ends - starts > 1)
    numbers = numbers[numbers >= head]
    parts = [
        _orbits(text, starts, ends, numbers[first : first + _AT_ONCE]) for first in range(0, len(numbers), _AT_ONCE)
    ]
    found = OrbitLines(
        np.concatenate([np.zeros(0, ORBIT), *(part.table for part in parts)]),
        np.concatenate([np.zeros(0, "S28"), *(part.names for part in parts)]),
        sum(part.n_bad for part in parts),
        [line for part in parts for line in part.bad][:TOLD],
    )
    if not len(found.table) or found.n_bad > MOST_BAD * len(numbers):
        bad = f"{found.n_bad} of {len(numbers)} lines are no orbits: {found.told()}"
        why = bad if found.n_bad else "there are no orbits in it"
        raise BadInput(what=str(path), reason=f"{why}; is it in the format of MPCORB.DAT, and whole?")
    return found


def _contents(path: Path) -> bytes:
    if not path.is_file():
        raise BadInput(what=str(path), reason="there is no such file")
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(what=str(path), reason=f"it cannot be read: {error}; fetch it again") from error


def _head(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> int:
    """Lines before the first orbit: those to a line of dashes, where there is one."""
    for number in range(min(len(starts), 200)):
        line = text[starts[number] : ends[number]]
        if len(line) > 20 and np.all(line[:20] == ord("-")):
            return number + 1
    return 0


def _orbits(text: np.ndarray, starts: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> OrbitLines:
    """The orbits in some lines."""
    starts, ends = starts[numbers], ends[numbers]
    places = starts[:, None] + np.arange(WIDTH)
    letters = np.where(places < ends[:, None], text[np.minimum(places, len(text) - 1)], ord(" "))
    letters[letters == ord("\r")] = ord(" ")
    fields = {
        name: np.strings.strip(np.ascontiguousarray(letters[:, first - 1 : last]).view(f"S{last - first + 1}")[:, 0])
        for name, (first, last) in COLUMNS.items()
    }
    table, reasons = np.zeros(len(numbers), ORBIT), np.full(len(numbers), "", object)
    reasons[ends - starts < LEAST] = "it is too short"
    for name in ELEMENTS:
        table[name] = _converted(fields[name], float, np.nan)
        reasons[(reasons == "") & ~np.isfinite(table[name])] = f"no number for {name.replace('_', ' ')}"
    for name in ("h", "g"):
        table[name] = _converted(fields[name], float, np.nan)
    table["epoch"] = _converted(fields["epoch"], packed.mjd_of_epoch, np.nan)
    reasons[(reasons == "") & ~np.isfinite(table["epoch"])] = "the epoch is no packed date"
    is_ellipse = (table["eccentricity"] >= 0) & (table["eccentricity"] < 1) & (table["semi_major_axis"] > 0)
    reasons[(reasons == "") & ~is_ellipse] = "the orbit is no ellipse"
    table["runoff"] = _converted(fields["uncertainty"], RUNOFF.__getitem__, np.nan)
    table["observed"] = _converted(fields["observed"], packed.mjd_of_day, np.nan)
    names = fields["name"]
    names[names == b""] = _converted(fields["packed"][names == b""], packed.designation, b"")
    reasons[(reasons == "") & (names == b"")] = "it has no designation"
    bad = np.flatnonzero(reasons != "")
    told = [(int(numbers[row]) + 1, str(reasons[row])) for row in bad[:TOLD]]
    return OrbitLines(table[reasons == ""], names[reasons == ""], len(bad), told)


def _converted(values: np.ndarray, convert: Callable[[str], object], otherwise: object) -> np.ndarray:
    """Texts (n,) as `convert` reads them, each kind once; `otherwise` for those that it refuses."""
    if convert is float:
        try:
            return np.where(values == b"", b"nan", values).astype(float)
        except ValueError:
            pass
    kinds, which = np.unique(values, return_inverse=True)
    found = []
    for text in kinds.tolist():
        try:
            found.append(convert(text.decode("ascii")))
        except (ValueError, KeyError):
            found.append(otherwise)
    return np.array(found, float if isinstance(otherwise, float) else "S28")[which]
