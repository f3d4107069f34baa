"""Sending: each alert once, whoever sends at the same time; what fails waits longer each time; what is hopeless is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from processing import outbox, sending
from processing.senders.base import Delivery, Packet
from processing.senders.folder import FolderSender
from processing.sending import send
from processing.steps.alerting import Stream
from products import storage
from products.alerts import frozen
from products.alerts.avro import decode, encode
from products.ids import uuid7
from products.models import Alert, AlertEvent, Badness
from products.services.badness import set_badness
from products.services.resending import send_again
from tests import factories

pytestmark = pytest.mark.django_db
State = Alert.State


@pytest.fixture
def ccd():
    made = factories.full_ccd()
    Alert.objects.update(state=State.PENDING)
    return made


def folder(path) -> list[Stream]:
    return [Stream(sender={"name": "folder", "folder": str(path)})]


@pytest.fixture
def good(tmp_path) -> list[Stream]:
    return folder(tmp_path / "out")


@pytest.fixture
def broken(tmp_path) -> list[Stream]:
    (tmp_path / "file").write_text("in the way")
    return folder(tmp_path / "file" / "x")


def packets(count: int) -> list[Packet]:
    return [Packet(f"id{k}", f"SC26aaa{k % 3}", f"payload {k}".encode(), timezone.now()) for k in range(count)]


def test_a_folder_gets_one_whole_file_an_alert(tmp_path):
    told = list(FolderSender(folder=str(tmp_path / "out")).send(packets(3)))
    assert [row.ok for row in told] == [True] * 3
    assert sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.avro")) == [
        b"payload 0", b"payload 1", b"payload 2"
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_in_is_told_for_each_alert_and_raises_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = list(FolderSender(folder=str(tmp_path / "file" / "out")).send(packets(2)))
    assert [row.ok for row in told] == [False, False] and all(row.error for row in told)


def test_what_was_sent_is_in_the_ledger_with_place_size_checksum_and_schema(ccd, good, tmp_path):
    assert send(Alert.objects.all(), good) == 1
    assert send(Alert.objects.all(), good) == 0
    gone = Alert.objects.get()
    payload = next((tmp_path / "out").rglob("*.avro")).read_bytes()
    assert (gone.state, gone.attempts, gone.error, gone.claimed_until) == (State.SENT, 1, "", None)
    assert gone.sent_at and gone.sent_to.endswith(f"{gone.pk}.avro")
    assert (gone.payload_size, gone.schema_version) == (len(payload), decode(payload)["schemaVersion"])
    assert gone.payload_sha256 == Packet("", "", payload, timezone.now()).sha256
    event = gone.events.get()
    assert (event.what, event.where, event.who) == ("sent", gone.sent_to, "")


def test_what_could_not_be_sent_waits_for_its_time_and_goes_out_once(ccd, good, broken):
    assert send(Alert.objects.all(), broken) == 0
    waiting = Alert.objects.get()
    assert (waiting.state, waiting.attempts) == (State.PENDING, 1) and waiting.error
    assert timedelta(seconds=5) < waiting.next_try_at - timezone.now() < timedelta(seconds=25)
    assert send(Alert.objects.all(), good) == 0
    assert send(Alert.objects.all(), good, early=True) == 1
    assert send(Alert.objects.all(), good, early=True) == 0
    gone = Alert.objects.get()
    assert (gone.state, gone.attempts, gone.error) == (State.SENT, 2, "")
    assert [event.what for event in gone.events.all()] == ["failed", "sent"]


def test_the_wait_doubles_up_to_an_hour_and_is_scattered():
    waits = [[outbox._wait(attempt).total_seconds() for _ in range(50)] for attempt in (1, 2, 3, 20)]
    for middle, found in zip((15, 30, 60, 3600), waits):
        assert 0.75 * middle <= min(found) < max(found) <= 1.25 * middle
        assert max(found) - min(found) > 0.1 * middle


def test_an_alert_that_fails_again_and_again_is_given_up_with_the_reason(ccd, broken):
    Alert.objects.update(attempts=outbox.MAX_ATTEMPTS - 1)
    send(Alert.objects.all(), broken)
    dead = Alert.objects.get()
    assert dead.state == State.DEAD and dead.error and dead.events.get().what == "dead"


def test_what_somebody_else_sends_is_left_to_them_until_their_lease_ends(ccd, good):
    theirs = outbox.claim(Alert.objects.all(), uuid7(), at_most=10)
    assert len(theirs) == 1 and theirs[0].claimed_until - timezone.now() > timedelta(minutes=4)
    assert send(Alert.objects.all(), good, early=True) == 0
    Alert.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert outbox.renew(theirs[0].claim, [theirs[0].pk]) == {theirs[0].pk}  # nobody took it meanwhile
    Alert.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert send(Alert.objects.all(), good) == 1
    assert outbox.renew(theirs[0].claim, [theirs[0].pk]) == set()


def test_a_claim_that_ended_notes_no_failure_but_a_delivery(ccd):
    old = outbox.claim(Alert.objects.all(), uuid7(), at_most=10)[0]
    Alert.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    new = outbox.claim(Alert.objects.all(), uuid7(), at_most=10)[0]
    assert outbox.note([(old, Delivery(str(old.pk), ok=False, error="too late"), None)])[0] == 0
    assert Alert.objects.get().attempts == 0 and Alert.objects.get().error == ""
    assert outbox.note([(old, Delivery(str(old.pk), ok=True, where="first"), None)])[0] == 1
    first, (event,) = outbox.note([(new, Delivery(str(new.pk), ok=True, where="second"), None)])
    assert first == 0 and "second time" in event.remark
    assert Alert.objects.get().sent_to == "first"


class Counting:
    """A sender that keeps what it gets."""

    def send(self, packets):
        got.extend(packets)
        return [Delivery(packet.id, ok=True) for packet in packets]


got: list[Packet] = []


def end(*arguments) -> None:
    raise SystemExit


def test_a_process_that_ends_between_delivery_and_note_sends_the_same_bytes_again(ccd, monkeypatch):
    got.clear()
    stream = Stream.model_construct(name="all", sender=Counting())
    with monkeypatch.context() as patch:
        patch.setattr(sending, "_note", end)
        with pytest.raises(SystemExit):
            send(Alert.objects.all(), [stream])
    objects = [row.object for row in ccd.measurements]
    factories.full_ccd(seed=1, of=factories.exposure("earlier", mjd=ccd.exposure.mjd - 2), objects=objects)
    mine = Alert.objects.filter(batch__score_set__measurement_set=ccd.measurement_set)
    assert send(mine, [stream]) == 0
    mine.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert send(mine, [stream]) == 1
    first, second = got
    assert first.id == second.id and first.payload == second.payload


def test_a_measurement_that_does_not_fit_the_schema_is_dead_at_once_and_the_others_go(ccd, good, monkeypatch):
    batch = Alert.objects.get().batch
    other = batch.score_set.scores.get(measurement=ccd.measurements[1])
    Alert.objects.create(id=uuid7(), batch=batch, score=other, stream="all")  # no packet of it is in the receipt
    assert send(Alert.objects.all(), good) == 1
    assert {alert.score_id == other.pk: alert.state for alert in Alert.objects.all()} == {False: "sent", True: "dead"}
    assert "schema" in Alert.objects.get(state=State.DEAD).error


def test_a_receipt_whose_file_is_gone_waits_and_says_so(ccd, good):
    batch = Alert.objects.get().batch
    content = storage.local_path(batch.filepath).read_bytes()
    storage.remove(batch.filepath)
    assert send(Alert.objects.all(), good) == 0
    waiting = Alert.objects.get()
    assert waiting.state == State.PENDING and batch.filepath in waiting.error
    storage.local_path(batch.filepath).write_bytes(content)
    assert send(Alert.objects.all(), good, early=True) == 1


def backlog(ccd: factories.CCD, number: int) -> None:
    for night in range(1, number):
        factories.full_ccd(of=factories.exposure(f"next{night}", mjd=ccd.exposure.mjd + night))
    Alert.objects.update(state=State.PENDING)


def test_a_backlog_of_many_receipts_goes_out_in_the_order_in_which_it_came(ccd, monkeypatch):
    got.clear()
    monkeypatch.setattr("processing.sending.AT_ONCE", 2)
    backlog(ccd, 5)
    assert send(Alert.objects.all(), [Stream.model_construct(name="all", sender=Counting())]) == 5
    batches = list(Alert.objects.order_by("batch__created_at").values_list("pk", flat=True))
    assert [packet.id for packet in got] == [str(pk) for pk in batches]


class Refusing:
    """A sender that brings nothing out."""

    def __init__(self, *, fatal: bool) -> None:
        self.fatal = fatal

    def send(self, packets):
        return [Delivery(packet.id, ok=False, error="no", fatal=self.fatal) for packet in packets]


@pytest.mark.parametrize(("fatal", "tried"), [(False, 1), (True, 3)])
def test_a_backlog_is_not_held_against_a_broker_that_is_away_but_hopeless_ones_keep_nobody_back(
    ccd, fatal, tried, monkeypatch
):
    monkeypatch.setattr("processing.sending.AT_ONCE", 1)
    backlog(ccd, 3)
    assert send(Alert.objects.all(), [Stream.model_construct(name="all", sender=Refusing(fatal=fatal))]) == 0
    assert Alert.objects.filter(attempts=1).count() == tried
    assert Alert.objects.filter(claimed_until=None).count() == 3


def test_what_somebody_else_sends_does_not_stand_before_what_is_free(ccd):
    backlog(ccd, 2)
    (theirs,) = outbox.claim(Alert.objects.all(), uuid7(), at_most=1)
    (mine,) = outbox.claim(Alert.objects.all(), uuid7(), at_most=1)
    assert mine.pk != theirs.pk


def test_a_withheld_alert_waits_until_the_mark_is_cleared(ccd, good):
    set_badness(ccd.image, Badness.SHAKING)
    assert send(Alert.objects.all(), good) == 0
    assert Alert.objects.get().state == State.PENDING
    set_badness(ccd.image, Badness(0))
    assert send(Alert.objects.all(), good) == 1


def test_sent_again_by_choice_is_recorded_with_who_and_why_and_has_the_same_bytes(ccd, good, tmp_path):
    send(Alert.objects.all(), good)
    first = Alert.objects.get()
    before = next((tmp_path / "out").rglob("*.avro")).read_bytes()
    assert send_again([first.pk], who="ada", why="the broker lost its disk") == 1
    assert send_again([first.pk], who="ada", why="twice") == 0
    assert send(Alert.objects.all(), good) == 1
    again = Alert.objects.get()
    assert next((tmp_path / "out").rglob("*.avro")).read_bytes() == before
    assert again.payload_sha256 == first.payload_sha256
    told = [(event.what, event.who, event.remark) for event in again.events.all()]
    assert told == [("sent", "", ""), ("again", "ada", "the broker lost its disk"), ("sent", "", "")]
    assert again.events.all()[1].where == first.sent_to


# The command ------------------------------------------------------------------------------------------------


def command(capsys, *arguments: str) -> str:
    call_command("send_alerts", *arguments)
    return capsys.readouterr().out


def test_the_command_sends_what_waits_of_a_night_and_a_stream(ccd, capsys):
    factories.full_ccd(of=factories.exposure("next", mjd=ccd.exposure.mjd + 1))
    Alert.objects.update(state=State.PENDING)
    assert command(capsys, "--night", "2026-11-24") == "0 sent, 0 still waiting\n"
    assert command(capsys, "--stream", "other") == "0 sent, 0 still waiting\n"
    assert command(capsys, "--night", "2026-11-23") == "1 sent, 0 still waiting\n"
    assert command(capsys) == "1 sent, 0 still waiting\n"
    with pytest.raises(CommandError, match="2026-13-01"):
        command(capsys, "--night", "2026-13-01")


def test_the_command_says_what_is_withheld_dead_or_of_no_stream(ccd, capsys):
    Alert.objects.update(stream="old")
    said = command(capsys)
    assert said.startswith("0 sent, 1 still waiting\n") and "old" in said
    Alert.objects.update(stream="all")
    set_badness(ccd.image, Badness.SHAKING)
    assert "1 withheld" in command(capsys)
    Alert.objects.update(state=State.DEAD)
    assert "1 given up" in command(capsys)


def test_the_command_sends_again_what_it_is_told_to_with_a_reason(ccd, capsys):
    command(capsys)
    key = str(Alert.objects.get().pk)
    with pytest.raises(CommandError, match="--why"):
        command(capsys, "--again", key)
    assert "1 sent" in command(capsys, "--again", key, "--why", "asked for", "--by", "ada")
    event = AlertEvent.objects.get(what="again")
    assert (event.who, event.remark) == ("ada", "asked for")
    for wrong in ("nonsense", str(uuid7())):
        with pytest.raises(CommandError, match=wrong):
            command(capsys, "--again", wrong, "--why", "x")


def test_a_user_without_a_name_is_asked_who_wants_it(ccd, capsys, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    with pytest.raises(CommandError, match="--by"):
        command(capsys, "--dead", "--why", "x")
    assert "0 sent" in command(capsys, "--dead", "--why", "x", "--by", "ada", "--stream", "other")


def test_the_command_revives_the_dead_ones_of_its_choice(ccd, capsys):
    Alert.objects.update(state=State.DEAD, error="too large")
    assert command(capsys, "--dead", "--stream", "other", "--why", "x").startswith("0 sent")
    assert Alert.objects.get().state == State.DEAD
    assert command(capsys, "--dead", "--why", "the limit was raised").startswith("1 sent")
    assert AlertEvent.objects.get(what="again").who


def test_the_packet_that_goes_out_is_that_of_the_receipt(ccd, good, tmp_path):
    send(Alert.objects.all(), good)
    assert next((tmp_path / "out").rglob("*.avro")).read_bytes() == encode(frozen.packet_of(Alert.objects.get()))


def test_files_count_as_sent_when_the_names_in_their_folder_are_on_the_disk(tmp_path, monkeypatch):
    from processing.senders import folder

    now, asked = timezone.now(), []
    packets = [Packet(f"{number}", "SC26aaaa", b"packet", now) for number in range(3)]
    sender = folder.FolderSender(folder=str(tmp_path))
    monkeypatch.setattr(folder, "settle", asked.append)
    assert [delivery.ok for delivery in sender.send(packets)] == [True] * 3
    assert asked == [tmp_path / f"{now:%Y%m%d}"]

    def gone(path):
        raise OSError("the disk is gone")

    monkeypatch.setattr(folder, "settle", gone)
    assert [(delivery.ok, delivery.error) for delivery in sender.send(packets)] == [(False, "the disk is gone")] * 3
