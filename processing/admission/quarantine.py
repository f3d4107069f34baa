"""Files that were fetched and not let in: kept apart with the reason, for people to look at."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
from pathlib import Path

from processing.errors import BadExposureFile
from products import storage


def put_away(path: Path, error: BadExposureFile) -> Path:
    """Move a file that belongs to SeeChange to `quarantine/<date>/` of the data folder; its new path.

    Its name there is made of its checksum and of what is harmless in its old one. A JSON file of the same name beside
    it has the code, the detail, the old name, the size, the checksum and the time (UTC). The same file put away twice
    on one day is there once.
    """
    path, now = Path(path), datetime.datetime.now(datetime.UTC)
    digest, size = storage.sha256(path), path.stat().st_size
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name).lstrip(".")[-100:]
    target = storage.quarantine_path(f"{now:%Y-%m-%d}/{digest[:16]}_{name}")
    said = {
        "code": error.code.value,
        "detail": error.detail,
        "original_name": path.name.encode("utf-8", "replace").decode(),
        "size": size,
        "sha256": digest,
        "time": now.isoformat(timespec="seconds"),
    }
    with storage.whole_file(target.with_name(f"{target.name}.json")) as partial:
        partial.write_text(json.dumps(said, indent=1) + "\n")
    with storage.whole_file(target) as partial:
        try:
            os.link(path, partial)
        except OSError:  # it lies on another disk
            shutil.copyfile(path, partial)
    path.unlink(missing_ok=True)
    return target
