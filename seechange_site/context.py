"""What every page shows in its frame."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone

from products.dates import mjd_of
from products.selectors.tags import chosen_tag
from products.services.tagging import known_tags

MENU = (
    ("home", "Tonight", ("home",)),
    ("exposures", "Exposures", ("exposures", "exposure", "ccd", "report", "reports", "image")),
    ("candidates", "Candidates", ("candidates",)),
    ("objects", "Objects", ("objects", "object")),
    ("provenances", "Provenance", ("provenances", "provenance", "tag", "compare")),
    ("pipeline", "Pipeline", ("pipeline", "step")),
    ("docs", "Documentation", ("docs", "doc")),
)


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
        "menu": MENU,
        "here": request.resolver_match.url_name if request.resolver_match else "",
        "now": now,
        "now_mjd": mjd_of(now),
    }
