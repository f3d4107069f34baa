"""A small archive that has something of everything that pages show, and the addresses of all pages."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Watch
from conductor.services.moving import move
from products.models import Alert, Tracklet
from tests import factories
from tests.rows.copied import copied
from tests.rows.waiting import claimed, known

FAILED = "S4"  # the CCD that stopped


@dataclass
class Archive:
    """One exposure with two finished CCDs and one that failed, an object seen twice, a second tag."""

    ccd: factories.CCD
    again: factories.CCD

    @property
    def name(self) -> str:
        """The exposure."""
        return self.ccd.exposure.name

    @property
    def object(self) -> str:
        """An object with two measurements."""
        return self.ccd.measurements[0].object.name

    @property
    def alert(self) -> UUID:
        """The id of an alert about that object."""
        return Alert.objects.get(score__measurement=self.ccd.measurements[0]).pk

    def pages(self) -> dict[str, str]:
        """Every address that answers with text."""
        return {name: address for name, address in self.addresses().items() if name != "alert packet"}

    def addresses(self) -> dict[str, str]:
        """Every page by name."""
        key = self.ccd.difference.provenance_id
        return {
            "home": "/",
            "find": "/find/?q=demo",
            "exposures": "/exposures/",
            "exposure": f"/exposures/{self.name}/",
            "exposure by limit": f"/exposures/{self.name}/?by=limit",
            "ccd": f"/exposures/{self.name}/N1/",
            "calibration": f"/exposures/{self.name}/N1/calibration/",
            "report": f"/exposures/{self.name}/N1/report/",
            "report of a failure": f"/exposures/{self.name}/{FAILED}/report/",
            "reference": f"/images/{self.ccd.difference.reference.zero_point.image.pk}/",
            "calibration of a reference": f"/images/{self.ccd.difference.reference.zero_point.image.pk}/calibration/",
            "reports": "/reports/",
            "errors": "/reports/?state=failed&attempts=latest",
            "exposures by state": "/exposures/?state=partial&sort=-seeing",
            "candidates": "/candidates/?show=all",
            "candidates in a range": "/candidates/?min_score=0.5&min_snr=6&label=none&alert=no&failed=narrow&show=all",
            "labels": "/candidates/labels.csv",
            "trace": f"/trace/?position={self.object}",
            "trace of nothing": "/trace/?position=40+10",
            "alerts": "/alerts/",
            "alert": f"/alerts/{self.alert}/",
            "alert packet": f"/alerts/{self.alert}/packet.avro",
            "decisions": f"/measurements/{self.ccd.measurements[4].pk}/alerts/",
            "objects": "/objects/",
            "objects in a cone": f"/objects/?position={self.object}&radius=60",
            "object": f"/objects/{self.object}/",
            "light curve": f"/objects/{self.object}/light_curve.csv",
            "tracklets": "/moving/",
            "tracklet": f"/moving/{Tracklet.objects.first().pk}/",
            "known candidates": "/candidates/?known=yes",
            "provenances": "/provenance/",
            "provenance": f"/provenance/{key}/",
            "tag": "/provenance/tags/current/",
            "compare": "/provenance/compare/?a=current&b=trial",
            "tags without products": "/provenance/compare/?a=trial&b=trial",
            "product": f"/provenance/product/image/{self.ccd.difference.pk}/",
            "raw product": f"/provenance/product/exposure/{self.ccd.exposure.pk}/",
            "references": "/references/?every_tag=true",
            "one reference": f"/references/{self.ccd.difference.reference.pk}/",
            "calibrators": "/calibrators/",
            "calibrator": f"/calibrators/{self.ccd.image.calibrators.get().pk}/",
            "fakes": "/fakes/",
            "fakes by exposure": "/fakes/?by=exposure",
            "lost fakes": "/fakes/lost/",
            "fakes of an image": f"/fakes/{self.ccd.measurement_set.score_sets.get().fake_analyses.get().pk}/",
            "pipeline": "/pipeline/",
            "step": "/pipeline/steps/subtraction/",
            "model": "/pipeline/models/trees/",
            "login": "/login/",
        }

    def endpoints(self) -> dict[str, str]:
        """Endpoints of the REST API about candidates and objects, by name."""
        row = self.ccd.measurements[0]
        return {
            "api measurements": "/api/v1/measurements/?min_score=0.1&sort=-snr",
            "api measurement": f"/api/v1/measurements/{row.pk}/",
            "api stamp": f"/api/v1/measurements/{row.pk}/stamps/diff.fits",
            "api scores": "/api/v1/scores/",
            "api labels": "/api/v1/labels/",
            "api objects": "/api/v1/objects/",
            "api object": f"/api/v1/objects/{self.object}/",
            "api light curve": f"/api/v1/objects/{self.object}/light-curve/",
            "api forced fluxes of an object": f"/api/v1/objects/{self.object}/forced-photometry/",
            "api requests for forced photometry": "/api/v1/forced-photometry/",
            "api measurements of an object": f"/api/v1/objects/{self.object}/measurements/",
            "api tracklets": "/api/v1/tracklets/",
            "api tracklet": f"/api/v1/tracklets/{Tracklet.objects.first().pk}/",
            "api known objects": "/api/v1/known-objects/",
            "api orbit catalogs": "/api/v1/orbit-catalogs/",
            "api cone": f"/api/v1/cone-search/?position={self.object}&radius=60",
        }

    def conductor_addresses(self) -> dict[str, str]:
        """Every page of the conductor by name: for people with its permissions."""
        row, watch = KnownExposure.objects.latest("mjd"), Watch.objects.get()
        event = ClaimEvent.objects.filter(known_exposure=row).latest("id")
        return {
            "conductor": "/conductor/",
            "known exposure": f"/conductor/{row.pk}/",
            "events": "/conductor/events/",
            "move": f"/conductor/move/?action=hold&id={row.pk}",
            "undo": f"/conductor/events/undo/?event={event.pk}",
            "policy": "/conductor/policy/?do=pause",
            "add exposures": "/conductor/add/",
            "new watch": "/conductor/watches/add/?instrument=demo",
            "watch": f"/conductor/watches/{watch.pk}/",
            "move of a watch": f"/conductor/watches/{watch.pk}/move/?do=look",
            "worker": f"/conductor/workers/{PipelineWorker.objects.get().pk}/remove/",
            "queue": "/conductor/queue/",
        }


def archive() -> Archive:
    """A small archive, and exposures that wait."""
    made = copied(rows_and_files)
    Watch.objects.create(name="tonight", instrument="demo", arguments={"folder": "/data/raw"}, is_paused=True)
    rows = known(3)
    claimed("lasilla")
    KnownExposure.objects.filter(pk=rows[0].pk).update(exposure=made.ccd.exposure)
    move("hold", [rows[1].pk], actor="ada", reason="clouds")
    return made


def rows_and_files() -> Archive:
    """The archive without what waits."""
    exposure = factories.exposure()
    ccd = factories.full_ccd(of=exposure)
    factories.refset(ccd.difference.reference)
    factories.calibrator(ccd.image)
    factories.fakes(ccd)
    factories.full_ccd(2, of=exposure, section="N2", centre=(35.6, -4.75))
    factories.report(exposure, FAILED, failed="photocal")
    later = factories.exposure("demo_20261124_031500", mjd=61368.1355, filter="g")
    factories.known_object(ccd)
    factories.tracklet(ccd.measurements[:3], known_as="(1) Ceres")
    again = factories.full_ccd(of=later, objects=[row.object for row in ccd.measurements])
    factories.provenance("extraction", ccd.image.provenance, tag="trial", threshold=4.0)
    return Archive(ccd, again)
