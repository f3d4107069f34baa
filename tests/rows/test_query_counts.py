"""How many queries each page needs: not more than before, and not more for a larger archive."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conductor.models import Watch
from conductor.services.adding import add
from conductor.services.moving import move
from tests import factories
from tests.rows.archive import archive
from tests.rows.waiting import claimed, offers

pytestmark = pytest.mark.django_db
BASELINE = Path(__file__).parents[1] / "golden" / "query_counts.json"


def without_login(addresses: dict[str, str]) -> dict[str, str]:
    """The addresses that show something to a person who is logged in."""
    return {name: address for name, address in addresses.items() if name != "login"}


def counted(client: Client, addresses: dict[str, str]) -> dict[str, int]:
    """The number of queries of each page, previews and counts of masks made before."""
    found = {}
    for name, address in addresses.items():
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200, address
        found[name] = len(queries)
    return found


def test_no_page_needs_more_queries_than_its_baseline(client: Client) -> None:
    ada = User.objects.create_user("ada")
    ada.user_permissions.set(Permission.objects.filter(content_type__app_label="conductor"))
    client.force_login(ada)
    site = archive()
    found = counted(client, without_login(site.addresses()) | site.endpoints() | site.conductor_addresses())
    if os.environ.get("WRITE_QUERY_COUNTS"):
        BASELINE.write_text(json.dumps(found, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    more = {name: (n, baseline.get(name)) for name, n in found.items() if n > baseline.get(name, -1)}
    assert not more, f"more queries (now, before): {more}; WRITE_QUERY_COUNTS=1 accepts the new numbers"


def test_the_number_of_queries_does_not_grow_with_the_archive(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    small = archive()
    addresses = without_login(small.addresses()) | small.endpoints() | small.conductor_addresses()
    before = counted(client, addresses)
    for number in range(3):
        of = factories.exposure(f"demo_2026112{number}_050000", mjd=61367.2 + number / 100)
        objects = [row.object for row in small.ccd.measurements]
        factories.full_ccd(4 + number, of=of, objects=objects)
        factories.full_ccd(8 + number, of=of, section="N2")
    rows = add("demo", offers(20), actor="ada").new
    move("hold", [row.pk for row in rows[:5]], actor="ada", reason="clouds")
    for number in range(3):
        claimed(f"cluster {number}")
        Watch.objects.create(name=f"watch {number}", instrument="demo", is_paused=True)
    after = counted(client, addresses)
    assert after == before
