"""The queue in the admin: to look at only.

Whoever writes rows of the queue runs code, and so does whoever reads its pickled columns: the pages of django-q are
taken away, and these here neither write rows nor read those columns.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from seechange_site import admin_accounts  # noqa: F401  (registers people, groups and tokens)

PICKLED = ("args", "kwargs", "result")

for model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Tasks that ended, well or badly."""

    list_display = ["name", "func", "group", "started", "stopped", "success", "attempt_count"]
    list_filter = ["success", "func"]
    search_fields = ["name", "func", "group"]
    fields = ["id", *list_display]
    readonly_fields = fields
    actions = None

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).defer(*PICKLED)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
