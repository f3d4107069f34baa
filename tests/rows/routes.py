"""Every address of the site with something that exists in it, as the URL configuration and a small archive say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, URLResolver, get_resolver, reverse

from conductor.models import KnownExposure, PipelineWorker, Watch
from products.models import FakeAnalysis, Label, Tracklet
from products.services.forced import request
from seechange_site.models import ApiToken
from tests.rows.archive import Archive
from tests.rows.people import person

ADMIN = ("admin:index", "admin:auth_user_changelist", "admin:seechange_site_apitoken_changelist",
         "admin:products_provenancetag_changelist", "admin:products_exposure_changelist")  # fmt: skip
# In other places stands what fits. A name that leads nowhere is a 404 for those who may see it.
NOWHERE = ("nothing", UUID(int=7), 1, "new")


@dataclass(frozen=True)
class Route:
    """An address, how the configuration writes it, and the methods to try."""

    text: str
    address: str
    methods: tuple[str, ...]
    values: tuple[str, ...] = ()  # what stands in its places

    @property
    def is_api(self) -> bool:
        """Whether it belongs to the REST API."""
        return self.text.startswith("api/v1/")


def samples(site: Archive) -> dict[str, dict[str, Any]]:
    """Name of a route → what stands in its address."""
    ccd, someone = site.ccd, person("scanner", "somebody")
    token, _ = ApiToken.issue(someone, "of somebody", ["read"])
    measurement, image, provenance = ccd.measurements[0].pk, ccd.image.pk, ccd.image.provenance_id
    exposure, thing, who, alert = {"name": site.name}, {"name": site.object}, {"name": someone.username}, site.alert
    Label.objects.create(measurement=ccd.measurements[0], person=someone, verdict="real")
    request(object=ccd.measurements[0].object, tag="current", ra=35.5, dec=-4.75)
    fakes = FakeAnalysis.objects.first().pk
    return {
        "exposure": exposure, "ccd": exposure | {"section": "N1"}, "report": exposure | {"section": "N1"},
        "ccd_calibration": exposure | {"section": "N1"}, "image_calibration": {"key": ccd.difference.reference.zero_point.image.pk},
        "object": thing, "mark_object": thing, "measure_object": thing, "light_curve": thing | {"ending": "csv"}, "labels": {"ending": "csv"},
        "label": {"key": measurement}, "decided": {"key": measurement}, "stamp": {"key": measurement, "plane": "new"},
        "tag": {"name": "current"}, "api-tag-detail": {"name": "current"}, "provenance": {"key": provenance}, "change_tag": {"key": provenance},
        "product": {"kind": "image", "key": image}, "mark_product": {"kind": "image", "key": image}, "image": {"key": image}, "fits": {"key": image},
        "preview": {"key": image, "plane": "data"}, "tile": {"key": image, "plane": "data", "column": 0, "row": 0},
        "marks": {"key": image, "kind": "stars"}, "pixels": {"key": image}, "reference": {"key": ccd.difference.reference.pk},
        "calibrator": {"key": ccd.image.calibrators.get().pk}, "fakes_of_image": {"key": fakes},
        "fake_place": {"key": fakes, "index": 0, "plane": "new"}, "step": {"name": "subtraction"},
        "alert": {"key": alert}, "alert_again": {"key": alert}, "alert_packet": {"key": alert},
        "tracklet": {"key": Tracklet.objects.first().pk}, "alert_schema": {"version": "1.0"}, "doc": {"page": "overview"},
        "change_watch": {"key": Watch.objects.first().pk}, "move_watch": {"key": Watch.objects.first().pk},
        "remove_worker": {"key": PipelineWorker.objects.first().pk},
        "known_exposure": {"key": KnownExposure.objects.first().pk},
        "person": who, "give_role": who, "open_account": who, "close_account": who, "password_link": who,
        "revoke_token": {"key": token.pk}, "api-packet": {"key": measurement}, "api-decisions": {"key": measurement},
        "api-stamp": {"pk": measurement, "plane": "new", "ending": "png"},
    }  # fmt: skip


def of_view(callback: Any) -> dict[str, Any]:
    """What stands in the address of one row of a REST view: the first row of its table."""
    view = getattr(callback, "cls", None)
    if getattr(view, "queryset", None) is None:
        return {}
    row = view.queryset.model._base_manager.first()
    found = getattr(row, view.lookup_field, None)
    return {view.lookup_url_kwarg or view.lookup_field: found} if found else {}


def routes(site: Archive) -> list[Route]:
    """All named routes of the site, and some of the admin."""
    known = samples(site)
    found = [Route(f"admin {name}", reverse(name), ("GET",)) for name in ADMIN]
    for text, name, places, callback in _patterns(get_resolver().url_patterns):
        address, values = _filled(name, places, of_view(callback) | known.get(name, {}))
        found.append(Route(text, address, _methods(callback), values))
    return found


def _filled(name: str, places: tuple[str, ...], known: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The address of a route with something that fits in each place, and what that is."""
    for values in product(*([known[place]] if place in known else NOWHERE for place in places)):
        try:
            return reverse(name, kwargs=dict(zip(places, values, strict=True))), tuple(map(str, values))
        except NoReverseMatch:
            continue
    raise NoReverseMatch(f"{name}: say in `samples` what stands in {', '.join(places)}")


def _methods(callback: Any) -> tuple[str, ...]:
    view = getattr(callback, "cls", None)
    if view is None:
        return ("GET", "POST")
    written = getattr(callback, "actions", None) or [
        name for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)
    ]
    return tuple(method.upper() for method in written if method != "head" and method in view.http_method_names)


def _patterns(patterns: Any, prefix: str = "", places: tuple[str, ...] = ()) -> Iterator[tuple]:
    """(text, name, what stands in it, view) of every route with a name outside the admin."""
    for entry in patterns:
        text, inner = prefix + str(entry.pattern), (*places, *entry.pattern.regex.groupindex)
        if isinstance(entry, URLResolver):
            if not entry.namespace:
                yield from _patterns(entry.url_patterns, text, inner)
        elif entry.name:
            yield text, entry.name, inner, entry.callback
