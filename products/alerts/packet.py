"""The packet of an alert: what is known of a measurement, its object and its image when the packet is made."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import numpy as np

from products import sky
from products.alerts.avro import VERSION
from products.ids import stable_id
from products.models import Alert, DeepScore, DeepScoreSet, DifferenceImage, KnownObjectSet, Measurement
from products.selectors.candidates import difference_of, source, with_source
from products.stamps import Stamps

NANOJANSKY = 31.4  # AB magnitude of 1 nJy
HISTORY_DAYS = 365.0
GZIP_LEVEL = 1  # the pixels are noise: higher levels take four times as long and save a tenth
STAMPS = {"cutoutScience": "new", "cutoutTemplate": "reference", "cutoutDifference": "difference"}
Packet = dict[str, Any]


def alert_id(measurement: UUID, scoring: str, stream: str) -> UUID:
    """The id of an alert: of the measurement, the provenance of the scoring and the stream."""
    return stable_id("alert", measurement, scoring, stream)


def of_alert(record: Packet, alert: Alert) -> Packet:
    """The packet of an alert, from what is known of its measurement."""
    origin = {**record["provenance"], "alerting": alert.batch.provenance_id}
    return {**record, "alertId": str(alert.pk), "stream": alert.stream, "provenance": origin}


def build_packets(alerts: Sequence[Alert]) -> Iterator[Packet]:
    """The packets of alerts, in their order, from what is known now; what those of one image share is read once."""
    for _, group in groupby(alerts, key=lambda alert: alert.batch_id):
        of_batch = list(group)
        scores = list({alert.score_id: alert.score for alert in of_batch}.values())
        records = build_records(scores, of_batch[0].batch.known_set)
        for alert in of_batch:
            yield of_alert(records[alert.score_id], alert)


def build_records(scores: Sequence[DeepScore], known_set: KnownObjectSet | None = None) -> dict[UUID, Packet]:
    """Score → packet of its measurement, of scores of one set; a packet of no stream, with an id of its own.

    `known_set` has the known bodies among the measurements of the set, as far as they were looked for.
    """
    measurements = with_source(Measurement.objects.filter(pk__in=[score.measurement_id for score in scores]))
    rows = {row.pk: row for row in measurements}
    scorer = scores[0].score_set
    measured = next(iter(rows.values())).measurement_set
    history = _history(rows.values(), measured.provenance_id)
    limits = _limits(rows.values(), history)
    earlier = {
        score.measurement_id: score
        for score in DeepScore.objects.filter(
            measurement__in=[past.pk for found in history.values() for past in found],
            score_set__provenance=scorer.provenance_id,
        ).select_related("score_set")
    }
    known = _known_objects(known_set)
    stamps = Stamps(measured.cutouts)
    found = {}
    for score in scores:
        row = rows[score.measurement_id]
        past = history[row.object_id]
        found[score.pk] = {
            "alertId": str(alert_id(row.pk, scorer.provenance_id, "")),
            "schemaVersion": VERSION,
            "stream": "",
            "diaSource": _source(row, score, scorer),
            "prvDiaSources": [_source(one, earlier.get(one.pk), scorer) for one in past],
            "prvDiaNonDetectionLimits": limits[row.pk],
            "diaObject": {
                "diaObjectId": str(row.object_id),
                "firstSeenMjd": min([row.mjd, *(one.mjd for one in past)]),
                **{name: getattr(row.object, name) for name in ("name", "ra", "dec")},
            },
            "provenance": {"measuring": measured.provenance_id, "scoring": scorer.provenance_id, "alerting": None},
            **{name: gzip.compress(file, GZIP_LEVEL, mtime=0) for name, file in stamps.of(row, STAMPS).items()},
            "historyTrimmed": False,
            "knownObjectsSearched": known_set is not None and known_set.is_searched,
            "knownObject": known.get(row.pk),
        }
    return found


def _known_objects(known_set: KnownObjectSet | None) -> dict[UUID, dict[str, Any]]:
    """Measurement → the known body that it is of."""
    if known_set is None or not known_set.n_matched:
        return {}
    catalog = known_set.orbit_catalog
    origin = {"orbitCatalog": catalog.name, "orbitEpochMjd": catalog.epoch} if catalog else {}
    same = ("separation", "uncertainty", "ra", "dec", "magnitude", "rate", "distance")
    return {
        row.measurement_id: {"designation": row.name, "positionAngle": row.position_angle}
        | {name: getattr(row, name) for name in same}
        | {"orbitCatalog": None, "orbitEpochMjd": None, **origin}
        for row in known_set.all_rows()
    }


def _history(rows: Collection[Measurement], provenance: str) -> dict[UUID, list[Measurement]]:
    """Object → its earlier kept measurements of the same provenance, oldest first."""
    now = min(row.mjd for row in rows)
    earlier = Measurement.objects.filter(
        object__in=[row.object_id for row in rows],
        is_bad=False,
        mjd__lt=now,
        mjd__gt=now - HISTORY_DAYS,
        measurement_set__provenance=provenance,
    )
    found: dict[UUID, list[Measurement]] = {row.object_id: [] for row in rows}
    for row in with_source(earlier).order_by("mjd", "pk"):
        found[row.object_id].append(row)
    return found


def _source(row: Measurement, score: DeepScore | None, scorer: DeepScoreSet) -> dict[str, Any]:
    where, zero_point = source(row), difference_of(row).zero_point
    scale = 10 ** (0.4 * (NANOJANSKY - float(zero_point.at(row.x, row.y))))

    def first(values: list[float], factor: float = 1.0) -> float | None:
        return values[0] * factor if values else None

    return {
        "diaSourceId": str(row.pk),
        "midpointMjd": row.mjd,
        "band": row.filter,
        "instrument": where.exposure.instrument,
        "exposure": where.exposure.name,
        "section": where.section,
        "psfFlux": row.flux * scale,
        "psfFluxErr": row.flux_error * scale,
        "apFlux": first(row.flux_apertures, scale),
        "apFluxErr": first(row.flux_apertures_errors, scale),
        "apRadius": first(row.aperture_radii),
        "magnitude": row.magnitude,
        "magnitudeErr": row.magnitude_error,
        "isNegative": row.is_negative,
        "isBad": row.is_bad,
        "failedCuts": row.failed_cuts,
        "limitingMagnitude": zero_point.limiting_magnitude,
        "score": score.score if score else None,
        "scorer": scorer.algorithm if score else None,
        "scoreThreshold": score.score_set.threshold if score else None,
        "seeing": where.seeing,
        "exposureTime": where.exposure.exposure_time,
        **{name: getattr(row, name) for name in ("ra", "dec", "x", "y", "snr")},
    }


def _limits(rows: Collection[Measurement], history: dict[UUID, list[Measurement]]) -> dict[UUID, list[dict[str, Any]]]:
    """Measurement → earlier images of the same provenance that cover it, without a kept detection of its object."""
    own = difference_of(next(iter(rows)))
    images = DifferenceImage.objects.filter(
        sky.cone(own.ra, own.dec, own.radius + DifferenceImage.objects.all().reach()),
        provenance=own.provenance_id,
        mjd__lt=own.mjd,
        mjd__gt=own.mjd - HISTORY_DAYS,
        zero_point__limiting_magnitude__isnull=False,
    ).order_by("mjd", "pk")
    found: dict[UUID, list[dict[str, Any]]] = {row.pk: [] for row in rows}
    ra, dec = np.array([row.ra for row in rows]), np.array([row.dec for row in rows])
    seen = {key: {difference_of(past).pk for past in rows} for key, rows in history.items()}
    columns = ("pk", "corners", "mjd", "mjd_end", "filter", "zero_point__limiting_magnitude")
    for pk, corners, start, end, band, limit in images.values_list(*columns):
        covered = sky.contains(np.array(corners), ra, dec)
        for row, inside in zip(rows, covered):
            if inside and pk not in seen[row.object_id]:
                entry = {"midpointMjd": (start + end) / 2, "band": band, "limitingMagnitude": limit}
                found[row.pk].append(entry)
    return found
