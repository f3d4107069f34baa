"""A small archive that has something of everything that pages show, and the addresses of all pages."""

from __future__ import annotations

from dataclasses import dataclass

from tests import factories

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
            "report": f"/exposures/{self.name}/N1/report/",
            "report of a failure": f"/exposures/{self.name}/{FAILED}/report/",
            "reference": f"/images/{self.ccd.difference.reference.zero_point.image.pk}/",
            "candidates": "/candidates/?show=all",
            "candidates in a range": "/candidates/?min_score=0.5&min_snr=6&label=none&alert=no&failed=narrow&show=all",
            "labels": "/candidates/labels.csv",
            "trace": f"/trace/?position={self.object}",
            "trace of nothing": "/trace/?position=40+10",
            "objects": "/objects/",
            "objects in a cone": f"/objects/?position={self.object}&radius=60",
            "object": f"/objects/{self.object}/",
            "light curve": f"/objects/{self.object}/light_curve.csv",
            "provenances": "/provenance/",
            "provenance": f"/provenance/{key}/",
            "tag": "/provenance/tags/current/",
            "compare": "/provenance/compare/?a=current&b=trial",
            "pipeline": "/pipeline/",
            "step": "/pipeline/steps/subtraction/",
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
            "api measurements of an object": f"/api/v1/objects/{self.object}/measurements/",
            "api cone": f"/api/v1/cone-search/?position={self.object}&radius=60",
        }


def archive() -> Archive:
    """A small archive."""
    exposure = factories.exposure()
    ccd = factories.full_ccd(of=exposure)
    factories.full_ccd(2, of=exposure, section="N2", centre=(35.6, -4.75))
    factories.report(exposure, FAILED, failed="photocal")
    later = factories.exposure("demo_20261124_031500", mjd=61368.1355, filter="g")
    again = factories.full_ccd(of=later, objects=[row.object for row in ccd.measurements])
    factories.provenance("extraction", ccd.image.provenance, tag="trial", threshold=4.0)
    return Archive(ccd, again)
