"""Settings from the environment, or from a file named by `<NAME>_FILE`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable `name`, or what the file named by `<name>_FILE` holds, or `default`."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return os.environ.get(name, default)


def boolean(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off and the empty string."""
    value = text(name, str(default)).lower()
    if value not in {"1", "true", "yes", "on", "0", "false", "no", "off", ""}:
        raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false")
    return value in {"1", "true", "yes", "on"}


def integer(name: str, default: int) -> int:
    """A whole number."""
    try:
        return int(text(name, str(default)))
    except ValueError:
        raise ImproperlyConfigured(f"{name}={text(name)!r} is not a whole number") from None


def folder(name: str, default: Path) -> Path:
    """A folder to write in, made where it is missing."""
    path = Path(text(name, str(default))).resolve()
    trial = path / f".{os.getpid()}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = f"{path} cannot be written in ({error.strerror}); set {name} to a folder of yours"
        raise ImproperlyConfigured(reason) from None
    return path


def kept_secret(name: str, path: Path) -> str:
    """The secret `name`, else the one kept in `path`, which is made at first use and readable by its owner only."""
    if value := text(name):
        return value
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # fails where another process was first: its secret holds
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


def database(url: str, folder: Path) -> dict[str, Any]:
    """Django's database settings from `sqlite:///path` or `postgresql://user:password@host:port/name?option=value`."""
    url = url or f"sqlite:///{folder / 'seechange.sqlite3'}"
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path if parts.path.startswith("//") else parts.path or ":memory:",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
            },
        }
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL must begin with sqlite:// or postgresql://, not {parts.scheme}://")
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", "") or unquote(parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **options},
    }


def kafka() -> dict[str, str]:
    """How to log in to a Kafka broker: KAFKA_USERNAME and KAFKA_PASSWORD, by SCRAM over TLS; nothing without them."""
    username = text("KAFKA_USERNAME")
    if not username:
        return {}
    return {
        "security.protocol": text("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        "sasl.mechanism": text("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        "sasl.username": username,
        "sasl.password": text("KAFKA_PASSWORD"),
    }
