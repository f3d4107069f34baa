"""Errors of the REST API: one shape, the right status, and in the document that describes it."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from seechange_site.endpoints import endpoints

# What a value does that passes the types of Python but not those of the database.
UNFIT = (DataError, OverflowError, UnicodeError, DjangoValidationError, SuspiciousOperation)
logger = logging.getLogger(__name__)
AWAY = (OperationalError, InterfaceError)
AWAY_TEXT = "the database cannot be reached; nothing was changed, ask again in a moment"
RETRY_AFTER = "10"  # seconds
WITHOUT_NAMES = re.compile(r"\{\w+\}")
NON_FIELD = "non_field_errors"


def errors(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Every trouble as `{"error": {"code", "message", "fields"}}` with the status that fits; None for a bug of ours."""
    if isinstance(exception, AWAY):
        logger.error("the database is away: %s", exception)
        found = Response(
            shape("unavailable", AWAY_TEXT), status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": RETRY_AFTER},
        )  # fmt: skip
        return found
    if isinstance(exception, UNFIT):
        exception = exceptions.ValidationError({NON_FIELD: ["a value is too long, too large or of the wrong kind"]})
    response = exception_handler(exception, context)
    if response is None:
        return None
    if isinstance(exception, Http404 | exceptions.NotFound):
        response.data = shape("not_found", str(getattr(exception, "detail", exception)) or "there is no such thing")
    elif isinstance(exception, exceptions.ValidationError):
        fields = named(exception.detail)
        first = next(iter(fields.items()), (NON_FIELD, ["it is not valid"]))
        said = first[1][0] if first[0] == NON_FIELD else f"{first[0]}: {first[1][0]}"
        response.data = shape("invalid", said, fields)
    elif isinstance(exception, PermissionDenied):
        response.data = shape("permission_denied", str(exception) or "your account may not do this")
    else:
        codes = exception.get_codes()
        response.data = shape(codes if isinstance(codes, str) else exception.default_code, str(exception.detail))
    return response


def shape(code: str, message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """The one shape of errors."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def named(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Nested messages of a serializer as dotted name → messages."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for key, value in detail.items():
            inner = prefix if key == NON_FIELD else f"{prefix}.{key}".lstrip(".")
            found |= named(value, inner)
        return found
    if isinstance(detail, list) and any(isinstance(one, (dict, list)) for one in detail):
        return named({str(index): one for index, one in enumerate(detail) if one}, prefix)
    return {prefix or NON_FIELD: [str(one) for one in (detail if isinstance(detail, list) else [detail])]}


def document_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add to every operation of the OpenAPI document the errors that any of them can answer with."""
    text = {"type": "string"}
    error = {
        "type": "object",
        "properties": {
            "code": text,
            "message": text,
            "fields": {"type": "object", "additionalProperties": {"type": "array", "items": text}},
        },
        "required": ["code", "message", "fields"],
    }
    result["components"].setdefault("schemas", {})["Error"] = {
        "type": "object", "properties": {"error": error}, "required": ["error"],
    }  # fmt: skip
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    meanings = {
        "400": "A parameter is wrong; `fields` names it.",
        "401": "No valid token.",
        "403": "The scope of the token, or the account, does not allow it.",
        "404": "There is no such thing.",
        "429": "Too many requests.",
        "503": "The database cannot be reached.",
    }
    opened = {(one.method.lower(), WITHOUT_NAMES.sub("{}", one.path)): one for one in endpoints()}
    changing = {"409": "Not in this state; somebody else was first.", "413": "The body is too large."}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if one := opened.get((method, WITHOUT_NAMES.sub("{}", path))):
                who = f" and the permission `{one.permission}`" if one.permission else ""
                words = f"Needs the scope `{one.scope}`{who}."
                operation["description"] = f"{operation.get('description', '')}\n\n{words}".strip()
            for code, meaning in (meanings if method == "get" else meanings | changing).items():
                operation["responses"].setdefault(code, {"description": meaning, "content": content})
    return json.loads(json.dumps(result, default=str))


class Described(AutoSchema):
    """What the OpenAPI document says of an operation, with the tag that it is asked under."""

    def get_override_parameters(self) -> list[OpenApiParameter]:
        """The tag beside what the view names."""
        if self.method != "GET" or not getattr(self.view, "is_under_tag", False):
            return super().get_override_parameters()
        words = "Provenance tag under which to look; `current` without one, or the one that changed last."
        return [OpenApiParameter("tag", str, description=words), *super().get_override_parameters()]


class TokenInDocument(OpenApiAuthenticationExtension):
    """How the OpenAPI document describes tokens."""

    target_class = "seechange_site.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A header with the keyword."""
        text = "`Token <key>`; keys are made on the page of your account."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": text}
