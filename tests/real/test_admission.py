"""Files and headers of real telescopes pass the admission guard by the default rules."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from processing.admission.admitting import admit
from processing.admission.codes import Code
from processing.admission.rules import AdmissionRules
from tests.admission.files import noise
from tests.admission.test_corpus import read_by_astropy

pytestmark = pytest.mark.real
RULES = AdmissionRules(min_images=0)
_OWN = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "COMMENT", "HISTORY")
_SUMS = ("CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM")
HEADERS = (
    "decam", "decam-0160496", "decam-raw_dec050441_25", "decam-instcal-c4d_190402_050618_ooi_VR_v1",
    "decam-calexp-0412037_10", "hsc", "sdss-fpC-006377-g4-0399",
)  # fmt: skip


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("lsst.daf.base.PropertyList", lambda loader, node: loader.construct_sequence(node, deep=True))


def real_header(path: Path) -> fits.Header:
    """The cards of a raw or calibrated image, without those that describe its size and without its checksums."""
    found: Any = yaml.load(path.read_text(), _Loader)
    pairs = [(row[0], row[2]) for row in found] if isinstance(found, list) else list(found.items())
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, value in pairs:
            if key.startswith(_OWN) or key in _SUMS or isinstance(value, list | dict):
                continue
            header[key] = str(value) if not isinstance(value, str | int | float | bool) else value
    return header


def test_every_real_file_is_let_in_and_read(real_data):
    paths = sorted(path for path in real_data.rglob("*") if path.name.endswith((".fits", ".fit", ".fit.gz")))
    assert len(paths) >= 80
    oddities = {path.name: [oddity.code for oddity in admit(path, RULES).warnings] for path in paths}
    odd = {name: codes for name, codes in oddities.items() if codes}
    # The survey's pipeline left the checksums of the raw frames in the headers of the corrected ones.
    assert odd == {f"fpC-006377-{band}4-0399.fit.gz": [Code.STALE_CHECKSUM] for band in "gr"}
    assert [text for text in read_by_astropy(paths).values() if not isinstance(text, int)] == []


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("kind", ["plain", "extensions", "compressed", "compressed with checksums"])
def test_real_headers_are_let_in(name, kind, real_data, tmp_path):
    header, path = real_header(real_data / "headers_yaml" / f"fitsheader-{name}.yaml"), tmp_path / "file.fits"
    assert len(header) > 40
    data = noise(np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "plain":
            hdus = [fits.PrimaryHDU(data, header)]
        elif kind == "extensions":
            hdus = [fits.PrimaryHDU(header=header), *(fits.ImageHDU(data, header, name=ccd) for ccd in ("N1", "S1"))]
        else:
            hdus = [fits.PrimaryHDU(), *(fits.CompImageHDU(data, header, name=ccd) for ccd in ("N1", "S1"))]
        fits.HDUList(hdus).writeto(path, checksum="checksums" in kind, output_verify="silentfix")
    found = admit(path, AdmissionRules())
    assert found.warnings == () and len(found.images) == (1 if kind == "plain" else 2)
