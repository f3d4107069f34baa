"""Inject fakes into a processed CCD and run it again from the subtraction on, beside the real products."""

from __future__ import annotations

import numpy as np

from processing.algorithms.fakes import inject
from processing.algorithms.psf_model import PSFModel
from processing.datastore import DataStore
from processing.pipeline import Pipeline
from processing.pipelines import FAKES
from processing.reporting import Reporter
from processing.step import Step
from processing.steps.fakeanalysis import FakeRun
from products.models import PSF, DeepScoreSet, FakeAnalysis, FakeSet, MeasurementSet, ScienceImage


def run_fakes(pipeline: Pipeline, data: DataStore, report: Reporter) -> FakeAnalysis:
    """The analysis of the fakes of one CCD that went through scoring; found where it exists.

    Only the fakes and their analysis are kept. What is between is made for the analysis and forgotten.
    """
    second = Pipeline(FAKES, configuration=pipeline.settings)
    tree = second.provenances(data)
    injecting, *between, analyzing = second.steps
    data = data.fork()
    original = data[DeepScoreSet]

    def keep(step: Step) -> None:
        with report.step(step.name) as entry:
            data.put(*second.one(step, data, tree, entry))
            entry["counts"] = data[step.outputs()[0]].counts()

    keep(injecting)
    if not data.find(type(analyzing), tree[analyzing.name]):
        data.put(injected(data))
        for step in between:
            with report.step(f"fakes: {step.name}"):
                data.put(*second.make(step, data))
        data.put(FakeRun(data[MeasurementSet], data[DeepScoreSet]), original)
    keep(analyzing)
    return data[FakeAnalysis]


def injected(data: DataStore) -> ScienceImage:
    """A copy of the image, never saved, with the fakes in it."""
    image, fakes, psf = data[ScienceImage], data[FakeSet], data[PSF]
    values = {field.attname: getattr(image, field.attname) for field in image._meta.concrete_fields}
    copy = ScienceImage(**values)
    copy.exposure = image.exposure  # at hand, so that no step asks for it
    good = image.weight > 0
    variance = np.divide(1, image.weight, out=np.zeros_like(image.weight), where=good)
    model = PSFModel.from_planes(psf.planes, psf.model_header)
    rng = np.random.default_rng(fakes.random_seed)
    pixels, variance = inject(image.data, variance, model, fakes.table, rng)
    copy.data, copy.flags = pixels, image.flags
    copy.weight = np.divide(1, variance, out=np.zeros_like(variance), where=good)
    return copy
