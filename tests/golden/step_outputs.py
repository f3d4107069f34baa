"""What each step makes of a fixed simulated sky, as a few rounded numbers for each product."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from django.db import models

from processing import config
from processing.demo import demo_configuration, run_demo
from processing.exposures import RunSettings, process_section
from processing.forced import Wanted, measure
from processing.pipelines import (
    COADD,
    FAKES,
    FORCED,
    SCIENCE,
    BadPixelMaking,
    BiasMaking,
    CrosstalkMeasuring,
    DarkMaking,
    FlatMaking,
    FringeMaking,
    IlluminationMaking,
    LinearityMaking,
    Linking,
)
from processing.simulated_night import Night
from processing.step import Step
from processing.steps.raw_stack import Corrections
from processing.steps.referencing import Referencing
from products.models import Exposure, Image, Measurement, Report, WorldCoordinates
from products.models.base import Product
from products.models.files import FileBacked
from tests.factories import night_of_a_body
from tests.steps import calibration_frames as given

NIGHT = Night(ccds=1, side=384, bands=("r",), early=2, late=1, biases=3, flats=3, seed=11)
# Other machines round otherwise. With the vector instructions of the libraries switched off, all numbers stay within
# these parts of a plane's spread, of a table's spread (where one source in hundreds may differ), of a single number.
PLANE, TABLE, NUMBER = 5e-3, 3e-2, 1e-2
PERCENTILES = (5, 25, 50, 75, 95)
OF_COADD = " of the coadd"
ALONE = (DarkMaking, FringeMaking, IlluminationMaking, BadPixelMaking, LinearityMaking, CrosstalkMeasuring, Linking)

Numbers = dict[str, Any]  # name → number or list of numbers
Golden = dict[str, dict[str, Any]]  # stage → version, products → name → numbers
NOT_COMPARED = (
    "filesize",
    "attempts",
    "payload_size",
    "hpx",
    "gal_lon",
    "gal_lat",
    "ecl_lon",
    "ecl_lat",
)  # follow from others


def stages() -> list[tuple[str, type[Step]]]:
    """Name and step, so that nothing that changes a stage comes after it."""
    before = SCIENCE[: SCIENCE.index(Referencing)]
    after = SCIENCE[len(before) + 1 :]
    coadd = [(f"{step.name}{OF_COADD}" if step in before else step.name, step) for step in COADD]
    named = [(step.name, step) for step in (BiasMaking, FlatMaking, *before)]  # what the demo's camera needs
    return [*named, *coadd, *((step.name, step) for step in (*after, FAKES[0], FAKES[-1], *FORCED, *ALONE))]


def golden_outputs(folder: Path) -> Golden:
    """Run the night in an empty database and data folder."""
    run_demo(NIGHT, folder, numprocs=0, tell=lambda title, total: lambda text: None)
    late = Exposure.objects.get(name__endswith="late-1")
    report = process_section(late, "N1", RunSettings(configuration=demo_configuration(), fakes=True))
    if report.state != Report.State.DONE:
        raise RuntimeError(f"{report.error_step}: {report.error_message}\n{report.traceback}")
    brightest, forced = Measurement.objects.order_by("-snr").first(), FORCED[0]()
    measure(Wanted.of((brightest.ra, brightest.dec), config.tag_of(demo_configuration()), forced), forced)
    alone = {step.name: {type(row).__name__: fingerprint(row)} for step, row in made_alone()}
    return {
        name: {"version": version_of(step), "products": alone[name] if name in alone else _made(name, step)}
        for name, step in stages()
    }


def made_alone() -> Iterable[tuple[type[Step], Product]]:
    """What the steps make that one exposure of the demo's camera does not need: rows that are not saved."""
    ccd, tables = given.ccd_of(), ("crosstalk", "bias", "linearity")
    known = given.truly(ccd, "bias", "linearity")
    flat = given.truly(ccd, *tables, "flat", flat=ccd.response)
    yield DarkMaking, DarkMaking().run(given.darks(), known)
    yield FringeMaking, FringeMaking().run(given.night_skies(0.02, 6), flat)
    yield IlluminationMaking, IlluminationMaking().run(given.night_skies(0.0, 6), flat)
    yield BadPixelMaking, BadPixelMaking().run(given.flats((5e3, 4e4) * 3), known)
    yield LinearityMaking, LinearityMaking().run(given.ramp(), given.truly(ccd, "crosstalk", "bias"))
    yield CrosstalkMeasuring, CrosstalkMeasuring().run(given.starry(), Corrections())
    yield Linking, Linking().run(night_of_a_body(61300.1))


def version_of(step: type[Step]) -> str:
    """The part of the version that enters the provenance."""
    return "{}.{}".format(*step.version[:2])


def _made(stage: str, step: type[Step]) -> dict[str, Numbers]:
    """The last product of each kind: of the latest exposure, or of the coadd."""
    found = {}
    for output in step.outputs():
        rows = output.objects.filter(provenance__process=step.name).order_by("-created_at")
        rows = rows.filter(kind=output.KIND) if output.KIND else rows
        if step in COADD[1:]:
            rows = [row for row in rows if (_image(row).kind == "coadd") == stage.endswith(OF_COADD)]
        found[output.__name__] = fingerprint(rows[0])
    return found


def _image(row: Any) -> Image:
    """The image that a product of extraction or calibration is of."""
    while not isinstance(row, Image):
        name = next(name for name in ("image", "sources", "world_coordinates") if hasattr(row, name))
        row = getattr(row, name)
    return row


