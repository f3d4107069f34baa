"""What people say of an object as a whole, with their reason, in the log of the admin."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction

from products.models import Object


def mark_object(thing: Object, is_bad: bool, reason: str, person: User) -> None:
    """Say that nothing is there, or take that back; measurements and other objects stay as they are."""
    thing.is_bad, thing.remark = is_bad, reason
    said = f"{'Nothing there' if is_bad else 'Something is there after all'}: {reason or 'no reason given'}."
    with transaction.atomic():
        thing.save(update_fields=["is_bad", "remark"])
        LogEntry.objects.log_actions(person.pk, [thing], CHANGE, said, single_object=True)
