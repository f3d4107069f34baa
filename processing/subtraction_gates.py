"""Quality gates of a subtraction: the score on empty sky, what is left of stars, flux ratio and registration."""

from __future__ import annotations

from collections.abc import Mapping

from processing.gates import Gate
from processing.parameters import Parameters, param
from products.models import Badness


class SubtractionGates(Parameters):
    """Limits of a difference. Beyond one the next method is tried; the best of all is kept, bad if it fails too."""

    max_score_std: float | None = param(1.1, gt=1, unit="sigma", help="Scatter of the score on empty sky.")
    min_score_std: float | None = param(0.9, gt=0, lt=1, unit="sigma", help="The same, from below.")
    max_score_mean: float | None = param(0.25, gt=0, unit="sigma", help="Mean of the score on empty sky, either sign.")
    max_residual_ratio: float | None = param(
        0.06, gt=0, help="What is left of stars, relative to their flux: more where PSFs are wrong."
    )
    max_flux_ratio_error: float | None = param(
        0.05, gt=0, help="How far the flux ratio of the stars may be from that of the zero points, relative."
    )
    max_registration: float | None = param(
        0.3, gt=0, unit="px", help="Shift, with its scatter, between the stars of the two images."
    )


def gates_of(quality: Mapping[str, float], limits: SubtractionGates) -> list[Gate]:
    """The figures of a difference (`SubtractionMethod` names them) beside their limits."""
    p, bad = limits, Badness.BAD_SUBTRACTION
    std, mean = quality["score_std"], abs(quality["score_mean"])
    apart = abs(quality["flux_ratio_over_zero_points"] - 1)
    shift = max(quality["registration_x"], quality["registration_y"])
    return [
        Gate("scatter of the score on empty sky", std or None, bad, most=p.max_score_std, least=p.min_score_std),
        Gate("mean of the score on empty sky", mean, bad, most=p.max_score_mean, unit="sigma"),
        Gate("part of the stars' flux that is left", quality["residual_ratio"], bad, most=p.max_residual_ratio),
        Gate("flux ratio of the stars over that of the zero points, off by", apart, bad, most=p.max_flux_ratio_error),
        Gate("shift between the images", shift, bad, most=p.max_registration, unit="px"),
    ]


def excess(gates: list[Gate]) -> float:
    """How far beyond its limit the worst figure is: 1 is at the limit, 0 where there is no limit."""
    return max((_ratio(gate) for gate in gates), default=0.0)


def _ratio(gate: Gate) -> float:
    above = gate.value / gate.most if gate.value is not None and gate.most else 0.0
    below = gate.least / gate.value if gate.value and gate.least else 0.0
    return max(above, below)