def fingerprint(row: Product) -> Numbers:
    """The numbers of a product: columns, planes, rows of its own."""
    found = _columns([row])
    if isinstance(row, WorldCoordinates):
        found["shift_arcsec"] = _shift(row)
    if isinstance(row, FileBacked):
        for name, plane in row.plane_declarations().items():
            if (value := getattr(row, name)) is not None:
                found |= _table(name, value) if plane.table else _plane(name, value)
        row.free()
    for name in ("measurements", "scores", "alerts", "tracklets"):
        if hasattr(row, name):
            rows = row.rows if row._state.adding else list(getattr(row, name).all())
            found |= {f"{name}.n": len(rows)} | {f"{name}.{key}": value for key, value in _columns(rows).items()}
    return found


def _columns(rows: list[models.Model]) -> Numbers:
    """Numbers in the columns: as they are of one row, as percentiles of several."""
    found: Numbers = {}
    if not rows:
        return found
    for field in rows[0]._meta.concrete_fields:
        values = [getattr(row, field.attname) for row in rows]
        if field.attname in NOT_COMPARED or isinstance(field, (models.AutoField, models.ForeignKey)):
            continue
        if isinstance(field, models.JSONField):
            numbers = [float(one) for value in values for one in _numbers(value)]
        elif isinstance(field, (models.FloatField, models.IntegerField, models.BooleanField)):
            numbers = [float(value) for value in values if value is not None]
        else:
            continue
        if len(rows) == 1 and len(numbers) == 1 and not isinstance(field, models.JSONField):
            found[field.attname] = _rounded(numbers[0])
        elif numbers:
            found[field.attname] = _spread(numbers)
    return found


def _numbers(value: Any) -> Iterable[float]:
    """Every number in nested JSON."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def _shift(row: WorldCoordinates) -> list[float]:
    """By how much the solution moves the corners and the middle, against the header, arcsec along ra and dec."""
    from astropy.wcs import WCS

    image = row.sources.image
    x = np.array([0, image.width - 1, 0, image.width - 1, (image.width - 1) / 2])
    y = np.array([0, 0, image.height - 1, image.height - 1, (image.height - 1) / 2])
    before, after = (np.array(wcs.all_pix2world(x, y, 0)) for wcs in (WCS(image.wcs_header), row.wcs))
    return [_rounded(value) for value in ((after - before) * 3600).ravel()]


def _table(name: str, table: np.ndarray) -> Numbers:
    found: Numbers = {f"{name}.rows": len(table)}
    for column in table.dtype.names:
        if len(table) and table[column].dtype.kind in "fiub":
            found[f"{name}.{column}"] = _spread(table[column])
    return found


def _plane(name: str, values: np.ndarray) -> Numbers:
    return {
        f"{name}.shape": list(values.shape),
        f"{name}.pixels": _spread(values),
        f"{name}.filled": _rounded(np.mean(values != 0)),
    }


def _spread(values: Any) -> list[float]:
    """Percentiles of what is finite."""
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values)]
    return [_rounded(one) for one in np.percentile(values, PERCENTILES)] if values.size else []


def _rounded(value: float) -> float | int:
    """Whole numbers as they are, others to 5 digits."""
    value = float(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.5g}")


def verdict(kept: Golden, now: Golden) -> str:
    """What is to be done; empty when nothing changed. Only the first stage that changed is to blame for it."""
    refresh = "run `python -m tests.golden step_outputs` and look at what changed"
    if set(kept) != set(now):
        return f"there are other steps than before: {refresh}"
    for stage, entry in now.items():
        step, lines = stage.removesuffix(OF_COADD), changed(kept[stage]["products"], entry["products"])
        if entry["version"] != kept[stage]["version"]:
            return f"{step} has version {entry['version']} and was kept with {kept[stage]['version']}: {refresh}"
        if lines:
            more = f"\n  … and {len(lines) - 20} more" if len(lines) > 20 else ""
            return (
                f"{step} changed its products: raise its minor version (now {entry['version']}), then {refresh}"
                + "\n  ".join(["", *lines[:20]])
                + more
            )
    return ""


def changed(kept: dict[str, Numbers], now: dict[str, Numbers]) -> list[str]:
    """One line for each number of a step's products that differs by more than machines differ."""
    lines = []
    for product in {**kept, **now}:
        before, after = kept.get(product), now.get(product)
        if before is None or after is None:
            lines.append(f"{product} is {'new' if before is None else 'gone'}")
            continue
        for name in {**before, **after}:
            a, b = before.get(name), after.get(name)
            if not _same(a, b, PLANE if name.endswith(".pixels") else TABLE):
                lines.append(f"{product}.{name}: {a} → {b}")
    return lines


def _same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether whole numbers are equal, others equal up to what machines differ by."""
    if a is None or b is None or isinstance(a, list) != isinstance(b, list):
        return False
    if not isinstance(a, list):
        return a == b if isinstance(a, int) and isinstance(b, int) else abs(a - b) <= NUMBER * abs(a) + 1e-9
    if len(a) != len(b) or all(isinstance(one, int) for one in (*a, *b)):
        return a == b
    scale = max(a) - min(a) or max(map(abs, a))
    return all(abs(one - other) <= tolerance * scale + 1e-9 for one, other in zip(a, b))
