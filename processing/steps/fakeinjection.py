"""Fake injection: sources of known place and flux for an image."""

from __future__ import annotations

import numpy as np

from processing.algorithms.fakes import FakeParameters, draw_fakes
from processing.step import Step
from products.models import FakeSet, ScienceImage, SourceList, ZeroPoint


class FakeInjection(Step):
    """Draw the places and magnitudes of fakes for one image; `processing.fakes` puts them in."""

    name = "fakeinjection"
    version = (1, 1, 0)
    parameters: FakeParameters

    def run(self, image: ScienceImage, sources: SourceList, zero_point: ZeroPoint) -> FakeSet:
        table = draw_fakes(
            image.weight <= 0,
            sources.table,
            zero_point=zero_point.zp,
            limiting_magnitude=zero_point.limiting_magnitude,
            parameters=self.parameters,
        )
        table["flux"] *= 10 ** (0.4 * (zero_point.at(table["x"], table["y"]) - zero_point.zp))
        return FakeSet(
            zero_point=zero_point, table=np.asarray(table), n_fakes=len(table), random_seed=self.parameters.seed
        )
