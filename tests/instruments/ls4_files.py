"""Small raw files in the form of LS4's, written without the reader: every pixel says which column of which half it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

ROWS, HALF, PRESCAN, OVERSCAN = 24, 10, 3, 5
LEFT_VALUE, RIGHT_VALUE, BIAS_LEVEL = 2000, 1000, 300  # of a pixel: its half's value plus its column in that half
KEYWORDS: dict[str, Any] = {
    "INSTRUME": "LS4Cam", "STARTOBS": "2026-04-09T00:53:20.5", "EXPTIME": 45.0, "IMAGETYP": "sky", "FILTERID": "0",
    "TELE-RA": 150.25, "TELE-DEC": -20.5, "TARGETID": "field 12", "PROJECT": "LS4",
}  # fmt: skip
SKY_NAME = "20260409005320s_00014.fits.fz"


def section_keywords() -> dict[str, str]:
    """Sections of dual-amplifier readout: the left half is read from low x, the right half from high x."""
    rows = f"1:{ROWS}"
    return {
        "PRESECL": f"[1:{PRESCAN},{rows}]",
        "DATASECL": f"[{PRESCAN + 1}:{PRESCAN + HALF},{rows}]",
        "BIASSECL": f"[{PRESCAN + HALF + 1}:{PRESCAN + HALF + OVERSCAN},{rows}]",
        "BIASSECR": f"[1:{OVERSCAN},{rows}]",
        "DATASECR": f"[{OVERSCAN + 1}:{OVERSCAN + HALF},{rows}]",
        "PRESECR": f"[{OVERSCAN + HALF + 1}:{OVERSCAN + HALF + PRESCAN},{rows}]",
    }


def columns(value: int, count: int = HALF) -> np.ndarray:
    return np.tile((value + np.arange(count)).astype(np.uint16), (ROWS, 1))


def level(count: int, ccd: int) -> np.ndarray:
    return np.full((ROWS, count), BIAS_LEVEL + ccd, np.uint16)


def pixels(side: str, ccd: int) -> np.ndarray:
    """The stored array: side LEFT or RIGHT of dual mode, `left` or `right` of single mode."""
    right, left, over, pre = columns(RIGHT_VALUE), columns(LEFT_VALUE), level(OVERSCAN, ccd), level(PRESCAN, ccd)
    parts = {
        "LEFT": (pre, left, over), "RIGHT": (over, right, pre),
        "left": (pre, right, left, over), "right": (over, right, left, pre),
    }  # fmt: skip
    return np.hstack(parts[side])


def ls4_file(path: Path, ccds: tuple[str, ...], *, dual: bool = False, skip: tuple = (), **changes: Any) -> Path:
    """A raw file; a keyword changed to None is left out, `skip` names halves (CCD, side) that are not written."""
    facts = {key.replace("_", "-") if key.startswith("TELE") else key: value for key, value in changes.items()}
    hdus = [fits.PrimaryHDU()]
    for number, name in enumerate(ccds):
        single = "right" if name in ("SE_C", "SE_D", "SE_E", "SE_F") else "left"
        for side in ("LEFT", "RIGHT") if dual else (single,):
            if (name, side) in skip:
                continue
            header = fits.Header()
            header.update({_card(key): value for key, value in (KEYWORDS | facts).items() if value is not None})
            header["CCD_LOC"] = f"{name}  "
            header["AMP_NAME"] = side.upper() if dual else "LEFT"
            if "AMP_DIRECTION" not in facts:
                header["HIERARCH amp_direction"] = "both" if dual else "left"
            header.update({key: facts.get(key, value) for key, value in section_keywords().items()})
            hdus.append(fits.CompImageHDU(pixels(side, number), header, compression_type="RICE_1"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _card(key: str) -> str:
    return f"HIERARCH {key}" if len(key) > 8 else key
