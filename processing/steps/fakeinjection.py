"""Fake injection: sources of known place and flux for an image."""

from __future__ import annotations

import hashlib

import numpy as np

from processing.algorithms.fakes import FakeParameters, Scene, draw_fakes
from processing.step import Step
from products.models import PSF, FakeSet, ScienceImage, SourceList, ZeroPoint


class FakeInjection(Step):
    """Draw the places and magnitudes of fakes for one image; `processing.fakes` puts them in."""

    name = "fakeinjection"
    version = (1, 2, 0)
    parameters: FakeParameters

    def run(self, image: ScienceImage, sources: SourceList, psf: PSF, zero_point: ZeroPoint) -> FakeSet:
        scene = Scene(image.weight <= 0, zero_point.at, zero_point.limiting_magnitude, psf.fwhm_pixels)
        seed = self.parameters.seed or seed_of(image)
        table = draw_fakes(scene, sources.table, self.parameters, seed)
        return FakeSet(zero_point=zero_point, table=np.asarray(table), n_fakes=len(table), random_seed=seed)


def seed_of(image: ScienceImage) -> int:
    """A seed that follows from what the image is of, not from when it is processed: 63 bits."""
    identity = f"{image.instrument} {image.section} {image.filter} {image.mjd:.8f}"
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") >> 1
