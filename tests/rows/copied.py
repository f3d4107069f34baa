"""What takes long to make is made once a process, and copied: its rows as they are, and its files."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection, models, transaction

APP = "products"


@dataclass(frozen=True)
class Kept:
    """The rows of every table of the archive, its files, and what the maker gave back."""

    rows: dict[type[models.Model], list[models.Model]]
    files: Path
    made: Any


_kept: dict[Callable[[], Any], Kept] = {}


def copied(maker: Callable[[], Any]) -> Any:
    """What `maker` makes in an archive without rows and files; a copy of it where that was made before."""
    if any(model._base_manager.exists() for model in tables()) or any(Path(settings.SEECHANGE_DATA).glob("files/*")):
        return maker()
    if maker not in _kept:
        made = maker()
        files = Path(tempfile.mkdtemp(prefix="seechange-archive-"))
        atexit.register(shutil.rmtree, files, ignore_errors=True)
        shutil.copytree(Path(settings.SEECHANGE_DATA) / "files", files / "files")
        _kept[maker] = Kept({model: list(model._base_manager.all()) for model in tables()}, files, copy.deepcopy(made))
        return made
    kept = _kept[maker]
    shutil.copytree(kept.files / "files", Path(settings.SEECHANGE_DATA) / "files", dirs_exist_ok=True)
    with transaction.atomic(), connection.cursor() as cursor:  # in which rows may come before those that they need
        for model, rows in kept.rows.items():
            if rows:  # as they are: no time of now, no id of now
                model._base_manager._insert(rows, fields=model._meta.local_concrete_fields, using="default", raw=True)
        for statement in connection.ops.sequence_reset_sql(no_style(), list(kept.rows)):
            cursor.execute(statement)
    return copy.deepcopy(kept.made)


def tables() -> list[type[models.Model]]:
    """Every table of the archive, those of relations too."""
    found = apps.get_app_config(APP).get_models(include_auto_created=True)
    return [model for model in found if not model._meta.proxy]
