"""One valid row in one call; `full_ccd` makes the whole tree of one CCD with real, tiny files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.wcs import WCS

from processing.algorithms.fakes import FAKES
from processing.steps.fakeanalysis import RECOVERY
from products.alerts.packet import alert_id
from products.models import (
    PSF,
    Alert,
    AlertBatch,
    Background,
    CalibratorFile,
    CoaddImage,
    CodeVersion,
    Cutouts,
    DeepScore,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    Exposure,
    FakeAnalysis,
    FakeSet,
    MasterBias,
    Measurement,
    MeasurementSet,
    Object,
    Provenance,
    ProvenanceTag,
    Reference,
    RefSet,
    Report,
    ScienceImage,
    SourceList,
    WarpedImage,
    WorldCoordinates,
    ZeroPoint,
)
from tests.skies_tiny import SHAPE, Sky, stamps

STEPS = (
    "preprocessing", "extraction", "astrocal", "photocal", "referencing", "subtraction",
    "detection", "cutting", "measuring", "scoring", "alerting",
)  # fmt: skip
SCALE = 0.6  # arcsec a pixel
CUT_THRESHOLDS = {"psf_chi2": 2.0, "elongation": 2.0, "negative_flux": 0.4, "narrow": 0.6}


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
        **_grid(of),
        **fields,
    )
    return _saved(image.set_footprint(wcs.calc_footprint(axes=(SHAPE[1], SHAPE[0]))))


def _grid(of: Exposure) -> dict[str, Any]:
    return {
        "instrument": of.instrument, "telescope": of.telescope, "project": of.project, "target": of.target, "filter": of.filter, "mjd": of.mjd,
        "mjd_end": of.mjd + of.exposure_time / 86400, "exposure_time": of.exposure_time, "airmass": of.airmass,
        "width": SHAPE[1], "height": SHAPE[0], "pixel_scale": SCALE, "read_noise": 5.0, "saturation": 60000.0,
    }  # fmt: skip


def _saved(row: Any) -> Any:
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
    sources = _saved(
        SourceList(image=image, table=table, n_sources=len(table), n_stars=len(table), provenance=extraction)
    )
    planes = np.ones((1, 5, 5), np.float32) / 25
    _saved(
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
    _saved(
        Background(sources=sources, level=level, rms=rms, value=scene.level, noise=scene.noise, provenance=extraction)
    )
    astrocal = provenance("astrocal", extraction, tag=tag, order=1)
    coordinates = _saved(
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
    return _saved(ZeroPoint(world_coordinates=coordinates, catalog="local", provenance=photocal, **found))


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
    _saved(image.set_footprint(np.array(new.corners)))
    made = Reference(
        zero_point=calibrated(image, scene, tag=""), instrument=new.instrument, filter=new.filter, section=new.section,
        provenance=provenance("referencing", coaddition, tag=tag),
    )  # fmt: skip
    return _saved(made.set_footprint(np.array(new.corners)))


@dataclass
class CCD:
    """Every product of one CCD."""

    exposure: Exposure
    image: ScienceImage
    zero_point: ZeroPoint
    difference: DifferenceImage
    measurement_set: MeasurementSet
    report: Report
    measurements: list[Measurement] = field(default_factory=list)


def full_ccd(
    seed: int = 1,
    *,
    of: Exposure | None = None,
    section: str = "N1",
    tag: str = "current",
    centre: tuple[float, float] | None = None,
    objects: list[Object] | None = None,
) -> CCD:
    """A CCD from the exposure to its alerts; two of its six candidates fail a cut. `objects` are seen again, in order."""
    of = of or exposure(tag=tag)
    scene = Sky(seed)
    image = science_image(of, section, scene, tag=tag, centre=centre or (of.ra, of.dec))
    zero_point = calibrated(image, scene, tag)
    ref = reference(zero_point, scene, tag)
    subtraction = provenance("subtraction", zero_point.provenance, ref.provenance, tag=tag, method={"name": "zogy"})
    common = _grid(of) | {
        "exposure": of,
        "section": section,
        "zero_point": zero_point,
        "reference": ref,
        "wcs": image.wcs,
        "provenance": subtraction,
    }
    corners = np.array(image.corners)
    _saved(WarpedImage(data=scene.reference, weight=scene.weight, flags=scene.flags, **common).set_footprint(corners))
    score = scene.difference / np.float32(scene.noise)
    difference = DifferenceImage(
        data=scene.difference, weight=scene.weight, flags=scene.flags, score=score, score_plain=score, score_mean=0.01,
        score_std=1.01, fwhm=scene.fwhm * SCALE, background_noise=scene.noise,
        alpha_error=np.full(SHAPE, 3.5 * scene.noise, np.float32), **common,
    )  # fmt: skip
    _saved(difference.set_footprint(corners))
    made = CCD(of, image, zero_point, difference, *_measured(difference, scene, tag, objects))
    made.measurements = list(made.measurement_set.measurements.order_by("index_in_sources"))
    return made


def _measured(
    difference: DifferenceImage, scene: Sky, tag: str, objects: list[Object] | None
) -> tuple[MeasurementSet, Report]:
    detection = provenance("detection", difference.provenance, tag=tag, threshold=5.0)
    table = np.zeros(len(scene.transients), [("x", "f8"), ("y", "f8"), ("flux", "f4"), ("snr", "f4")])
    table["x"], table["y"], table["flux"] = scene.transients.T
    found = _saved(Detections(image=difference, table=table, n_sources=len(table), threshold=5.0, provenance=detection))
    cutting = provenance("cutting", detection, tag=tag, size=21)
    cutouts = _saved(Cutouts(sources=found, n_cutouts=len(table), size=21, provenance=cutting, **stamps(scene, 21)))
    measuring = provenance("measuring", cutting, tag=tag, bad_thresholds=CUT_THRESHOLDS)
    result = MeasurementSet(
        cutouts=cutouts,
        n_measured=6,
        n_saved=6,
        n_kept=4,
        cut_counts={"negative_flux": 1, "elongation": 1},
        provenance=measuring,
    )
    result.save(force_insert=True)
    rows = [_measurement(result, difference, scene, index, objects) for index in range(len(table))]
    scoring = provenance("scoring", measuring, tag=tag, scorer={"name": "trees"})
    score_set = _saved(
        DeepScoreSet(measurement_set=result, algorithm="trees", threshold=0.5, n_real=4, provenance=scoring)
    )
    alerting = provenance("alerting", scoring, tag=tag, streams=[{"name": "all", "min_score": 0.95}])
    batch = AlertBatch(
        score_set=score_set,
        n_alerts=1,
        n_scored=6,
        refused={"all": {"failed_cuts": 2, "score": 3}},
        provenance=alerting,
    )
    for row in rows:
        value = 0.12 if row.is_bad else 0.98 - 0.07 * row.index_in_sources
        score = DeepScore.objects.create(score_set=score_set, measurement=row, score=value)
        if row.index_in_sources == 0:
            identity = alert_id(row.pk, scoring.pk, "all")
            batch.rows.append(Alert(id=identity, batch=batch, score=score, stream="all", state="sent"))
    _saved(batch)
    Alert.objects.bulk_create(batch.rows)
    return result, report(difference.exposure, difference.section, tag=tag)


def _measurement(
    result: MeasurementSet, difference: DifferenceImage, scene: Sky, index: int, objects: list[Object] | None
) -> Measurement:
    x, y, flux = (float(value) for value in scene.transients[index])
    wcs = difference.zero_point.world_coordinates.wcs
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    error = scene.noise * 3.5
    failed = {4: ["negative_flux"], 5: ["elongation"]}.get(index, [])
    values = {
        "psf_chi2": 1.1,
        "elongation": 3.2 if index == 5 else 1.2,
        "negative_flux": 0.46 if index == 4 else 0.06,
        "narrow": 0.97,
    }
    cuts = [[name, value, CUT_THRESHOLDS[name], name not in failed] for name, value in values.items()]
    magnitude, magnitude_error = difference.zero_point.magnitude(abs(flux), error)
    mjd = difference.mjd_middle
    seen = objects[index] if objects and index < len(objects) else sky_object(ra, dec, mjd)
    row = Measurement(
        measurement_set=result, index_in_sources=index, object=seen, mjd=mjd, filter=difference.filter, x=x, y=y, flux=flux,
        flux_error=error, snr=abs(flux) / error, magnitude=magnitude, magnitude_error=magnitude_error, background_per_pixel=0.37, diagnostics=values,
        cuts=cuts, failed_cuts=failed, is_bad=bool(failed),
    )  # fmt: skip
    row.set_position(ra, dec).save(force_insert=True)
    return row


def sky_object(ra: float = 35.5, dec: float = -4.75, mjd: float = 61367.18, name: str = "") -> Object:
    """An object with a name that nothing else has."""
    row = Object(first_seen=mjd, last_seen=mjd, n_measurements=1).set_position(ra, dec)
    row.name = name or f"2026{row.pk.hex[-6:].translate(str.maketrans('0123456789', 'ghijklmnop'))}"
    row.save(force_insert=True)
    return row


def report(of: Exposure, section: str = "N1", *, failed: str = "", tag: str = "current", **fields: Any) -> Report:
    """A finished attempt; `failed` names the step that stopped for want of stars."""
    numbers = {
        "extraction": {"sources": 412, "psf_stars": 36, "fwhm_pixels": 2.6, "sky": 405.1, "noise": 20.6},
        "astrocal": {"wcs_matches": 24, "wcs_rms_arcsec": 0.035},
        "photocal": {"zp": 27.31, "zp_scatter": 0.021, "limiting_magnitude": 22.4},
        "detection": {"detections": 6},
        "measuring": {"measured": 6, "saved": 6, "kept": 4},
        "scoring": {"scored_real": 4},
        "alerting": {"alerts": 1},
    }
    steps = []
    for index, name in enumerate(STEPS):
        entry = {
            "name": name,
            "seconds": 0.4 + index / 8,
            "cpu_seconds": 0.38 + index / 9,
            "peak_mb": 210.0 + 31 * index,
        }
        entry |= {
            "made": name != "referencing",
            "counts": {} if name == failed else numbers.get(name, {}),
            "warnings": [],
        }
        if name == "subtraction":
            entry["warnings"] = ["the score scatters by 1.12 on empty sky"]
        steps.append(entry)
        if name == failed:
            break
    error = {
        "error_step": failed, "error_type": "NotEnoughStars", "error_message": "4 stars found, 10 needed",
        "error_details": {"found": 4, "needed": 10},
    } if failed else {}  # fmt: skip
    state = Report.State.FAILED if failed else Report.State.DONE
    ids = dict(Provenance.objects.filter(tags__tag=tag).values_list("process", "pk"))
    attempt = 1 + Report.objects.filter(exposure=of, section=section).count()
    return Report.objects.create(
        exposure=of, section=section, state=state, tag=tag, steps=steps, attempt=attempt, cluster="local", node="proc-1",
        plan=list(STEPS), provenances={name: ids[name] for name in STEPS if name in ids}, **error, **fields,
    )  # fmt: skip


def refset(of: Reference, name: str = "deep") -> RefSet:
    """A set that holds the references with the provenance of one."""
    return RefSet.objects.create(name=name, provenance=of.provenance, description="Stacks of the field.")


def calibrator(applied_to: ScienceImage | None = None, **fields: Any) -> CalibratorFile:
    """A master bias of one raw frame, with its file; applied to an image where one is given."""
    number = Exposure.objects.filter(kind="bias").count()
    raw = exposure(f"demo_bias_{number}", kind="bias", filter="", exposure_time=0.0, mjd=61366.9 + number / 1000)
    pixels = np.random.default_rng(number).normal(300, 2, SHAPE).astype(np.float32)
    frame = MasterBias(
        instrument="demo", section="N1", mjd=raw.mjd, mjd_end=raw.mjd, exposure_time=0.0, width=SHAPE[1],
        height=SHAPE[0], read_noise=5.0, data=pixels, weight=np.ones(SHAPE, np.float32),
        flags=np.zeros(SHAPE, np.uint16), components_digest=f"bias{number}",
        provenance=provenance("make_bias", raw.provenance, tag="", min_frames=1),
    )  # fmt: skip
    _saved(frame.set_position(raw.ra, raw.dec)).raw_exposures.add(raw)
    defaults = {"kind": "bias", "instrument": "demo", "section": "N1", "image_id": frame.pk}
    row = CalibratorFile.objects.create(**{**defaults, **fields})
    if applied_to is not None:
        applied_to.calibrators.add(row)
    return row


def fakes(of: CCD, tag: str = "current", n: int = 40, found_above: float = 5.0) -> FakeAnalysis:
    """Fakes of a CCD from bright to faint; those of S/N above `found_above` were found, every tenth of them was cut."""
    zero_point = of.zero_point
    injected = np.zeros(n, FAKES)
    rng = np.random.default_rng(5)
    injected["x"], injected["y"] = rng.uniform(5, SHAPE[1] - 6, n), rng.uniform(5, SHAPE[0] - 6, n)
    injected["mag"], injected["host"] = np.linspace(18.4, 22.9, n), -1
    injected["flux"] = 10 ** (0.4 * (zero_point.zp - injected["mag"]))
    injecting = provenance("fakeinjection", zero_point.provenance, tag=tag, count=n)
    same = FakeSet.objects.filter(zero_point=zero_point, provenance=injecting).first()
    fake_set = same or _saved(
        FakeSet(zero_point=zero_point, n_fakes=n, random_seed=1, table=injected, provenance=injecting)
    )
    table = np.zeros(n, RECOVERY)
    snr = injected["flux"] / 70.0
    table["is_detected"] = snr > found_above
    table["is_bad"] = table["is_detected"] & (np.arange(n) % 10 == 4)
    table["is_kept"] = table["is_detected"] & ~table["is_bad"]
    for name in ("x", "y", "flux", "flux_error", "snr", "score"):
        table[name] = np.nan
    seen = table["is_detected"]
    table["x"][seen], table["y"][seen], table["flux"][seen] = (injected[name][seen] for name in ("x", "y", "flux"))
    table["flux_error"][seen], table["snr"][seen], table["score"][seen] = 70.0, snr[seen], 0.9
    score_set = of.measurement_set.score_sets.get(provenance__tags__tag=tag)
    analyzing = provenance("fakeanalysis", score_set.provenance, injecting, tag=tag, match_radius=3.0)
    return _saved(
        FakeAnalysis(
            fake_set=fake_set, score_set=score_set, table=table, n_detected=int(seen.sum()),
            n_kept=int(table["is_kept"].sum()), provenance=analyzing,
        )
    )  # fmt: skip
