"""Which files of the server may be named on a page or in the REST API: those where raw files arrive, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from conductor.errors import NotAllowed
from conductor.models import Watch


def incoming_folders() -> list[Path]:
    """The folders that the setting SEECHANGE_INCOMING names."""
    return [Path(folder) for folder in settings.SEECHANGE_INCOMING]


def watched_folders() -> list[Path]:
    """The folders that watches look through."""
    arguments = Watch.objects.values_list("arguments", flat=True)
    named = {found.get("folder") for found in arguments if isinstance(found, dict)}
    return sorted(Path(folder) for folder in named if isinstance(folder, str) and Path(folder).is_absolute())


def allowed_folders() -> list[Path]:
    """All folders of which files may be named."""
    return [*dict.fromkeys([*incoming_folders(), *watched_folders()])]


def checked_params(params: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any]:
    """What fetching an exposure needs; NotAllowed where that is a file that may not be named."""
    if "path" not in params:
        return dict(params)
    return {**params, "path": str(checked_path(str(params["path"]), folders))}


def check_folder(arguments: Mapping[str, Any], person: AbstractBaseUser) -> None:
    """NotAllowed where a watch would look through a folder that this person may not name: staff may name any."""
    if "folder" in arguments and not person.is_staff:
        checked_path(str(arguments["folder"]), allowed_folders())


def checked_path(text: str, folders: Iterable[Path]) -> Path:
    """The file or folder of that name; NotAllowed where it, or what it is a link to, is in none of the folders.

    Nothing is said of what lies elsewhere, not even whether it exists.
    """
    folders = list(folders)
    shown = ", ".join(map(str, folders)) or "none: set SEECHANGE_INCOMING"
    path = Path(text)
    try:
        if not path.is_absolute() or ".." in path.parts:
            raise ValueError("it leads somewhere else")
        there = path.resolve()
        inside = any(there.is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):  # e.g. a loop of links, or a NUL
        inside = False
    if not inside:
        raise NotAllowed(path=text[:200].replace("\0", "�") or "an empty name", allowed=shown)
    return path
