"""Numbers read from files of products. A file never changes, so they are read once and kept under
`SEECHANGE_DATA/previews`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from products import storage
from products.models import Image
from products.models.base import Identified


def kept(row: Identified, name: str, read: Callable[[], Any], *, version: int = 1) -> Any:
    """What `read` gives for a row, read once; raise `version` when the numbers mean something else."""
    key = row.pk.hex
    path = Path(settings.SEECHANGE_DATA) / "previews" / key[-2:] / f"{key}_{name}_v{version}.json"
    if not path.exists():
        with storage.whole_file(path) as partial:
            partial.write_text(json.dumps(read()))
    return json.loads(path.read_text())


def pixel_figures(image: Image) -> dict[str, float]:
    """Level and scatter of the pixels of an image, in its own unit, and the part of them that cannot be used."""

    def read() -> dict[str, float]:
        data = image.data[np.isfinite(image.data)]
        low, level, high = np.percentile(data, [15.865, 50, 84.135])
        smallest, largest = np.percentile(data, [0.1, 99.9])
        flagged = 0.0 if image.flags is None else float(np.mean(image.flags != 0))
        return {
            "median": float(level), "scatter": float(high - low) / 2, "0.1 %": float(smallest),
            "99.9 %": float(largest), "flagged": flagged,
        }  # fmt: skip

    return kept(image, "pixels", read)
