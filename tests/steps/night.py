"""One CCD of a simulated night through every step, in memory: rows that are never saved, and the truth beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from django.db.models import ForeignKey, Model

from processing.algorithms.readout import Frames
from processing.algorithms.simulation_detector import bias_frame, flat_frame, read_out
from processing.algorithms.simulation_render import render
from processing.algorithms.sky import apply_proper_motion
from processing.datastore import DataStore
from processing.ephemerides.base import KnownBodies
from processing.fakes import injected
from processing.instruments.base import RawSection
from processing.instruments.demo import Demo
from processing.pipelines import (
    Alerting,
    AstroCal,
    BadPixelMaking,
    BiasMaking,
    Coaddition,
    CrosstalkMeasuring,
    Cutting,
    DarkMaking,
    Detection,
    Extraction,
    FakeAnalyzing,
    FakeInjection,
    FlatMaking,
    ForcedPhotometry,
    FringeMaking,
    IlluminationMaking,
    KnownObjects,
    LinearityMaking,
    Linking,
    Measuring,
    PhotoCal,
    Preprocessing,
    Scoring,
    Subtraction,
)
from processing.providers import Calibrators, CoaddInputs, ReferenceProducts, StarCatalog, Untouched
from processing.simulated_night import (
    Night,
    Shot,
    clear_zero_point,
    conditions_of,
    detector_of,
    frame_of,
    shots,
    sky_of,
    star_catalog,
    truth_of,
)
from processing.step import Step
from processing.steps.fakeanalysis import FakeRun
from processing.steps.forced import Places
from processing.steps.raw_stack import Corrections, RawStack
from products.models import Exposure, Reference
from products.models.files import FileBacked
from tests.factories import night_of_a_body
from tests.steps import calibration_frames as given

NIGHT = Night(ccds=1, side=512, bands=("r",), early=3, late=1, biases=5, flats=5, seed=5)
SECTION = "N1"
FLAT_LEVEL = 30_000.0

Products = dict[str, Any]  # the inputs of steps by name


def exposure_of(shot: Shot) -> Exposure:
    """The row of a shot, as an instrument would describe it."""
    row = Exposure(
        name=shot.name, kind=shot.kind, instrument="demo", mjd=shot.mjd, exposure_time=shot.exposure_time,
        filter=shot.band, telescope="small", project="demo", target="demo field", airmass=1.2,
    )  # fmt: skip
    return row.set_position(52.1, -27.8)


def raw_of(shot: Shot) -> RawSection:
    """Its raw pixels, with the pointing that the telescope believes."""
    detector = detector_of(NIGHT, SECTION, shot.band)
    rng = np.random.default_rng([7, len(shot.name), int(shot.mjd * 1e5) % 2**31])
    frame = frame_of(NIGHT, shot, SECTION) if shot.kind == "science" else None
    if shot.kind == "bias":
        data = bias_frame(detector, rng)
    elif shot.kind == "flat":
        data = flat_frame(detector, FLAT_LEVEL, rng, shot.exposure_time)
    else:
        expected, _ = render(sky_of(NIGHT), frame, shot.mjd)
        data = read_out(expected, detector, exposure_time=shot.exposure_time, rng=rng)
    header = expected_zero_point = None
    if frame is not None:
        found = conditions_of(NIGHT, shot)
        ra, dec = found.believed
        header = replace(frame.projection, ra=ra, dec=dec, rotation=found.believed_rotation, radial=0, tilt=0).header()
        expected_zero_point = clear_zero_point(shot.band, found.airmass)
    return RawSection(
        section=SECTION, filter=shot.band, data=data, amplifiers=detector.amplifiers, wcs=header,
        zero_point=expected_zero_point,
    )  # fmt: skip


def of_kind(kind: str) -> list[Shot]:
    return [shot for shot in shots(NIGHT) if shot.kind == kind]


def stack_of(kind: str) -> RawStack:
    found = of_kind(kind)
    frames = tuple(raw_of(shot) for shot in found)
    return RawStack(frames, tuple(exposure_of(shot) for shot in found), SECTION, found[0].band)


@dataclass
class Calls:
    """The inputs of the last run of each step, to run it again."""

    inputs: dict[type[Step], tuple[Step, Products]]
    outputs: dict[type[Step], Any]

    def run(self, step: Step, **inputs: Any) -> Any:
        """Run a step, and keep with what and what came out."""
        found = step.run(**inputs)
        self.inputs[type(step)], self.outputs[type(step)] = (step, inputs), found
        return found


class CCD:
    """Every product of one CCD, made when it is first asked for."""

    def __init__(self) -> None:
        self.calls = Calls({}, {})
        self.late = of_kind("science")[-1]
        self.early = of_kind("science")[:-1]

    @cached_property
    def bias(self) -> Any:
        return self.calls.run(BiasMaking(), raw=stack_of("bias"), corrections=Corrections())

    @cached_property
    def flat(self) -> Any:
        corrections = Corrections(Frames(bias=self.bias.data), ("bias",))
        return self.calls.run(FlatMaking(), raw=stack_of("flat"), corrections=corrections)

    @cached_property
    def calibrators(self) -> Calibrators:
        return Calibrators(Frames(bias=self.bias.data, flat=self.flat.data), Demo.corrections)

    def catalog(self, mjd: float) -> StarCatalog:
        """The stars of the survey at a date."""
        table = star_catalog(NIGHT)
        table["ra"], table["dec"] = apply_proper_motion(
            table["ra"], table["dec"], table["pmra"], table["pmdec"], 2026.0, mjd
        )
        return StarCatalog(table=table, origin="survey")

    def calibrated(self, image: Any) -> Products:
        """An image with its sources, PSF, sky, WCS and zero point."""
        sources, psf, background = self.calls.run(Extraction(), image=image)
        stars, camera = self.catalog(image.mjd_middle), Demo()
        world_coordinates = self.calls.run(AstroCal(), image=image, sources=sources, catalog=stars, instrument=camera)
        zero_point = self.calls.run(
            PhotoCal(), image=image, sources=sources, psf=psf, background=background,
            world_coordinates=world_coordinates, catalog=stars, instrument=camera,
        )  # fmt: skip
        return {
            "image": image, "sources": sources, "psf": psf, "background": background,
            "world_coordinates": world_coordinates, "zero_point": zero_point,
        }  # fmt: skip

    def preprocessed(self, shot: Shot) -> Any:
        return self.calls.run(
            Preprocessing(), exposure=exposure_of(shot), raw=raw_of(shot), calibrators=self.calibrators
        )

    @cached_property
    def components(self) -> CoaddInputs:
        parts = [self.calibrated(self.preprocessed(shot)) for shot in self.early]
        parts.sort(key=lambda part: part["psf"].fwhm_pixels)
        return CoaddInputs(tuple(ReferenceProducts(**part) for part in parts))

    @cached_property
    def coadd(self) -> Any:
        return self.calls.run(Coaddition(), inputs=self.components)

    @cached_property
    def made_of(self) -> ReferenceProducts:
        return ReferenceProducts(**self.calibrated(self.coadd))

    @cached_property
    def reference(self) -> Reference:
        image = self.coadd
        row = Reference(zero_point=self.made_of.zero_point, instrument="demo", filter=image.filter, section=SECTION)
        return row.set_footprint(np.array(image.corners))

    @cached_property
    def new(self) -> Products:
        """The searched image with its calibration."""
        self.made_of  # noqa: B018 - so that the last call of each step is that of the new image
        return self.calibrated(self.preprocessed(self.late))

    @cached_property
    def truth(self) -> np.ndarray:
        """What is in the searched image; `flux` is what changed."""
        return truth_of(NIGHT, exposure_of(self.late), SECTION)

    def subtracted(self, step: Step | None = None, **changed: Any) -> Products:
        """The new image with warped reference and difference."""
        inputs = {**self.new, "reference": self.reference, "made_of": self.made_of, "before": Untouched(), **changed}
        warped, difference = self.calls.run(step or Subtraction(), **inputs)
        return {**inputs, "warped": warped, "difference": difference}

    def searched(self, given: Products, detection: Detection | None = None) -> Products:
        """From a difference to alerts."""
        run, new = self.calls.run, {name: given[name] for name in ("image", "background")}
        detections = run(
            detection or Detection(), image=given["difference"],
            **{name: given[name] for name in ("world_coordinates", "zero_point")},
        )  # fmt: skip
        both = {"difference": given["difference"], "warped": given["warped"]}
        cutouts = run(Cutting(), sources=detections, **both, **new)
        measurement_set = run(
            Measuring(), cutouts=cutouts, sources=detections, **both, **new,
            **{name: given[name] for name in ("psf", "world_coordinates", "zero_point")},
        )  # fmt: skip
        score_set = run(Scoring(), measurement_set=measurement_set, cutouts=cutouts)
        known_set = run(KnownObjects(), measurement_set=measurement_set, bodies=KnownBodies())
        batch = run(Alerting(), score_set=score_set, measurement_set=measurement_set, known_set=known_set)
        return {
            **given, "detections": detections, "cutouts": cutouts, "measurement_set": measurement_set,
            "score_set": score_set, "batch": batch,
        }  # fmt: skip

    @cached_property
    def found(self) -> Products:
        """Everything from the new image to its alerts."""
        return self.searched(self.subtracted())

    @cached_property
    def fakes(self) -> Any:
        names = ("image", "sources", "psf", "zero_point")
        return self.calls.run(FakeInjection(count=40), **{name: self.new[name] for name in names})

    @cached_property
    def found_with_fakes(self) -> Products:
        """The same from an image with fakes in it."""
        other = CCD()
        store = DataStore(self.new["image"], self.fakes, self.new["psf"], self.new["background"])
        given = {**self.found, "image": injected(store)}
        warped, difference = Subtraction().run(
            **{name: given[name] for name in (*self.new, "reference", "made_of")},
            before=Untouched(self.new["image"], self.found["warped"]),
        )
        return other.searched({**given, "warped": warped, "difference": difference})

    @cached_property
    def analysis(self) -> Any:
        return self.calls.run(
            FakeAnalyzing(),
            fake_set=self.fakes,
            score_set=self.found["score_set"],
            found=self.run_of(self.found_with_fakes),
        )

    def run_of(self, given: Products) -> FakeRun:
        """What the analysis of fakes takes of an image with fakes."""
        names = ("image", "difference", "detections", "measurement_set", "score_set", "background")
        merge = Detection().parameters.peaks.merge_fwhm
        return FakeRun(*(given[name] for name in names), self.found["detections"], merge)

    @cached_property
    def forced(self) -> list[Any]:
        """Fluxes at the places of everything in the truth of the searched image."""
        given = self.found
        ra, dec = given["world_coordinates"].wcs.all_pix2world(self.truth["x"], self.truth["y"], 0)
        point = {name: given[name] for name in ("world_coordinates", "zero_point")}
        return self.calls.run(ForcedPhotometry(), image=given["difference"], places=Places(ra, dec), **point)

    @cached_property
    def moving(self) -> Any:
        """The tracklets of a body that four exposures of a night saw."""
        return self.calls.run(Linking(), night=night_of_a_body(self.late.mjd))

    @cached_property
    def detector(self) -> None:
        """What is measured of a CCD of a real camera."""
        ccd = given.ccd_of()
        self.calls.run(DarkMaking(), raw=given.darks(), corrections=given.truly(ccd, "bias", "linearity"))
        sky = given.truly(ccd, "crosstalk", "bias", "linearity", "flat", flat=ccd.response)
        for step in (FringeMaking(), IlluminationMaking()):
            self.calls.run(step, raw=given.night_skies(0.02, 5), corrections=sky)
        self.calls.run(
            BadPixelMaking(), raw=given.flats((5e3, 4e4) * 3), corrections=given.truly(ccd, "bias", "linearity")
        )
        self.calls.run(LinearityMaking(), raw=given.ramp(), corrections=given.truly(ccd, "crosstalk", "bias"))
        self.calls.run(CrosstalkMeasuring(), raw=given.starry(), corrections=Corrections())

    def everything(self) -> Calls:
        """Run every step; the inputs and outputs of the last run of each."""
        self.found, self.analysis, self.forced, self.moving, self.detector  # noqa: B018
        return self.calls


def fingerprint(thing: Any, identity: bool = True) -> Any:
    """All that a product or an input is, bit for bit; without `identity` two runs that made the same look alike."""
    if isinstance(thing, Model):
        skipped = {"created_at"} | (set() if identity else {"id"})
        columns = {
            field.attname: getattr(thing, field.attname)
            for field in thing._meta.concrete_fields
            if field.attname not in skipped and (identity or not isinstance(field, ForeignKey))
        }
        planes = thing.plane_declarations() if isinstance(thing, FileBacked) else {}
        arrays = {name: fingerprint(getattr(thing, name)) for name in planes}
        rows = [fingerprint(row, identity) for row in getattr(thing, "rows", [])]
        return type(thing).__name__, repr(columns), arrays, rows, repr(getattr(thing, "related", None))
    if isinstance(thing, np.ndarray):
        return thing.shape, str(thing.dtype), hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
    if is_dataclass(thing):
        return [fingerprint(getattr(thing, field.name), identity) for field in fields(thing)]
    if isinstance(thing, tuple | list):
        return [fingerprint(part, identity) for part in thing]
    return repr(thing)
