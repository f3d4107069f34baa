"""Training material from what this archive holds under a tag: candidates that people labelled, and fakes.

Fakes are injected into the real images once more, as `inject_fakes` does it, and what is measured of them is real;
what else is found then is left out, since nobody knows what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from processing.algorithms.fake_matching import match_fakes
from processing.algorithms.fakes import STREAK
from processing.datastore import DataStore
from processing.errors import BadInput
from processing.fakes import injected
from processing.pipeline import Pipeline
from processing.pipelines import FAKES
from processing.providers import Untouched
from processing.steps.fakeanalysis import FakeAnalyzing
from processing.steps.measuring import Measuring
from processing.steps.scoring import candidates_of
from processing.training.labels import UNSURE
from processing.training.material import Material
from products.models import Cutouts, FakeAnalysis, FakeSet, MeasurementSet, ScienceImage, WarpedImage
from products.selectors.tags import ChosenTag, of_name
from products.selectors.training import labelled_sets, verdicts_of

Tell = Callable[[str, int], Callable[[str], None]]
FAKE = "fake"


def material_of(tag: str, configuration: Mapping[str, Any] | None, tell: Tell) -> list[Material]:
    """One material for each CCD with labels or fakes. BadInput for a tag that has neither."""
    chosen = of_name(tag)
    if not chosen.ids:
        raise BadInput(what=f"the tag '{tag}'", reason="it holds no provenances; is its name right?")
    parts = [*_labelled(chosen, tell), *_with_fakes(chosen, configuration, tell)]
    if not parts:
        reason = "nobody labelled a candidate of it, and no fakes were injected (manage.py inject_fakes)"
        raise BadInput(what=f"the tag '{tag}'", reason=reason)
    return parts


def _labelled(tag: ChosenTag, tell: Tell) -> Iterator[Material]:
    sets = labelled_sets(tag)
    tick = tell("labelled candidates", sets.count())
    for measured in sets.iterator(chunk_size=100):
        verdicts = verdicts_of(measured)
        kind = np.array([verdicts.get(row.pk, UNSURE) for row in measured.all_rows()], "U24")
        night = night_of(measured.cutouts)
        if (kind != UNSURE).any():
            yield Material.made(candidates_of(measured, measured.cutouts), kind, night)
        measured.cutouts.free()
        tick(night)


def _with_fakes(tag: ChosenTag, configuration: Mapping[str, Any] | None, tell: Tell) -> Iterator[Material]:
    image = "fake_set__zero_point__world_coordinates__sources__image"
    analyses = tag.narrow(FakeAnalysis.objects.select_related(f"{image}__exposure")).order_by(f"{image}__mjd", "pk")
    tick = tell("images with fakes", analyses.count())
    for analysis in analyses.iterator(chunk_size=100):
        of = analysis.fake_set.zero_point.image
        data = DataStore.from_tag(of.exposure, of.section, tag.name)
        measured = measured_fakes(data, analysis.fake_set, configuration)
        kind = _kinds(analysis.fake_set, measured, FakeAnalyzing().parameters.match_radius)
        if (kind != UNSURE).any():
            yield Material.made(candidates_of(measured, data[Cutouts]), kind, night_of(data[Cutouts]))
        data.free()
        tick(of.exposure.name)


def measured_fakes(data: DataStore, fakes: FakeSet, configuration: Mapping[str, Any] | None) -> MeasurementSet:
    """The measurements of the image with the fakes in it, put into `data` with what is before them; nothing is kept."""
    pipeline = Pipeline(FAKES, configuration=configuration)
    untouched = Untouched(data[ScienceImage], data[WarpedImage])
    data.put(fakes)
    data.put(untouched, injected(data))
    for step in pipeline.steps[1:]:
        data.put(*pipeline.make(step, data))
        if isinstance(step, Measuring):
            break
    return data[MeasurementSet]


def _kinds(fakes: FakeSet, measured: MeasurementSet, radius: float) -> np.ndarray:
    rows = measured.all_rows()
    x, y, flux = (np.array([getattr(row, name) for row in rows], float) for name in ("x", "y", "flux"))
    kind = np.full(len(rows), UNSURE, "U24")
    matched = match_fakes(fakes.table, x, y, flux < 0, radius=radius)
    matched = matched[fakes.table["kind"] != STREAK]  # a trail is real, but nothing that a scorer should let through
    kind[matched[matched >= 0]] = FAKE
    return kind


def night_of(cutouts: Cutouts) -> str:
    """Whole fields of whole nights are learned from or tested on: MJD of the noon before, and the field."""
    image = cutouts.sources.image
    return f"{int(image.mjd - 0.5)} {image.target or f'{image.ra:.1f} {image.dec:+.1f}'}"
