"""Put right what `products.services.checking` finds. Nothing that has a row is ever deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.db import transaction

from products import storage
from products.errors import ArchiveError
from products.selectors.files import count_recorded, recorded_among
from products.services import badness
from products.services.checking import Finding, Trouble

FROM_ARCHIVE = (Trouble.ONLY_ARCHIVED, Trouble.WRONG_SIZE, Trouble.DAMAGED, Trouble.UNREADABLE)
TO_ARCHIVE = (Trouble.NOT_ARCHIVED, Trouble.ARCHIVE_DIFFERS)
DELETED = (Trouble.ORPHAN, Trouble.ARCHIVE_ORPHAN, Trouble.PARTIAL)


def repair(finding: Finding) -> None:
    """Put one thing right where that can be done without a loss; says in its `detail` why it cannot.

    Files without row are the business of `delete_left_over`.
    """
    try:
        if finding.trouble in FROM_ARCHIVE:
            storage.restore(finding.record.key, finding.record.sha256)
        elif finding.trouble in TO_ARCHIVE:
            storage.upload(finding.record.key, finding.record.sha256)
        elif finding.trouble is Trouble.BADNESS:
            _hand_on_badness(finding)
        else:
            return
    except (ArchiveError, OSError) as error:
        reason = str(error) if storage.archive_root() else "there is no archive to take it from"
        finding.detail = f"{finding.detail}; not repaired: {reason}"
    else:
        finding.repaired = True


def delete_left_over(findings: Sequence[Finding], *, even_if_most: bool = False) -> None:
    """Delete files without row; refused where they are more than those with a row: that is another database."""
    doomed = [finding for finding in findings if finding.trouble in DELETED]
    known = recorded_among({key for finding in doomed if (key := _key(finding))})
    whole = [finding for finding in doomed if finding.trouble is not Trouble.PARTIAL]
    refuse = not even_if_most and len(whole) > count_recorded()
    for finding in doomed:
        if _key(finding) in known:
            finding.trouble, finding.detail = Trouble.YOUNG, "its row was made meanwhile"
        elif refuse and finding.trouble is not Trouble.PARTIAL:
            finding.detail += "; kept: most files have no row, is this the right database? (--delete-most deletes them)"
        else:
            try:
                Path(finding.what).unlink(missing_ok=True)
            except OSError as error:
                finding.detail += f"; not deleted: {error.strerror}"
            else:
                finding.repaired = True


def _key(finding: Finding) -> str:
    path = Path(finding.what)
    for folder in filter(None, (storage.root(), storage.archive_root())):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return ""


def _hand_on_badness(finding: Finding) -> None:
    model, pk = finding.row
    with transaction.atomic():
        badness.wait_for_marking()
        if row := model._base_manager.filter(pk=pk).first():
            badness.inherit(row)
            badness.tell_downstream([row])
