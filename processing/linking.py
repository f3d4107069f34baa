"""Link the detections of a night, from rows to rows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import Exists, F, OuterRef

from processing.algorithms.tracklets import Detected
from processing.errors import BadInput
from processing.provenances import keep_one, refuse_bad
from processing.steps.linking import Linking, NightDetections
from products.models import DeepScore, KnownObject, Measurement, Provenance, TrackletSet
from products.selectors.candidates import DIFFERENCE
from products.services.association import FWHM_PER_SIGMA
from products.services.tagging import refuse_unknown, tag_provenances
from products.services.tracklets import replace_tracklets

ATTEMPTS = 5  # at most, where others link the same night at the same time
TYPICAL_SEEING = 1.0  # arcsec, of an image of which nobody measured it
COLUMNS = ("pk", "ra", "dec", "mjd", "snr", "magnitude", f"{DIFFERENCE}__fwhm")
Tell = Callable[[str], None]


def link_night(night: int, tag: str, configuration: Mapping[str, Any], tell: Tell = lambda text: None) -> TrackletSet:
    """The tracklets of the night that begins at noon UT of an MJD, of the detections under a tag.

    What was linked before from the same detections is found. UnknownTag, or BadInput for a tag without measurements.
    """
    refuse_unknown(tag)
    held_by = {row.process: row for row in Provenance.objects.filter(tags__tag=tag)}
    if "measuring" not in held_by:
        raise BadInput(what=f"tag '{tag}'", reason="nothing was measured under it; process exposures first")
    step = Linking(**configuration.get("linking", {}))
    needed = ["measuring", "knownobjects", *(["scoring"] if step.parameters.min_score is not None else [])]
    upstreams = {name: held_by[name] for name in needed if name in held_by}
    if "scoring" in needed and "scoring" not in held_by:
        raise BadInput(what=f"tag '{tag}'", reason="nothing was scored under it; leave out linking.min_score")
    provenance = keep_one(step.name, step.version, step.parameters.critical(), [row.pk for row in upstreams.values()])
    refuse_bad(provenance)
    tag_provenances(tag, [provenance])
    for _ in range(ATTEMPTS):
        held = TrackletSet.objects.filter(night=night, provenance=provenance).first()
        detections = detections_of(night, upstreams, step.parameters.min_score)
        tell(f"{len(detections.measurements)} detections")
        if held is not None and held.inputs_digest == detections.digest:
            return held
        found = step.run(night=detections)
        tell(f"{found.n_tracklets} tracklets")
        if replace_tracklets(found, provenance, held):
            return found
    raise BadInput(what=f"night {night}", reason="others link it at the same time, again and again; try it later")


def detections_of(night: int, upstreams: Mapping[str, Provenance], min_score: float | None) -> NightDetections:
    """The kept detections of a night that brightened and are of no object that was also seen in another night."""
    measuring = upstreams["measuring"]
    within = {"mjd__gte": night + 0.5, "mjd__lt": night + 1.5}
    rows = Measurement.objects.filter(
        measurement_set__provenance=measuring, is_bad=False, flux__gt=0, badness_own=0, badness_upstream=0, **within
    )
    elsewhere = Measurement.objects.order_by().filter(
        object=OuterRef("object"), is_bad=False, measurement_set__provenance=measuring
    )
    rows = rows.filter(~Exists(elsewhere.exclude(**within)))
    if min_score is not None:
        scores = DeepScore.objects.order_by().filter(scorer=upstreams["scoring"].pk, score__gte=min_score)
        rows = rows.filter(Exists(scores.filter(measurement=OuterRef("pk"))))
    found = list(rows.order_by("mjd", "pk").values_list(*COLUMNS))
    keys, ra, dec, mjd, snr, magnitude, seeing = zip(*found) if found else [()] * len(COLUMNS)
    seeing = np.array([value or TYPICAL_SEEING for value in seeing], float)
    known = _known(night, upstreams)
    names = [known.get(key, "") for key in keys]
    return NightDetections(
        night=night,
        measuring=measuring,
        digest=_digest(keys, names),
        detected=Detected(
            ra=np.array(ra, float),
            dec=np.array(dec, float),
            error=seeing / FWHM_PER_SIGMA / np.maximum(np.abs(np.array(snr, float)), 1.0),
            mjd=np.array(mjd, float),
        ),
        measurements=keys,
        magnitudes=np.array([np.nan if value is None else value for value in magnitude], float),
        known_as=names,
    )


def _known(night: int, upstreams: Mapping[str, Provenance]) -> dict[UUID, str]:
    """Measurement → the known body that it is of."""
    if "knownobjects" not in upstreams:
        return {}
    rows = KnownObject.objects.order_by().filter(
        known_object_set__provenance=upstreams["knownobjects"],
        measurement__mjd__gte=night + 0.5,
        measurement__mjd__lt=night + 1.5,
    )
    return dict(rows.annotate(of=F("measurement")).values_list("of", "name"))


def _digest(keys: Sequence[UUID], names: Sequence[str]) -> str:
    """Hash of what is linked: measurements do not change."""
    text = "\n".join(f"{key} {name}" for key, name in sorted(zip(map(str, keys), names)))
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:20]
