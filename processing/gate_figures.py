"""The figures of an image beside the limits of the quality gates that they passed, or did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from products.selectors.trace import Tree, light_lost

# Step, its limit → words, unit, name among what the product counts, factor, decimals.
GATES: dict[tuple[str, str], tuple[str, str, str, float, int]] = {
    ("extraction", "max_seeing"): ("seeing", "″", "seeing_arcsec", 1, 2),
    ("extraction", "max_ellipticity"): ("ellipticity of the stars", "", "ellipticity", 1, 3),
    ("extraction", "min_stars"): ("stars of the PSF", "", "psf_stars", 1, 0),
    ("extraction", "max_chi2"): ("χ² of the stars of the PSF", "", "psf_chi2", 1, 2),
    ("extraction", "min_sources"): ("sources", "", "sources", 1, 0),
    ("extraction", "max_crowding"): ("sources in a circle of one FWHM", "", "crowding", 1, 3),
    ("extraction", "max_masked"): ("part of the pixels that is masked", "", "masked_percent", 0.01, 4),
    ("extraction", "max_sky_noise"): ("noise of the sky", "e⁻", "noise", 1, 2),
    ("extraction", "max_noise_excess"): ("noise of the sky over that of its photons", "", "noise_excess", 1, 3),
    ("extraction", "min_empty"): ("part of the image without objects", "", "empty", 1, 3),
    ("extraction", "max_sky_residual"): ("mean of the empty pixels, ±", "σ", "sky_residual", 1, 4),
    ("astrocal", "max_residual"): ("astrometric residual per axis", "px", "wcs_rms_arcsec", 1, 3),
    ("astrocal", "min_matches"): ("matched stars", "", "wcs_matches", 1, 0),
    ("astrocal", "max_error"): ("error of the WCS if one star is wrong", "px", "wcs_largest_error_arcsec", 1, 3),
    ("photocal", "max_scatter"): ("scatter of bright stars", "mag", "zp_scatter", 1, 4),
    ("photocal", "max_error"): ("error of the zero point", "mag", "zp_error", 1, 4),
    ("photocal", "min_agreeing"): ("part of the stars that agree", "", "zp_agreeing", 1, 3),
    ("photocal", "max_aperture_excess"): ("light within 1.5 FWHM beyond the PSF flux", "mag", "aperture_excess", 1, 3),
    ("photocal", "max_light_lost"): ("light lost on the way", "mag", "light_lost", 1, 3),
    ("photocal", "max_light_gained"): ("light gained on the way", "mag", "light_lost", -1, 3),
    ("photocal", "max_variation"): ("variation of the zero point over the image", "mag", "zp_variation", 1, 4),
}
_PRODUCTS = {"extraction": "sources", "astrocal": "world_coordinates", "photocal": "zero_point"}


@dataclass(frozen=True)
class GateRow:
    """One figure and its limit; None where nobody set one, or nothing is known."""

    step: str
    words: str
    unit: str
    value: float | None
    limit: float | None
    is_least: bool
    decimals: int

    @property
    def fails(self) -> bool:
        """Whether the limit is broken."""
        if self.value is None or self.limit is None:
            return False
        return self.value < self.limit if self.is_least else self.value > self.limit


def gate_rows(tree: Tree) -> list[GateRow]:
    """Every figure that decides, in the order of the steps that made the image's calibration."""
    products = {step: found for step, name in _PRODUCTS.items() if (found := getattr(tree, name)) is not None}
    figures = {step: _figures(tree, step, product) for step, product in products.items()}
    rows = []
    for (step, name), (words, unit, key, factor, decimals) in GATES.items():
        if step not in products:
            continue
        limits = products[step].provenance.parameters.get("gates") or {}
        value = figures[step].get(key)
        if unit == "px":
            value = value / tree.image.pixel_scale if value is not None and tree.image.pixel_scale else None
        value = None if value is None else factor * value
        rows.append(GateRow(step, words, unit, value, limits.get(name), name.startswith("min_"), decimals))
    return rows


def _figures(tree: Tree, step: str, product: Any) -> Mapping[str, Any]:
    """What a product says of itself."""
    columns = dict(product.counts())
    if step == "extraction":
        columns |= {key: value for row in (tree.psf, tree.background) if row for key, value in row.counts().items()}
        if (left := columns.get("residual_sigma")) is not None:
            columns["sky_residual"] = abs(left)
        if tree.psf:
            columns |= {"psf_stars": tree.psf.n_stars, "psf_chi2": tree.psf.chi2}
            columns |= (
                {"seeing_arcsec": tree.psf.fwhm_pixels * tree.image.pixel_scale} if tree.image.pixel_scale else {}
            )
    if step == "photocal":
        columns["zp_error"] = product.zp_error
        if (lost := light_lost(tree)) is not None:
            columns["light_lost"] = lost
    return columns
