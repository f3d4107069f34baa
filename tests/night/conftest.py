"""A small night, made once by the commands; every test that asks for it works on a copy with a database of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.utils import ConnectionHandler
from django.test import override_settings

from processing.simulated_night import EPOCH, FIRST_MJD, Night, write_night
from processing.star_catalogs import keep_excerpt

ROOT = Path(__file__).parents[2]
SMALL = Night(ccds=2, side=288, bands=("r",), early=2, late=2, biases=3, flats=3, seed=9)


@dataclass(frozen=True)
class Place:
    """A data folder and its database."""

    folder: Path
    database: str  # path of SQLite's file, or name in the PostgreSQL server

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Rows and files are those of this place."""
        mine = ConnectionHandler({"default": {**settings.DATABASES["default"], "NAME": self.database}})["default"]
        before = connections["default"]
        connections["default"] = mine
        try:
            with override_settings(
                SEECHANGE_DATA=self.folder, SEECHANGE_ARCHIVE="", SEECHANGE_ALERTS=self.folder / "alerts"
            ):
                yield
        finally:
            mine.close()
            connections["default"] = before

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which another process uses this place."""
        if url := os.environ.get("DATABASE_URL"):
            url = urlsplit(url)._replace(path=f"/{self.database}").geturl()
        own = {
            "SEECHANGE_DATA": str(self.folder),
            "DATABASE_URL": url or f"sqlite:///{self.database}",
            "OMP_NUM_THREADS": "1",
        }
        return os.environ | own

    def manage(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run manage.py in a process of its own."""
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def raw(self, word: str) -> list[Path]:
        """The raw files of the night with `word` in their names."""
        return sorted(path for path in (self.folder / "raw").iterdir() if word in path.name)

    def copy_to(self, folder: Path) -> Place:
        """A second place that begins with the same files and rows."""
        shutil.copytree(self.folder, folder, copy_function=os.link, ignore=shutil.ignore_patterns("*.sqlite3*"))
        copy = new_place(folder, template=self.database)
        if not os.environ.get("DATABASE_URL"):
            shutil.copyfile(self.database, copy.database)
        return copy


def new_place(folder: Path, template: str = "") -> Place:
    """A place at a folder; on PostgreSQL with a new database, empty or like `template`."""
    if not os.environ.get("DATABASE_URL"):
        return Place(folder, str(folder / "seechange.sqlite3"))
    import psycopg

    name = f"night_{os.getpid()}_{abs(hash(str(folder)))}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return Place(folder, name)


@dataclass(frozen=True)
class Command:
    """Call commands in this process, and keep what they say."""

    said: list[str]

    def __call__(self, name: str, /, *arguments: str | Path, **options: object) -> str:
        out = StringIO()
        call_command(name, *map(str, arguments), stdout=out, stderr=out, **options)
        self.said.append(out.getvalue())
        return out.getvalue()


@pytest.fixture
def command() -> Command:
    """`command("extract", name, section=["N1"])` runs a command in this process and gives what it wrote."""
    return Command([])


@dataclass(frozen=True)
class CalibratedNight:
    """The place of a night whose early exposures are calibrated and stacked, and what the commands said of it."""

    place: Place
    said: dict[str, str]

    @cached_property
    def raw(self) -> list[Path]:
        return self.place.raw("")


@pytest.fixture(scope="session")
def calibrated_night(tmp_path_factory: pytest.TempPathFactory, django_db_blocker) -> CalibratedNight:
    """Made once; to look at only."""
    place, command, said = new_place(tmp_path_factory.mktemp("calibrated") / "data"), Command([]), {}
    with django_db_blocker.unblock(), place.in_use():
        files = write_night(SMALL, place.folder / "raw", lambda name: None)
        call_command("migrate", verbosity=0)
        keep_excerpt(files.catalog, "demo", EPOCH)
        for kind in ("bias", "flat"):
            said[f"make_{kind}"] = command(f"make_{kind}", *place.raw(kind), instrument="demo", numprocs=0)
        said["ingest"] = command("ingest", *place.raw("late"), instrument="demo")
        said["process_exposure"] = command(
            "process_exposure", *place.raw("early"), instrument="demo", numprocs=0, through_step="photocal"
        )
        said["make_reference"] = command("make_reference", instrument="demo", filter="r", mjd_max=FIRST_MJD)
    return CalibratedNight(place, said)


@pytest.fixture
def night(calibrated_night: CalibratedNight, tmp_path: Path, django_db_blocker) -> Iterator[Place]:
    """A copy of the calibrated night, in use during the test: late exposures are ingested, none is processed."""
    copy = calibrated_night.place.copy_to(tmp_path / "night")
    with django_db_blocker.unblock(), copy.in_use():
        yield copy


def forked(*works: Callable[[], object]) -> list[int]:
    """Run each of `works` in a child process, side by side; their exit statuses, negative for signals."""
    connections["default"].close()  # a connection must not be shared with a child
    children = [os.fork() or _end(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def _end(work: Callable[[], object]) -> int:
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
