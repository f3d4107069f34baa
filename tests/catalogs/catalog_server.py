"""A small archive of stars on this machine: TAP (at once and by jobs), cone search, and files; with troubles to order."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.table import Table

from products.sky import separation

FIELD = (150.1, 2.2)
WHOLE = 100_000_000


def gaia_sky(number: int = 2000, radius: float = 1.5, centre: tuple[float, float] = FIELD, seed: int = 1) -> Table:
    """Stars evenly over a cap (degrees), with the columns of the Gaia archive."""
    rng = np.random.default_rng(seed)
    away, angle = np.radians(radius) * np.sqrt(rng.random(number)), rng.uniform(0, 2 * np.pi, number)
    ra0, dec0 = np.radians(centre)
    dec = np.arcsin(np.sin(dec0) * np.cos(away) + np.cos(dec0) * np.sin(away) * np.cos(angle))
    turn = np.arctan2(np.sin(angle) * np.sin(away) * np.cos(dec0), np.cos(away) - np.sin(dec0) * np.sin(dec))
    table = Table({"source_id": np.arange(number) + 4_000_000_000_000_000_000})
    table["ra"], table["dec"] = np.degrees(ra0 + turn) % 360, np.degrees(dec)
    g, color = rng.uniform(12, 21, number), rng.uniform(0.4, 1.8, number)
    for name, scale in (
        ("ra_error", 0.1),
        ("dec_error", 0.1),
        ("parallax_error", 0.1),
        ("pmra_error", 0.2),
        ("pmdec_error", 0.2),
    ):
        table[name] = rng.uniform(0.1, 1, number) * scale
    table["parallax"], table["pmra"], table["pmdec"] = rng.normal(1, 1, number), *rng.normal(0, 5, (2, number))
    table["ruwe"], table["duplicated_source"] = rng.uniform(0.9, 2, number), rng.random(number) < 0.05
    table["phot_variable_flag"] = np.where(rng.random(number) < 0.1, "VARIABLE", "NOT_AVAILABLE")
    table["phot_g_mean_mag"], table["phot_bp_mean_mag"], table["phot_rp_mean_mag"] = g, g + 0.4 * color, g - 0.6 * color
    for band in ("g", "bp", "rp"):
        table[f"phot_{band}_mean_flux_over_error"] = 10 ** rng.uniform(1.5, 3, number)
    return table


@dataclass
class CatalogServer:
    """What it has, what it was asked, what goes wrong next."""

    stars: Table
    row_limit: int = WHOLE  # rows of an answer at once
    job_limit: int = WHOLE  # rows of an answer to a job
    tells_overflow: bool = True
    folder: Path | None = None  # files under /files/
    trouble: list[str | int] = field(default_factory=list)  # for the next requests, in order; "" for none
    always: str | int = ""  # for all requests
    slow: float = 0.0  # s before each answer
    fails_jobs: bool = False
    patience_of_jobs: int = 1  # looks at a job before it is done
    asked: list[str] = field(default_factory=list)  # queries, cones and files
    deleted: list[str] = field(default_factory=list)
    jobs: dict[str, dict] = field(default_factory=dict)
    address: str = ""

    @property
    def cones(self) -> list[str]:
        """Requests for stars, without those for names of columns."""
        return [one for one in self.asked if "TAP_SCHEMA" not in one]

    def answer(self, query: str, limit: int) -> bytes:
        """The VOTable to ADQL."""
        if "TAP_SCHEMA" in query:
            return votable(Table({"column_name": self.stars.colnames}))
        ra, dec, radius = map(float, re.search(r"CIRCLE\('ICRS', ([\d.]+), (-?[\d.]+), ([\d.]+)\)", query).groups())
        faintest = float(re.search(r"phot_g_mean_mag < ([\d.]+)", query)[1])
        names = re.search(r"SELECT (.*?) FROM", query)[1].split(", ")
        rows = self.stars[separation(ra, dec, self.stars["ra"], self.stars["dec"]) <= radius]
        return self.cut(rows[rows["phot_g_mean_mag"] < faintest][names], limit)

    def cut(self, rows: Table, limit: int) -> bytes:
        """A VOTable with as many rows as an answer may have, and the word for there being more."""
        more = len(rows) > limit
        return votable(rows[:limit], "OVERFLOW" if more and self.tells_overflow else "OK")


def votable(table: Table, status: str = "OK", told: str = "", at_end: bool = True) -> bytes:
    """A table as services send it."""
    text = BytesIO()
    table.write(text, format="votable")
    info = f'<INFO name="QUERY_STATUS" value="{status}">{told}</INFO>'
    whole = text.getvalue().decode()
    return whole.replace("</TABLE>", f"</TABLE>{info}").encode()


FAILED = votable(Table({"none": [0]}), "ERROR", "no such table")
JOB = """<?xml version="1.0"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink"
version="1.1"><uws:jobId>{id}</uws:jobId><uws:phase>{phase}</uws:phase><uws:executionDuration>60</uws:executionDuration>
<uws:parameters/><uws:results><uws:result id="result" xlink:href="{url}/results/result"/></uws:results>{error}</uws:job>"""
ERROR = '<uws:errorSummary type="fatal"><uws:message>no such table</uws:message></uws:errorSummary>'


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    archive: CatalogServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = {name: values[0] for name, values in parse_qs(body).items()}
        path = urlsplit(self.path).path
        if path.endswith("/phase"):
            job = self.archive.jobs[path.split("/")[-2]]
            job["phase"] = "EXECUTING"
            return self._see(path.removesuffix("/phase"))
        self.archive.asked.append(fields["QUERY"])
        if self._is_trouble():
            return None
        maximum = int(fields.get("MAXREC", WHOLE))
        if path.endswith("/async"):
            job = f"j{len(self.archive.jobs) + 1}"
            content = self.archive.answer(fields["QUERY"], min(maximum, self.archive.job_limit))
            self.archive.jobs[job] = {"phase": "PENDING", "content": content, "looks": 0}
            return self._see(f"{path}/{job}")
        return self._send(self.archive.answer(fields["QUERY"], min(maximum, self.archive.row_limit)))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "/async/" in parts.path:
            return self._job(parts.path)
        self.archive.asked.append(self.path)
        if self._is_trouble():
            return None
        if parts.path.startswith("/files/"):
            file = self.archive.folder / parts.path.removeprefix("/files/")
            return self._send(file.read_bytes()) if file.is_file() else self._send(b"not here", 404)
        asked = {name: float(values[0]) for name, values in parse_qs(parts.query).items() if name != "RESPONSEFORMAT"}
        stars = self.archive.stars
        rows = stars[separation(asked["RA"], asked["DEC"], stars["ra"], stars["dec"]) <= asked["SR"]]
        return self._send(self.archive.cut(rows, min(int(asked.get("MAXREC", WHOLE)), self.archive.row_limit)))

    def do_DELETE(self) -> None:
        self.archive.deleted.append(self.path.split("/")[-1])
        self._send(b"")

    def _job(self, path: str) -> None:
        name = path.split("/async/")[1].split("/")[0]
        job = self.archive.jobs[name]
        if path.endswith("/results/result"):
            return self._send(job["content"])
        if job["phase"] == "EXECUTING":
            job["looks"] += 1
            if job["looks"] > self.archive.patience_of_jobs:
                job["phase"] = "ERROR" if self.archive.fails_jobs else "COMPLETED"
        url = f"{self.archive.address}{path}"
        error = ERROR if job["phase"] == "ERROR" else ""
        return self._send(JOB.format(id=name, phase=job["phase"], url=url, error=error).encode())

    def _is_trouble(self) -> bool:
        """Whether something goes wrong with this request; it does, then."""
        what = self.archive.trouble.pop(0) if self.archive.trouble else self.archive.always
        if self.archive.slow:
            time.sleep(self.archive.slow)
        if what == "":
            return False
        if what == "refuse":
            self._send(FAILED, 400)
        elif what == "refuse with 200":
            self._send(FAILED)
        elif what == "page":
            self._send(b"<html><body>Please log in</body></html>")
        elif what == "silence":
            time.sleep(6)
            self.close_connection = True
        elif what in ("break off", "break off unsaid"):
            content = votable(self.archive.stars)
            self.send_response(200)
            if what == "break off":
                self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif what == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(200):
                    self.wfile.write(b" ")
                    time.sleep(0.02)
            self.close_connection = True
        else:
            self._send(b"sorry", int(what))
        return True

    def _see(self, path: str) -> None:
        self.send_response(303)
        self.send_header("Location", f"{self.archive.address}{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


@contextlib.contextmanager
def serving(archive: CatalogServer) -> Iterator[CatalogServer]:
    """The archive, answering."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"archive": archive}))
    server.daemon_threads = True
    archive.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
