"""PNG pictures and FITS files of products. What they show never changes, so browsers may keep it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from products import rendering
from products.downloads import fits_answer
from products.errors import ArchiveError
from products.models import Image, Measurement
from products.models.files import FileBacked
from products.selectors.candidates import DIFFERENCE
from products.selectors.tags import chosen_tag, product_models

FOR_EVER = "private, max-age=31536000, immutable"


def kept_for_ever(response: HttpResponse) -> HttpResponse:
    """The same answer, which the browser of whoever asked may keep."""
    response["Cache-Control"] = FOR_EVER
    return response


@require_safe
def stamp(request: HttpRequest, key: UUID, plane: str) -> HttpResponse:
    """A stamp of a measurement: new, reference or difference; `noise` (μJy) gives a series one stretch."""
    if plane not in rendering.STAMP_PLANES:
        raise Http404(f"There is no stamp '{plane}'; there are: {', '.join(rendering.STAMP_PLANES)}.")
    rows = Measurement.objects.select_related(f"{DIFFERENCE}__zero_point__world_coordinates")
    row = get_object_or_404(rows, pk=key)
    try:
        return kept_for_ever(HttpResponse(rendering.stamp_png(row, plane, _noise(request)), content_type="image/png"))
    except (ArchiveError, OSError) as error:
        raise Http404(f"The stamp cannot be shown: {error}.") from error


def _noise(request: HttpRequest) -> float | None:
    """The stretch asked for; None, the image's own, for what is no number."""
    try:
        asked = float(request.GET.get("noise", ""))
    except ValueError:
        return None
    return asked if 1e-6 < asked < 1e9 else None


@require_safe
def preview(request: HttpRequest, key: UUID, plane: str) -> HttpResponse:
    """A whole plane, downsampled, or the tint of one mask bit (`mask-saturated`)."""
    image = get_object_or_404(Image.objects.all(), pk=key).as_kind()
    stretch = request.GET.get("stretch", "asinh")
    if stretch not in rendering.STRETCHES:
        raise Http404(f"There is no stretch '{stretch}'; there are: {', '.join(rendering.STRETCHES)}.")
    try:
        return _file(_preview_path(image, plane, stretch))
    except (ArchiveError, OSError) as error:
        raise Http404(f"The image cannot be shown: {error}.") from error


def _preview_path(image: Image, plane: str, stretch: str) -> Path:
    if plane.startswith("mask-"):
        try:
            return rendering.mask_preview(image, plane.removeprefix("mask-"))
        except KeyError:
            raise Http404(f"There is no mask bit '{plane.removeprefix('mask-')}'.") from None
    if plane not in rendering.PREVIEW_PLANES or getattr(type(image), plane, None) is None:
        raise Http404(f"This image has no plane '{plane}'.")
    return rendering.preview(image, plane, stretch)


def _file(path: Path) -> HttpResponse:
    return kept_for_ever(FileResponse(path.open("rb"), content_type="image/png"))


@require_safe
def fits_file(request: HttpRequest, key: UUID) -> FileResponse:
    """The file of a product: an image, a table of sources, a PSF, stamps, packets of alerts, or a raw exposure.

    With `?calibrated=1` an image has the WCS and the zero point in its headers that it has under the chosen tag.
    """
    models = [model for model in product_models() if issubclass(model, FileBacked)]
    models.sort(key=lambda model: model is not Image)
    rows = (model.objects.filter(pk=key).only("filepath", "sha256").first() for model in models)
    found = next((row for row in rows if row is not None), None)
    if found is None or not found.filepath:
        raise Http404("There is no file of a product with this id.")
    try:
        return fits_answer(found, chosen_tag(request), calibrated=bool(request.GET.get("calibrated")))
    except (ArchiveError, OSError) as error:
        raise Http404(f"The file cannot be sent: {error}.") from error
