"""Rows of a whole survey without its files: for measuring how fast pages and endpoints answer.

In a folder of its own: `SEECHANGE_DATA=… python manage.py migrate`, then
`SEECHANGE_DATA=… python -m tests.benchmarks.large_archive --measurements 100000`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CCDS = 8
FIELDS = 10  # places on the sky that are visited again and again
SIDE = 0.15  # of a CCD, degrees
START = 61300.1  # MJD of the first exposure
BANDS = "griz"
KEPT = 0.25  # part of the measurements that pass every cut
STEADY = 0.6  # part of them that are of something seen again and again
TOLD = 0.1  # part of the kept that became an alert
LABELLED = 0.02
CUTS = {"psf_chi2": 2.0, "elongation": 2.0, "negative_flux": 0.4, "narrow": 0.6, "bad_pixels": 1.0}
AT_ONCE = 2000
ORDER = (
    "Exposure", "ScienceImage", "SourceList", "PSF", "Background", "WorldCoordinates", "ZeroPoint", "Reference",
    "DifferenceImage", "Detections", "Cutouts", "MeasurementSet", "DeepScoreSet", "AlertBatch", "Report", "Object",
    "Measurement", "DeepScore", "Alert", "Label",
)  # fmt: skip


@dataclass
class CCD:
    """The rows of one CCD that measurements hang on."""

    difference: Any
    measurement_set: Any
    score_set: Any
    batch: Any
    band: str
    mjd: float
    corner: tuple[float, float]
    place: tuple[int, int]  # field, section


def fill(measurements: int = 100_000, exposures: int = 200, seed: int = 7) -> None:
    """An archive with so many measurements under the tag `current`, as a survey would have made them."""
    from django.db import connection, transaction

    random = np.random.default_rng(seed)
    with transaction.atomic():
        ccds = _ccds(exposures, random)
        _measurements(ccds, measurements, random)
    if connection.vendor == "postgresql":  # which does it by itself after a while; SQLite never does
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _insert(rows: Sequence[Any]) -> None:
    """Rows of any models, those that others point at first."""
    for model in ORDER:
        some = [row for row in rows if type(row).__name__ == model]
        if some:
            type(some[0]).objects.bulk_create(some, batch_size=AT_ONCE)


def _ccds(exposures: int, random: np.random.Generator) -> list[CCD]:
    """Exposures, their CCDs and every product of them up to the score sets; one in forty CCDs stopped."""
    from tests import factories

    one = factories.full_ccd(section="template")
    provenances = {row.process: row for row in _tagged()}
    kept: list[CCD] = []
    made: list[Any] = []
    for number in range(exposures):
        night, of_night = divmod(number, 12)
        field, mjd = of_night % FIELDS, START + night * 3 + of_night / 100
        band = BANDS[(night + of_night) % len(BANDS)]
        exposure = _copy(
            one.exposure, name=f"survey_{number:05d}", mjd=mjd, filter=band, target=f"field {field}",
            project=("wide", "deep")[field % 2], airmass=1 + float(random.random()),
        )  # fmt: skip
        exposure.set_position(20.0 + 2 * field, -5.0 + field)
        made.append(exposure)
        for section in range(CCDS):
            if random.random() < 1 / 40:
                made.append(_report(one, exposure, section, "photocal"))
                continue
            ccd, products = _one_ccd(one, exposure, (field, section), provenances)
            kept.append(ccd)
            made += [*products, _report(one, exposure, section, "")]
    _insert(made)
    return kept


def _tagged() -> list[Any]:
    from products.models import Provenance

    return list(Provenance.objects.filter(tags__tag="current"))


def _copy(row: Any, **fields: Any) -> Any:
    """Another row with the same values but those given, not saved; it has no file."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    for name in ("id", "filepath", "sha256", "filesize"):
        values.pop(name, None)
    copy = type(row)(**values)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def _report(one: Any, exposure: Any, section: int, failed: str) -> Any:
    found = _copy(one.report, exposure=exposure, section=f"S{section}", attempt=1)
    if failed:
        steps = [*found.steps[:4]]
        found.state, found.steps, found.error_step = "failed", steps, failed
        found.error_type, found.error_message = "NotEnoughStars", "4 stars found, 10 needed"
    return found


