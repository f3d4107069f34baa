"""Which files and folders of the server may be named, on the conductor's pages and in the REST API alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conductor.errors import NotAllowed
from conductor.incoming import checked_path
from conductor.models import KnownExposure, Watch
from tests.instruments.test_instruments import demo_file
from tests.rows.conducting import API, ONE, Asker

pytestmark = pytest.mark.django_db
ADD, NEW_WATCH, WATCHES = "/conductor/add/", "/conductor/watches/add/?instrument=demo", "/api/v1/watches/"
REFUSED = "is in none of the folders that may be named here"


def on_the_page(client: Client, path: object) -> str:
    """The page after a raw file was named."""
    return client.post(ADD, {"instrument": "demo", "priority": 0, "paths": str(path)}, follow=True).content.decode()


def in_the_api(asker: Asker, path: object):
    """The answer after a raw file was named."""
    return asker.send(API, instrument="demo", exposures=[{**ONE, "params": {"path": path}}])


def tricks(raw: Path, folder: Path) -> list[str]:
    """Ways to name a file that is not where raw files arrive."""
    outside = folder / "secret" / "raw2.fits"
    outside.parent.mkdir()
    demo_file(outside)
    (raw.parent / "link.fits").symlink_to(outside)
    (raw.parent / "folder").symlink_to(outside.parent)
    (raw.parent / "loop").symlink_to(raw.parent / "loop")
    (folder / "incoming2").mkdir()
    demo_file(folder / "incoming2" / "raw2.fits")
    paths = (
        outside, f"{raw.parent}/../secret/raw2.fits", raw.parent / "link.fits", raw.parent / "folder" / "raw2.fits",
        raw.parent / "loop", folder / "incoming2" / "raw2.fits", "raw1.fits", "~/raw1.fits", "/etc/passwd",
        "/proc/self/environ", "file:///etc/passwd", "http://127.0.0.1/", "x" * 5000, "/" + "x" * 5000, f"{raw}\x01/..",
    )  # fmt: skip
    return [str(path) for path in paths]


def test_files_elsewhere_cannot_be_named_by_any_trick(
    operator: User, client: Client, ada: Asker, raw: Path, tmp_path: Path
) -> None:
    for path in tricks(raw, tmp_path):
        page, answer = on_the_page(client, path), in_the_api(ada, path)
        assert REFUSED in page and "root:" not in page, path
        fields = answer.json()["error"]["fields"]
        assert answer.status_code == 400 and list(fields) == ["exposures.0.params"], path
        assert fields["exposures.0.params"][0].startswith("path: ") and REFUSED in fields["exposures.0.params"][0]
    assert not KnownExposure.objects.exists()


@pytest.mark.parametrize("path", [None, 3, ["/etc/passwd"], {"a": 1}, "", True])
def test_what_is_no_path_is_refused(ada: Asker, raw: Path, path: object) -> None:
    assert in_the_api(ada, path).status_code == 400 and not KnownExposure.objects.exists()


def test_files_where_they_arrive_can_be_named_by_a_program(ada: Asker, raw: Path) -> None:
    answer = in_the_api(ada, str(raw))
    assert answer.status_code == 201 and answer.json()["new"][0]["params"] == {"path": str(raw)}
    away = f"{raw.parent}/folder/that/only/the/cluster/has.fits"
    other = ada.send(API, instrument="demo", exposures=[{**ONE, "identifier": "b.fits", "params": {"path": away}}])
    assert other.status_code == 201 and other.json()["new"][0]["params"] == {"path": away}


def test_it_is_not_told_whether_a_file_elsewhere_exists(incoming: Path, tmp_path: Path) -> None:
    (tmp_path / "there.fits").touch()
    said = []
    for name in ("there.fits", "gone.fits"):
        with pytest.raises(NotAllowed) as error:
            checked_path(str(tmp_path / name), [incoming])
        said.append(str(error.value).replace(name, "x"))
    assert said[0] == said[1]


def test_without_a_folder_nothing_can_be_named(operator: User, client: Client, ada: Asker, raw: Path, settings) -> None:
    settings.SEECHANGE_INCOMING = []
    assert "set SEECHANGE_INCOMING" in on_the_page(client, raw)
    assert "set SEECHANGE_INCOMING" in in_the_api(ada, str(raw)).json()["error"]["message"]
    Watch.objects.create(name="w", instrument="demo", arguments={"folder": str(raw.parent)})
    assert "Added, ready" in on_the_page(client, raw)
    assert in_the_api(ada, str(raw)).status_code == 201


# Folders of watches --------------------------------------------------------------------------------------


def watch(folder: object) -> dict[str, object]:
    """A watch as the REST API takes it."""
    return {"name": "tonight", "instrument": "demo", "arguments": {"folder": str(folder)}}


def test_a_watch_looks_where_files_arrive_and_nowhere_else(ada: Asker, raw: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, "/", "/etc", f"{raw.parent}/..", "relative"):
        answer = ada.send(WATCHES, watch(folder))
        assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == ["arguments"], folder
        assert answer.json()["error"]["fields"]["arguments"][0].startswith("folder: ")
    made = ada.send(WATCHES, watch(raw.parent))
    assert made.status_code == 201
    here = f"{WATCHES}{made.json()['id']}/"
    assert ada.send(here, {"arguments": {"folder": str(tmp_path)}}, method="patch").status_code == 400
    assert Watch.objects.get().arguments == {"folder": str(raw.parent)}


def test_only_staff_names_any_folder(client: Client, incoming: Path, tmp_path: Path) -> None:
    root = User.objects.create_superuser("root")
    client.force_login(root)
    form = {"name": "x", "interval": 60, "priority": 3, "reason": "first light", "argument-pattern": "*.fits"}
    client.post(NEW_WATCH, {**form, "argument-folder": str(tmp_path)})
    assert Watch.objects.get().arguments["folder"] == str(tmp_path)
    assert Asker(root).send(WATCHES, watch(tmp_path.parent)).status_code == 201


def test_what_staff_chose_can_be_kept_by_others_who_change_the_rest(ada: Asker, tmp_path: Path) -> None:
    chosen = Watch.objects.create(name="w", instrument="demo", arguments={"folder": str(tmp_path)})
    answer = ada.send(f"{WATCHES}{chosen.pk}/", {"interval": 30}, method="patch")
    assert answer.status_code == 200 and answer.json()["interval"] == 30
