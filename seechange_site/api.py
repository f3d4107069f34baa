"""Errors of the REST API: one shape, the right status, and in the document that describes it."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

# What a value does that passes the types of Python but not those of the database.
UNFIT = (DataError, OverflowError, UnicodeError, DjangoValidationError, SuspiciousOperation)
AWAY = (OperationalError, InterfaceError)
NON_FIELD = "non_field_errors"


def errors(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Every trouble as `{"error": {"code", "message", "fields"}}` with the status that fits; None for a bug of ours."""
    if isinstance(exception, AWAY):
        found = Response(
            shape("unavailable", "the database cannot be reached; nothing was changed, ask again in a moment"),
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
        )
        found["Retry-After"] = "10"
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
            found |= named(value, f"{prefix}.{key}" if prefix else str(key))
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
    for path in result["paths"].values():
        for operation in path.values():
            for code, meaning in meanings.items():
                operation["responses"].setdefault(code, {"description": meaning, "content": content})
    return json.loads(json.dumps(result, default=str))


class TokenInDocument(OpenApiAuthenticationExtension):
    """How the OpenAPI document describes tokens."""

    target_class = "seechange_site.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A header with the keyword."""
        text = "`Token <key>`; keys are made on the page of your account."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": text}
