"""What every page shows in its frame."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from products.dates import mjd_of
from products.selectors.tags import chosen_tag
from products.services.tagging import known_tags

OF_PROVENANCE = (
    "provenances", "provenance", "tag", "compare", "product", "references", "reference", "calibrators", "calibrator",
    "fakes", "fakes_of_image", "lost_fakes",
)  # fmt: skip
MENU = (
    ("home", "Tonight", ("home",)),
    ("exposures", "Exposures", ("exposures", "exposure", "ccd", "report", "reports", "image")),
    ("candidates", "Candidates", ("candidates",)),
    ("alerts", "Alerts", ("alerts", "alert", "decided")),
    ("objects", "Objects", ("objects", "object")),
    ("tracklets", "Moving", ("tracklets", "tracklet")),
    ("trace", "Trace", ("trace",)),
    ("provenances", "Provenance", OF_PROVENANCE),
    ("pipeline", "Pipeline", ("pipeline", "step")),
    (
        "conductor",
        "Conductor",
        ("conductor", "known_exposure", "claim_events", "add_exposures", "add_watch", "change_watch", "queue"),
    ),
    ("docs", "Docs", ("docs", "doc", "api")),
)
NEEDS = {"conductor": "conductor.view_knownexposure"}  # entries of the menu for people with a permission


def menu_of(person: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """The menu of a person; None: of a request that was refused before anybody asked whose it is."""
    return [entry for entry in MENU if entry[0] not in NEEDS or (person and person.has_perm(NEEDS[entry[0]]))]


ACCOUNT = ("account", "make_token", "password_change", "people", "person", "audit")


def frame(request: HttpRequest) -> dict[str, object]:
    """The tags to choose from, the chosen one, the theme, the menu and the time."""
    chosen = chosen_tag(request)
    theme = request.COOKIES.get("theme", "")
    now = timezone.now()
    return {
        "tags": known_tags(),
        "tag": chosen.name,
        "tag_is_empty": not chosen.ids,
        "theme": theme if theme in {"light", "dark"} else "",
        "menu": menu_of(getattr(request, "user", None)),
        "account_pages": ACCOUNT,
        "here": request.resolver_match.url_name if request.resolver_match else "",
        "now": now,
        "now_mjd": mjd_of(now),
    }
