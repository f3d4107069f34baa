"""What the viewer loads while one looks: values under the pointer, tiles at full resolution, further marks."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from products import pixels, rendering
from products.errors import ArchiveError
from products.models import Image
from products.selectors import overlays, trace
from products.selectors.tags import chosen_tag
from products.views.pictures import kept_for_ever

DIGITS = 6  # of a number in an address


def image_with(key: UUID, plane: str) -> Image:
    """The image, as the class of its kind, if it has that plane."""
    found = get_object_or_404(Image.objects.all(), pk=key).as_kind()
    if not pixels.has_plane(found, plane):
        raise Http404(f"This image has no plane '{plane}'.")
    return found


@require_safe
def values(request: HttpRequest, key: UUID) -> HttpResponse:
    """Values, weights and flags of the block of pixels around `x`, `y` (from 0) of a `plane`."""
    image = image_with(key, request.GET.get("plane", "data"))
    place = [request.GET.get(name, "") for name in ("x", "y")]
    if not all(text.isascii() and text.isdigit() and len(text) <= DIGITS for text in place):
        return JsonResponse({"error": "x and y are whole numbers, pixels from 0"}, status=400)
    try:
        found = pixels.block(image, request.GET.get("plane", "data"), *map(int, place))
    except (IndexError, ArchiveError, OSError) as error:
        return JsonResponse({"error": str(error)}, status=404)
    return kept_for_ever(JsonResponse(found))


@require_safe
def tile(request: HttpRequest, key: UUID, plane: str, column: int, row: int) -> HttpResponse:
    """A tile of a plane at full resolution, for images that the preview shows in fewer pixels."""
    image = image_with(key, plane)
    stretch = request.GET.get("stretch", "asinh")
    if stretch not in rendering.STRETCHES:
        raise Http404(f"There is no stretch '{stretch}'; there are: {', '.join(rendering.STRETCHES)}.")
    try:
        return kept_for_ever(
            HttpResponse(pixels.tile_png(image, plane, stretch, column, row), content_type="image/png")
        )
    except (IndexError, ArchiveError, OSError) as error:
        raise Http404(f"The tile cannot be shown: {error}.") from error


@require_safe
def marks(request: HttpRequest, key: UUID, kind: str) -> HttpResponse:
    """Marks of one kind on an image under the tag: [x, y, text, how it is drawn]."""
    if kind not in overlays.KINDS:
        raise Http404(f"There are no marks '{kind}'; there are: {', '.join(overlays.KINDS)}.")
    image = get_object_or_404(Image.objects.all(), pk=key)
    try:
        found = overlays.KINDS[kind](trace.tree(image, chosen_tag(request)))
    except (ArchiveError, OSError) as error:
        return JsonResponse({"error": str(error)}, status=404)
    return JsonResponse({"marks": [mark.as_list() for mark in found]})
