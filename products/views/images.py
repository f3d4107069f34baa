"""The viewer of one image: planes, detections, mask bits, numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from products import rendering
from products.errors import ArchiveError
from products.models import Image, Measurement
from products.models.badness import Badness
from products.selectors import candidates, moving, trace
from products.selectors.exposures import ccds
from products.selectors.tags import ChosenTag, chosen_tag
from products.views.exposures import exposure_or_404

SHOWN = ("exposure", "provenance", "alignment_target__exposure")  # with an image that has no name
SHOWN_WITH_NEW = {Image.Kind.DIFFERENCE: "difference", Image.Kind.WARPED: "reference"}  # as which of its planes
GRID = 9  # points a side at which the script knows the sky


@dataclass(frozen=True)
class Plane:
    """One picture of the viewer."""

    name: str
    label: str
    image: Image
    plane: str


def planes_of(found: trace.Tree) -> list[Plane]:
    """What there is to look at."""
    label = "New" if found.image.kind == Image.Kind.SCIENCE else found.image.kind.capitalize()
    planes = [Plane("new", label, found.image, "data")]
    if found.warped:
        planes.append(Plane("reference", "Reference", found.warped, "data"))
    if found.difference:
        planes.append(Plane("difference", "Difference", found.difference, "data"))
        planes.append(Plane("score", "Score", found.difference, "score"))
        planes.append(Plane("limit", "5σ limit", found.difference, "limit"))
    return planes


@require_safe
def ccd(request: HttpRequest, name: str, section: str) -> HttpResponse:
    """The viewer of a CCD of an exposure."""
    tag = chosen_tag(request)
    exposure = exposure_or_404(name, tag)
    image = trace.science_image(exposure, section, tag)
    rows = ccds(exposure, tag)
    sections = sorted(row.section for row in rows if row.is_tried)
    if section not in sections:
        raise Http404(f"{name} has no CCD {section} under the tag {tag.name}.")
    if image is None:
        return redirect("report", name=name, section=section)
    at = sections.index(section)
    context = viewer(request, image, tag) | {
        "exposure": exposure,
        "before": sections[at - 1] if at else "",
        "after": sections[at + 1] if at + 1 < len(sections) else "",
        "report": next(row.report for row in rows if row.section == section),
    }
    return render(request, "products/image.html", context)


@require_safe
def image(request: HttpRequest, key: UUID) -> HttpResponse:
    """The viewer of an image that has no name: a coadd, a master frame; science images go to their address."""
    found = get_object_or_404(Image.objects.select_related(*SHOWN), pk=key)
    if found.kind == Image.Kind.SCIENCE:
        return redirect("ccd", name=found.exposure.name, section=found.section)
    if plane := SHOWN_WITH_NEW.get(found.kind):
        new = found.zero_point.image
        return redirect(f"{reverse('ccd', args=[new.exposure.name, new.section])}?plane={plane}")
    return render(request, "products/image.html", viewer(request, found, chosen_tag(request)))


def viewer(request: HttpRequest, found: Image, tag: ChosenTag) -> dict[str, Any]:
    """What the viewer's template shows of an image."""
    tree = trace.tree(found, tag)
    planes = planes_of(tree)
    asked = request.GET.get("plane", "new")
    shown = next((plane for plane in planes if plane.name == asked), planes[0])
    stretch = request.GET.get("stretch", "asinh")
    rows = marks(tree, tag)
    index = request.GET.get("detection", "")
    chosen = next((row for row in rows if str(row.index_in_sources) == index), rows[0] if rows and not index else None)
    if chosen:
        moving.with_known([chosen], chosen_tag(request))
    trouble = ""
    try:
        shares = rendering.mask_shares(found)
    except (ArchiveError, OSError) as error:
        shares, trouble = [], str(error)
    marks_on = set(request.GET.get("marks", "kept,cut").split(","))
    header = tree.world_coordinates.header if tree.world_coordinates else found.wcs
    return {
        "image": found,
        "tree": tree,
        "planes": planes,
        "shown": shown,
        "stretch": stretch if stretch in rendering.STRETCHES else "asinh",
        "stretches": rendering.STRETCHES,
        "kept": [row for row in rows if not row.is_bad],
        "cut": [row for row in rows if row.is_bad],
        "chosen": chosen,
        "card": candidates.candidates([chosen], request.user)[0] if chosen else None,
        "shares": shares,
        "layers": layers(tree),
        "on": marks_on,
        "masks_on": set(request.GET.get("masks", "").split(",")),
        "trouble": trouble,
        "sky": sky_grid(found, header),
        "lost": trace.light_lost(tree),
        "calibrators": found.calibrators.order_by("kind"),
        "badness": [bad_row(name, row) for name, row in tree.made if int(row.badness)],
        "cut_counts": cut_counts(tree),
        "pictured": pictured(found),
        "factor": rendering.bin_factor(found),
        "map": [round(96 * side / max(found.width, found.height)) for side in (found.width, found.height)],
        "seeing": tree.psf.fwhm_pixels * found.pixel_scale if tree.psf and found.pixel_scale else found.fwhm,
        "size": tree.cutouts.size if tree.cutouts else 51,
        "mark": max(6.0, 0.012 * max(found.width, found.height)),
    }


