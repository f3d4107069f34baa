"""source-extractor, psfex, scamp and swarp on a simulated CCD, and their products beside the truth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.psfex import read_psfex
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import CalibrationField, at_epoch
from tests.benchmarks._calibration_truth import of_psf, of_solution, of_sources

_SHARED = Path("/usr/share/source-extractor")
_MEASURED = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "ERRBWIN_IMAGE", "ERRTHETAWIN_IMAGE",
    "FLUX_APER(1)", "FLUXERR_APER(1)", "FLUX_AUTO", "FLUXERR_AUTO", "MAG_AUTO", "FLUX_RADIUS", "ELONGATION", "FLAGS",
    "IMAFLAGS_ISO", "SNR_WIN", "CLASS_STAR",
)  # fmt: skip
_MEASURED_RUN = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(round(used.ru_utime + used.ru_stime, 2), used.ru_maxrss // 1024)
sys.exit(done.returncode)
"""  # from a small process: a program starts with the memory of the one that begins it
_SIGMA = 4.4  # of the filtered image, as ours
_FITTED = ("FLUX_PSF", "FLUXERR_PSF", "XPSF_IMAGE", "YPSF_IMAGE")


@dataclass(frozen=True)
class Run:
    """What a program used."""

    seconds: float  # CPU
    megabytes: float  # largest resident set


def run_peers(field: CalibrationField, folder: Path) -> dict[str, float]:
    """Numbers by name, named as those of our own products."""
    found: dict[str, float] = {}
    write_images(field, folder)
    if not shutil.which("source-extractor"):
        return found
    used = extract(field, folder, "stars.cat", ("VIGNET(45,45)",))
    found["source-extractor without PSF photometry: CPU s"] = used.seconds
    found["source-extractor: peak MB"] = used.megabytes
    if shutil.which("psfex"):
        used = run("psfex", "stars.cat", "-c", "psfex.conf", folder=folder)
        found["psfex: CPU s"], found["psfex: peak MB"] = used.seconds, used.megabytes
        found |= of_psf(field, read_psfex(folder / "stars.psf", field.camera.shape))
        used = extract(field, folder, "all.cat", _FITTED, "-PSF_NAME", "stars.psf")
        found["source-extractor with PSF photometry: CPU s"] = used.seconds
    catalog = "all.cat" if (folder / "all.cat").exists() else "stars.cat"
    found |= of_sources(field, as_sources(fits.getdata(folder / catalog, "LDAC_OBJECTS")))
    if shutil.which("scamp"):
        for name, options in (("careful", _CAREFUL), ("default", ())):
            used = run("scamp", "stars.cat", "-c", "scamp.conf", *options, folder=folder)
            found[f"scamp, {name} flags: CPU s"], found["scamp: peak MB"] = used.seconds, used.megabytes
            for key, value in of_solution(field, solution_of(folder / "stars.head")).items():
                if "truth" in key:
                    found[key if name == "careful" else f"{key}, default flags"] = value
    if shutil.which("SWarp"):
        used = run("SWarp", "image.fits", "-c", "swarp.conf", folder=folder)
        found["swarp of one image: CPU s"], found["swarp: peak MB"] = used.seconds, used.megabytes
    return found


_CAREFUL = (
    "-FLAGS_MASK", "0x00ff", "-SN_THRESHOLDS", "10,50", "-CROSSID_RADIUS", "0.5", "-ELLIPTICITY_MAX", "0.2",
    "-ASTR_ACCURACY", "0.004", "-IMAFLAGS_MASK", "0xff",
)  # fmt: skip


def write_images(field: CalibrationField, folder: Path) -> None:
    """The image, its weight and flags, the catalogue, and what the programs want to be told."""
    header = field.header.copy()
    header["GAIN"], header["SATURATE"], header["EXPTIME"] = 1.0, field.camera.full_well, 60.0
    header["MJD-OBS"], header["DATE-OBS"], header["EQUINOX"] = 61360.0, "2026-11-16T00:00:00", 2000.0
    fits.writeto(folder / "image.fits", field.data, header, overwrite=True)
    unusable = (field.flags & int(PixelFlag.UNUSABLE)) != 0
    weight = np.where(unusable, 0, 1 / field.noise**2).astype(np.float32)  # of the sky, as these programs want it
    fits.writeto(folder / "weight.fits", weight, field.header, overwrite=True)
    fits.writeto(folder / "flags.fits", unusable.astype(np.uint8), field.header, overwrite=True)
    _write_reference(field, folder / "reference.cat")
    (folder / "measured.param").write_text("\n".join(_MEASURED) + "\n")
    (folder / "psfex.conf").write_text(
        "BASIS_TYPE PIXEL_AUTO\nPSF_SIZE 35,35\nPSFVAR_DEGREES 2\nSAMPLE_FWHMRANGE 1.5,10\nSAMPLE_MINSN 60\n"
        "CHECKPLOT_TYPE NONE\nCHECKIMAGE_TYPE NONE\nNTHREADS 1\nWRITE_XML N\nVERBOSE_TYPE QUIET\n"
    )
    (folder / "scamp.conf").write_text(
        "ASTREF_CATALOG FILE\nASTREFCAT_NAME reference.cat\nASTREFCENT_KEYS X_WORLD,Y_WORLD\n"
        "ASTREFERR_KEYS ERRA_WORLD,ERRB_WORLD,ERRTHETA_WORLD\nASTREFMAG_KEY MAG\nPOSITION_MAXERR 1.0\n"
        "SOLVE_PHOTOM N\nCHECKPLOT_TYPE NONE\nNTHREADS 1\nWRITE_XML N\nVERBOSE_TYPE QUIET\nMATCH_RESOL 0\n"
        "CENTROID_KEYS XWIN_IMAGE,YWIN_IMAGE\nCENTROIDERR_KEYS ERRAWIN_IMAGE,ERRBWIN_IMAGE,ERRTHETAWIN_IMAGE\n"
    )
    (folder / "swarp.conf").write_text(
        "IMAGEOUT_NAME warped.fits\nWEIGHTOUT_NAME warped.weight.fits\nWEIGHT_TYPE MAP_WEIGHT\n"
        "WEIGHT_IMAGE weight.fits\nRESAMPLING_TYPE LANCZOS3\nSUBTRACT_BACK N\nCOMBINE Y\nNTHREADS 1\n"
        "WRITE_XML N\nVERBOSE_TYPE QUIET\n"
    )


