"""What a case of the corpus is, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processing.admission.codes import TOLERABLE, Code
from processing.admission.rules import AdmissionRules

DEFAULT = AdmissionRules(min_images=0)
STRICT = DEFAULT.refusing(*TOLERABLE)
OK = None


@dataclass(frozen=True)
class Case:
    """A file, what is expected of it, and by which rules."""

    make: Callable[[], bytes]
    code: Code | None  # None: it is let in
    rules: AdmissionRules = DEFAULT
    warning: Code | None = None  # that a file that is let in gets


CASES: dict[str, Case] = {}


def case(name: str, code: Code | None, make: Callable[[], bytes], **more: object) -> None:
    assert name not in CASES
    CASES[name] = Case(make, code, **more)


def quirk(name: str, code: Code, make: Callable[[], bytes]) -> None:
    """What is a warning by default, and a refusal by strict rules."""
    case(f"{name}, tolerated", OK, make, warning=code)
    case(f"{name}, refused", code, make, rules=STRICT)
