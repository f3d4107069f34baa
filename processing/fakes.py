"""Inject fakes into a processed CCD and run it again from the subtraction on, beside the real products."""

from __future__ import annotations

import hashlib
import logging

import numpy as np

from processing.algorithms.fake_light import inject
from processing.algorithms.psf_model import PSFModel
from processing.datastore import DataStore
from processing.errors import Interrupted
from processing.pipeline import Pipeline
from processing.pipelines import FAKES
from processing.providers import Untouched
from processing.reporting import Reporter, expected
from processing.step import Step
from processing.steps.fakeanalysis import FakeRun
from products.dates import date_of_mjd
from products.models import (
    PSF,
    Background,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    Exposure,
    FakeAnalysis,
    FakeSet,
    MeasurementSet,
    ScienceImage,
    WarpedImage,
)
from products.pixel_flags import PixelFlag

log = logging.getLogger(__name__)


def is_due(exposure: Exposure, section: str, every: int) -> bool:
    """Whether it is the turn of a CCD of an exposure: about one in `every` is, never the same ones; 0: none is.

    A hash of exposure, CCD and ISO week decides, so that the same CCDs are chosen whenever they are processed.
    """
    if every <= 0:
        return False
    identity = f"{exposure.instrument} {exposure.name} {section} {date_of_mjd(exposure.mjd):%G-W%V}"
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") % every == 0


def try_fakes(pipeline: Pipeline, data: DataStore, report: Reporter) -> FakeAnalysis | None:
    """The same as `run_fakes` for a CCD that is done whatever becomes of its fakes: a failure is a warning."""
    try:
        return run_fakes(pipeline, data, report)
    except Exception as error:
        reason = expected(error)
        if isinstance(reason, Interrupted):
            raise
        if not hasattr(reason, "details"):
            log.exception("the fakes of %s %s failed", report.row.exposure, data.section)
        report.forgive(reason, "fakes failed")
        return None


def run_fakes(pipeline: Pipeline, data: DataStore, report: Reporter) -> FakeAnalysis:
    """The analysis of the fakes of one CCD that went through scoring; found where it exists.

    Only the fakes and their analysis are kept. What is between is made for the analysis and forgotten. Sources, PSF,
    sky, WCS and zero point are those of the image without fakes, its reference is not warped again, and what a
    subtraction fits to pixels it fits to that image.
    """
    second = Pipeline(FAKES, configuration=pipeline.settings)
    tree = second.provenances(data)
    injecting, *between, analyzing = second.steps
    data = data.fork()
    original, before = data[DeepScoreSet], data[Detections]

    def keep(step: Step) -> None:
        with report.step(step.name) as entry:
            data.put(*second.one(step, data, tree, entry))
            entry["counts"] = data[step.outputs()[0]].counts()

    keep(injecting)
    if not data.find(type(analyzing), tree[analyzing.name]):
        with report.step("fakes: light"):
            data.put(Untouched(data[ScienceImage], data[WarpedImage]), injected(data))
        for step in between:
            with report.step(f"fakes: {step.name}"):
                data.put(*second.make(step, data))
        classes = (ScienceImage, DifferenceImage, Detections, MeasurementSet, DeepScoreSet, Background)
        merge = second.step("detection").parameters.peaks.merge_fwhm
        data.put(FakeRun(*(data[cls] for cls in classes), before, merge), original)
    keep(analyzing)
    return data[FakeAnalysis]


def injected(data: DataStore) -> ScienceImage:
    """A copy of the image, never saved, with the fakes in it; what they fill up is flagged as saturated."""
    image, fakes, psf = data[ScienceImage], data[FakeSet], data[PSF]
    values = {field.attname: getattr(image, field.attname) for field in image._meta.concrete_fields}
    copy = ScienceImage(**values)
    copy.exposure = image.exposure  # at hand, so that no step asks for it
    good = image.weight > 0
    variance = np.divide(1, image.weight, out=np.zeros_like(image.weight), where=good)
    model = PSFModel.from_planes(psf.planes, psf.model_header)
    rng = np.random.default_rng([fakes.random_seed, 1])  # other numbers than those that drew the places
    pixels, variance = inject(image.data, variance, data[Background].level, model, fakes.table, rng)
    copy.data, copy.flags = pixels, image.flags
    copy.weight = np.divide(1, variance, out=np.zeros_like(variance), where=good)
    if image.saturation:
        full = (pixels >= image.saturation) & (image.data < image.saturation)
        copy.flags = np.bitwise_or(image.flags, np.uint16(PixelFlag.SATURATED), out=image.flags.copy(), where=full)
    return copy
