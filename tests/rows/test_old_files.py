"""Files that an earlier version wrote, without all that a product has now: said in a sentence, wherever they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from django.test import Client
from django.urls import reverse

from processing.forced_requests import answer, ask
from products import storage
from products.errors import OldFile
from products.models import DifferenceImage, FakeAnalysis, Object
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db
SENTENCE = r"has no plane (SCORE|TILES): an earlier version wrote it; process the exposure again"


@pytest.fixture
def old(site: Archive) -> DifferenceImage:
    """A difference image whose file has no score and no tiles."""
    row = DifferenceImage.objects.get(pk=site.ccd.difference.pk)
    path = storage.local_path(row.filepath)
    without(path, "SCORE", "TILES")
    DifferenceImage.objects.filter(pk=row.pk).update(sha256=storage.sha256(path), filesize=path.stat().st_size)
    return DifferenceImage.objects.get(pk=row.pk)


def without(path: Path, *names: str) -> None:
    """Write a FITS file again without some of its extensions."""
    with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        for name in names:
            del hdus[name]
        hdus.writeto(path.with_suffix(".old"))
    path.with_suffix(".old").rename(path)


def test_a_plane_that_an_old_file_lacks_is_missed_in_a_sentence_and_the_others_are_read(old):
    with pytest.raises(OldFile, match=SENTENCE) as caught:
        assert old.tiles
    assert caught.value.details == {"path": Path(old.filepath).name, "plane": "TILES"}
    with pytest.raises(OldFile, match=SENTENCE):
        old.part(("data", "score"), slice(0, 5), slice(0, 5))
    assert np.isfinite(old.data).all()


def test_pages_say_that_a_file_is_old(old, client: Client):
    found = client.get(f"/images/{old.pk}/pixels/", {"x": 3, "y": 3, "plane": "score"})
    assert found.status_code == 404 and "has no plane SCORE: an earlier version" in found.json()["error"]
    assert client.get(f"/images/{old.pk}/pixels/", {"x": 3, "y": 3}).status_code == 200
    for address in (f"/images/{old.pk}/score.png", f"/images/{old.pk}/score/0/0.png"):
        assert client.get(address).status_code == 404, address


def test_forced_photometry_goes_on_with_the_other_images(site, old):
    found = answer(ask(Object.objects.get(name=site.object), "current"))
    assert (found.state, found.n_images, found.n_measured) == ("done", 2, 1)
    (failure,) = found.failures
    assert failure["error"] == "OldFile" and "process the exposure again" in failure["message"]


def test_a_stamp_that_an_old_file_of_cutouts_lacks_is_no_bug(site, client: Client):
    cutouts = site.ccd.measurement_set.cutouts
    without(storage.local_path(cutouts.filepath), "REF")
    type(cutouts).objects.filter(pk=cutouts.pk).update(sha256="")
    address = reverse("stamp", args=[site.ccd.measurements[0].pk, "reference"])
    assert client.get(address).status_code == 404


def test_fakes_without_reasons_are_a_sentence_on_their_page(site, text):
    analysis = FakeAnalysis.objects.get()
    path = storage.local_path(analysis.filepath)
    with fits.open(path, memmap=False) as hdus:
        table = fits.BinTableHDU.from_columns(
            [column for column in hdus["RECOVERY"].columns if column.name != "response"], name="RECOVERY"
        )
        fits.HDUList([hdus[0].copy(), table]).writeto(path, overwrite=True)
    FakeAnalysis.objects.update(sha256=storage.sha256(path))
    assert "inject them again" in text(f"/fakes/{analysis.pk}/")
