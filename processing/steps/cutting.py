"""Cutting: stamps of new, reference and difference around each detection."""

from __future__ import annotations

from pydantic import field_validator

from processing.algorithms.stamps import cut_stamps
from processing.parameters import Parameters, param
from processing.step import Step
from products.models import Background, Cutouts, Detections, DifferenceImage, ScienceImage, WarpedImage
from products.pixel_flags import PixelFlag


class CuttingParameters(Parameters):
    size: int = param(51, ge=11, le=201, unit="px", help="Side of a stamp, odd.")

    @field_validator("size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the size of a stamp must be odd, so that it has a middle pixel")
        return value


class Cutting(Step):
    """Cut stamps around each detection; pixels beyond the image are 0 and flagged."""

    name = "cutting"
    version = (1, 0, 0)
    parameters: CuttingParameters

    def run(
        self,
        sources: Detections,
        difference: DifferenceImage,
        warped: WarpedImage,
        image: ScienceImage,
        background: Background,
    ) -> Cutouts:
        size, table = self.parameters.size, sources.table
        x, y = table["x"], table["y"]
        new, centres = cut_stamps(image.data - background.level, x, y, size=size)
        flags, _ = cut_stamps(image.flags | warped.flags, x, y, size=size, fill=int(PixelFlag.OUT_OF_BOUNDS))
        return Cutouts(
            sources=sources,
            n_cutouts=len(table),
            size=size,
            new=new,
            reference=cut_stamps(warped.data, x, y, size=size)[0],
            difference=cut_stamps(difference.data, x, y, size=size)[0],
            flags=flags,
            centres=centres.astype("i4"),
        )
