"""What the queue runs for the conductor: thin shells of ordinary functions."""

from __future__ import annotations

from conductor.models import Watch
from conductor.watching import due, look_all


def watch_all() -> dict[str, str]:
    """Let the watches look that are due, and take back what lost its holder: watch → what it found."""
    return {found.watch: str(found) for found in look_all(due(Watch.objects.all()))}
