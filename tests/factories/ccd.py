"""The whole tree of one CCD in one call, from the exposure to its alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from products.alerts.packet import alert_id
from products.models import (
    Alert,
    AlertBatch,
    Cutouts,
    DeepScore,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    Exposure,
    Measurement,
    MeasurementSet,
    Object,
    Provenance,
    Report,
    ScienceImage,
    WarpedImage,
    ZeroPoint,
)
from tests.factories.images import SCALE, calibrated, exposure, grid, provenance, reference, saved, science_image
from tests.factories.tiles import one_tile
from tests.skies_tiny import SHAPE, Sky, stamps

STEPS = (
    "preprocessing", "extraction", "astrocal", "photocal", "referencing", "subtraction",
    "detection", "cutting", "measuring", "scoring", "alerting",
)  # fmt: skip
CUT_THRESHOLDS = {"psf_chi2": 2.0, "elongation": 2.0, "negative_flux": 0.4, "narrow": 0.6}


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
    common = grid(of) | {
        "exposure": of,
        "section": section,
        "zero_point": zero_point,
        "reference": ref,
        "wcs": image.wcs,
        "provenance": subtraction,
    }
    corners = np.array(image.corners)
    saved(WarpedImage(data=scene.reference, weight=scene.weight, flags=scene.flags, **common).set_footprint(corners))
    score = scene.difference / np.float32(scene.noise)
    tiles = one_tile(SHAPE, flux_noise=3.5**2, fwhm=scene.fwhm)
    difference = DifferenceImage(
        data=scene.difference, weight=scene.weight, flags=scene.flags, score=score, score_mean=0.01,
        alpha=np.float32(3.5) * scene.difference, score_std=1.01, fwhm=scene.fwhm * SCALE,
        background_noise=scene.noise, tiles=tiles.table, psf_stamps=tiles.psf, hit_stamps=tiles.hit, **common,
    )  # fmt: skip
    saved(difference.set_footprint(corners))
    made = CCD(of, image, zero_point, difference, *_measured(difference, scene, tag, objects))
    made.measurements = list(made.measurement_set.measurements.order_by("index_in_sources"))
    return made


def _measured(
    difference: DifferenceImage, scene: Sky, tag: str, objects: list[Object] | None
) -> tuple[MeasurementSet, Report]:
    detection = provenance("detection", difference.provenance, tag=tag, threshold=5.0)
    table = np.zeros(len(scene.transients), [("x", "f8"), ("y", "f8"), ("flux", "f4"), ("snr", "f4")])
    table["x"], table["y"], table["flux"] = scene.transients.T
    quality = {"expected_of_noise": 0.1, "blended": 0, "difference_limit": 21.87}
    found = Detections(image=difference, table=table, n_sources=len(table), threshold=5.0, quality=quality)
    found.provenance = detection
    saved(found)
    cutting = provenance("cutting", detection, tag=tag, size=21)
    cutouts = saved(Cutouts(sources=found, n_cutouts=len(table), size=21, provenance=cutting, **stamps(scene, 21)))
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
    score_set = saved(
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
    saved(batch)
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
    magnitude, magnitude_error = difference.zero_point.magnitude(abs(flux), error, x, y)
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
