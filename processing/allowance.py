"""What the process of one CCD may use: whatever a file makes of it, the machine and the other CCDs go on."""

from __future__ import annotations

import resource

from django.conf import settings

_GRACE = 30  # CPU seconds between the signal that ends a process and the one that kills it


def keep_within_allowance() -> None:
    """Bound this process: MemoryError beyond SEECHANGE_CCD_MEMORY (GB), SIGXCPU after SEECHANGE_CCD_CPU (s); 0 is any.

    What counts as memory is what the process may write in, and not files that are mapped into it.
    """
    _lower(resource.RLIMIT_CORE, 0)  # what a crash leaves would be as large as the memory
    if settings.SEECHANGE_CCD_MEMORY:
        _lower(resource.RLIMIT_DATA, settings.SEECHANGE_CCD_MEMORY * 1_000_000_000)
    if settings.SEECHANGE_CCD_CPU:
        _lower(resource.RLIMIT_CPU, settings.SEECHANGE_CCD_CPU, settings.SEECHANGE_CCD_CPU + _GRACE)


def _lower(what: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, and never above one that somebody set before."""
    _, most = resource.getrlimit(what)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))
