"""Attempts across exposures: how they ended and what stopped them."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count, QuerySet

from products.models import Report

NOT_LISTED = ("error_details", "traceback", "exposure__header", "exposure__companions")


def state_counts(rows: QuerySet[Report]) -> Counter[str]:
    """How many attempts are in each state."""
    return Counter(dict(rows.order_by().values_list("state").annotate(n=Count("pk"))))


def error_counts(rows: QuerySet[Report]) -> list[tuple[str, str, int]]:
    """(step, class of the error, how many attempts it stopped), the most frequent first."""
    failed = rows.exclude(error_type="").order_by().values_list("error_step", "error_type")
    return sorted(failed.annotate(n=Count("pk")), key=lambda row: (-row[2], row[:2]))
