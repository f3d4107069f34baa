"""One image and one position, step by step: what each step made there, and which one stopped it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits as astropy_fits

from products.errors import ArchiveError
from products.models import PSF, Background, Detections, DifferenceImage, KnownObjectSet, Report
from products.models.measurements import Measurement
from products.selectors.tags import ChosenTag
from products.selectors.tracing import Covering, Place, told_nothing


@dataclass
class Happened:
    """What one step did at the position."""

    step: str
    text: str = ""
    state: str = "done"  # done, stop, after
    cuts: list[list[Any]] = field(default_factory=list)
    provenance: str = ""
    seconds: float | None = None
    image: Any = None  # that was subtracted


def pixel(one: Covering, place: Place) -> tuple[float, float] | None:
    """Where the position is on the image, pixels from 0; None without astrometry."""
    if one.zero_point is None:
        return None
    x, y = one.zero_point.world_coordinates.wcs.all_world2pix(place.ra, place.dec, 0, quiet=True)
    return float(x), float(y)


def peak(difference: DifferenceImage, at: tuple[float, float], radius: float) -> float | None:
    """The largest |S/N| of the score image within `radius` pixels; None where the file cannot be read."""
    x, y = round(at[0]), round(at[1])
    reach = max(1, round(radius))
    rows, columns = (slice(max(0, c - reach), max(0, c + reach + 1)) for c in (y, x))
    try:
        with astropy_fits.open(difference.path()) as file:
            values = np.asarray(file["SCORE"].section[rows, columns], float)
    except (ArchiveError, OSError, KeyError, IndexError, ValueError):
        return None
    if not values.size:
        return None
    found = values.ravel()[np.abs(values).argmax()]
    return float(found) if np.isfinite(found) else None


def steps(one: Covering, place: Place, tag: ChosenTag) -> list[Happened]:
    """The steps in the order of the pipeline; those after the one that stopped it are quiet."""
    at = pixel(one, place)
    texts = _texts(one, place, at, tag)
    report = one.report
    times = {step["name"]: step.get("seconds") for step in report.steps} if report else {}
    made_with = report.provenances if report else {}
    found = [_covered(one, at)]
    stopped = ""
    for name in report.plan if report else list(texts):
        entry = Happened(name, provenance=made_with.get(name, ""), seconds=times.get(name))
        entry.text, entry.cuts = texts.get(name, ("", []))
        entry.image = one.difference.reference if name == "referencing" and one.difference else None
        if stopped:
            entry.state = "after"
        elif name == _stopping(one):
            entry.state, stopped = "stop", name
            if report and report.state == Report.State.FAILED and name == report.error_step:
                entry.text = report.error_message or report.error_type
        elif name not in times:
            entry.state = "after"
        found.append(entry)
    return found


def _stopping(one: Covering) -> str:
    """The step that what is there did not pass."""
    if one.difference is None:
        return one.report.error_step if one.report else ""
    if not one.measurements:
        return "detection"
    return "measuring" if one.nearest.is_bad else "" if one.alerts else "alerting"


def _covered(one: Covering, at: tuple[float, float] | None) -> Happened:
    image = one.image
    text = f"{image.section}, filter {image.filter}"
    if at:
        edge = min(at[0], at[1], image.width - 1 - at[0], image.height - 1 - at[1])
        text += f", pixel {at[0]:.1f}, {at[1]:.1f}; {edge:.0f} px from the edge"
    return Happened("covered", text)


def _texts(
    one: Covering, place: Place, at: tuple[float, float] | None, tag: ChosenTag
) -> dict[str, tuple[str, list[list[Any]]]]:
    """Step → what it found, and values against thresholds."""
    image, point, difference = one.image, one.zero_point, one.difference
    level = "" if image.background_level is None else f"Sky {image.background_level:.0f} e⁻"
    found: dict[str, tuple[str, list[list[Any]]]] = {"preprocessing": (level, [])}
    if point:
        world = point.world_coordinates
        sources = {"sources": world.sources_id}
        psf = PSF.objects.filter(**sources).first()
        sky = Background.objects.filter(**sources).values_list("noise", flat=True).first()
        seeing = f"; seeing {psf.fwhm_pixels * image.pixel_scale:.2f}″" if psf and image.pixel_scale else ""
        noise = f"; noise of the sky {sky:.1f} e⁻" if sky else ""
        limit = "" if one.limit is None else f"; 5σ limit {one.limit:.2f} mag"
        found |= {
            "extraction": (f"{world.sources.n_sources} sources{seeing}{noise}", []),
            "astrocal": (f"{world.n_matches} stars; residual {world.rms:.3f}″ rms", []),
            "photocal": (f"Zero point {point.zp:.3f} ± {point.zp_error:.3f} mag from {point.n_stars} stars{limit}", []),
        }
    if difference:
        found["subtraction"] = (_subtracted(difference), [])
        found |= _of_difference(one, place, at, tag)
    return found


def _subtracted(difference: DifferenceImage) -> str:
    method = difference.provenance.parameters.get("method", {})
    name = method.get("name", "") if isinstance(method, dict) else method
    scatter = difference.score_std
    return "; ".join(
        filter(None, [str(name), scatter is not None and f"the score of empty sky scatters by {scatter:.2f}"])
    )


def _of_difference(
    one: Covering, place: Place, at: tuple[float, float] | None, tag: ChosenTag
) -> dict[str, tuple[str, list[list[Any]]]]:
    difference, row = one.difference, one.nearest
    lists = tag.narrow(Detections.objects.filter(image=difference)).order_by("-created_at")
    detections = lists.only("threshold", "n_sources").first()
    threshold = detections.threshold if detections else None
    highest = peak(difference, at, place.radius / (difference.pixel_scale or 1)) if at else None
    if row is not None:
        detected = [["S/N of the detection", abs(row.snr), threshold, True]]
    elif highest is not None:
        detected = [["peak of the score image there", abs(highest), threshold, False]]
    else:
        detected = []
    total = f"{detections.n_sources} detections in the image" if detections else ""
    there = "" if row is not None else f"Nothing within {place.radius:g}″. "
    found = {"referencing": ("", []), "detection": (f"{there}{total}", detected)}
    if row is not None:
        found |= _of_measurement(one, row, place) | {"knownobjects": (_known(row, tag), [])}
    return found


def _of_measurement(one: Covering, row: Measurement, place: Place) -> dict[str, tuple[str, list[list[Any]]]]:
    from products import sky

    away = float(sky.separation(place.ra, place.dec, row.ra, row.dec)) * 3600
    magnitude = "" if row.magnitude is None else f", {row.magnitude:.2f} ± {row.magnitude_error:.2f} mag"
    words = "" if row.is_bad else f"; passed all {len(row.cuts)} cuts"
    text = f"{row.object.name}, {away:.2f}″ away{magnitude}{words}"
    score = [["score", row.score, row.threshold, row.score >= row.threshold]] if row.score is not None else []
    return {
        "cutting": (f"stamps of {row.measurement_set.cutouts.size} × {row.measurement_set.cutouts.size} pixels", []),
        "measuring": (text, [cut for cut in row.cuts if not cut[3]]),
        "scoring": ("" if score else "no score", score),
        "alerting": ("" if one.alerts else told_nothing(one), []),
    }


def _known(row: Measurement, tag: ChosenTag) -> str:
    """What was looked for where a measurement is of no known body; the page names one that it is of."""
    looked = tag.narrow(KnownObjectSet.objects.filter(measurement_set=row.measurement_set_id)).order_by("pk").last()
    if looked is None or row.known_object:
        return ""
    if not looked.is_searched:
        return "nobody looked for known moving objects"
    return f"{looked.n_predicted} known moving objects predicted in the image, none of them here"
