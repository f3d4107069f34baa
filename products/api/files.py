"""Files of products in the REST API: the same ones that the pages link to, for whoever has a token."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.reverse import reverse

from products.api.parameters import boolean
from products.downloads import fits_answer
from products.errors import ArchiveError
from products.models.base import Product

FILE = (200, "application/fits")


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class BadnessField(serializers.Field):
    """Names of the bits that are set, own and inherited."""

    def __init__(self, **options: Any) -> None:
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, row: Product) -> list[str]:
        """The names."""
        return row.badness.names


@extend_schema_field({"type": "string", "format": "uri", "nullable": True})
class FileAddressField(serializers.Field):
    """Address of the file of a row; null for a row without one."""

    def __init__(self, endpoint: str, key: str = "pk", **options: Any) -> None:
        super().__init__(source="*", read_only=True, **options)
        self.endpoint, self.key = endpoint, key

    def to_representation(self, row: Product) -> str | None:
        """The address."""
        if not row.filepath:
            return None
        return reverse(self.endpoint, args=[getattr(row, self.key)], request=self.context["request"])


class AsItIs:
    """An endpoint with files among its answers: they are what they are, whatever a client says that it accepts."""

    as_it_is: ClassVar[tuple[str, ...]] = ("get",)  # actions

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """No 406 for such an action."""
        is_file = getattr(self, "action", "get") in self.as_it_is
        return super().perform_content_negotiation(request, force=force or is_file)


class WithFile(AsItIs):
    """An endpoint whose rows have a file: `…/{id}/file/`."""

    as_it_is = ("file",)

    @extend_schema(responses={FILE: OpenApiTypes.BINARY}, filters=False)
    @action(detail=True)
    def file(self, request: Request, **kwargs: Any) -> FileResponse:
        """The FITS file of the row; of an image, with `calibrated=true`, its headers as calibrated under the tag."""
        row = self.get_object()
        calibrated = boolean(request, "calibrated")
        if not row.filepath:
            raise NotFound("this row has no file")
        try:
            return fits_answer(row, self.tag, calibrated=calibrated)
        except (ArchiveError, OSError) as error:
            raise NotFound(f"the file cannot be sent: {error}") from error
