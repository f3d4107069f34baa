"""Attempts across exposures: how long they took and what stopped them."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count, DurationField, ExpressionWrapper, F, QuerySet

from products.models import Report

NOT_LISTED = ("error_details", "traceback", "exposure__header", "exposure__companions")


def with_duration(rows: QuerySet[Report]) -> QuerySet[Report]:
    """The same attempts, each with the time that it `took` from its beginning to its end."""
    return rows.annotate(took=ExpressionWrapper(F("finished_at") - F("started_at"), DurationField()))


def state_counts(rows: QuerySet[Report]) -> Counter[str]:
    """How many attempts are in each state."""
    return Counter(dict(rows.order_by().values_list("state").annotate(n=Count("pk"))))


def error_counts(rows: QuerySet[Report]) -> list[tuple[str, str, int]]:
    """(step, class of the error, how many attempts it stopped), the most frequent first."""
    failed = rows.exclude(error_type="").order_by().values_list("error_step", "error_type")
    return sorted(failed.annotate(n=Count("pk")), key=lambda row: (-row[2], row[:2]))
