"""Progress for people: bars on a terminal, titles elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Tick = Callable[[str], None]
Tell = Callable[[str, int], Tick]


@contextlib.contextmanager
def bars() -> Iterator[Tell]:
    """One bar under the other: each call with a title and a number of ticks begins one, each tick says what ended."""
    if not sys.stderr.isatty():

        def tell_plainly(title: str, total: int) -> Tick:
            print(f"{title} …", file=sys.stderr, flush=True)
            return lambda text: None

        yield tell_plainly
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[now]}"), console=Console(stderr=True)
    ) as progress:

        def tell(title: str, total: int) -> Tick:
            task = progress.add_task(title, total=total, now="")
            return lambda text: progress.update(task, advance=1, now=text)

        yield tell


@contextlib.contextmanager
def bytes_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of a download; it is told how many bytes are here and how many there will be."""
    if not sys.stderr.isatty():
        yield lambda here, whole: None
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda here, whole: progress.update(task, completed=here, total=whole)


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Tick]:
    """A single bar of `total` ticks."""
    with bars() as tell:
        yield tell(title, total)
