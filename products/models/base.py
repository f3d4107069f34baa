"""What every product has: an id that exists before saving, a provenance, badness."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models

from products import ids
from products.models.badness import HasBadness
from products.models.files import FileBacked


class Identified(models.Model):
    """A UUID made in Python and the time of the row."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True, help_text="UTC, when the row was made.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {str(self.pk)[-12:]}"  # the end: rows of one moment begin alike


class OfKind(models.Manager):
    """Only the rows of a proxy's kind."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().filter(kind=self.model.KIND)


class Product(Identified, HasBadness):
    """One output of one step: exactly one exists for a provenance and its parents."""

    KIND = ""  # proxies of one table set this to their kind

    provenance = models.ForeignKey(
        "products.Provenance", models.PROTECT, related_name="+", help_text="Code, parameters and upstreams."
    )

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.KIND and not args:
            self.kind = self.KIND

    @classmethod
    def identity_fields(cls) -> tuple[str, ...]:
        """The fields that, with the provenance, make a product unique; read from its unique constraint."""
        for constraint in cls._meta.concrete_model._meta.constraints:
            fields = getattr(constraint, "fields", ())
            if "provenance" in fields and cls._is_under(getattr(constraint, "condition", None)):
                return tuple(name for name in fields if name != "provenance")
        raise TypeError(f"{cls.__name__} has no unique constraint with its provenance")

    @classmethod
    def _is_under(cls, condition: models.Q | None) -> bool:
        """Whether a constraint with this condition holds for products of this kind."""
        if condition is None or not cls.KIND:
            return True
        children = dict(condition.children)
        return children.get("kind") == cls.KIND or cls.KIND in children.get("kind__in", ())

    def counts(self) -> dict[str, int | float]:
        """A few numbers for the report of the CCD."""
        return {}


class WithQuality(models.Model):
    """Figures beyond the columns that tell whether later steps may use a product."""

    quality = models.JSONField(default=dict, blank=True, help_text="Further figures of quality.")

    class Meta:
        abstract = True


class FileProduct(FileBacked, Product):
    """A product with a file, named by the night, exposure and section where it has them, and by its id."""

    class Meta:
        abstract = True

    def file_stem(self) -> str:
        """Folder and readable beginning of the file's name."""
        return f"{self._meta.model_name}s/{self._meta.model_name}"

    def file_key(self) -> str:
        return f"{self.file_stem()}_{uuid.UUID(str(self.id)).hex}.fits"
