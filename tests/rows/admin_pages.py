"""What the tests of the admin share: addresses, a full tree of rows, people."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from products.models import (
    Alert,
    AlertEvent,
    CalibratorFile,
    CatalogCell,
    CatalogExcerpt,
    DataFile,
    Exposure,
    FakeAnalysis,
    FakeSet,
    Label,
    ObjectName,
    ObjectPosition,
    ProvenanceTag,
    RefSet,
    SensorSection,
)
from tests import factories

TAG_LIST = "/admin/products/provenancetag/"
PROVENANCE_LIST = "/admin/products/provenance/"


def address(model: type, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def page_of(row: object) -> str:
    return address(type(row)._meta.concrete_model, "change", row.pk)


def held(tag: str) -> set[str]:
    return set(ProvenanceTag.objects.filter(tag=tag).values_list("provenance_id", flat=True))


def full_tree(section: str = "N1", person: str = "ada") -> factories.CCD:
    """A CCD and one more row of every model that it has none of."""
    exposure = Exposure.objects.first() or factories.exposure()
    ccd = factories.full_ccd(1, of=exposure, section=section)
    factories.forced(ccd)
    made = {"tag": "", "section": section}
    frames = factories.provenance("calibrating", **made)
    table = DataFile.objects.create(name=f"linearity {section}", provenance=frames)
    row = CalibratorFile.objects.create(kind="linearity", instrument="demo", section=section, data_file=table)
    ccd.image.calibrators.add(row)
    SensorSection.objects.create(instrument="demo", section=section, comment="an amplifier was replaced")
    excerpt = CatalogExcerpt.objects.create(
        origin="gaia_dr3", epoch=2016, n_stars=3, contents_sha256=section, ra=35.5, dec=-4.75, provenance=frames,
        order=6, cell=16_000, limit=20.5,
    )  # fmt: skip
    cell = len(CatalogCell.objects.all())
    CatalogCell.objects.create(origin="gaia_dr3", order=6, cell=cell, limit=20.5, excerpt=excerpt, last_error="demo")
    fakes = FakeSet.objects.create(
        zero_point=ccd.zero_point, n_fakes=3, random_seed=1, provenance=factories.provenance("fakeinjection", **made)
    )
    FakeAnalysis.objects.create(
        fake_set=fakes, score_set=ccd.measurement_set.score_sets.get(), n_detected=2, n_kept=1,
        provenance=factories.provenance("fakeanalysis", **made),
    )  # fmt: skip
    user, _ = User.objects.get_or_create(username=person)
    alert = Alert.objects.get(score__measurement=ccd.measurements[0])
    AlertEvent.objects.create(alert=alert, what="sent", where="t[0]@1")
    Label.objects.create(measurement=ccd.measurements[0], person=user, verdict="real")
    ObjectPosition(
        object=ccd.measurements[0].object, provenance=frames, n_measurements=1, ra_error=0.1, dec_error=0.1, mjd_last=1
    ).set_position(35.5, -4.75).save()  # fmt: skip
    factories.known_object(ccd, tag="")
    factories.tracklet(ccd.measurements[:2], tag="")
    ObjectName.objects.get_or_create(year=2026)
    RefSet.objects.create(name=f"demo {section}", provenance=ccd.difference.reference.provenance)
    return ccd


def staff(*permissions: str) -> Client:
    """A client of somebody of the staff with these permissions only."""
    user = User.objects.create_user("grace", password="x", is_staff=True)
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name, content_type__app_label="products"))
    client = Client()
    client.force_login(user)
    return client


def said(response) -> str:
    """What the page after a form says in its messages."""
    return " ".join(str(message) for message in response.context["messages"])
