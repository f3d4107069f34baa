"""Files of DECam for tests: small CCDs with the headers of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

PRIMARY = {
    "PROCTYPE": "RAW", "PRODTYPE": "image", "TELESCOP": "CTIO 4.0-m telescope", "INSTRUME": "DECam", "EXPTIME": 30.0,
    "DATE-OBS": "2013-02-13T09:01:40.966998", "MJD-OBS": 56336.3761686, "EXPNUM": 177764,
    "OBJECT": "Trifid and Lagoon", "OBSTYPE": "object", "PROPID": "2013A-0351",
    "FILTER": "g DECam SDSS c0001 4720.0 1520.0", "RA": "18:02:33.333", "DEC": "-23:46:59.999", "AIRMASS": 1.77,
}  # fmt: skip
TPV = {
    "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "FK5", "EQUINOX": 2000.0,
    "CRVAL1": 270.639, "CRVAL2": -23.783, "CD1_1": -1.8249413473e-07, "CD1_2": 7.28535892432e-05,
    "CD2_1": -7.2849900453899e-05, "CD2_2": -1.82181666096e-07, "PV1_0": 0.0107262491558, "PV1_1": 1.03899426784,
    "PV1_2": -0.00253295758814, "PV1_4": 0.0440579429998, "PV1_5": -0.00480948264558, "PV1_6": 0.00735227852542,
    "PV1_7": 0.01641672826, "PV1_8": -0.00253592468977, "PV1_9": 0.00562233785525, "PV1_10": -0.00235436587955,
    "PV2_0": -0.000677378816994, "PV2_1": 1.01170064187, "PV2_2": -0.00154844123095, "PV2_4": -0.000974573910792,
    "PV2_5": 0.015516347937, "PV2_6": -0.00176930825331, "PV2_7": -0.00664988058298, "PV2_8": -0.00246200658752,
    "PV2_9": 0.00641298947322, "PV2_10": -0.000605534691727,
}  # fmt: skip


def filled(values: dict, **changes) -> fits.Header:
    """A header; None takes a keyword out."""
    header = fits.Header()
    for name, value in {**values, **changes}.items():
        if value is not None:
            header[name.replace("__", "-")] = value
    return header


def sections(name: str, ny: int, half: int) -> dict[str, str]:
    """Where the parts of a CCD of two halves are in the raw array, as real headers of north and south CCDs say it.

    6 prescan and 50 overscan columns at each side, 50 overscan rows at the far end of reading.
    """
    south = name.startswith("S")
    first, nx = (51 if south else 1), 2 * half
    rows = f"{first}:{first + ny - 1}"
    left = {"DATASEC": f"[57:{56 + half},{rows}]", "BIASSEC": f"[7:56,{rows}]"}
    right = {
        "DATASEC": f"[{57 + half}:{56 + nx},{rows}]",
        "BIASSEC": f"[{57 + nx}:{106 + nx},{rows}]",
    }
    order = f"{ny}:1" if south else f"1:{ny}"
    left["AMPSEC"], right["AMPSEC"] = f"[1:{half},{order}]", f"[{nx}:{half + 1},{order}]"
    a, b = (right, left) if south else (left, right)
    found = {"DATASEC": f"[57:{56 + nx},{rows}]", "TRIMSEC": f"[57:{56 + nx},{rows}]"}
    return found | {f"{key}A": text for key, text in a.items()} | {f"{key}B": text for key, text in b.items()}


def raw_ccd(name: str, data: np.ndarray, **changes) -> fits.CompImageHDU:
    """A raw CCD; `data` is (ny + 50, nx + 112) uint16."""
    ny, half = data.shape[0] - 50, (data.shape[1] - 112) // 2
    offset = 50 if name.startswith("S") else 0
    facts = {
        **TPV, **sections(name, ny, half), "DETPOS": name, "CCDNUM": 25 if name == "S1" else 32, "FPA": "DECAM_BKP1",
        "GAINA": 4.59347726229, "RDNOISEA": 7.17960496096, "SATURATA": 43266.0, "GAINB": 4.4014084507,
        "RDNOISEB": 7.01628521127, "SATURATB": 44935.0, "CRPIX1": 2151.2, "CRPIX2": 14826.0,
        "LTV1": 56.0, "LTV2": float(offset), "VALIDA": True, "VALIDB": True,
    }  # fmt: skip
    return fits.CompImageHDU(data, filled(facts, **changes), name=name, compression_type="RICE_1")


def raw_file(path: Path, *, names=("N1", "S1"), shape=(80, 60), extensions=None, **changes) -> Path:
    """A raw exposure of small CCDs with a focus CCD; `shape` is that of trimmed CCDs, `changes` are of the primary."""
    rng = np.random.default_rng(1)
    hdus = [fits.PrimaryHDU(header=filled(PRIMARY, **changes))]
    for name in (*names, "FN1"):
        ccd = rng.integers(900, 1100, (shape[0] + 50, shape[1] + 112)).astype(np.uint16)
        hdus.append(raw_ccd(name, ccd, **(extensions or {}).get(name, {})))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def instcal_files(folder: Path, *, version="V4.1", dq=None, names=("S29", "N4"), **changes) -> dict[str, Path]:
    """A reduced triplet of small CCDs, 40 × 30 pixels: 700 ADU of sky, its weight, and the data quality `dq`."""
    facts = {
        **PRIMARY, "PROCTYPE": "InstCal", "OBJECT": "", "FILTER": "VR DECam c0007 6300.0 2600.0", "PLVER": version,
        "MAGZERO": 31.227, "EXPTIME": 120.0,
    }  # fmt: skip
    ccd = {
        **TPV, "GAINA": 3.68, "GAINB": 3.62, "RDNOISEA": 6.1, "RDNOISEB": 5.9, "SATURATA": 42423.5,
        "SATURATB": 39146.2, "SATURATE": 42423.5, "CRPIX1": 13422.2, "CRPIX2": 6306.333, "LTV1": -1.0, "LTV2": -1.0,
    }  # fmt: skip
    rng = np.random.default_rng(2)
    planes = {"ooi": [], "oow": [], "ood": []}
    for k, name in enumerate(names):
        image = (700 + k + 14 * rng.standard_normal((40, 30))).astype(np.float32)
        planes["ooi"].append((name, image))
        planes["oow"].append((name, np.full((40, 30), 1 / 196, np.float32)))
        planes["ood"].append((name, np.zeros((40, 30), np.int32) if dq is None else dq))
    paths = {}
    for product, kind in (("ooi", "image"), ("oow", "wtmap"), ("ood", "dqmask")):
        primary = filled(facts, PRODTYPE=kind, **changes)
        hdus = [fits.PrimaryHDU(header=primary)]
        hdus += [fits.ImageHDU(data, filled(ccd), name=name) for name, data in planes[product]]
        paths[product] = folder / f"c4d_190402_050618_{product}_VR_v1.fits"
        fits.HDUList(hdus).writeto(paths[product], overwrite=True)
    return paths
