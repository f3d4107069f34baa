"""What people say of an object as a whole or of a product, with their reason, in the log of the admin."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction

from products.models import Object
from products.models.badness import Badness, HasBadness
from products.services.badness import set_badness


def mark_object(thing: Object, is_bad: bool, reason: str, person: User) -> None:
    """Say that nothing is there, or take that back; measurements and other objects stay as they are."""
    thing.is_bad, thing.remark = is_bad, reason
    said = f"{'Nothing there' if is_bad else 'Something is there after all'}: {reason or 'no reason given'}."
    with transaction.atomic():
        thing.save(update_fields=["is_bad", "remark"])
        LogEntry.objects.log_actions(person.pk, [thing], CHANGE, said, single_object=True)


def mark_product(product: HasBadness, bits: Badness, reason: str, person: User) -> int:
    """Say that exactly `bits` are wrong with a product, none for a good one; how many made of it were told."""
    said = f"{Badness(product.badness_own).label or 'no badness'} → {bits.label or 'no badness'}: {reason}"
    with transaction.atomic():
        told = set_badness(product, bits, description=reason if bits else "")
        LogEntry.objects.log_actions(person.pk, [product], CHANGE, said, single_object=True)
    return told
