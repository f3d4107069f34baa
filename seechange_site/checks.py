"""Checks at start-up, without database: folders, queue, time, and what a public site needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

LOCAL = {"localhost", "127.0.0.1", "[::1]", "testserver"}


@register(Tags.files)
def folders(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: the data folder, the archive and the folder of alerts can be written, the archive is apart."""
    data, archive = Path(settings.SEECHANGE_DATA), settings.SEECHANGE_ARCHIVE
    found = [
        *_writable(data, "SEECHANGE_DATA", "seechange.E001"),
        *_writable(Path(settings.SEECHANGE_ALERTS), "SEECHANGE_ALERTS", "seechange.E003"),
    ]
    if archive:
        found += _writable(Path(archive), "SEECHANGE_ARCHIVE", "seechange.E002")
        files, behind = (data / "files").resolve(), Path(archive).resolve()
        if files.is_relative_to(behind) or behind.is_relative_to(files):
            hint = "The archive is a second copy: name a folder that is neither around nor inside the local files."
            text = f"the archive {behind} is not apart from the local files {files}"
            found.append(Error(text, hint=hint, id="seechange.E002"))
    return found


def _writable(folder: Path, name: str, own: str) -> Iterator[CheckMessage]:
    """An error unless the folder can be written, or made where it is missing."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield Error(f"{name}: {existing} is not a folder", hint=f"Set {name} to a folder.", id=own)
    elif not os.access(existing, os.W_OK | os.X_OK):
        hint = f"Change its owner or permissions, or set {name} to another folder."
        yield Error(f"{name}: {existing} cannot be written", hint=hint, id=own)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")  # of an object; the column holds 40 characters


@register()
def queue(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E004: a task is not given to a second worker while the first may still be at it."""
    timeout, retry = settings.Q_CLUSTER.get("timeout"), settings.Q_CLUSTER.get("retry", 60)
    if timeout is None or timeout >= retry:
        text = f"Q_CLUSTER: timeout ({timeout} s) must be smaller than retry ({retry} s)"
        return [Error(text, hint="Otherwise a long task runs twice at once.", id="seechange.E004")]
    return []


@register()
def names(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E006: names of objects differ, and can stand in addresses and columns."""
    from products.services.naming import name_of

    pattern, numbers = settings.SEECHANGE_OBJECT_NAMES, (0, 1, 10**7)
    try:
        found = [name_of(pattern, year, number) for year in (2026, 2027) for number in numbers]
    except (KeyError, IndexError, ValueError, AttributeError):
        found = []
    if len(set(found)) == 2 * len(numbers) and all(_NAME.fullmatch(name) for name in found):
        return []
    hint = "Letters, digits, _ and -, with {yy} or {yyyy} and {letters} or {number}, such as SC{yy}{letters}."
    return [Error(f"SEECHANGE_OBJECT_NAMES: '{pattern}' makes no names", hint=hint, id="seechange.E006")]


@register()
def time(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E005: every date is UTC; MJD columns and time stamps would disagree otherwise."""
    if settings.USE_TZ and settings.TIME_ZONE == "UTC":
        return []
    return [Error("USE_TZ must be True and TIME_ZONE 'UTC'", hint="Dates are shown in UTC.", id="seechange.E005")]


@register(Tags.security)
def public_site(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """W001 and W002: without DEBUG the site serves others, who need its name and real static files."""
    if settings.DEBUG:
        return []
    found: list[CheckMessage] = []
    hosts = set(settings.ALLOWED_HOSTS)
    if not hosts - LOCAL:
        text = "DEBUG is off, but ALLOWED_HOSTS names this machine only: nobody else can open the site"
        hint = "Set ALLOWED_HOSTS to the names of the site, separated by blanks."
        found.append(Warning(text, hint=hint, id="seechange.W001"))
    if "*" in hosts:
        text = "DEBUG is off and ALLOWED_HOSTS is '*': any name is believed"
        hint = "Set ALLOWED_HOSTS to the names of the site, separated by blanks."
        found.append(Warning(text, hint=hint, id="seechange.W002"))
    return found
