"""A CCD up to its zero point, and a reference for it: rows with real, tiny files."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.wcs import WCS

from products.models import (
    PSF,
    Background,
    CoaddImage,
    CodeVersion,
    Exposure,
    Provenance,
    ProvenanceTag,
    Reference,
    ScienceImage,
    SourceList,
    WorldCoordinates,
    ZeroPoint,
)
from tests.skies_tiny import SHAPE, Sky

SCALE = 0.6  # arcsec a pixel


def provenance(process: str, *upstreams: Provenance, tag: str = "current", **parameters: Any) -> Provenance:
    """The provenance with this content, made where it is missing, in the tag (none when empty)."""
    version = (1, 0, 0)
    own = Provenance.hash(process, version, parameters, [row.pk for row in upstreams])
    code, _ = CodeVersion.objects.get_or_create(process=process, major=1, minor=0, patch=0)
    defaults = {"process": process, "code_version": code, "parameters": parameters}
    row, made = Provenance.objects.get_or_create(pk=own, defaults=defaults)
    if made:
        row.upstreams.add(*upstreams)
    if tag:
        ProvenanceTag.objects.get_or_create(tag=tag, provenance=row)
    return row


def exposure(name: str = "demo_20261123_042219", **fields: Any) -> Exposure:
    """A science exposure of 60 s in r."""
    defaults = {
        "name": name, "instrument": "demo", "mjd": 61367.1821, "exposure_time": 60.0, "filter": "r",
        "airmass": 1.13, "target": "XMM-LSS", "project": "demo", "telescope": "Blanco 4 m", "ra": 35.5, "dec": -4.75,
        "header": {"OBJECT": "XMM-LSS", "EXPTIME": 60.0},
    }  # fmt: skip
    tag = fields.pop("tag", "current")
    fields.setdefault("provenance", provenance("acquisition", tag=tag, instrument="demo"))
    return Exposure.objects.create(**{**defaults, **fields})


def tangent_plane(ra: float, dec: float, shape: tuple[int, int] = SHAPE) -> WCS:
    """North up, east left, centred on the image."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cd = np.array([[-SCALE, 0], [0, SCALE]]) / 3600
    return wcs


def cards(wcs: WCS) -> str:
    """The solution as the models keep it."""
    return wcs.to_header().tostring(sep="\n", padding=False)


def science_image(
    of: Exposure | None = None, section: str = "N1", sky_model: Sky | None = None, **fields: Any
) -> ScienceImage:
    """A calibrated CCD with its file."""
    of = of or exposure()
    scene = sky_model or Sky(seed=1)
    ra, dec = fields.pop("centre", (of.ra, of.dec))
    wcs = tangent_plane(ra, dec)
    tag = fields.pop("tag", "current")
    fields.setdefault("provenance", provenance("preprocessing", of.provenance, tag=tag, overscan_smoothing=1))
    image = ScienceImage(
        exposure=of,
        section=section,
        data=scene.new,
        weight=scene.weight,
        flags=scene.flags,
        wcs=cards(wcs),
        fwhm=1.7,
        background_level=401.0,
        background_noise=20.1,
        zero_point_estimate=27.43,
        limiting_magnitude_estimate=22.71,
        **grid(of),
        **fields,
    )
    return saved(image.set_footprint(wcs.calc_footprint(axes=(SHAPE[1], SHAPE[0]))))


def grid(of: Exposure) -> dict[str, Any]:
    """What an image has of its exposure, and the numbers of the tiny CCD."""
    return {
        "instrument": of.instrument, "telescope": of.telescope, "project": of.project, "target": of.target, "filter": of.filter, "mjd": of.mjd,
        "mjd_end": of.mjd + of.exposure_time / 86400, "exposure_time": of.exposure_time, "airmass": of.airmass,
        "width": SHAPE[1], "height": SHAPE[0], "pixel_scale": SCALE, "read_noise": 5.0, "saturation": 60000.0,
    }  # fmt: skip


def saved(row: Any) -> Any:
    """The row, with its file where it has one, in the database."""
    if hasattr(row, "write_file"):
        row.write_file()
    row.save(force_insert=True)
    return row


def calibrated(image: Any, scene: Sky, tag: str = "current") -> ZeroPoint:
    """Sources, PSF, background, astrometry and photometry of an image."""
    extraction = provenance("extraction", image.provenance, tag=tag, threshold=3.0)
    columns = [("x", "f8"), ("y", "f8"), ("flux", "f4"), ("flux_err", "f4"), ("snr", "f4"), ("is_star", "?")]
    table = np.zeros(len(scene.stars), columns)
    table["x"], table["y"], table["flux"] = scene.stars.T
    table["snr"], table["is_star"] = table["flux"] / 100, True
    sources = saved(
        SourceList(image=image, table=table, n_sources=len(table), n_stars=len(table), provenance=extraction)
    )
    planes = np.ones((1, 5, 5), np.float32) / 25
    saved(
        PSF(
            sources=sources,
            planes=planes,
            fwhm_pixels=scene.fwhm,
            order=0,
            n_stars=len(table),
            chi2=1.02,
            provenance=extraction,
        )
    )
    level = np.full(SHAPE, scene.level, np.float32)
    rms = np.full(SHAPE, scene.noise, np.float32)
    saved(
        Background(sources=sources, level=level, rms=rms, value=scene.level, noise=scene.noise, provenance=extraction)
    )
    astrocal = provenance("astrocal", extraction, tag=tag, order=1)
    coordinates = saved(
        WorldCoordinates(
            sources=sources,
            header=image.wcs,
            n_matches=24,
            rms_ra=0.03,
            rms_dec=0.04,
            order=1,
            catalog="local",
            provenance=astrocal,
        )
    )
    photocal = provenance("photocal", astrocal, extraction, tag=tag, min_stars=10)
    found = {"zp": 27.31, "zp_error": 0.012, "scatter": 0.021, "n_stars": 22, "limiting_magnitude": 22.4}
    # It varies over the image, so that whoever takes its mean for that of a place is found out.
    found["surface"] = {"shape": list(SHAPE), "coefficients": [[0.0, 0.05], [-0.08, 0.0]]}
    return saved(ZeroPoint(world_coordinates=coordinates, catalog="local", provenance=photocal, **found))


def reference(zero_point: ZeroPoint, scene: Sky, tag: str = "current") -> Reference:
    """A coadd of the sky of `zero_point`, as reference for it; only the reference is in the tag, as of a pipeline."""
    new = zero_point.image
    coaddition = provenance("coaddition", zero_point.provenance, tag="", method="weighted")
    fields = {
        name: getattr(new, name)
        for name in (
            "instrument",
            "telescope",
            "filter",
            "mjd",
            "mjd_end",
            "exposure_time",
            "width",
            "height",
            "pixel_scale",
            "wcs",
        )
    }
    image = CoaddImage(
        section=new.section, data=scene.reference, weight=scene.weight, flags=np.zeros(SHAPE, np.uint16),
        components_digest=str(new.pk)[:18], provenance=coaddition, **fields,
    )  # fmt: skip
    saved(image.set_footprint(np.array(new.corners)))
    made = Reference(
        zero_point=calibrated(image, scene, tag=""), instrument=new.instrument, filter=new.filter, section=new.section,
        provenance=provenance("referencing", coaddition, tag=tag),
    )  # fmt: skip
    return saved(made.set_footprint(np.array(new.corners)))
