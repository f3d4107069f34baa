"""Astrometry and photometry in the REST API."""

from __future__ import annotations

from django.db.models import QuerySet

from products.api.base import ProductView
from products.api.files import BadnessField
from products.api.rows import IMAGE, OfImage, with_image
from products.filters.images import WorldCoordinatesFilter, ZeroPointFilter
from products.models import WorldCoordinates, ZeroPoint


class WorldCoordinatesSerializer(OfImage):
    """One astrometric solution; `header` are its FITS cards, one a line."""

    badness = BadnessField()

    class Meta:
        model = WorldCoordinates
        fields = [
            *IMAGE, "sources", "header", "n_matches", "rms_ra", "rms_dec", "order", "catalog", "quality", "badness",
            "provenance", "created_at",
        ]  # fmt: skip


class WorldCoordinatesView(ProductView):
    """Astrometric solutions."""

    queryset = WorldCoordinates.objects.none()
    serializer_class = WorldCoordinatesSerializer
    filterset_class = WorldCoordinatesFilter

    def everything(self) -> QuerySet[WorldCoordinates]:
        """The solutions of all tags."""
        return with_image(WorldCoordinates.objects.all(), "sources__image")


class ZeroPointSerializer(OfImage):
    """One photometric solution: m = −2.5 log10(flux) + zp, AB, with the flux of the full PSF in electrons."""

    badness = BadnessField()

    class Meta:
        model = ZeroPoint
        fields = [
            *IMAGE, "world_coordinates", "zp", "zp_error", "surface", "color_term", "scatter", "n_stars", "catalog",
            "limiting_magnitude", "aperture_radii", "aperture_corrections", "quality", "badness", "provenance",
            "created_at",
        ]  # fmt: skip


class ZeroPointView(ProductView):
    """Photometric solutions."""

    queryset = ZeroPoint.objects.none()
    serializer_class = ZeroPointSerializer
    filterset_class = ZeroPointFilter

    def everything(self) -> QuerySet[ZeroPoint]:
        """The solutions of all tags."""
        return with_image(ZeroPoint.objects.all(), "world_coordinates__sources__image")
