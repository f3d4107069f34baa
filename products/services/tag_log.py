"""Who did what to a tag: notes in the history that the admin shows."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType

from products.models import ProvenanceTag


def note(person: Any, tag: str, message: str, flag: int = CHANGE) -> None:
    """Say in the history of a tag what was done to it, and by whom."""
    LogEntry.objects.create(
        user=person,
        content_type=ContentType.objects.get_for_model(ProvenanceTag),
        object_id=tag,
        object_repr=tag[:200],
        action_flag=flag,
        change_message=message,
    )
