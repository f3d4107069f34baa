"""The conductor in the admin: moves are actions, values are edited with an event, events are only read."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from tests.rows.waiting import claimed, events, known

pytestmark = pytest.mark.django_db
State = KnownExposure.State
ROWS = reverse("admin:conductor_knownexposure_changelist")


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("model", [KnownExposure, ClaimEvent, PipelineWorker, Watch, Policy])
def test_every_list_and_row_can_be_seen(model, root):
    known(2)
    claimed()
    Watch.objects.create(name="tonight", instrument="demo", arguments={"folder": "/x"})
    Policy.objects.create()
    name = f"admin:conductor_{model._meta.model_name}"
    assert root.get(reverse(f"{name}_changelist")).status_code == 200
    assert root.get(reverse(f"{name}_change", args=[model.objects.first().pk])).status_code == 200


def test_the_chosen_ones_are_moved_and_the_others_are_named(root):
    first, second = known(2)
    claimed()
    answer = root.post(ROWS, {"action": "hold", "_selected_action": [first.pk, second.pk]}, follow=True)
    refused, done = map(str, answer.context["messages"])
    assert refused.startswith(f"{first.identifier}: it is claimed") and done == "Held: 1."
    assert events(second)[-1] == ("held", "ready", "held") and ClaimEvent.objects.latest("id").actor == "root"


def test_a_state_cannot_be_edited_and_a_priority_leaves_an_event(root):
    (row,) = known()
    page = reverse("admin:conductor_knownexposure_change", args=[row.pk])
    form = root.get(page).context["adminform"].form
    assert set(form.fields) == {"priority", "not_before", "through_step"}
    root.post(
        page, {"priority": "8", "through_step": "photocal", "state": "done", "not_before_0": "", "not_before_1": ""}
    )
    row.refresh_from_db()
    assert (row.priority, row.through_step, row.state) == (8, "photocal", State.READY)
    assert "priority 0 → 8" in ClaimEvent.objects.latest("id").reason


def test_what_somebody_holds_is_not_deleted(root):
    first, second = known(2)
    claimed()
    root.post(ROWS, {"action": "delete", "_selected_action": [first.pk, second.pk]})
    assert list(KnownExposure.objects.all()) == [first]
    assert events(second)[-1] == ("deleted", "ready", "")
    assert (
        root.post(reverse("admin:conductor_knownexposure_delete", args=[first.pk]), {"post": "yes"}).status_code == 403
    )


def test_a_watch_with_wrong_arguments_is_refused_by_field(root):
    page = reverse("admin:conductor_watch_add")
    fields = {
        "name": "x",
        "instrument": "demo",
        "arguments": '{"fold": 1}',
        "interval": "60",
        "priority": "0",
        "through_step": "",
    }
    answer = root.post(page, fields)
    assert "there is no such argument" in str(answer.context["adminform"].form.errors["arguments"])
    assert root.post(page, {**fields, "arguments": '{"folder": "/x"}'}).status_code == 302
    watch = Watch.objects.get()
    assert watch.arguments == {"folder": "/x"}
    assert ClaimEvent.objects.latest("id").what == "added"
    root.post(reverse("admin:conductor_watch_delete", args=[watch.pk]), {"post": "yes"})
    event = ClaimEvent.objects.latest("id")
    assert (event.identifier, event.what, event.actor) == ("watch x", "deleted", "root") and not Watch.objects.exists()


def test_there_is_one_policy_and_events_are_only_read(root):
    root.post(reverse("admin:conductor_policy_add"), {"is_paused": "on", "through_step": ""})
    assert Policy.objects.get().is_paused
    assert (ClaimEvent.objects.get().what, ClaimEvent.objects.get().actor) == ("paused", "root")
    assert root.get(reverse("admin:conductor_policy_add")).status_code == 403
    assert root.get(reverse("admin:conductor_claimevent_add")).status_code == 403
