"""What a product was made with: code version, parameters, upstreams; and tags that name whole sets of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models

from products.models.base import Identified


class CodeVersion(models.Model):
    """A semantic version of the code of one process; a new patch number does not change products."""

    process = models.CharField(max_length=40, help_text="Name of the step, or of what else makes products.")
    major = models.PositiveSmallIntegerField(help_text="Raised when products mean something else.")
    minor = models.PositiveSmallIntegerField(help_text="Raised when products change.")
    patch = models.PositiveSmallIntegerField(help_text="Raised when products stay as they are.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["process", "major", "minor", "patch"], name="one_code_version")]
        ordering = ["process", "major", "minor", "patch"]

    def __str__(self) -> str:
        return f"{self.process} {self.major}.{self.minor}.{self.patch}"


class Provenance(models.Model):
    """Content hash of process, code version, critical parameters and upstream provenances."""

    id = models.CharField(primary_key=True, max_length=20, editable=False)
    process = models.CharField(max_length=40, db_index=True, help_text="Name of the step.")
    code_version = models.ForeignKey(CodeVersion, models.PROTECT)
    parameters = models.JSONField(default=dict, help_text="Critical parameters: those that decide what comes out.")
    upstreams = models.ManyToManyField("self", symmetrical=False, related_name="downstreams", blank=True)
    is_bad = models.BooleanField(default=False, help_text="Nothing made with this should be used.")
    bad_comment = models.TextField(blank=True, help_text="Why it is bad.")
    is_outdated = models.BooleanField(default=False, help_text="Something better replaces it; what it made stays.")
    replaced_by = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="replaces", help_text="What is better."
    )
    is_testing = models.BooleanField(default=False, help_text="Made by a test.")
    created_at = models.DateTimeField(auto_now_add=True, help_text="UTC.")

    class Meta:
        ordering = ["process", "created_at"]

    def __str__(self) -> str:
        return f"{self.process} {self.id[:6]}"

    @staticmethod
    def hash(process: str, version: tuple[int, ...], parameters: Mapping[str, Any], upstream_ids: Iterable[str]) -> str:
        """The id: 20 characters of the base32 of the SHA-256 of canonical JSON; the patch number does not enter."""
        content = {
            "process": process,
            "code_version": f"{version[0]}.{version[1]}",
            "parameters": parameters,
            "upstreams": sorted(upstream_ids),
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:20]

    @classmethod
    def tainted(cls) -> set[str]:
        """Ids of those that are marked as bad, and of all that come from them; one query where none is marked."""
        level = set(cls.objects.filter(is_bad=True).values_list("pk", flat=True))
        found: set[str] = set()
        while level:
            found |= level
            links = cls.upstreams.through.objects.filter(to_provenance__in=level)
            level = set(links.values_list("from_provenance", flat=True)) - found
        return found


class ProvenanceTag(models.Model):
    """A name for a set of provenances: one a process, several only for referencing."""

    tag = models.CharField(max_length=100, help_text="Name of the set, e.g. 'current'.")
    provenance = models.ForeignKey(Provenance, models.CASCADE, related_name="tags")
    created_at = models.DateTimeField(auto_now_add=True, help_text="UTC.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tag", "provenance"], name="one_tag_per_provenance")]
        ordering = ["tag", "provenance__process"]

    def __str__(self) -> str:
        return f"{self.tag}: {self.provenance}"


class RefSet(Identified):
    """A named set of references, all made in one way."""

    name = models.CharField(max_length=100, unique=True, help_text="What --refset takes.")
    description = models.TextField(blank=True, help_text="For people: what it is for, what is in it.")
    provenance = models.ForeignKey(
        Provenance, models.PROTECT, related_name="refsets", help_text="Of the references in the set."
    )

    def __str__(self) -> str:
        return self.name
