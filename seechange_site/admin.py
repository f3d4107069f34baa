"""No page of the queue in the admin: /conductor/queue/ shows it.

Whoever writes rows of django-q's tables runs code, and so does whoever reads their pickled columns, as its own pages
do.
"""

from __future__ import annotations

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from seechange_site import admin_accounts  # noqa: F401  (registers people, groups and tokens)

for model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
