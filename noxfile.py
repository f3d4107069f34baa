"""`nox` runs everything that must pass: style, checks, the suite on SQLite and PostgreSQL, and the browser."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"  # uses the environment that requirements-dev.txt was installed into
nox.options.sessions = ["style", "checks", "sqlite", "postgresql", "browser"]
PYTEST = ("python", "-m", "pytest")
WORKERS = ("-n", "3", "--dist", "worksteal")  # one more than there should be cores: many tests wait


@nox.session
def style(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.run("python", "-m", "ruff", "check", ".")
    session.run("python", "-m", "ruff", "format", "--check", ".")


@nox.session
def checks(session: nox.Session) -> None:
    """Django's system checks; no model without its migration."""
    data = {"SEECHANGE_DATA": session.create_tmp()}
    session.run("python", "manage.py", "check", env=data)
    session.run("python", "manage.py", "makemigrations", "--check", "--dry-run", env=data)


@nox.session
def sqlite(session: nox.Session) -> None:
    """The whole suite on SQLite."""
    session.run(*PYTEST, *WORKERS, "-m", "not browser", *session.posargs)


@nox.session
def postgresql(session: nox.Session) -> None:
    """Every test that touches a database on PostgreSQL: that of DATABASE_URL, or a server that the tests start."""
    session.run(*PYTEST, *WORKERS, "-m", "not browser", "--postgresql", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Pages in headless Chromium, which `tests/install_browser.sh` installs where it is missing."""
    session.run("bash", "tests/install_browser.sh", external=True)
    session.run(*PYTEST, "-m", "browser", *session.posargs)