def extract(field: CalibrationField, folder: Path, catalog: str, more: tuple[str, ...], *options: str) -> Run:
    """source-extractor with matched filter, weight and flags."""
    (folder / "wanted.param").write_text("\n".join([*_MEASURED, *more]) + "\n")
    kernel = _SHARED / ("gauss_4.0_7x7.conv" if field.camera.fwhm > 3 else "gauss_2.0_5x5.conv")
    filtered = np.loadtxt(kernel, skiprows=2)
    # Our threshold; the program counts in the noise before its filter.
    threshold = str(_SIGMA * np.sqrt(np.sum(filtered**2)) / filtered.sum())
    return run(
        "source-extractor", "image.fits", "-c", str(_SHARED / "default.sex"), "-CATALOG_NAME", catalog,
        "-CATALOG_TYPE", "FITS_LDAC", "-PARAMETERS_NAME", "wanted.param", "-FILTER_NAME", str(kernel),
        "-STARNNW_NAME", str(_SHARED / "default.nnw"), "-WEIGHT_TYPE", "MAP_WEIGHT", "-WEIGHT_IMAGE", "weight.fits",
        "-FLAG_IMAGE", "flags.fits", "-SATUR_LEVEL", str(field.camera.full_well), "-GAIN", "1.0", "-DETECT_THRESH",
        threshold, "-ANALYSIS_THRESH", threshold, "-DETECT_MINAREA", "4", "-BACK_SIZE", "128", "-PIXEL_SCALE",
        str(field.camera.scale), "-SEEING_FWHM", str(field.camera.fwhm * field.camera.scale), "-PHOT_APERTURES",
        str(8 * field.camera.fwhm), "-CHECKIMAGE_TYPE", "NONE", "-VERBOSE_TYPE", "QUIET", *options, folder=folder,
    )  # fmt: skip


def run(*arguments: str, folder: Path) -> Run:
    """Run a program; SystemExit with its words where it fails."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURED_RUN, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{arguments[0]} ended with exit status {done.returncode}: {done.stderr[-500:]}")
    return Run(*map(float, done.stdout.split()[-2:]))


def as_sources(table: np.ndarray) -> np.ndarray:
    """A list of source-extractor with the columns of ours that are compared."""
    names = table.dtype.names
    found = np.zeros(len(table), [(name, "f8") for name in ("x", "y", "snr", "flux_psf", "flux_psf_err", "p_star")])
    found["x"], found["y"] = table["XWIN_IMAGE"] - 1, table["YWIN_IMAGE"] - 1
    found["snr"] = table["FLUX_AUTO"] / np.maximum(table["FLUXERR_AUTO"], 1e-9)
    kind = "PSF" if "FLUX_PSF" in names else "AUTO"
    found["flux_psf"], found["flux_psf_err"] = table[f"FLUX_{kind}"], table[f"FLUXERR_{kind}"]
    found["p_star"] = table["CLASS_STAR"]
    return found


def solution_of(path: Path) -> SimpleNamespace:
    """The solution that scamp wrote, as much of it as is compared."""
    text = path.read_text(encoding="utf8").encode("ascii", "replace").decode()  # its comments are not FITS
    header = fits.Header.fromstring(text, sep="\n")
    return SimpleNamespace(wcs=WCS(header), rms_ra=np.nan, rms_dec=np.nan, n_matches=0)


def _write_reference(field: CalibrationField, path: Path) -> None:
    """Catalogue stars at the date of the image as the LDAC table that scamp reads."""
    stars = at_epoch(field.catalog)
    n, error = len(stars), 0.03 * 10 ** (0.2 * np.maximum(stars["mag_r"] - 15, 0)) * 10 / 3.6e6
    columns = [
        fits.Column("X_WORLD", "1D", unit="deg", array=stars["ra"]),
        fits.Column("Y_WORLD", "1D", unit="deg", array=stars["dec"]),
        fits.Column("ERRA_WORLD", "1E", unit="deg", array=error),
        fits.Column("ERRB_WORLD", "1E", unit="deg", array=error),
        fits.Column("ERRTHETA_WORLD", "1E", unit="deg", array=np.zeros(n)),
        fits.Column("MAG", "1E", unit="mag", array=stars["mag_r"]),
        fits.Column("MAGERR", "1E", unit="mag", array=stars["err_r"]),
        fits.Column("OBSDATE", "1D", unit="yr", array=np.full(n, 2026.87)),
    ]
    text = np.frombuffer(field.header.tostring().encode(), "S1")
    head = fits.Column("Field Header Card", f"{len(text)}A", array=np.array([text.tobytes()]))
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.BinTableHDU.from_columns([head], name="LDAC_IMHEAD"),
            fits.BinTableHDU.from_columns(columns, name="LDAC_OBJECTS"),
        ]
    ).writeto(path, overwrite=True)
