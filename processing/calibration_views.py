"""The page of a calibration: how good sources, PSF, sky, astrometry and photometry of an image are, and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from processing.errors import StepError
from processing.gate_figures import gate_rows
from products.errors import ArchiveError
from products.models import Image
from products.rendering import pixel_matrix
from products.selectors import trace
from products.selectors.tags import ChosenTag, chosen_tag
from products.views import calibration_plots as plots
from products.views.exposures import exposure_or_404
from products.views.images import bad_row


@require_safe
def ccd(request: HttpRequest, name: str, section: str) -> HttpResponse:
    """Of a CCD of an exposure."""
    tag = chosen_tag(request)
    exposure = exposure_or_404(name, tag)
    image = trace.science_image(exposure, section, tag)
    if image is None:
        raise Http404(f"{name} has no image of CCD {section} under the tag {tag.name}.")
    return render(request, "processing/calibration.html", page(image, tag) | {"exposure": exposure})


@require_safe
def image(request: HttpRequest, key: UUID) -> HttpResponse:
    """Of a coadd; CCDs go to their address."""
    found = get_object_or_404(Image.objects.select_related("exposure", "provenance"), pk=key)
    if found.kind == Image.Kind.SCIENCE:
        return redirect("ccd_calibration", name=found.exposure.name, section=found.section)
    if found.kind != Image.Kind.COADD:
        raise Http404("Only images of the sky are calibrated.")
    return render(request, "processing/calibration.html", page(found, chosen_tag(request)))


def page(found: Image, tag: ChosenTag) -> dict[str, Any]:
    """What the template shows."""
    tree = trace.tree(found, tag)
    chain = [(name, row) for name, row in tree.made if name in CHAIN]
    context: dict[str, Any] = {
        "image": found,
        "tree": tree,
        "lost": trace.light_lost(tree),
        "gates": gate_rows(tree),
        "badness": [bad_row(name, row) for name, row in chain if int(row.badness)],
        "troubles": [],
    }
    for part in (_stars, _psf, _sky):
        try:
            context |= part(tree)
        except (ArchiveError, OSError, KeyError, ValueError) as error:
            context["troubles"].append(f"A file cannot be read: {error}")
    return context


CHAIN = ("image", "sources", "psf", "background", "world_coordinates", "zero_point")


def _stars(tree: trace.Tree) -> dict[str, Any]:
    from processing.calibration_figures import star_figures

    if tree.zero_point is None:
        return {}
    try:
        found = star_figures(tree.zero_point, tree.image)
    except StepError as error:
        return {"no_stars": str(error)}
    stars, shape = found["stars"], tree.image.shape
    millis = [None if value is None else 1000 * value for value in stars["residual"]]
    mag = "AB magnitude of the catalogue"
    term = tree.zero_point.color_term
    shown = {"titles": (mag, "star − zero point"), "unit": "mmag"}
    color = shown | {"titles": ("colour of the catalogue (mag)", "star − zero point")}
    cells = found["cells"]

    def describe(j: int, i: int) -> str:
        error = cells["error"][j][i]
        return f" ± {1000 * error:.1f}, {cells['number'][j][i]} stars" if error else f", {cells['number'][j][i]} stars"

    means = [[None if value is None else 1000 * value for value in row] for row in cells["mean"]]
    # Against colour the term is put back, so that the line shows it.
    raw = [_with_term(value, c, term, found["color_pivot"]) for value, c in zip(millis, stars["color"])]
    return {
        "n_drawn": len(stars["mag"]),
        "n_matched": found["n"],
        "surface": found["surface"],
        "trend": [1000 * value for value in found["trend"]],
        "by_mag": plots.scatter(stars["mag"], millis, stars["used"], **shown),
        "by_color": plots.scatter(
            stars["color"], raw, stars["used"], slope=(1000 * term, found["color_pivot"]), **color
        ),
        "by_place": plots.cell_map(
            means, shape, name="stars − zero point", unit="mmag", decimals=1, around_zero=True,
            describe=describe,
        ),
        **{
            way: plots.scatter(stars["mag"], stars[way], stars["used"], titles=(mag, f"residual, {way}"), unit="mas")
            for way in ("east", "north")
        },
        "arrows": _arrows(tree, stars),
    }  # fmt: skip


def _with_term(value: float | None, color: float | None, term: float, pivot: float) -> float | None:
    return None if value is None or color is None else value + 1000 * term * (color - pivot)


def _arrows(tree: trace.Tree, stars: dict[str, Any]) -> plots.ArrowMap | None:
    matrix = pixel_matrix(tree.world_coordinates.header)
    return None if matrix is None else plots.arrow_map(stars, tree.image.shape, matrix)


def _psf(tree: trace.Tree) -> dict[str, Any]:
    from processing.calibration_figures import psf_map

    if tree.psf is None:
        return {}
    found, scale = psf_map(tree.psf, tree.image), tree.image.pixel_scale
    width = [[None if value is None else value * (scale or 1) for value in row] for row in found["fwhm"]]
    shape, unit = tree.image.shape, "″" if scale else "px"
    ellipticity = plots.cell_map(found["ellipticity"], shape, name="ellipticity", decimals=3)
    return {
        "fwhm": plots.cell_map(width, shape, name="FWHM", unit=unit, decimals=3),
        "ellipticity": ellipticity and plots.with_whiskers(ellipticity, found["ellipticity"], found["angle"]),
    }


def _sky(tree: trace.Tree) -> dict[str, Any]:
    from processing.calibration_figures import sky_map

    if tree.background is None:
        return {}
    found, shape = sky_map(tree.background), tree.image.shape
    return {
        "level": plots.cell_map(found["level"], shape, name="sky", unit="e⁻", decimals=1),
        "noise": plots.cell_map(found["rms"], shape, name="noise of the sky", unit="e⁻", decimals=2),
    }
