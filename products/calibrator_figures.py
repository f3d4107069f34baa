"""Figures of quality of calibrators as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Key → what it is, what it is multiplied by, its unit, its format.
_FIGURES: dict[str, tuple[str, float, str, str]] = {
    "frames": ("frames in it", 1, "", ",.0f"),
    "rejected": ("frames left out", 1, "", ",.0f"),
    "level": ("level", 1, "", ".5g"),
    "noise": ("noise of a pixel", 1, "", ".3g"),
    "noise_ratio": ("scatter of the frames over their noise", 1, "", ".3f"),
    "amplifier_step": ("step between amplifiers that it takes away", 100, "%", ".2f"),
    "focal_plane": ("level over that of the focal plane", 1, "", ".4f"),
    "amplitude": ("amplitude of the pattern", 100, "% of the sky", ".3f"),
    "hot": ("pixels with much dark current", 100, "%", ".3f"),
    "shortest": ("shortest exposure", 1, "s", ".4g"),
    "longest": ("longest exposure", 1, "s", ".4g"),
    "lowest": ("lowest correction", 1, "", ".4f"),
    "highest": ("highest correction", 1, "", ".4f"),
    "flagged": ("flagged pixels", 100, "%", ".3f"),
    "residual": ("residual (rms)", 100, "%", ".3f"),
    "largest_residual": ("largest residual", 100, "%", ".3f"),
    "correction": ("largest correction", 100, "%", ".2f"),
    "reach": ("highest level that was measured", 100, "% of full well", ".0f"),
    "lamp_drift": ("change of the lamp", 100, "%", ".2f"),
    "pairs": ("pairs of amplifiers", 1, "", ",.0f"),
    "unknown": ("pairs with too few bright pixels", 1, "", ",.0f"),
    "largest": ("largest coefficient", 1e4, "10⁻⁴", ".2f"),
    "error": ("typical error", 1e4, "10⁻⁴", ".2f"),
}
_UNITS = {  # of level and noise
    "bias": "ADU", "dark": "ADU/s", "flat": "", "fringe": "", "illumination": "",
}  # fmt: skip
_LEVELS = {"flat": "electron", "fringe": "electron", "illumination": "electron"}


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    text: str
    unit: str


def figures_of(kind: str, quality: Mapping[str, Any]) -> list[Figure]:
    """The figures of a calibrator that are single numbers or answers, those that are known first."""
    found = [one for key in _FIGURES if (one := _figure(kind, key, quality.get(key))) is not None]
    for key, value in quality.items():
        if key not in _FIGURES and isinstance(value, int | float | str):
            text = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
            found.append(Figure(key.replace("_", " "), text[:80], ""))
    return found


def _figure(kind: str, key: str, value: Any) -> Figure | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    name, factor, unit, form = _FIGURES[key]
    if key == "noise":
        unit = _UNITS.get(kind, "")
    if key == "level":
        unit = _LEVELS.get(kind) or _UNITS.get(kind, "")
    return Figure(name, f"{value * factor:{form}}".replace("-", "−"), unit)
