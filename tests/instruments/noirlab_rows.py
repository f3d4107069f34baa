"""What is asked of the archive of NOIRLab, and what lies there."""

from __future__ import annotations

import numpy as np

from processing.archives.http import RemoteFile
from processing.instruments.base import Instrument
from tests.instruments.archive_server import md5

RAW = "c4d_230804_031607_ori.fits.fz"
CONTENT = np.random.default_rng(1).bytes(3_000_000)


def looked(known=(), **arguments):
    return list(Instrument.member("decam")().offers(known, **arguments))


def names(found):
    return [one.identifier for one in found]


def remote(archive, content=CONTENT, name=RAW, **changes):
    archive.files[md5(content)] = content
    digest = md5(content)
    return RemoteFile(**{"name": name, "url": f"{archive.address}/api/retrieve/{digest}/", "size": len(content), "md5": digest, **changes})  # fmt: skip


def instcal(archive, version, products=("ooi", "oow", "ood"), taken="c4d_190402_050618", band="VR"):
    kinds = {"ooi": "image", "oow": "wtmap", "ood": "dqmask"}
    return {
        name: archive.add(
            f"{taken}_{name}_{band}_{version}.fits.fz", proc_type="instcal", prod_type=kinds[name],
            ifilter=f"{band} DECam c0007 6300.0 2600.0",
        )
        for name in products
    }  # fmt: skip
