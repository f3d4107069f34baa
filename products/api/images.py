"""Images in the REST API."""

from __future__ import annotations

from django.db.models import F, QuerySet
from rest_framework import serializers

from products.api.base import ProductView
from products.api.files import BadnessField, FileAddressField, WithFile
from products.api.rows import RowSerializer
from products.filters.images import ImageFilter
from products.models import Image


class ImageSerializer(RowSerializer):
    """One image: of the sky, a stack, a reference on the grid of another, a difference, or a master frame."""

    exposure = serializers.CharField(source="of_exposure", allow_null=True, read_only=True)
    badness = BadnessField()
    file = FileAddressField("api-image-file")

    class Meta:
        model = Image
        fields = [
            "id", "kind", "exposure", "section", "instrument", "telescope", "project", "target", "filter", "mjd",
            "mjd_end", "exposure_time", "airmass", "ra", "dec", "corners", "width", "height", "pixel_scale", "gain",
            "read_noise", "saturation", "fwhm", "background_level", "background_noise", "zero_point_estimate",
            "limiting_magnitude_estimate", "zero_point", "reference", "alignment_target", "score_mean", "score_std",
            "badness", "provenance", "created_at", "filesize", "sha256", "file",
        ]  # fmt: skip


class ImageView(WithFile, ProductView):
    """Images of every kind: `kind` chooses. `exposure` is a name; masters and stacks have none."""

    queryset = Image.objects.none()
    serializer_class = ImageSerializer
    filterset_class = ImageFilter
    ordering_fields = ("created_at", "mjd")
    extra_parameters = ("calibrated",)

    def everything(self) -> QuerySet[Image]:
        """The images of all tags."""
        return Image.objects.annotate(of_exposure=F("exposure__name")).defer("wcs", "quality", "preprocessing")
