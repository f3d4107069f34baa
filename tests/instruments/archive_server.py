"""A local server that answers as the documented API of the NOIRLab archive does, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-a-pi"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Archive:
    """What the archive has, what it was asked for, and what goes wrong; trouble is used up one request at a time."""

    address: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)  # md5 → contents
    private: set[str] = field(default_factory=set)  # md5
    trouble: list[Any] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)  # path, headers, JSON
    ranges: bool = True

    def add(self, name: str, content: bytes = b"", **about: Any) -> dict[str, Any]:
        """A file; fields of its row may be changed or, with None, left out."""
        content = content or name.encode() * 50
        self.files[md5(content)] = content
        row = {
            "archive_filename": f"/net/archive/mtn/20230804/ct4m/2023A-1/{name}", "md5sum": md5(content),
            "filesize": len(content), "instrument": "decam", "proc_type": "raw", "prod_type": "image",
            "obs_type": "object", "ifilter": "g DECam SDSS c0001 4720.0 1520.0", "exposure": 60.0, "ra_center": 150.0,
            "dec_center": 2.0, "dateobs_center": "2023-08-04T03:16:07", "MJD-OBS": 60160.13619, "OBJECT": "COSMOS-1",
            "proposal": "2023A-716082", "release_date": "2023-08-04", **about,
        }  # fmt: skip
        self.rows.append({key: value for key, value in row.items() if value is not None})
        return self.rows[-1]

    def find(self, content: dict[str, Any], limit: int, offset: int) -> Any:
        """The answer to an advanced search."""
        fields = {"md5sum", "instrument", *content["outfields"]}
        known = {"MJD-OBS", "OBJECT", *Archive().add("x")}
        if unknown := [name for name in fields if name not in known]:
            return 400, {"errorMessage": f"{unknown[0]} is not a field", "errorCode": "BADFIELD"}
        found = [row for row in self.rows if all(_fits(row, one) for one in content["search"])]
        found = sorted(found, key=lambda row: str(row.get("md5sum")))[offset : offset + limit]
        about = {"META": {"endpoint": "adv_search/find"}, "PARAMETERS": {"limit": limit}, "HEADER": {}}
        return 200, [about, *({key: row.get(key) for key in fields} for row in found)]


def _fits(row: dict[str, Any], constraint: list[Any]) -> bool:
    name, *values = constraint
    there = row.get(name)
    if values[-1] == "startswith":
        return str(there).startswith(values[0])
    if name in ("dateobs_center", "ra_center", "dec_center", "exposure"):
        return there is not None and values[0] <= there <= values[1]
    return there in values


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive: Archive

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.archive.asked.append((self.path, dict(self.headers), content))
        if not self._misbehaves():
            query = parse_qs(urlsplit(self.path).query)
            status, answer = self.archive.find(content, int(query["limit"][0]), int(query.get("offset", ["0"])[0]))
            self._answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def do_GET(self) -> None:
        self.archive.asked.append((self.path, dict(self.headers), None))
        found = re.fullmatch(r"/api/retrieve/([0-9a-f]{32})/", self.path)
        content = self.archive.files.get(found[1]) if found else None
        if content is None:
            self._answer(404, b'{"errorMessage": "no such file"}', {})
        elif found[1] in self.archive.private and self.headers.get("Authorization") != TOKEN:
            self._answer(403, b'{"errorMessage": "proprietary"}', {})
        elif not self._misbehaves(content):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.archive.ranges else 0
            if start > len(content):
                self._answer(416, b"", {})
            elif start:
                there = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
                self._answer(206, content[start:], there)
            else:
                self._answer(200, content, {})

    def _misbehaves(self, content: bytes = b"") -> bool:
        if not self.archive.trouble:
            return False
        trouble = self.archive.trouble.pop(0)
        if isinstance(trouble, int):
            self._answer(trouble, b'{"errorMessage": "come again"}', {})
        elif isinstance(trouble, tuple):
            self._answer(trouble[0], b"", trouble[1])
        elif isinstance(trouble, bytes):
            self._answer(200, trouble, {})
        elif trouble == "break off":
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[start : start + max(1, (len(content) - start) // 2)])
            self.close_connection = True
        elif trouble == "silence":
            time.sleep(2.0)
            self.close_connection = True
        return trouble is not None

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may be gone
            self.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[Archive]:
    """An archive on a free port of this machine."""
    archive = Archive()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"archive": archive}))
    archive.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