def layers(tree: trace.Tree) -> list[tuple[str, str, str]]:
    """(kind, words, how many) of the marks that the script loads when they are switched on."""
    found = []
    if tree.sources:
        found.append(("stars", "PSF stars", f"{tree.sources.n_stars}"))
    if tree.world_coordinates:
        found.append(("catalog", "catalogue stars", f"{tree.world_coordinates.n_matches} used"))
    if tree.fakes:
        found.append(("fakes", "fakes", f"{tree.fakes.n_kept}/{tree.fakes.fake_set.n_fakes}"))
    if tree.measurement_set and (lost := tree.measurement_set.n_measured - tree.measurement_set.n_saved) > 0:
        found.append(("unsaved", "detected, not saved", f"{lost}"))
    return found


def bad_row(name: str, row: Any) -> dict[str, str]:
    """What is wrong with a product: its own bits, those that it inherits, and what people wrote about it."""
    own, inherited = Badness(row.badness_own), Badness(row.badness_upstream & ~row.badness_own)
    return {"name": name, "own": own.label, "inherited": inherited.label, "why": row.description}


def cut_counts(tree: trace.Tree) -> list[tuple[str, int]]:
    """(cut, detections that failed it), the one that failed most first."""
    counts = tree.measurement_set.cut_counts if tree.measurement_set else {}
    return sorted(((name, n) for name, n in counts.items() if n), key=lambda pair: -pair[1])


def pictured(found: Image) -> tuple[int, int]:
    """Width and height, in pixels of the image, of what its preview shows: whole bins, from the lower left."""
    factor = rendering.bin_factor(found)
    return found.width // factor * factor, found.height // factor * factor


def marks(tree: trace.Tree, tag: ChosenTag) -> list[Measurement]:
    """The measurements on the image, kept ones first, by score."""
    if tree.measurement_set is None:
        return []
    rows = candidates.with_score(candidates.with_source(tree.measurement_set.measurements.all()), tag)
    found = sorted(rows, key=lambda row: (row.is_bad, -(row.score or 0), row.index_in_sources))
    for row in found:
        row.shown_y = row.measurement_set.cutouts.sources.image.height - row.y - 0.5
        row.shown_x = row.x + 0.5
    return found


def sky_grid(image: Image, header: str) -> dict[str, Any] | None:
    """Positions (degrees) on a grid of pixels for the readout, and the angles of north and east on the screen."""
    from astropy.io import fits as astropy_fits
    from astropy.wcs import WCS

    if not header:
        return None
    try:
        wcs = WCS(astropy_fits.Header.fromstring(header, sep="\n")).celestial
        x, y = np.meshgrid(np.linspace(0, image.width - 1, GRID), np.linspace(0, image.height - 1, GRID))
        ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
        matrix = wcs.pixel_scale_matrix
        north, east = np.linalg.solve(matrix, (0.0, 1.0)), np.linalg.solve(matrix, (1.0, 0.0))
    except (ValueError, astropy_fits.VerifyError, np.linalg.LinAlgError):
        return None
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        return None
    ra = ra[0] + (ra - ra[0] + 180) % 360 - 180
    # SVG turns clockwise and its y points down; the arrow of the drawing points up.
    return {
        "grid": GRID,
        "ra": np.round(ra, 7).tolist(),
        "dec": np.round(dec, 7).tolist(),
        "north": round(float(np.degrees(np.arctan2(north[0], north[1]))), 1),
        "east": round(float(np.degrees(np.arctan2(east[0], east[1]))), 1),
    }
