"""The packet of an alert: a view of its measurement, as Avro. Made from the same rows it has the same bytes."""

from __future__ import annotations

import gzip
import io
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import numpy as np
from fastavro.types import Schema

from products import sky
from products.models import Alert, DeepScore, DifferenceImage, Measurement
from products.selectors.candidates import difference_of, source, with_source
from products.stamps import Stamps

VERSION = "1.0"
NANOJANSKY = 31.4  # AB magnitude of 1 nJy
HISTORY_DAYS = 365.0
STAMPS = {"cutoutScience": "new", "cutoutTemplate": "reference", "cutoutDifference": "difference"}


@cache
def schema() -> Schema:
    """The parsed schema of this version; a packet of it can be read with any later one of the same major number."""
    return fastavro.schema.load_schema(Path(__file__).parent / "schemas" / f"alert_v{VERSION.replace('.', '_')}.avsc")


def encode(packet: dict[str, Any]) -> bytes:
    """One packet as an Avro container with its schema."""
    buffer = io.BytesIO()
    marker = b"SeeChange alert."  # 16 bytes; by default they are random
    fastavro.writer(buffer, schema(), [packet], sync_marker=marker)
    return buffer.getvalue()


def decode(payload: bytes) -> dict[str, Any]:
    """The packet in an Avro container."""
    return next(iter(fastavro.reader(io.BytesIO(payload))))


def build_packets(alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    """The packets of alerts, in their order; what those of one image share is read once."""
    for _, group in groupby(alerts, key=lambda alert: alert.batch_id):
        yield from _of_one_image(list(group))


def _of_one_image(alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    measurements = with_source(Measurement.objects.filter(pk__in=[alert.score.measurement_id for alert in alerts]))
    rows = {row.pk: row for row in measurements}
    scorer = alerts[0].score.score_set
    measured = next(iter(rows.values())).measurement_set
    history = _history(rows.values(), measured.provenance_id)
    limits = _limits(rows.values(), history)
    scores = {
        score.measurement_id: score
        for score in DeepScore.objects.filter(
            measurement__in=[past.pk for found in history.values() for past in found],
            score_set__provenance=scorer.provenance_id,
        )
    }
    stamps = Stamps(measured.cutouts)
    for alert in alerts:
        row, score = rows[alert.score.measurement_id], alert.score
        past = history[row.object_id]
        yield {
            "alertId": str(alert.pk),
            "schemaVersion": VERSION,
            "stream": alert.stream,
            "diaSource": _source(row, score, scorer.algorithm),
            "prvDiaSources": [_source(found, scores.get(found.pk), scorer.algorithm) for found in past],
            "prvDiaNonDetectionLimits": limits[row.pk],
            "diaObject": {
                "diaObjectId": str(row.object_id),
                "firstSeenMjd": min([row.mjd, *(found.mjd for found in past)]),
                **{name: getattr(row.object, name) for name in ("name", "ra", "dec")},
            },
            "provenance": {"measuring": measured.provenance_id, "scoring": scorer.provenance_id},
            **{name: gzip.compress(file, compresslevel=6, mtime=0) for name, file in stamps.of(row, STAMPS).items()},
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


def _source(row: Measurement, score: DeepScore | None, algorithm: str) -> dict[str, Any]:
    where, zero_point = source(row), difference_of(row).zero_point
    scale = 10 ** (0.4 * (NANOJANSKY - zero_point.zp))

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
        "scorer": algorithm if score else None,
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
