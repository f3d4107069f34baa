"""A small field, spoilt, through extraction, astrometry and photometry: what comes out is right, or says it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from processing.errors import StepError
from processing.instruments.demo import Demo
from processing.pipelines import AstroCal, Extraction, PhotoCal
from processing.providers import StarCatalog
from products.models import Badness, CoaddImage, Exposure, ScienceImage
from tests.benchmarks._calibration_fields import MJD, CalibrationField, at_epoch, calibration_field


@dataclass
class Outcome:
    """How far a field came."""

    products: dict[str, Any] = field(default_factory=dict)
    error: StepError | None = None
    step: str = ""  # in which the error was raised
    warnings: list[str] = field(default_factory=list)

    def bits(self, *names: str) -> Badness:
        """Of some products, or all, together."""
        found = Badness(0)
        for name in names or self.products:
            found |= Badness(self.products[name].badness_own)
        return found


def small_field(seed: int = 41, name: str = "ls4", **changes: Any) -> CalibrationField:
    """512 × 512 pixels of a camera, with 330 stars in the catalogue."""
    return calibration_field(name, seed, **{"shape": (512, 512), "fwhm": 3.0, **changes})


def image_of(sky: CalibrationField, kind: type = ScienceImage, **changed: Any) -> ScienceImage | CoaddImage:
    planes = {name: changed.get(name, getattr(sky, name)) for name in ("data", "weight", "flags")}
    header = changed.get("header", sky.header)
    own = {"section": "1"}
    if kind is ScienceImage:
        own["exposure"] = Exposure(name="field", instrument="demo", mjd=MJD, exposure_time=60.0, filter="r")
    return kind(
        **planes, **own, width=planes["data"].shape[1], height=planes["data"].shape[0],
        wcs=header.tostring(sep="\n"), pixel_scale=sky.camera.scale, saturation=sky.camera.full_well, filter="r",
        instrument="demo", mjd=MJD, exposure_time=60.0, mjd_end=MJD + 60 / 86400,
    )  # fmt: skip


def calibrated(sky: CalibrationField, kind: type = ScienceImage, **changed: Any) -> Outcome:
    """The field, with other planes, header or catalogue, through the three steps."""
    image, found = image_of(sky, kind, **changed), Outcome()
    catalog = StarCatalog(changed.get("catalog", at_epoch(sky.catalog)), "simulated")
    for step, names in (
        (Extraction(injected=0), ("sources", "psf", "background")),
        (AstroCal(), ("world_coordinates",)),
        (PhotoCal(), ("zero_point",)),
    ):
        given = {"image": image, "catalog": catalog, "instrument": Demo(), **found.products}
        try:
            made = step.run(**{name: given[name] for name in step.inputs()})
        except StepError as error:
            found.error, found.step = error, step.name
            break
        found.products |= dict(zip(names, made if isinstance(made, tuple) else (made,)))
        found.warnings += step.warnings()
    ensure_honest(found, sky)
    return found


def ensure_honest(found: Outcome, sky: CalibrationField) -> None:
    """What ended in an error says so with figures in one line; what did not is right, or marked as bad."""
    if found.error is not None:
        line = str(found.error)
        assert any(c.isdigit() for c in line) and "\n" not in line and found.error.details, line
    if (solution := found.products.get("world_coordinates")) and not solution.badness_own:
        assert wcs_error(solution, sky) < 0.5
    if (zero_point := found.products.get("zero_point")) and not zero_point.badness_own:
        assert abs(zero_point.zp - sky.camera.zero_point) < 0.06 + 3 * zero_point.zp_error


def wcs_error(solution, sky: CalibrationField) -> float:
    """px, the largest on the image."""
    ny, nx = sky.data.shape
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7)))
    at = sky.frame.projection.pixels(*solution.wcs.all_pix2world(x, y, 0))
    return float(np.hypot(at[0] - x, at[1] - y).max())


def assert_says(found: Outcome, what: str) -> None:
    with pytest.raises(StepError, match=what):
        raise found.error