def _one_ccd(one: Any, exposure: Any, place: tuple[int, int], provenances: dict[str, Any]) -> tuple[CCD, list[Any]]:
    from products import models

    _, section = place
    ra, dec = exposure.ra + SIDE * (section % 4 - 2), exposure.dec + SIDE * (section // 4)
    corners = np.array([(ra, dec), (ra + SIDE, dec), (ra + SIDE, dec + SIDE), (ra, dec + SIDE)])
    common = {
        "exposure": exposure, "section": f"S{section}", "filter": exposure.filter, "mjd": exposure.mjd,
        "mjd_end": exposure.mjd + exposure.exposure_time / 86400,
    }  # fmt: skip
    image = _copy(one.image, **common).set_footprint(corners)
    zero = one.zero_point
    sources = _copy(zero.world_coordinates.sources, image=image)
    psf = _copy(models.PSF.objects.filter(sources=zero.world_coordinates.sources).get(), sources=sources)
    world = _copy(zero.world_coordinates, sources=sources)
    point = _copy(zero, world_coordinates=world, limiting_magnitude=22.4 - 0.1 * section)
    reference = _copy(one.difference.reference, filter=exposure.filter, section=f"S{section}").set_footprint(corners)
    reference.zero_point = point
    difference = _copy(one.difference, **common, zero_point=point, reference=reference).set_footprint(corners)
    template = one.measurement_set.cutouts
    detections = _copy(template.sources, image=difference)
    detections.__class__ = models.Detections
    cutouts = _copy(template, sources=detections)
    measured = _copy(one.measurement_set, cutouts=cutouts)
    scores = _copy(models.DeepScoreSet.objects.get(measurement_set=one.measurement_set), measurement_set=measured)
    batch = models.AlertBatch(score_set=scores, n_alerts=0, provenance=provenances["alerting"])
    made = CCD(difference, measured, scores, batch, exposure.filter, difference.mjd_middle, (ra, dec), place)
    return made, [
        image,
        difference,
        sources,
        psf,
        world,
        point,
        reference,
        detections,
        cutouts,
        measured,
        scores,
        batch,
    ]


def _measurements(ccds: list[CCD], number: int, random: np.random.Generator) -> None:
    """Measurements with objects, scores, alerts and labels, spread over the CCDs."""
    from django.contrib.auth.models import User

    from products.models import Label

    people = [User.objects.create_user(f"scanner{index}") for index in range(3)]
    steady = {place: _steady(place, ccds, random) for place in {ccd.place for ccd in ccds}}
    for part in _parts(ccds, number):
        made: list[Any] = []
        for ccd, count in part:
            made += _of_ccd(ccd, count, steady[ccd.place], random)
        _insert(made)
        rows = [row for row in made if type(row).__name__ == "Measurement"]
        labels = [
            Label(measurement=row, person=person, verdict=("bogus" if row.is_bad else "real"))
            for row in rows for person in people[: 1 + int(random.integers(2))] if random.random() < LABELLED
        ]  # fmt: skip
        _insert(labels)
    _insert_steady(steady)


def _parts(ccds: list[CCD], number: int) -> Iterator[list[tuple[CCD, int]]]:
    """CCDs with their number of measurements, some at a time."""
    each, left = divmod(number, len(ccds))
    counted = [(ccd, each + (index < left)) for index, ccd in enumerate(ccds)]
    for start in range(0, len(counted), 100):
        yield counted[start : start + 100]


def _steady(place: tuple[int, int], ccds: list[CCD], random: np.random.Generator) -> list[Any]:
    """Objects of one CCD of one field that are seen again and again."""
    ra, dec = next(ccd.corner for ccd in ccds if ccd.place == place)
    positions = random.uniform(0.005, SIDE - 0.005, (30, 2))
    found = [_object(ra + a, dec + d, START) for a, d in positions]
    _insert(found)
    return found


def _insert_steady(steady: dict[tuple[int, int], list[Any]]) -> None:
    from products.models import Object

    things = [thing for found in steady.values() for thing in found]
    Object.objects.bulk_update(things, ["first_seen", "last_seen", "n_measurements"], batch_size=200)


def _object(ra: float, dec: float, mjd: float) -> Any:
    from products.models import Object
    from products.services.naming import letters

    row = Object(first_seen=mjd, last_seen=mjd, n_measurements=0).set_position(ra, dec)
    _object.number += 1
    row.name = f"SC26{letters(_object.number)}"
    return row


_object.number = 0


def _of_ccd(ccd: CCD, count: int, steady: list[Any], random: np.random.Generator) -> list[Any]:
    """Measurements of one CCD with what hangs on them."""
    from products.ids import stable_id
    from products.models import Alert, DeepScore, Measurement

    n_kept = round(KEPT * count)
    again = random.permutation(len(steady))[: round(STEADY * n_kept)]
    found: list[Any] = []
    snr = 5 + random.exponential(8, count)
    score = np.where(np.arange(count) < n_kept, random.beta(5, 2, count), random.beta(1, 6, count))
    for index in range(count):
        is_bad = index >= n_kept
        if index < len(again):
            thing = steady[again[index]]
        else:
            ra, dec = ccd.corner[0] + SIDE * random.random(), ccd.corner[1] + SIDE * random.random()
            thing = _object(ra, dec, ccd.mjd)
            found.append(thing)
        if not is_bad:
            thing.n_measurements, thing.last_seen = thing.n_measurements + 1, max(thing.last_seen, ccd.mjd)
        failed = [list(CUTS)[int(random.integers(len(CUTS)))]] if is_bad else []
        cuts = [
            [name, 2 * limit if name in failed else 0.5 * limit, limit, name not in failed]
            for name, limit in CUTS.items()
        ]
        row = Measurement(
            measurement_set=ccd.measurement_set, index_in_sources=index, object=thing, mjd=ccd.mjd, filter=ccd.band,
            x=40.0 + index, y=60.0, flux=70.0 * snr[index] * (-1 if random.random() < 0.2 else 1), flux_error=70.0,
            snr=float(snr[index]), magnitude=float(27.31 - 2.5 * np.log10(70 * snr[index])), magnitude_error=float(1.09 / snr[index]),
            flux_apertures=[100.0, 200.0], flux_apertures_errors=[7.0, 9.0], aperture_radii=[2.0, 4.0],
            diagnostics=dict(CUTS), cuts=cuts, failed_cuts=failed, is_bad=is_bad,
            **thing.position(),
        )  # fmt: skip
        scored = DeepScore(
            score_set=ccd.score_set, measurement=row, score=float(score[index]), scorer=ccd.score_set.provenance_id
        )
        found += [row, scored]
        if not is_bad and random.random() < TOLD:
            found.append(Alert(id=stable_id(scored.pk), batch=ccd.batch, score=scored, stream="all", state="sent"))
    return found


def main() -> None:
    """Fill the archive of SEECHANGE_DATA."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=100_000, help="How many measurements [100000].")
    parser.add_argument("--exposures", type=int, default=200, help="How many exposures of 8 CCDs [200].")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
    import django

    django.setup()
    fill(options.measurements, options.exposures)


if __name__ == "__main__":
    main()
