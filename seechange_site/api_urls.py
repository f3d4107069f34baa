"""Addresses of the REST API: those of every app, the document that describes them, and the answer to all others."""

from __future__ import annotations

from typing import Any

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.exceptions import NotFound
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView

from conductor.api import urls as conductor
from processing.api import urls as processing
from products.api import urls as products

APPS = (products, processing, conductor)


class Nowhere(APIView):
    """Whatever has no endpoint, with an error of the usual shape."""

    schema = None
    permission_classes = ()

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """404 for every method."""
        raise NotFound("there is no such endpoint; /api/v1/ lists them")


class Document(SpectacularJSONAPIView):
    """The OpenAPI document of this API."""


router = DefaultRouter()
router.include_format_suffixes = False
for app in APPS:
    router.registry.extend(app.router.registry)

urlpatterns = [
    path("", include(router.urls)),
    *(pattern for app in APPS for pattern in app.urlpatterns),
    path("schema/", Document.as_view(), name="api-schema"),
    re_path(r"^[\s\S]*$", Nowhere.as_view()),
]
