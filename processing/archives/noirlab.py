"""The NOIRLab Astro Data Archive: search by its "advanced search", files by their checksum.

The API: POST /api/adv_search/find/ with fields and constraints; the answer is a list whose first entry is about the
search itself. GET /api/retrieve/<md5>/ is the file. Documented at https://astroarchive.noirlab.edu/api/docs/.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time
from django.conf import settings

from processing.archives.http import Progress, RemoteFile, Site
from processing.errors import ArchiveAway, BadInput
from processing.instruments.decam_instcal import ROLES, companion_name
from processing.instruments.offers import Found, Offer, Unreadable

PAGE = 1000  # rows of one answer
MOST = 50_000  # rows of a search
FIELDS = (
    "archive_filename", "md5sum", "filesize", "proc_type", "prod_type", "obs_type", "ifilter", "exposure", "ra_center",
    "dec_center", "dateobs_center", "MJD-OBS", "OBJECT", "proposal", "release_date",
)  # fmt: skip
FIRST_LIGHT = "2012-09-01T00:00:00"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,150}\.fits(\.fz)?$")
_REDUCED = re.compile(r"(c4d_\d{6}_\d{6})_(oo[iwd])_([A-Za-z0-9]+)_([a-z]+)(\d+)\.fits(\.fz)?$")
_MD5 = re.compile(r"[0-9a-f]{32}$")


@dataclass(frozen=True)
class Search:
    """What is looked for; empty: any."""

    proc_type: str = "raw"  # raw or instcal
    dates: tuple[str, str] = (FIRST_LIGHT, "")  # ISO, UTC
    filters: tuple[str, ...] = ()  # short names
    proposals: tuple[str, ...] = ()
    obs_types: tuple[str, ...] = ("object",)
    box: tuple[tuple[float, float, float, float], ...] = ()  # ra from, to, dec from, to in degrees; any of them
    min_exposure_time: float = 0.0  # s

    def requests(self) -> Iterator[list[list[Any]]]:
        """The constraints, as lists that the archive understands: one request a filter and box."""
        common: list[list[Any]] = [["instrument", "decam"], ["proc_type", self.proc_type]]
        common.append(["dateobs_center", self.dates[0], self.dates[1] or _now()])
        if self.proc_type == "raw":
            common.append(["prod_type", "image"])
        if self.obs_types:
            common.append(["obs_type", *self.obs_types])
        if self.proposals:
            common.append(["proposal", *self.proposals])
        if self.min_exposure_time > 0:
            common.append(["exposure", self.min_exposure_time, 100_000])
        for band in self.filters or ("",):
            for box in self.box or (None,):
                where = [["ra_center", *box[:2]], ["dec_center", *box[2:]]] if box else []
                yield [*common, *([["ifilter", f"{band} DECam", "startswith"]] if band else []), *where]


@dataclass
class _Group:
    """The files of one reduced exposure in one version."""

    version: tuple[bool, int]  # whether it is of the regular pipeline; number
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # ooi, oow, ood


def site() -> Site:
    """The archive of the settings."""
    return Site(settings.SEECHANGE_NOIRLAB, settings.SEECHANGE_NOIRLAB_TOKEN)


def offers(
    search: Search,
    known: Container[str],
    *,
    kind_of: Callable[[str], str],
    band_of: Callable[[str], str],
) -> Iterator[Found]:
    """What the archive has of a search but for the `known` names, by date; a row that makes no sense is unreadable.

    `kind_of(obs_type)` and `band_of(ifilter)` are empty for what the instrument does not know.
    """
    rows, strange = [], []
    for row in _rows(search):
        reason = _strange(row)
        (strange if reason else rows).append((row, reason))
    for row, reason in strange:
        yield Unreadable(_name(row)[:200] or "a row without a name", reason)
    seen = sorted((row for row, _ in rows), key=_mjd)
    chosen = _newest(seen, known) if search.proc_type == "instcal" else ((row, {}) for row in seen)
    for row, companions in chosen:
        if _name(row) not in known:
            yield _offer(row, companions, kind_of, band_of)


def fetch(identifier: str, params: Mapping[str, Any], into: Path, progress: Progress | None = None) -> Path:
    """The file of an offer and those that belong to it, whole and verified, in the folder `into`.

    BadInput where the parameters are not those of an offer, or name another machine than the archive.
    """
    archive = site()
    files = [_remote(archive, {"name": identifier, **params})]
    companions = params.get("companions", {})
    if not isinstance(companions, Mapping) or not all(isinstance(one, Mapping) for one in companions.values()):
        raise BadInput(what=identifier, reason="its companions must be names to url, md5sum and size")
    files += [_remote(archive, one) for one in companions.values()]
    paths = [archive.download(file, into, progress) for file in files]
    return paths[0]


def time_range(start: str, end: str, days: float | None) -> tuple[str, str]:
    """Two ISO times (UTC) of dates or times, or from `days` before now on. BadInput where they make no sense."""
    if days is not None:
        if start or not 0 < days < 100_000:
            raise BadInput(what=f"days = {days:g}", reason="give a number of days above 0, and then no start")
        start = _iso(datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days))
    moments = [_moment(start or FIRST_LIGHT, "start", False), _moment(end, "end", True) if end else ""]
    if moments[1] and moments[0] >= moments[1]:
        raise BadInput(what=f"start {start}, end {end}", reason="the end is not after the start")
    return moments[0], moments[1]


def sky_box(ra: float | None, dec: float | None, radius: float) -> tuple[tuple[float, float, float, float], ...]:
    """Boxes around a position (degrees): two where RA 0 is inside. Empty without a position; BadInput for half of one.

    Near a pole all right ascensions are in the box.
    """
    if ra is None and dec is None:
        return ()
    if ra is None or dec is None:
        raise BadInput(what="ra and dec", reason="give both, in degrees, or none")
    if not (0 <= ra < 360 and abs(dec) <= 90 and 0 < radius <= 90):
        reason = "0 <= ra < 360, -90 <= dec <= 90 and 0 < radius <= 90 are possible"
        raise BadInput(what=f"ra {ra:g}, dec {dec:g}, radius {radius:g}", reason=reason)
    bottom, top = max(dec - radius, -90.0), min(dec + radius, 90.0)
    nearest = max(abs(bottom), abs(top))
    half = radius / np.cos(np.radians(nearest)) if nearest < 89.9 else 180.0
    if half >= 180:
        return ((0.0, 360.0, bottom, top),)
    low, high = float(ra - half), float(ra + half)
    if low < 0:
        return ((0.0, high, bottom, top), (low + 360, 360.0, bottom, top))
    if high > 360:
        return ((low, 360.0, bottom, top), (0.0, high - 360, bottom, top))
    return ((low, high, bottom, top),)


def _rows(search: Search) -> Iterator[Mapping[str, Any]]:
    """Rows of all pages of all requests, each file once."""
    archive, seen, total = site(), set(), 0
    for constraints in search.requests():
        for row in _pages(archive, {"outfields": list(FIELDS), "search": constraints}):
            key = row.get("md5sum"), _name(row)
            total += 1
            if total > MOST:
                raise BadInput(what="the search", reason=f"it finds more than {MOST} files; narrow it, e.g. the dates")
            if key not in seen:
                seen.add(key)
                yield row


def _pages(archive: Site, content: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    offset = 0
    while True:
        answer = archive.post(f"/api/adv_search/find/?limit={PAGE}&offset={offset}&sort=md5sum", content)
        if not isinstance(answer, list) or not answer or not all(isinstance(row, dict) for row in answer):
            said = answer.get("errorMessage", "") if isinstance(answer, dict) else ""
            reason = f"it answers, but not as its documentation says: {' '.join(str(said).split())[:200]}".rstrip(": ")
            raise ArchiveAway(what=archive.address, reason=reason)
        for row in answer[1:]:
            yield {name.split(":")[-1]: value for name, value in row.items()}
        if len(answer) - 1 < PAGE:
            return
        offset += PAGE


def _strange(row: Mapping[str, Any]) -> str:
    """What is wrong with a row; empty where it can be used."""
    if not _NAME.match(_name(row)):
        return "the archive gives it no name of a FITS file"
    if not _MD5.match(str(row.get("md5sum", ""))):
        return "the archive gives it no checksum"
    if not _is_number(row.get("filesize")) or row["filesize"] <= 0:
        return "the archive gives it no size"
    return "" if np.isfinite(_mjd(row)) else "the archive gives it no date"


def _newest(
    rows: list[Mapping[str, Any]], known: Container[str]
) -> Iterator[tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]]:
    """Each reduced image in its highest version, with weight and data quality; none where a version is known.

    Versions of the regular pipeline (v1, v2) go before those of surveys (ls9).
    """
    exposures: dict[tuple[str, str], dict[str, _Group]] = {}
    for row in rows:
        if found := _REDUCED.match(_name(row)):
            taken, product, band, label, number = found.groups()[:5]
            versions = exposures.setdefault((taken, band), {})
            group = versions.setdefault(label + number, _Group((label == "v", int(number))))
            group.rows[product] = row
    for versions in exposures.values():
        images = [group.rows["ooi"] for group in versions.values() if "ooi" in group.rows]
        if any(_name(row) in known for row in images):
            continue
        whole = [group for group in versions.values() if "ooi" in group.rows]
        if whole:
            best = max(whole, key=lambda group: group.version)
            beside = {role: best.rows[product] for role, product in ROLES.items() if product in best.rows}
            yield best.rows["ooi"], beside


def _offer(
    row: Mapping[str, Any],
    companions: Mapping[str, Mapping[str, Any]],
    kind_of: Callable[[str], str],
    band_of: Callable[[str], str],
) -> Found:
    name = _name(row)
    released = str(row.get("release_date") or "")[:10]
    if released > _now()[:10] and not settings.SEECHANGE_NOIRLAB_TOKEN:
        hint = "a token of somebody who may have it goes into SEECHANGE_NOIRLAB_TOKEN"
        return Unreadable(name, f"not public before {released}; {hint}")
    kind, band = kind_of(str(row.get("obs_type", ""))), band_of(str(row.get("ifilter", "")))
    if not kind:
        return Unreadable(name, f"it is a '{row.get('obs_type')}', which is not used")
    if not band and kind in ("science", "flat"):
        return Unreadable(name, f"its filter '{row.get('ifilter')}' is not known")
    lacking = [role for role in ROLES if role not in companions] if row.get("proc_type") == "instcal" else []
    if lacking:
        return Unreadable(name, f"its {' and '.join(lacking)} are not in the archive, or not yet")
    return Offer(
        identifier=name,
        params={
            **_file(row),
            "companions": {role: _file(one, companion_name(name, role)) for role, one in companions.items()},
        }
        if companions
        else _file(row),
        kind=kind,
        mjd=_mjd(row),
        exposure_time=float(row["exposure"]) if _is_number(row.get("exposure")) else None,
        filter=band if kind in ("science", "flat") else "",
        target=str(row.get("OBJECT") or "")[:100],
        project=str(row.get("proposal") or "")[:100],
        ra=float(row["ra_center"]) % 360 if _is_number(row.get("ra_center")) else None,
        dec=float(row["dec_center"]) if _is_number(row.get("dec_center")) else None,
    )


def _file(row: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """What fetching a file needs."""
    about = {"md5sum": row["md5sum"], "size": int(row["filesize"])}
    return {"name": name, **about} if name else about


def _remote(archive: Site, params: Mapping[str, Any]) -> RemoteFile:
    """A file of the archive; BadInput for parameters that no offer has. An address is that of its checksum."""
    name, md5, size = str(params.get("name", "")), str(params.get("md5sum", "")), params.get("size")
    if not _NAME.match(name):
        raise BadInput(
            what=f"file '{name[:100]}'", reason="that is no name of a file of the archive, e.g. c4d_….fits.fz"
        )
    if not _MD5.match(md5) or not _is_number(size):
        raise BadInput(what=name, reason="nobody said which file of the archive it is (params: md5sum, size)")
    url = params.get("url") or f"{archive.address}/api/retrieve/{md5}/"
    return RemoteFile(name=name, url=str(url), size=int(size), md5=md5)


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("archive_filename") or "").rsplit("/", 1)[-1]


def _mjd(row: Mapping[str, Any]) -> float:
    """Start of the exposure, MJD (UTC); NaN where the archive has none."""
    if _is_number(row.get("MJD-OBS")):
        return float(row["MJD-OBS"])
    try:
        return float(Time(str(row.get("dateobs_center")).rstrip("Z").replace("+00:00", ""), scale="utc").mjd)
    except ValueError:
        return float("nan")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _moment(text: str, name: str, to_its_end: bool) -> str:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        reason = "it is no date or time like 2026-11-22 or 2026-11-22T03:00"
        raise BadInput(what=f"{name} = '{text}'", reason=reason) from error
    if found.tzinfo is not None:
        found = found.astimezone(datetime.UTC)
    if to_its_end and re.fullmatch(r"\d{4}-\d\d-\d\d|\d{8}", text):
        found += datetime.timedelta(days=1)
    return _iso(found)


def _now() -> str:
    return _iso(datetime.datetime.now(datetime.UTC))


def _iso(moment: datetime.datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
