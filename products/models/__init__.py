"""Every model of the archive."""

from products.models.alerts import Alert, AlertBatch, AlertEvent, Label
from products.models.badness import Badness
from products.models.calibrations import WorldCoordinates, ZeroPoint
from products.models.calibrators import CalibratorFile, DataFile
from products.models.catalogs import CatalogCell, CatalogExcerpt
from products.models.cutouts import Cutouts
from products.models.exposures import Exposure
from products.models.fakes import FakeAnalysis, FakeKind, FakeLoss, FakeSet
from products.models.forced import ForcedFlux, ForcedRequest
from products.models.images import (
    CoaddImage,
    DifferenceImage,
    Image,
    ScienceImage,
    WarpedImage,
)
from products.models.masters import (
    BadPixelMask,
    FringePattern,
    IlluminationCorrection,
    MasterBias,
    MasterDark,
    MasterFlat,
)
from products.models.measurements import Measurement, MeasurementSet
from products.models.moving import KnownObject, KnownObjectSet, OrbitCatalog, Tracklet, TrackletSet
from products.models.objects import Object, ObjectName, ObjectPosition
from products.models.provenance import CodeVersion, Provenance, ProvenanceTag, RefSet
from products.models.references import Reference
from products.models.reports import ProvenanceSet, Report
from products.models.scores import DeepScore, DeepScoreSet
from products.models.sensors import SensorSection
from products.models.sources import PSF, Background, Detections, SourceList

__all__ = [
    "PSF",
    "Alert",
    "AlertBatch",
    "AlertEvent",
    "Background",
    "BadPixelMask",
    "Badness",
    "CalibratorFile",
    "CatalogCell",
    "CatalogExcerpt",
    "CoaddImage",
    "CodeVersion",
    "Cutouts",
    "DataFile",
    "DeepScore",
    "DeepScoreSet",
    "Detections",
    "DifferenceImage",
    "Exposure",
    "FakeAnalysis",
    "FakeKind",
    "FakeLoss",
    "FakeSet",
    "ForcedFlux",
    "ForcedRequest",
    "FringePattern",
    "IlluminationCorrection",
    "Image",
    "KnownObject",
    "KnownObjectSet",
    "Label",
    "MasterBias",
    "MasterDark",
    "MasterFlat",
    "Measurement",
    "MeasurementSet",
    "Object",
    "ObjectName",
    "ObjectPosition",
    "OrbitCatalog",
    "Provenance",
    "ProvenanceSet",
    "ProvenanceTag",
    "RefSet",
    "Reference",
    "Report",
    "ScienceImage",
    "SensorSection",
    "SourceList",
    "Tracklet",
    "TrackletSet",
    "WarpedImage",
    "WorldCoordinates",
    "ZeroPoint",
]
