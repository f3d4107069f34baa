"""The whole system on one screen: which steps, in which order."""

from __future__ import annotations

from processing.steps.alerting import Alerting
from processing.steps.astrocal import AstroCal
from processing.steps.calibrating import BiasMaking, DarkMaking, FlatMaking
from processing.steps.calibrating_detector import BadPixelMaking, CrosstalkMeasuring, LinearityMaking
from processing.steps.calibrating_sky import FringeMaking, IlluminationMaking
from processing.steps.coaddition import Coaddition
from processing.steps.cutting import Cutting
from processing.steps.detection import Detection
from processing.steps.extraction import Extraction
from processing.steps.fakeanalysis import FakeAnalyzing
from processing.steps.fakeinjection import FakeInjection
from processing.steps.forced import ForcedPhotometry
from processing.steps.knownobjects import KnownObjects
from processing.steps.linking import Linking
from processing.steps.measuring import Measuring
from processing.steps.photocal import PhotoCal
from processing.steps.preprocessing import Preprocessing
from processing.steps.referencing import Referencing
from processing.steps.scoring import Scoring
from processing.steps.subtraction import Subtraction

SCIENCE = (
    Preprocessing,
    Extraction,
    AstroCal,
    PhotoCal,
    Referencing,
    Subtraction,
    Detection,
    Cutting,
    Measuring,
    Scoring,
    KnownObjects,
    Alerting,
)
COADD = (Coaddition, Extraction, AstroCal, PhotoCal)
FAKES = (FakeInjection, Subtraction, Detection, Cutting, Measuring, Scoring, FakeAnalyzing)
CALIBRATION = (
    BiasMaking,
    DarkMaking,
    FlatMaking,
    FringeMaking,
    IlluminationMaking,
    BadPixelMaking,
    LinearityMaking,
    CrosstalkMeasuring,
)
FORCED = (ForcedPhotometry,)
NIGHT = (Linking,)
STEPS = tuple(dict.fromkeys((*CALIBRATION, *SCIENCE, *COADD, *FAKES, *FORCED, *NIGHT)))
