"""Simulated nights as training material, in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.errors import StepError
from processing.side_by_side import work_off
from processing.training.chain import Chain
from processing.training.fields import draw_field
from processing.training.labels import label
from processing.training.material import Material

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Nights:
    """Material of several nights, and why some gave none."""

    parts: tuple[Material, ...]
    failed: Mapping[int, str]  # seed → what was wrong


def simulate(
    seeds: Sequence[int], *, side: int, configuration: Mapping[str, Any] | None, numprocs: int, tick: Tick
) -> Nights:
    """Run the pipeline on the field of each seed; a night that it refuses is noted and left out."""
    found: dict[int, Material] = {}
    failed: dict[int, str] = {}
    jobs = [(seed, side, configuration) for seed in seeds]
    for index, outcome in work_off(night_of, jobs, numprocs):
        if isinstance(outcome, StepError):
            failed[seeds[index]] = str(outcome)
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            found[index] = outcome
        tick(str(seeds[index]))
    return Nights(tuple(found[index] for index in sorted(found)), failed)


def night_of(seed: int, side: int, configuration: Mapping[str, Any] | None) -> Material:
    """The labelled candidates of one night."""
    field = draw_field(seed, side)
    found = Chain(configuration).run(field)
    return Material.made(found.candidates, np.asarray(label(field, found)), field.name)
