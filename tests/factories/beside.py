"""What stands beside the CCDs: sets of references, calibrators, and fakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from processing.algorithms.fakes import FAKES
from processing.steps.fakeanalysis import RECOVERY, outcomes
from products.models import (
    CalibratorFile,
    Exposure,
    FakeAnalysis,
    FakeSet,
    ForcedFlux,
    ForcedRequest,
    MasterBias,
    Reference,
    RefSet,
    ScienceImage,
)
from tests.factories.ccd import CCD
from tests.factories.images import exposure, provenance, saved
from tests.skies_tiny import SHAPE


def refset(of: Reference, name: str = "deep") -> RefSet:
    """A set that holds the references with the provenance of one."""
    return RefSet.objects.create(name=name, provenance=of.provenance, description="Stacks of the field.")


def calibrator(applied_to: ScienceImage | None = None, **fields: Any) -> CalibratorFile:
    """A master bias of one raw frame, with its file; applied to an image where one is given."""
    number = Exposure.objects.filter(kind="bias").count()
    raw = exposure(f"demo_bias_{number}", kind="bias", filter="", exposure_time=0.0, mjd=61366.9 + number / 1000)
    pixels = np.random.default_rng(number).normal(300, 2, SHAPE).astype(np.float32)
    frame = MasterBias(
        instrument="demo", section="N1", mjd=raw.mjd, mjd_end=raw.mjd, exposure_time=0.0, width=SHAPE[1],
        height=SHAPE[0], read_noise=5.0, data=pixels, weight=np.ones(SHAPE, np.float32),
        flags=np.zeros(SHAPE, np.uint16), components_digest=f"bias{number}",
        provenance=provenance("make_bias", raw.provenance, tag="", min_frames=1),
    )  # fmt: skip
    saved(frame.set_position(raw.ra, raw.dec)).raw_exposures.add(raw)
    defaults = {"kind": "bias", "instrument": "demo", "section": "N1", "image_id": frame.pk}
    row = CalibratorFile.objects.create(**{**defaults, **fields})
    if applied_to is not None:
        applied_to.calibrators.add(row)
    return row


KINDS = ("hostless", "hosted", "hosted", "variable")


def fakes(of: CCD, tag: str = "current", n: int = 40, found_above: float = 5.0) -> FakeAnalysis:
    """Fakes of a CCD from bright to faint; those of S/N above `found_above` were found, every tenth of them was cut.

    Every fourth is a star that varies, of which every other one fades.
    """
    zero_point = of.zero_point
    injected = np.zeros(n, FAKES)
    rng = np.random.default_rng(5)
    injected["x"], injected["y"] = rng.uniform(5, SHAPE[1] - 6, n), rng.uniform(5, SHAPE[0] - 6, n)
    injected["mag"], injected["host"] = np.linspace(18.4, 22.9, n), -1
    injected["kind"] = [KINDS[index % len(KINDS)] for index in range(n)]
    injected["flux"] = 10 ** (0.4 * (zero_point.at(injected["x"], injected["y"]) - injected["mag"]))
    injected["flux"][7::8] *= -1
    injecting = provenance("fakeinjection", zero_point.provenance, tag=tag, count=n)
    same = FakeSet.objects.filter(zero_point=zero_point, provenance=injecting).first()
    fake_set = same or saved(
        FakeSet(zero_point=zero_point, n_fakes=n, random_seed=1, table=injected, provenance=injecting)
    )
    table = np.zeros(n, RECOVERY)
    snr = np.abs(injected["flux"]) / 70.0
    table["expected_snr"], table["response"] = snr, 1
    table["is_detected"] = snr > found_above
    table["is_bad"] = table["is_detected"] & (np.arange(n) % 10 == 4)
    table["is_kept"] = table["is_passed"] = table["is_detected"] & ~table["is_bad"]
    for name in ("x", "y", "flux", "flux_error", "snr", "score"):
        table[name] = np.nan
    seen = table["is_detected"]
    table["x"][seen], table["y"][seen], table["flux"][seen] = (injected[name][seen] for name in ("x", "y", "flux"))
    table["flux_error"][seen], table["snr"][seen], table["score"][seen] = 70.0, snr[seen], 0.9
    losses = [_loss(index, injected[index], table[index]) for index in np.flatnonzero(~table["is_passed"])]
    table["reason"][~table["is_passed"]] = [loss["reason"] for loss in losses]
    score_set = of.measurement_set.score_sets.get(provenance__tags__tag=tag)
    analyzing = provenance("fakeanalysis", score_set.provenance, injecting, tag=tag, match_radius=3.0)
    stamps = rng.normal(0, 20, (2, len(losses), 31, 31)).astype(np.float32)
    return saved(
        FakeAnalysis(
            fake_set=fake_set, score_set=score_set, table=table, n_detected=int(seen.sum()),
            n_kept=int(table["is_kept"].sum()), n_passed=int(table["is_passed"].sum()), losses=losses,
            outcomes=outcomes(injected, table), provenance=analyzing, new=stamps[0], difference=stamps[1],
        )
    )  # fmt: skip


def forced(of: CCD, tag: str = "current") -> ForcedFlux:
    """The forced flux of the first object of a CCD, below 5σ, and the request that it answers."""
    image, one = of.difference, of.measurements[0]
    row = ForcedFlux(
        image=image, mjd=image.mjd_middle, filter=image.filter, x=one.x, y=one.y, flux=130.0, flux_error=70.0,
        zp=of.zero_point.zp, magnitude=22.1, magnitude_error=0.6,
        provenance=provenance("forced_photometry", image.provenance, tag=tag, core=0.5),
    )  # fmt: skip
    place = {name: getattr(one.object, name) for name in one.object.POSITION_FIELDS}
    ForcedRequest.objects.create(object=one.object, tag=tag, state="done", n_images=1, n_measured=1, n_new=1, **place)
    row.set_position(one.object.ra, one.object.dec).save(force_insert=True)
    return row


def _loss(index: int, fake: np.void, seen: np.void) -> dict[str, Any]:
    """The reason as the analysis keeps it: a cut, or too faint."""
    found = {
        "fake": int(index), "kind": str(fake["kind"]), "x": float(fake["x"]), "y": float(fake["y"]),
        "mag": float(fake["mag"]), "fades": bool(fake["flux"] < 0), "expected": round(float(seen["expected_snr"]), 2),
    }  # fmt: skip
    if seen["is_detected"]:
        return found | {"reason": "cut", "value": 3.1, "threshold": 2.0, "cuts": [["psf_chi2", 3.1, 2.0]]}
    return found | {"reason": "faint", "value": found["expected"], "threshold": 5.0}
