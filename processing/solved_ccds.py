"""Astrometric solutions of the archive, as the fit of a focal plane wants them."""

from __future__ import annotations

from collections.abc import Sequence

from astropy.io import fits

from processing.algorithms.wcs_fit import wcs_from_header
from processing.errors import BadInput
from processing.instruments.distortion_tables import LearntDistortion, learn
from processing.instruments.focal_plane import similarity
from processing.instruments.focal_plane_fit import SolvedCcd
from products.models import Exposure, Image, WorldCoordinates
from products.selectors.tags import of_name
from products.services.tagging import refuse_unknown

_MATCHES = 60  # of a solution that tells of distortion


def solved_ccds(instrument: str, exposures: Sequence[Exposure], tag: str) -> list[SolvedCcd]:
    """The solved CCDs of exposures under a tag, the latest solution of each; of all exposures where none is named.

    What is marked as bad is left out. BadInput where an exposure is of another instrument.
    """
    return [_solved(row) for row in _solutions(instrument, exposures, tag)]


def _solutions(instrument: str, exposures: Sequence[Exposure], tag: str) -> list[WorldCoordinates]:
    if others := [row.name for row in exposures if row.instrument != instrument]:
        raise BadInput(what=", ".join(others), reason=f"not exposures of {instrument}")
    refuse_unknown(tag)
    image = "sources__image"
    rows = of_name(tag).narrow(WorldCoordinates.objects.all()).filter(
        **{f"{image}__kind": Image.Kind.SCIENCE, f"{image}__instrument": instrument},
        badness_own=0,
        badness_upstream=0,
    )  # fmt: skip
    if exposures:
        rows = rows.filter(**{f"{image}__exposure__in": exposures})
    latest = {}
    for row in rows.select_related(f"{image}__exposure").defer(f"{image}__wcs").order_by("created_at", "pk"):
        found = row.sources.image
        latest[found.exposure_id, found.section] = row
    return list(latest.values())


def learnt_distortions(instrument: str, exposures: Sequence[Exposure], tag: str) -> dict[str, LearntDistortion]:
    """By CCD, the distortion that its solutions tell: those of many stars that were fitted with one."""
    found: dict[tuple[str, tuple[int, int]], list] = {}
    for row in _solutions(instrument, exposures, tag):
        header, image = fits.Header.fromstring(row.header, sep="\n"), row.sources.image
        if row.n_matches >= _MATCHES and row.order > 1 and header.get("ASTKIND") != "kept":
            one = (wcs_from_header(header), float(row.n_matches))
            found.setdefault((image.section, (image.height, image.width)), []).append(one)
    return {section: learn(solved, shape) for (section, shape), solved in found.items()}


def _solved(row: WorldCoordinates) -> SolvedCcd:
    image = row.sources.image
    wcs = wcs_from_header(fits.Header.fromstring(row.header, sep="\n"))
    return SolvedCcd(
        exposure=image.exposure.name,
        section=image.section,
        found=similarity(wcs, (image.height, image.width)),
        ra=image.exposure.ra,
        dec=image.exposure.dec,
    )
